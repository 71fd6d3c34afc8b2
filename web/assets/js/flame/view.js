// The flamegraph on the page: what the pointer and the keys do to it.

/** @import { Model } from '#main' */
/** @import { Store } from '#state' */
/** @import { Box, Layout } from '#flame/layout' */
import { functionName } from '#columns';
import { byId, canvasById, download, element } from '#dom';
import { draw } from '#flame/draw';
import { boxAt, boxUnder, descend, expander, layout, pathOf } from '#flame/layout';
import { svg } from '#flame/svg';
import { describe } from '#flame/twin';
import { shortName } from '#names';
import { memo } from '#state';
import { onTheme, prepare } from '#theme';
import { amount, exact, percent } from '#units';
import { boxTip, hideTip, showTip } from '#view/tip';

/** A selected box narrower than this is zoomed to, in pixels. */
const READABLE = 24;

/** @param {Store} store */
export function flameView(store) {
  const area = byId('flame-area'), tall = byId('flame-tall'), canvas = canvasById('flame-canvas');
  const outline = byId('flame-hover');
  /** @type {Model | null} */
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

  /** @param {Model['data']} data @param {Model['measure']} m @param {Model['found']} found @param {boolean} inverted @param {number[]} zoom @param {number} width */
  function layoutFor(data, m, found, inverted, zoom, width) {
    return layout(data, m, found, { inverted, zoom, width });
  }

  /** @param {Model} next */
  function update(next) {
    model = next;
    const { data, measure, found, state } = model;
    shown = layoutOnce(data, measure, found, state.inverted, state.zoom, tall.clientWidth);
    selected = boxAt(shown, state.select);
    tall.style.height = `${Math.max(1, shown.rows.length) * rowHeight() + 1}px`;
    hover(null);
    paint();
    crumbs();
    foot();
    const expand = expander(data, measure, state.inverted);
    describe(area, byId('flame-twin'), data, measure, descend(expand, measure, state.select), expand);
    const what = `${amount(measure.metric.value, measure.sum)} ${measure.metric.of}`;
    area.setAttribute('aria-label', `Call tree, ${what}; arrow keys walk, Enter zooms`);
  }

  const picture = () => (model && shown
    ? {
      data: model.data, layout: shown, value: model.measure.metric.value, rowHeight: rowHeight(),
      fontSize: narrow.matches ? 12 : 11, selected,
    }
    : null);

  function paint() {
    const now = picture();
    if (!now) return;
    const height = Math.min(area.clientHeight, tall.clientHeight);
    draw(prepare(canvas, tall.clientWidth, height), now, area.scrollTop, height);
  }

  function crumbs() {
    if (!model || !shown) return;
    const { data, measure, state } = model;
    const { value, of } = measure.metric;
    const whole = state.inverted ? 'Inverted, by callers' : model.scope;
    const path = shown.crumbs;
    /** @param {Box} box @param {number} depth */
    const crumb = (box, depth) => {
      const name = depth ? shortName(functionName(data, box.func), 40) : whole;
      if (depth === path.length - 1) return element('b', {}, name);
      return element('button', { type: 'button', class: 'link', onclick: () => zoomTo(pathOf(box)) }, name);
    };
    /** @type {(Node | string)[]} */
    const parts = [];
    path.forEach((box, depth) => {
      // The way there in four: the whole, the first, what is between them, and where we are.
      if (path.length > 4 && depth > 1 && depth < path.length - 1) {
        if (depth === 2) parts.push('› … ›');
        return;
      }
      if (depth && !(path.length > 4 && depth === path.length - 1)) parts.push('›');
      parts.push(crumb(box, depth));
    });
    const top = path[path.length - 1];
    parts.push(`${amount(value, top.total)}${path.length > 1 ? ` · ${percent(top.total, measure.sum)}` : ` ${of}`}`);
    byId('crumbs').replaceChildren(...parts.map((part) => (typeof part === 'string' ? element('span', {}, part) : part)));
  }

  function foot() {
    if (!model || !shown) return;
    const under = byId('culled');
    if (!model.measure.sum) {
      under.replaceChildren(`Nothing was ${model.measure.metric.of} here. `, element('button', {
        class: 'link', type: 'button', onclick: () => store.set({ process: -1, thread: -1, zoom: [], select: [] }),
      }, 'Show all of it'));
      return;
    }
    const culled = shown.culled ? `${exact(shown.culled)} frames under 1 px not drawn. ` : '';
    under.textContent = `${culled}Click selects, a second click zooms.`;
  }

  /** @param {number[]} zoom */
  function zoomTo(zoom) {
    store.set({ zoom });
    area.scrollTop = 0;
  }

  /** Selects a box wherever it is, and zooms as far as needed to see it. @param {number[]} path */
  function reveal(path) {
    if (!model || !path.length) return;
    const { data, measure, state } = model;
    const way = descend(expander(data, measure, state.inverted), measure, path);
    const found = way[way.length - 1];
    const select = pathOf(found);
    const width = tall.clientWidth;
    const wide = (/** @type {Box} */ top) => (width * found.total) / top.total >= READABLE;
    const zoomed = state.zoom.every((func, i) => select[i] === func) && state.zoom.length < way.length;
    const zoom = zoomed && wide(way[state.zoom.length]) ? state.zoom : pathOf(way.find(wide) ?? found);
    store.set({ select, zoom });
    queueMicrotask(() => scrollTo(select.length - 1 - Math.max(0, zoom.length - 1)));
  }

  /** @param {number} row */
  function scrollTo(row) {
    const y = row * rowHeight();
    if (y < area.scrollTop) area.scrollTop = Math.max(0, y - rowHeight());
    else if (y + 2 * rowHeight() > area.scrollTop + area.clientHeight) area.scrollTop = y - area.clientHeight + 2 * rowHeight();
  }

  /** @param {PointerEvent | MouseEvent} event */
  function boxFor(event) {
    if (!shown) return null;
    const frame = tall.getBoundingClientRect();
    return boxUnder(shown, Math.floor((event.clientY - frame.top) / rowHeight()), event.clientX - frame.left);
  }

  /** @param {Box | null} box */
  function hover(box) {
    hovered = box;
    outline.hidden = !box;
    canvas.style.cursor = box ? 'pointer' : 'default';
    if (!box) return hideTip();
    const height = rowHeight();
    Object.assign(outline.style, {
      left: `${box.x}px`, top: `${rowOf(box) * height}px`, width: `${Math.max(2, box.width - 1)}px`, height: `${height - 1}px`,
    });
  }

  /** @param {Box} box */
  const rowOf = (box) => box.depth;

  area.addEventListener('pointermove', (event) => {
    if (event.pointerType === 'touch' || !model) return;
    const box = boxFor(event);
    if (box !== hovered) hover(box);
    if (box) {
      const row = tall.getBoundingClientRect().top + rowOf(box) * rowHeight();
      showTip(boxTip(model, box), event.clientX, row, row + rowHeight());
    }
  });
  area.addEventListener('pointerleave', () => hover(null));
  area.addEventListener('click', (event) => {
    const box = boxFor(event);
    if (!box || !model) return;
    const path = pathOf(box);
    const again = path.join() === model.state.select.join();
    if (again) zoomTo(path.join() === model.state.zoom.join() ? path.slice(0, -1) : path);
    else store.set({ select: path });
  });
  area.addEventListener('scroll', () => {
    hover(null);
    paint();
  });
  byId('save-svg').addEventListener('click', () => {
    const now = picture();
    if (!now || !model) return;
    const { data, measure, scope } = model;
    const title = `${data.summary.name} · ${scope} · ${amount(measure.metric.value, measure.sum)} ${measure.metric.of}`;
    download(`memtrack-${measure.metric.id}.svg`, 'image/svg+xml', svg(now, tall.clientWidth, title));
  });
  new ResizeObserver(() => model && update(model)).observe(area);
  onTheme(paint);

  /** Moves the selection to a neighbour. @param {'ArrowUp' | 'ArrowDown' | 'ArrowLeft' | 'ArrowRight'} key */
  function walk(key) {
    if (!shown || !model) return;
    const top = shown.crumbs[shown.crumbs.length - 1];
    if (!selected) {
      const first = shown.rows[0]?.[0];
      if (first) store.set({ select: pathOf(first) });
      return;
    }
    const siblings = selected === top ? [selected] : (selected.parent?.children ?? []);
    const at = siblings.indexOf(selected);
    const next = key === 'ArrowDown' ? selected.children[0]
      : key === 'ArrowUp' ? selected.parent
        : siblings[at + (key === 'ArrowRight' ? 1 : -1)];
    if (!next || next.func < 0) return;
    store.set({ select: pathOf(next) });
    scrollTo(rowOf(next));
  }

  /** Moves the selection among the drawn matches. @param {1 | -1} step */
  function match(step) {
    const matches = shown?.rows.flat().filter((box) => box.hit) ?? [];
    if (!matches.length) return;
    const at = selected ? matches.indexOf(selected) : -1;
    const next = matches[at < 0 && step < 0 ? matches.length - 1 : (at + step + matches.length) % matches.length];
    store.set({ select: pathOf(next) });
    scrollTo(rowOf(next));
  }

  /** Drawn matches, and which of them is selected, from 1. */
  function matches() {
    const all = shown?.rows.flat().filter((box) => box.hit) ?? [];
    return { count: all.length, at: selected ? all.indexOf(selected) + 1 : 0 };
  }

  return { update, reveal, walk, match, matches, zoomTo, focus: () => area.focus({ preventScroll: true }) };
}
