// Puts the page of a difference together: one flamegraph whose colours say what grew, and the functions that changed.

/** @import { Scene } from '#derive' */
/** @import { WireDiff } from '#wire' */
import { WIDTHS, changedFunctions, decodeDiff, diffSums } from '#diff/columns';
import { diffTip, showAnswers, showColours, showFunctions, showSelected } from '#diff/view';
import { byId, download, element, say, setAddress } from '#dom';
import { crumbRow } from '#flame/crumbs';
import { descend, expander, layout, pathTo } from '#flame/layout';
import { svg } from '#flame/svg';
import { flameView } from '#flame/view';
import { startKeys } from '#keys';
import { asked, boxPath, readTree, writeTree } from '#link';
import { shown } from '#metrics';
import { find, pattern } from '#search';
import { load } from '#source';
import { INITIAL, memo, store as makeStore } from '#state';
import { startTheme, toggleTheme } from '#theme';
import { findBox } from '#view/find';

async function start() {
  startTheme();
  byId('theme').addEventListener('click', toggleTheme);
  const difference = decodeDiff(/** @type {WireDiff} */ (/** @type {unknown} */ (await load(0, () => {}))));
  const { tree } = difference;
  const store = makeStore({ ...INITIAL, metric: WIDTHS[0].id });
  const flame = flameView(store, diffTip);
  const crumbs = crumbRow(store, flame.zoomTo);
  const finder = findBox(store, flame);
  const sums = memo((/** @type {string} */ width) => diffSums(difference, width));
  const matches = memo((/** @type {string} */ text) => {
    const wanted = pattern(text);
    return wanted && find(tree, wanted.regex);
  });
  const functions = changedFunctions(difference);

  /** @returns {Scene} */
  const scene = () => {
    const state = store.get();
    return { data: tree, state, measure: sums(state.metric), found: matches(state.find), scope: 'Both sides' };
  };

  /** @param {Scene} now */
  function selected({ data, measure, state }) {
    if (state.sandwich >= 0) {
      return layout(data, measure, null, { inverted: false, zoom: [], width: 1, least: Infinity, sandwich: state.sandwich }).crumbs[1];
    }
    const way = descend(expander(data, measure, state), state.select);
    return way.length > state.select.length && way.length > 1 ? way[way.length - 1] : null;
  }

  /** @param {string} metric */
  function setWidth(metric) {
    store.set({ metric, zoom: [] });
    say(WIDTHS.find(({ id }) => id === metric)?.words ?? '');
  }

  /** Shows a node where it can be seen: what is gone is nothing after. @param {number} node */
  function show(node) {
    const { metric } = store.get();
    const width = sums(metric).total[node] ? metric : 'change';
    store.set({ metric: width, inverted: false, sandwich: -1 });
    queueMicrotask(() => flame.reveal(pathTo(tree, sums(width), node)));
  }

  function chosen() {
    const { select, sandwich } = store.get();
    return sandwich >= 0 ? sandwich : select[select.length - 1] ?? -1;
  }

  const sandwich = () => chosen() >= 0 && store.set({ sandwich: store.get().sandwich >= 0 ? -1 : chosen() });
  const invert = () => store.set({ inverted: !store.get().inverted, zoom: [], select: [], sandwich: -1 });
  /** @param {'flipped' | 'byName'} key */
  const toggle = (key) => store.set({ [key]: !store.get()[key] });

  function zoom() {
    const { select, zoom: before, sandwich: between } = store.get();
    if (between < 0 && select.length) flame.zoomTo(select.join() === before.join() ? select.slice(0, -1) : select);
  }

  /** Esc: out of the callers and callees, the zoom, the search. */
  function out() {
    const { zoom: path, find: text, sandwich: between } = store.get();
    const active = /** @type {HTMLElement | null} */ (document.activeElement);
    if (active?.id === 'find') active.blur();
    else if (between >= 0) store.set({ sandwich: -1 });
    else if (path.length) flame.zoomTo(path.slice(0, -1));
    else if (text) store.set({ find: '' });
  }

  function savePicture() {
    const [picture, { measure }] = [flame.picture(), scene()];
    if (!picture) return;
    const title = `${[...difference.before.names, '→', ...difference.after.names].join(' ')} · ${shown(measure.metric, measure.netSum)} ${measure.metric.of}`;
    download('memtrack-diff.svg', 'image/svg+xml', svg(picture, flame.width(), title));
  }

  function render() {
    const now = scene();
    const { state } = now;
    byId('metrics').replaceChildren(...WIDTHS.map(({ id, title, words }) => element('button', {
      type: 'button', 'aria-pressed': id === state.metric, title: words, onclick: () => setWidth(id),
    }, title)));
    byId('inverted').setAttribute('aria-pressed', String(state.inverted));
    flame.update(now);
    crumbs.update(now, flame.crumbs());
    finder.update(now);
    showSelected(now, selected(now));
    showFunctions(now, functions, ({ node }) => show(node));
    setAddress(writeTree(state, tree, now.measure, WIDTHS[0].id));
  }

  /** Takes the view from the address; without one, the largest change is selected. */
  function restore() {
    const parts = asked(location.hash);
    const { boxes, ...state } = readTree(parts, tree, WIDTHS, WIDTHS[0].id);
    const path = (/** @type {string} */ box) => boxPath(box, tree, sums(state.metric), state.inverted);
    store.set({ ...state, zoom: path(boxes.zoom), select: path(boxes.select) });
    if (!parts.size && functions.length) show(functions[0].node);
  }

  byId('inverted').addEventListener('click', invert);
  byId('save-svg').addEventListener('click', savePicture);
  startKeys([
    { keys: ['/'], shown: '/', words: 'find', act: finder.focus },
    { keys: ['n', 'p'], shown: 'n p', words: 'next and previous match', act: (key) => flame.match(key === 'n' ? 1 : -1) },
    { keys: ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight'], shown: '← ↑ ↓ →', words: 'walk frames', act: (key) => { flame.walk(/** @type {'ArrowUp'} */ (key)); flame.focus(); } },
    { keys: ['Enter'], shown: 'Enter', words: 'zoom to the selected frame', act: zoom },
    { keys: ['Escape'], shown: 'Esc', words: 'back out: zoom, search', act: out },
    { keys: ['0'], shown: '0', words: 'reset everything', act: () => store.set({ ...INITIAL, metric: WIDTHS[0].id }) },
    { keys: ['1', '2', '3'], shown: '1 2 3', words: 'as wide as after, before, or the change', act: (key) => setWidth(WIDTHS[Number(key) - 1].id) },
    { keys: ['s'], shown: 's', words: 'callers and callees of the selected function', act: sandwich },
    { keys: ['i'], shown: 'i', words: 'inverted', act: invert },
    { keys: ['v'], shown: 'v', words: 'roots at the bottom or on top', act: () => toggle('flipped') },
    { keys: ['l'], shown: 'l', words: 'siblings by name or by size', act: () => toggle('byName') },
    { keys: ['t'], shown: 't', words: 'dark or light', act: toggleTheme },
  ]);
  showAnswers(difference);
  showColours();
  addEventListener('hashchange', restore);
  restore();
  store.subscribe(render);
  byId('main').removeAttribute('aria-busy');
  render();
}

start().then(() => {
  document.documentElement.dataset.ready = 'true';
}, (error) => {
  const line = byId('notice');
  line.textContent = error instanceof Error ? error.message : String(error);
  line.hidden = false;
  document.documentElement.dataset.ready = 'failed';
  throw error;
});
