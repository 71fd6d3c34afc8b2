// Puts the page together: loads the data, derives what is shown from it and the state, and tells every part.

/** @import { Data } from '#wire' */
/** @import { State } from '#state' */
/** @typedef {import('#derive').Model} Model */
import { collapsed } from '#collapsed';
import { decode, functionName } from '#columns';
import { deriver } from '#derive';
import { byId, download, element, say, setAddress } from '#dom';
import { crumbRow } from '#flame/crumbs';
import { expander, pathOf } from '#flame/layout';
import { svg } from '#flame/svg';
import { flameView } from '#flame/view';
import { functionRows } from '#functions';
import { startKeys } from '#keys';
import { asked, boxPath, captureOf, read, write } from '#link';
import { shown } from '#metrics';
import { visible } from '#names';
import { shapedPath } from '#shape';
import { Refusal, captures, embedded, load, reload } from '#source';
import { INITIAL, store as makeStore } from '#state';
import { startTheme, toggleTheme } from '#theme';
import { timelineView } from '#timeline/view';
import { bytes, moment } from '#units';
import { controls as makeControls, metricWords, offered } from '#view/controls';
import { histograms as makeHistograms } from '#view/histograms';
import { inspector as makeInspector } from '#view/inspector';
import { leakList } from '#view/leaklist';
import { overview as makeOverview } from '#view/overview';
import { functionTable } from '#view/table';
import { boxTip } from '#view/tip';

/** How often a capture that is being recorded is asked for news, in milliseconds. */
const REFRESH = 1000;
/** A frame with this share of its caller is the main part of it. */
const MAIN_PART = 0.6;

const store = makeStore(INITIAL);
const derive = deriver();
/** @type {Data} */
let data;
const model = () => derive(data, store.get());

const flame = flameView(store, boxTip);
const crumbs = crumbRow(store, flame.zoomTo);
const timeline = timelineView(store);
const inspector = makeInspector({ zoom, select: (path) => flame.reveal(path), focus, exclude, hideModule, sandwich });
const table = functionTable(store, { select: selectRow });
const leakView = leakList(store, { select: (leak) => show('leaked', leak.node) });
const overview = makeOverview({ show: showWhole, go });
const controls = makeControls(store, { match: flame.match, matches: flame.matches, setMetric });
const histograms = makeHistograms({ show });

/** @param {string} part */
function go(part) {
  byId(part).scrollIntoView({ block: 'start' });
  byId(part).focus({ preventScroll: true });
}

/** Shows a metric, and in it a node's box. @param {string} metric @param {number} node */
function show(metric, node) {
  const { process } = store.get();
  const elsewhere = process >= 0 && data.nodes.process[node] !== process;
  store.set({ metric, inverted: false, sandwich: -1, ...(elsewhere ? { process: -1, thread: -1 } : {}) });
  queueMicrotask(() => {
    flame.reveal(model().pathTo(node));
    byId('flame').scrollIntoView({ block: 'nearest' });
  });
}

/** The same for a node of the whole capture: what narrows the view is left behind. @param {string} metric @param {number} node */
function showWhole(metric, node) {
  store.set({ range: null, cursor: null, focus: [], exclude: [], modules: [], recursion: false, interpreter: true });
  show(metric, node);
}

/** @param {import('#tables').TableRow} row */
function selectRow(row) {
  const { tab, inverted, sandwich: between } = store.get();
  if (tab === 'threads') store.set({ thread: row.key, zoom: [] });
  else if (tab === 'processes') store.set({ process: row.key, thread: -1, zoom: [] });
  else if (tab === 'modules' || tab === 'files') store.set({ find: literal(data.strings[row.key]) });
  else if (tab === 'functions' && between >= 0) store.set({ sandwich: row.key });
  else if (tab === 'functions' && inverted) flame.reveal([row.key]);
  else flame.reveal(model().pathTo(row.node));
}

