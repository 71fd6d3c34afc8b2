// The flamegraph on the page: what the pointer and the keys do to it.

/** @import { Scene } from '#derive' */
/** @import { Store } from '#state' */
/** @import { Picture } from '#flame/draw' */
/** @import { Box, Layout } from '#flame/layout' */
import { byId, canvasById, element } from '#dom';
import { draw, rowTop } from '#flame/draw';
import { boxAt, boxUnder, descend, expander, layout, pathOf } from '#flame/layout';
import { describe } from '#flame/twin';
import { shown as text } from '#metrics';
import { memo } from '#state';
import { onTheme, prepare } from '#theme';
import { exact } from '#units';
import { hideTip, showTip } from '#view/tip';

/** A selected box narrower than this is zoomed to, in pixels. */
const READABLE = 24;
/** Where the function stands between its callers and its callees, as a share of the height. */
const SPLIT = 0.5;

/**
 * @template {Scene & { modules?: { rank: Uint8Array } }} S
 * @param {Store} store @param {(scene: S, box: Box) => Node[]} tip what is said of a box
 */
export function flameView(store, tip) {
  const area = byId('flame-area'), tall = byId('flame-tall'), canvas = canvasById('flame-canvas');
  const outline = byId('flame-hover');
  /** @type {S | null} */
  let model = null;
  /** @type {Layout | null} */
  let shown = null;
  /** @type {Box | null} */
  let selected = null;
  /** @type {Box | null} */
  let hovered = null;
  const narrow = matchMedia('(max-width: 719px)');
  const rowHeight = () => (narrow.matches ? 24 : 18);
  const layoutOnce = memo(layoutFor);

  /** @param {Scene['data']} data @param {Scene['measure']} m @param {Scene['found']} found @param {boolean} inverted @param {boolean} byName @param {number} sandwich @param {number[]} zoom @param {number} width */
  function layoutFor(data, m, found, inverted, byName, sandwich, zoom, width) {
    return layout(data, m, found, { inverted, byName, sandwich, zoom, width });
  }

  /** @param {S} next */
  function update(next) {
    const before = model?.state;
    model = next;
    const { data, measure, found, state } = model;
    shown = layoutOnce(data, measure, found, state.inverted, state.byName, state.sandwich, state.zoom, tall.clientWidth);
    selected = state.sandwich >= 0 ? shown.crumbs[1] : boxAt(shown, state.select);
    tall.style.height = `${Math.max(1, shown.rows.length) * rowHeight() + 1}px`;
    if (state.sandwich >= 0 && state.sandwich !== before?.sandwich) area.scrollTop = (selected?.depth ?? 0) * rowHeight() - SPLIT * area.clientHeight;
    else if (upwards() !== !!(before?.flipped && before.sandwich < 0)) area.scrollTop = upwards() ? area.scrollHeight : 0;
    hover(null);
    paint();
    foot();
    const expand = expander(data, measure, state);
    describe(area, byId('flame-twin'), data, measure, descend(expand, state.select), expand);
    const what = `${text(measure.metric, measure.netSum)} ${measure.metric.of}`;
    area.setAttribute('aria-label', `Call tree, ${what}; arrow keys walk, Enter zooms`);
  }

  /** Whether roots are at the bottom. Callers and callees have their own order. */
  const upwards = () => !!model && model.state.flipped && model.state.sandwich < 0;

  /** @returns {Picture | null} */
  const picture = () => (model && shown
    ? {
      data: model.data, layout: shown, metric: model.measure.metric, rowHeight: rowHeight(), flipped: upwards(),
      modules: model.state.byModule && model.modules ? model.modules.rank : null, fontSize: narrow.matches ? 12 : 11, selected,
    }
    : null);

  function paint() {
    const now = picture();
    if (!now) return;
    const height = Math.min(area.clientHeight, tall.clientHeight);
    draw(prepare(canvas, tall.clientWidth, height), now, area.scrollTop, height);
  }

  function foot() {
    if (!model || !shown) return;
    const under = byId('culled');
    const { state, measure } = model;
    if (!measure.sum) {
      const narrowed = state.range || state.focus.length || state.exclude.length || state.process >= 0 || state.thread >= 0;
      under.replaceChildren(`Nothing was ${measure.metric.none ?? measure.metric.of} here. `, narrowed ? element('button', {
        class: 'link', type: 'button',
        onclick: () => store.set({ process: -1, thread: -1, range: null, focus: [], exclude: [], zoom: [], select: [] }),
      }, 'Show all of it') : '');
      return;
    }
    const culled = shown.culled ? `${exact(shown.culled)} ${shown.culled === 1 ? 'frame' : 'frames'} under 1 px not drawn. ` : '';
    const how = state.sandwich >= 0 ? 'Callers above, callees below; a click moves on to that function, Esc leaves.' : 'Click selects, a second click zooms.';
    under.textContent = culled + how;
  }

  /** @param {number[]} zoom */
  function zoomTo(zoom) {
    store.set({ zoom });
    area.scrollTop = upwards() ? area.scrollHeight : 0;
  }

  /** Selects a box wherever it is, and zooms as far as needed to see it. @param {number[]} path */
  function reveal(path) {
    if (!model || !path.length) return;
    const { data, measure, state } = model;
    const way = descend(expander(data, measure, state), path);
    const found = way[way.length - 1];
    const select = pathOf(found);
    const width = tall.clientWidth;
    const wide = (/** @type {Box} */ top) => (width * found.total) / top.total >= READABLE;
    const zoomed = state.zoom.every((func, i) => select[i] === func) && state.zoom.length < way.length;
    const zoom = zoomed && wide(way[state.zoom.length]) ? state.zoom : pathOf(way.find(wide) ?? found);
    store.set({ select, zoom, sandwich: -1 });
    queueMicrotask(() => scrollTo(select.length - 1 - Math.max(0, zoom.length - 1)));
  }

  /** @param {number} row */
  function scrollTo(row) {
    const now = picture();
    if (!now) return;
    const y = rowTop(now, row);
    if (y < area.scrollTop) area.scrollTop = Math.max(0, y - rowHeight());
    else if (y + 2 * rowHeight() > area.scrollTop + area.clientHeight) area.scrollTop = y - area.clientHeight + 2 * rowHeight();
  }

  /** @param {PointerEvent | MouseEvent} event */
  function boxFor(event) {
    if (!shown || !model) return null;
    const frame = tall.getBoundingClientRect();
    const row = Math.floor((event.clientY - frame.top) / rowHeight());
    return boxUnder(shown, upwards() ? shown.rows.length - 1 - row : row, event.clientX - frame.left);
  }

  /** @param {Box | null} box */
  function hover(box) {
    hovered = box;
    outline.hidden = !box;
    canvas.style.cursor = box ? 'pointer' : 'default';
    const now = picture();
    if (!box || !now) return hideTip();
    Object.assign(outline.style, {
      left: `${box.x}px`, top: `${rowTop(now, box.depth)}px`, width: `${Math.max(2, box.width - 1)}px`, height: `${now.rowHeight - 1}px`,
    });
  }

  area.addEventListener('pointermove', (event) => {
    const now = picture();
    if (event.pointerType === 'touch' || !model || !now) return;
    const box = boxFor(event);
    if (box !== hovered) hover(box);
    if (box) {
      const row = tall.getBoundingClientRect().top + rowTop(now, box.depth);
      showTip(tip(model, box), event.clientX, row, row + now.rowHeight);
    }
  });
  area.addEventListener('pointerleave', () => hover(null));
  area.addEventListener('click', (event) => {
    const box = boxFor(event);
    if (!box || !model) return;
    if (model.state.sandwich >= 0) {
      store.set({ sandwich: box.func });
      return;
    }
    const path = pathOf(box);
    const again = path.join() === model.state.select.join();
    if (again) zoomTo(path.join() === model.state.zoom.join() ? path.slice(0, -1) : path);
    else store.set({ select: path });
  });
  area.addEventListener('scroll', () => {
    hover(null);
    paint();
  });
  new ResizeObserver(() => model && update(model)).observe(area);
  onTheme(paint);

  /** Moves the selection to a neighbour. @param {'ArrowUp' | 'ArrowDown' | 'ArrowLeft' | 'ArrowRight'} key */
  function walk(key) {
    if (!shown || !model || model.state.sandwich >= 0) return;
    const top = shown.crumbs[shown.crumbs.length - 1];
    if (!selected) {
      const first = shown.rows[0]?.[0];
      if (first) store.set({ select: pathOf(first) });
      return;
    }
    const siblings = selected === top ? [selected] : (selected.parent?.children ?? []);
    const at = siblings.indexOf(selected);
    const [deeper, outer] = upwards() ? ['ArrowUp', 'ArrowDown'] : ['ArrowDown', 'ArrowUp'];
    const next = key === deeper ? selected.children[0]
      : key === outer ? selected.parent
        : siblings[at + (key === 'ArrowRight' ? 1 : -1)];
    if (!next || next.func < 0) return;
    store.set({ select: pathOf(next) });
    scrollTo(next.depth);
  }

  const hits = () => shown?.rows.flat().filter((box) => box.hit) ?? [];

  /** Moves the selection among the drawn matches. @param {1 | -1} step */
  function match(step) {
    const matches = hits();
    if (!matches.length || !model || model.state.sandwich >= 0) return;
    const at = selected ? matches.indexOf(selected) : -1;
    const next = matches[at < 0 && step < 0 ? matches.length - 1 : (at + step + matches.length) % matches.length];
    store.set({ select: pathOf(next) });
    scrollTo(next.depth);
  }

  /** Drawn matches, and which of them is selected, from 1. */
  function matches() {
    const all = hits();
    return { count: all.length, at: selected ? all.indexOf(selected) + 1 : 0 };
  }

  return {
    update, reveal, walk, match, matches, zoomTo, picture,
    width: () => tall.clientWidth,
    crumbs: () => shown?.crumbs ?? [],
    focus: () => area.focus({ preventScroll: true }),
  };
}