/** A pattern for a text as it is. @param {string} text */
const literal = (text) => `^${text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;

/** The function that keys and buttons are about, or -1. */
function chosen() {
  const { select, sandwich: between } = store.get();
  return between >= 0 ? between : select[select.length - 1] ?? -1;
}

function zoom() {
  const { select, zoom: before, sandwich: between } = store.get();
  if (between >= 0 || !select.length) return;
  flame.zoomTo(select.join() === before.join() ? select.slice(0, -1) : select);
}

/** Changes what is seen of the tree; the way to the selection is kept as far as it can be seen. @param {Partial<State>} change */
function shape(change) {
  const state = { ...store.get(), ...change };
  store.set({ ...change, zoom: [], select: shapedPath(data, state, state.select) });
}

/** @param {number[]} list @param {number} one */
const toggled = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);

function focus() {
  const func = chosen();
  if (func >= 0) shape({ focus: toggled(store.get().focus, func) });
}

function exclude() {
  const func = chosen();
  if (func < 0 || data.functions.kind[func] === 7) return;
  shape({ exclude: toggled(store.get().exclude, func), sandwich: -1 });
  store.set({ select: [] });
}

function hideModule() {
  const func = chosen();
  if (func < 0 || !data.functions.module[func]) return;
  shape({ modules: toggled(store.get().modules, data.functions.module[func]), sandwich: -1 });
}

function sandwich() {
  const func = chosen();
  if (func >= 0) store.set({ sandwich: store.get().sandwich >= 0 ? -1 : func });
}

/** Esc: out of the callers and callees, the zoom, the search, the cursor, the range, the filters. */
function out() {
  const { zoom: path, find: text, sandwich: between, cursor, range, focus: only, exclude: not, modules } = store.get();
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  if (active?.id === 'find') active.blur();
  else if (between >= 0) store.set({ sandwich: -1 });
  else if (path.length) flame.zoomTo(path.slice(0, -1));
  else if (text) store.set({ find: '' });
  else if (cursor !== null) store.set({ cursor: null });
  else if (range) store.set({ range: null });
  else if (only.length || not.length || modules.length) shape({ focus: [], exclude: [], modules: [] });
}

/** @param {string} metric */
function setMetric(metric) {
  store.set({ metric });
  say(metricWords(model(), metric));
}

function invert() {
  const { inverted, select } = store.get();
  const func = select[select.length - 1];
  store.set({ inverted: !inverted, zoom: [], select: [], sandwich: -1 });
  if (func === undefined) return;
  queueMicrotask(() => {
    const now = model();
    const row = functionRows(now.data, now.measure, null).find((candidate) => candidate.func === func);
    flame.reveal(inverted ? (row ? now.pathTo(row.node) : []) : [func]);
  });
}

function reset() {
  const { capture, fold, sort, ascending, tab } = store.get();
  store.set({ ...INITIAL, capture, fold, sort, ascending, tab });
  queueMicrotask(selectLargest);
}

/** Without a choice of the reader's, the largest answer is selected. */
function selectLargest() {
  const { data: d, measure: m, blame, state, pathTo } = model();
  if (state.select.length) return;
  const [worst] = functionRows(d, m, blame).sort((a, b) => b.self - a.self);
  if (worst?.self) store.set({ select: state.inverted ? [worst.func] : pathTo(worst.node) });
}

/** The peak: its moment, its metric, all of time. */
function toPeak() {
  store.set({ metric: 'peak', cursor: null, range: null, window: null });
  byId('timeline').scrollIntoView({ block: 'nearest' });
}

/** What is shown, in a line: for files and paper. @param {Model} now */
function title({ base, measure: m, scope, state }) {
  const run = base.summary.duration_ns;
  const range = state.range ? ` · ${moment(state.range[0], run)} to ${moment(state.range[1], run)}` : '';
  return `${base.summary.name} · ${scope}${range} · ${shown(m.metric, m.netSum)} ${m.metric.of}`;
}

/** @param {'svg' | 'collapsed'} format */
function save(format) {
  const now = model();
  const name = `memtrack-${now.measure.metric.id}`;
  if (format === 'collapsed') {
    download(`${name}.txt`, 'text/plain', collapsed(now.data, now.measure));
    return;
  }
  const picture = flame.picture();
  if (picture) download(`${name}.svg`, 'image/svg+xml', svg(picture, flame.width(), title(now)));
}

function render() {
  const now = model();
  timeline.update(now);
  flame.update(now);
  crumbs.update(now, flame.crumbs());
  controls.update(now);
  inspector.update(now);
  table.update(now);
  leakView.update(now);
  histograms.update(now);
  remember(now);
  const { state } = now;
  byId('colophon').textContent = `${title(now)} · ${metricWords(now, state.metric)}${state.find ? ` · find ${state.find}` : ''} · ${location.href}`;
}

/** @param {Model} now */
function remember({ data: d, state, measure: m }) {
  setAddress(write(state, data, d, m));
}

/** Takes the view from the address. */
function restore() {
  const { boxes, ...state } = read(location.hash, data);
  store.set(state);
  const { data: d, measure: m } = model();
  store.set({ zoom: boxPath(boxes.zoom, d, m, state.inverted), select: boxPath(boxes.select, d, m, state.inverted) });
}

/** On a small screen the whole is too wide to read: start where most of it first divides. */
function startNarrow() {
  const { data: d, measure: m, state } = model();
  if (innerWidth >= 720 || state.zoom.length || state.inverted) return;
  const expand = expander(d, m, state);
  let box = expand.root;
  for (;;) {
    const widest = expand(box).reduce((/** @type {import('#flame/layout').Box | null} */ best, one) => (best && best.total >= one.total ? best : one), null);
    if (!widest || widest.total < MAIN_PART * box.total) break;
    box = widest;
  }
  store.set({ zoom: pathOf(box) });
}

/** @param {string} text */
function notice(text) {
  const line = byId('notice');
  line.textContent = text;
  line.hidden = !text;
}

/** @param {Data} next */
function take(next) {
  // Numbers of functions belong to one load: paths are carried over by name.
  const names = data ? pathNames(data) : null;
  data = next;
  overview.update(data);
  if (!names) return;
  const { zoom: path, select, focus: only, exclude: not, sandwich: between } = store.get();
  const [middle = -1] = between >= 0 ? names([between], next) : [];
  store.set({ zoom: names(path, next), select: names(select, next), focus: names(only, next), exclude: names(not, next), sandwich: middle, modules: [] });
}

/** @param {Data} before @returns {(path: number[], after: Data) => number[]} */
function pathNames(before) {
  // The first functions are the processes: their numbers in reports never change, their names may.
  const key = (/** @type {Data} */ d, /** @type {number} */ func) =>
    (func < d.processes.length ? d.processes[func].index
      : `${functionName(d, func)}\n${d.strings[d.functions.module[func]]}\n${d.functions.kind[func]}`);
  return (path, after) => {
    const numbers = new Map(Array.from(after.functions.name, (_, func) => [key(after, func), func]));
    const carried = path.map((func) => numbers.get(key(before, func)));
    return carried.every((func) => func !== undefined) ? carried : [];
  };
}

async function refresh() {
  try {
    const wire = await reload();
    if (wire) {
      take(decode(wire));
      render();
    }
    notice('');
  } catch (error) {
    notice(error instanceof Refusal ? error.message : 'The server does not answer: what is shown is the last it said.');
  }
  if (data.summary.state === 'running') setTimeout(refresh, REFRESH);
}

/** Other captures are pages of their own. @param {string[]} names */
function offerCaptures(names) {
  if (names.length < 2) return;
  const select = /** @type {HTMLSelectElement} */ (byId('capture'));
  select.replaceChildren(...names.map((name, i) => element('option', { value: String(i) }, visible(name))));
  select.value = String(store.get().capture);
  select.hidden = false;
  byId('file').hidden = true;
  select.addEventListener('change', () => { location.hash = `cap=${select.value}`; });
}

function startPage() {
  byId('inverted').addEventListener('click', invert);
  byId('save-svg').addEventListener('click', () => save('svg'));
  byId('save-collapsed').addEventListener('click', () => save('collapsed'));
  addEventListener('hashchange', () => {
    const another = captureOf(location.hash) !== store.get().capture;
    if (another || asked(location.hash).has('token')) location.reload();
    else restore();
  });
  const metricKeys = offered(data).map((_, i) => String(i + 1));
  const parts = new Map([['o', 'overview'], ['t', 'timeline'], ['f', 'flame'], ['l', 'functions'], ['k', 'leaks']]);
  startKeys([
    { keys: ['/'], shown: '/', words: 'find', act: controls.focusFind },
    { keys: ['n', 'p'], shown: 'n p', words: 'next and previous match', act: (key) => flame.match(key === 'n' ? 1 : -1) },
    { keys: ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight'], shown: '← ↑ ↓ →', words: 'walk frames', act: (key) => { flame.walk(/** @type {'ArrowUp'} */ (key)); flame.focus(); } },
    { keys: ['Enter'], shown: 'Enter', words: 'zoom to the selected frame', act: zoom },
    { keys: ['Escape'], shown: 'Esc', words: 'back out: zoom, search, moment, range, filters', act: out },
    { keys: ['0'], shown: '0', words: 'reset everything', act: reset },
    { keys: metricKeys, shown: metricKeys.join(' '), words: 'metric', act: (key) => {
      const metric = offered(data)[Number(key) - 1];
      if (metric.id !== 'growth' || store.get().range) setMetric(metric.id);
    } },
    { keys: ['f'], shown: 'f', words: 'focus: only stacks through the selected function', act: focus },
    { keys: ['x'], shown: 'x', words: 'exclude stacks through it', act: exclude },
    { keys: ['m'], shown: 'm', words: 'hide the frames of its module', act: hideModule },
    { keys: ['s'], shown: 's', words: 'its callers and callees', act: sandwich },
    { keys: ['c'], shown: 'c', words: 'copy the stack', act: () => void inspector.copyStack() },
    { keys: ['i'], shown: 'i', words: 'inverted', act: invert },
    { keys: ['v'], shown: 'v', words: 'roots at the bottom or on top', act: () => controls.toggle('flipped') },
    { keys: ['l'], shown: 'l', words: 'siblings by name or by size', act: () => controls.toggle('byName') },
    { keys: ['r'], shown: 'r', words: 'fold recursion', act: () => controls.toggle('recursion') },
    { keys: ['y'], shown: 'y', words: "an interpreter's own frames", act: () => controls.toggle('interpreter') },
    { keys: ['k'], shown: 'k', words: 'colours of kinds or of modules', act: () => controls.toggle('byModule') },
    { keys: ['[', ']'], shown: '[ ]', words: 'move the range by a slice', act: (key) => timeline.step(key === '[' ? -1 : 1) },
    { keys: ['+', '=', '-'], shown: '+ -', words: 'zoom the time', act: (key) => timeline.zoom(key === '-' ? 1.5 : 1 / 1.5) },
    { keys: ['Home'], shown: 'Home', words: 'the peak', act: toPeak },
    { keys: ['t'], shown: 't', words: 'dark or light', act: toggleTheme },
    { keys: ['g'], shown: 'g', then: [...parts.keys()], words: 'and o t f l k: overview, timeline, flamegraph, lists, leaks', act: (key) => go(parts.get(key) ?? 'overview') },
  ]);
}

async function start() {
  startTheme();
  byId('theme').addEventListener('click', toggleTheme);
  const slow = setTimeout(() => notice('Reading…'), 300);
  try {
    const wire = await load(captureOf(location.hash), (done, all) => {
      if (!byId('notice').hidden) notice(`Reading ${bytes(done)}${all ? ` of ${bytes(all)}` : ''}.`);
    });
    take(decode(wire));
    restore();
    selectLargest();
    startNarrow();
    startPage();
    offerCaptures(await captures());
    store.subscribe(render);
    byId('main').removeAttribute('aria-busy');
    document.documentElement.dataset.ready = 'true';
    render();
    notice('');
  } catch (error) {
    notice(error instanceof Error ? error.message : String(error));
    document.documentElement.dataset.ready = 'failed';
    if (!(error instanceof Refusal)) throw error;
    return;
  } finally {
    clearTimeout(slow);
  }
  if (!embedded() && data.summary.state === 'running') setTimeout(refresh, REFRESH);
}

void start();
