// Puts the page together: loads the data, derives what is shown from it and the state, and tells every part.

/** @import { Data } from '#wire' */
/** @import { Measure } from '#metrics' */
/** @import { Found } from '#search' */
/** @import { State } from '#state' */
import { decode, functionName } from '#columns';
import { byId, element, say } from '#dom';
import { descend, expander, pathTo } from '#flame/layout';
import { flameView } from '#flame/view';
import { blamed, functionRows } from '#functions';
import { startKeys } from '#keys';
import { leaks } from '#leaks';
import { boxPath, read, write } from '#link';
import { METRICS, measure, metricById } from '#metrics';
import { find, matchedSum, pattern } from '#search';
import { Refusal, embedded, load, reload } from '#source';
import { INITIAL, memo, store as makeStore } from '#state';
import { startTheme, toggleTheme } from '#theme';
import { timelineView } from '#timeline/view';
import { bytes, count, exact, moment, percent } from '#units';
import { functionTable } from '#view/table';
import { inspector as makeInspector } from '#view/inspector';
import { leakList } from '#view/leaklist';
import { overview as makeOverview } from '#view/overview';
import { KINDS } from '#view/tip';
import { peakByProcess } from '#words';

/**
 * What every part of the page is given to show.
 * @typedef {object} Model
 * @property {Data} data
 * @property {State} state
 * @property {boolean} running
 * @property {string} scope the filter in words
 * @property {Measure} measure
 * @property {Measure} leaked
 * @property {Found | null} found
 * @property {Uint32Array} blame
 * @property {import('#functions').FunctionRow[]} rows
 * @property {import('#leaks').Leak[]} leaks
 * @property {{ process: number, bytes: number }[]} held
 * @property {number} selectedLeaf leaf of the selected stack, or -1
 * @property {(node: number) => number[]} pathTo
 */

/** How often a capture that is being recorded is asked for news, in milliseconds. */
const REFRESH = 1000;
/** A frame with this share of its caller is the main part of it. */
const MAIN_PART = 0.6;
/** Keystrokes within this time are one search, in milliseconds. */
const TYPING = 80;

const store = makeStore(INITIAL);
/** @type {Data} */
let data;

// Each derived value is computed once per change of what it depends on.
const measureOnce = memo((/** @type {Data} */ d, /** @type {string} */ metric, /** @type {number} */ process, /** @type {number} */ thread) =>
  measure(d, metricById(metric), { process, thread }));
const leakedOnce = memo((/** @type {Data} */ d, /** @type {number} */ process, /** @type {number} */ thread) =>
  measure(d, metricById('leaked'), { process, thread }));
const findOnce = memo((/** @type {Data} */ d, /** @type {string} */ text) => {
  const wanted = pattern(text);
  return wanted && find(d, wanted.regex);
});
const blamedOnce = memo(blamed);
const rowsOnce = memo(functionRows);
const leaksOnce = memo((/** @type {Data} */ d, /** @type {number} */ process, /** @type {number} */ thread) => leaks(d, { process, thread }));
const heldOnce = memo(peakByProcess);

/** @returns {Model} */
function model() {
  const state = store.get();
  const { metric, process, thread } = state;
  const measured = measureOnce(data, metric, process, thread);
  const blame = blamedOnce(data);
  return {
    data, state, blame,
    running: data.summary.state === 'running',
    scope: scopeWords(state),
    measure: measured,
    leaked: leakedOnce(data, process, thread),
    found: findOnce(data, state.find),
    rows: rowsOnce(data, measured, state.fold ? blame : null),
    leaks: leaksOnce(data, process, thread),
    held: heldOnce(data),
    selectedLeaf: leafOf(measured, state),
    pathTo: (node) => pathTo(data, measured, node),
  };
}

/** @param {State} state */
function scopeWords(state) {
  const { processes, threads } = data;
  if (state.thread >= 0) return `Thread ${threads.index[state.thread]} ${threads.name[state.thread]}`;
  if (state.process >= 0) return `${processes[state.process].index} ${processes[state.process].name}`;
  return processes.length > 1 ? `All ${exact(processes.length)} processes` : 'All';
}

/** The node that a selected path ends in, where it is a single stack's leaf. @param {Measure} m @param {State} state */
function leafOf(m, state) {
  if (state.inverted || !state.select.length) return -1;
  const way = descend(expander(data, m, false), m, state.select);
  const box = way[way.length - 1];
  return way.length > state.select.length && box.items.length === 1 ? box.items[0] : -1;
}

const flame = flameView(store);
const timeline = timelineView(store);
const inspector = makeInspector({ zoom, select: (path) => flame.reveal(path) });
const table = functionTable(store, { select: selectFunction });
const leakView = leakList(store, { select: (leak) => show('leaked', leak.node) });
const overview = makeOverview({ show, go: (part) => byId(part).scrollIntoView({ block: 'start' }) });

/** Shows a metric, and in it a node's box. @param {string} metric @param {number} node */
function show(metric, node) {
  const { process } = store.get();
  const elsewhere = process >= 0 && data.nodes.process[node] !== process;
  store.set({ metric, inverted: false, ...(elsewhere ? { process: -1, thread: -1 } : {}) });
  queueMicrotask(() => {
    flame.reveal(model().pathTo(node));
    byId('flame').scrollIntoView({ block: 'nearest' });
  });
}

/** @param {import('#functions').FunctionRow} row */
function selectFunction(row) {
  flame.reveal(store.get().inverted ? [row.func] : model().pathTo(row.node));
}

function zoom() {
  const { select, zoom: before } = store.get();
  if (select.length) flame.zoomTo(select.join() === before.join() ? select.slice(0, -1) : select);
}

/** Esc: out of the zoom, then out of the search, then off the cursor. */
function out() {
  const { zoom: path, find: text } = store.get();
  const active = /** @type {HTMLElement | null} */ (document.activeElement);
  if (active?.id === 'find') active.blur();
  else if (path.length) flame.zoomTo(path.slice(0, -1));
  else if (text) store.set({ find: '' });
  else store.set({ cursor: null });
}

/** @param {string} metric */
function setMetric(metric) {
  store.set({ metric });
  say(`${metricWords(metricById(metric))}`);
}

function invert() {
  const { inverted, select } = store.get();
  const func = select[select.length - 1];
  store.set({ inverted: !inverted, zoom: [], select: [] });
  if (func === undefined) return;
  queueMicrotask(() => {
    const row = model().rows.find((candidate) => candidate.func === func);
    flame.reveal(inverted ? (row ? model().pathTo(row.node) : []) : [func]);
  });
}

function reset() {
  const { fold, sort, ascending } = store.get();
  store.set({ ...INITIAL, fold, sort, ascending });
  queueMicrotask(selectLargest);
}

/** Without a choice of the reader's, the largest answer is selected. */
function selectLargest() {
  const { rows, state } = model();
  if (state.select.length) return;
  const [worst] = [...rows].sort((a, b) => b.self - a.self);
  if (worst?.self) store.set({ select: state.inverted ? [worst.func] : model().pathTo(worst.node) });
}

/** @param {import('#metrics').Metric} metric */
function metricWords(metric) {
  const { summary, processes } = data;
  const { process } = store.get();
  if (metric.id === 'peak') {
    const totals = process < 0 ? summary.totals : processes[process].totals;
    return `Live at peak ${moment(totals.peak_at_ns, summary.duration_ns)}`;
  }
  if (metric.id === 'leaked') return summary.state === 'running' ? 'Live now' : 'Leaked';
  return { allocated: 'Allocated', allocations: 'Allocations', temporary: 'Temporary' }[metric.id] ?? metric.id;
}

function controls() {
  const state = store.get();
  byId('metrics').replaceChildren(...METRICS.map((metric) => element('button', {
    type: 'button', 'aria-pressed': metric.id === state.metric, onclick: () => setMetric(metric.id),
  }, metricWords(metric))));
  byId('inverted').setAttribute('aria-pressed', String(state.inverted));
  /** @type {HTMLInputElement} */ (byId('fold')).checked = state.fold;
  const { processes, threads } = data;
  options('process', `All ${exact(processes.length)} processes`, state.process,
    processes.map((one, i) => [i, `${one.index} ${one.name} ${one.pid}`]));
  const mine = [...threads.tid.keys()].filter((i) => state.process < 0 || threads.process[i] === state.process);
  options('thread', `All ${exact(mine.length)} threads`, state.thread,
    mine.map((i) => [i, `${threads.index[i]} ${threads.name[i] || 'thread'} ${threads.tid[i]}`]));
  const box = /** @type {HTMLInputElement} */ (byId('find'));
  if (document.activeElement !== box) box.value = state.find;
}

/** @param {string} id @param {string} all @param {number} chosen @param {[number, string][]} choices */
function options(id, all, chosen, choices) {
  const select = /** @type {HTMLSelectElement} */ (byId(id));
  select.hidden = choices.length < 2 && chosen < 0;
  const key = choices.map(([, text]) => text).join('\n');
  if (select.dataset.choices !== key) {
    select.dataset.choices = key;
    select.replaceChildren(element('option', { value: '-1' }, all), ...choices.map(([value, text]) => element('option', { value: String(value) }, text)));
  }
  select.value = String(chosen);
}

/** How much the search matches, said in the find box. @param {Model} now */
function foundWords({ found, measure: m, state }) {
  const words = byId('found');
  if (!found) {
    words.textContent = '';
    words.removeAttribute('title');
    return;
  }
  const { count: drawn, at } = flame.matches();
  const share = percent(matchedSum(found, m), m.sum);
  words.textContent = drawn ? `${share} · ${at ? `${at} of ` : ''}${count(drawn)}` : share;
  words.title = pattern(state.find)?.literal ? 'Not a regular expression: searched as text' : 'Share of all stacks with a match; nested matches count once';
}

function render() {
  const now = model();
  controls();
  timeline.update(now);
  flame.update(now);
  inspector.update(now);
  table.update(now);
  leakView.update(now);
  foundWords(now);
  remember(now);
  byId('colophon').textContent = `${data.summary.name} · ${now.scope} · ${metricWords(now.measure.metric)}${now.state.find ? ` · find ${now.state.find}` : ''} · ${location.href}`;
}

/** @param {Model} now */
function remember({ state, measure: m }) {
  const nameBox = (/** @type {number[]} */ path) => {
    const way = descend(expander(data, m, state.inverted), m, path);
    const box = way[way.length - 1];
    return box.leaves ? `${box.leaves[0]}~${way.length - 2}` : String(box.items[0] ?? '');
  };
  const hash = write(state, data, nameBox);
  if (hash !== location.hash.slice(1)) history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
}

/** Takes the view from the address. */
function restore() {
  const { boxes, ...state } = read(location.hash, data);
  store.set(state);
  const m = measureOnce(data, state.metric, state.process, state.thread);
  store.set({
    zoom: boxPath(boxes.zoom, data, m, state.inverted), select: boxPath(boxes.select, data, m, state.inverted),
  });
}

/** On a small screen the whole is too wide to read: start where most of it first divides. */
function startNarrow() {
  const { measure: m, state } = model();
  if (innerWidth >= 720 || state.zoom.length || state.inverted) return;
  const expand = expander(data, m, false);
  const path = [];
  let [box] = descend(expand, m, []);
  for (;;) {
    const [widest] = expand(box);
    if (!widest || widest.total < MAIN_PART * box.total) break;
    box = widest;
    path.push(box.func);
  }
  store.set({ zoom: path });
}

function startControls() {
  const box = /** @type {HTMLInputElement} */ (byId('find'));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  box.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => store.set({ find: box.value }), TYPING);
  });
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    store.set({ find: box.value });
    queueMicrotask(() => flame.match(event.shiftKey ? -1 : 1));
  });
  byId('process').addEventListener('change', (event) => store.set({
    process: Number(/** @type {HTMLSelectElement} */ (event.target).value), thread: -1, zoom: [], select: [],
  }));
  byId('thread').addEventListener('change', (event) => store.set({
    thread: Number(/** @type {HTMLSelectElement} */ (event.target).value), zoom: [],
  }));
  byId('fold').addEventListener('change', (event) => store.set({ fold: /** @type {HTMLInputElement} */ (event.target).checked }));
  byId('inverted').addEventListener('click', invert);
  byId('theme').addEventListener('click', toggleTheme);
  byId('open-find').addEventListener('click', () => openFind());
  byId('kinds').replaceChildren(...[0, 1, 2, 3, 4].map((kind) => element('span', {}, element('i', { class: `sw k${kind}` }), KINDS[kind])));
  addEventListener('hashchange', () => {
    if (!new URLSearchParams(location.hash.slice(1)).has('token')) restore();
    else location.reload();
  });
}

function openFind() {
  const scope = byId('scope');
  const open = scope.classList.toggle('open');
  byId('open-find').setAttribute('aria-expanded', String(open));
  if (open) byId('find').focus();
}

/** @param {string} key */
const walk = (key) => {
  flame.walk(/** @type {'ArrowUp'} */ (key));
  flame.focus();
};

startTheme();
startControls();

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
  if (names) store.set({ zoom: names(store.get().zoom, next), select: names(store.get().select, next) });
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

async function start() {
  const slow = setTimeout(() => notice('Reading…'), 300);
  try {
    const wire = await load((done, all) => {
      if (!byId('notice').hidden) notice(`Reading ${bytes(done)}${all ? ` of ${bytes(all)}` : ''}.`);
    });
    take(decode(wire));
    restore();
    selectLargest();
    startNarrow();
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
  startKeys([
    { keys: ['/'], shown: '/', words: 'find', act: () => { if (byId('scope').checkVisibility?.() === false) openFind(); byId('find').focus(); } },
    { keys: ['n', 'p'], shown: 'n p', words: 'next and previous match', act: (key) => flame.match(key === 'n' ? 1 : -1) },
    { keys: ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight'], shown: '← ↑ ↓ →', words: 'walk frames', act: walk },
    { keys: ['Enter'], shown: 'Enter', words: 'zoom to the selected frame', act: zoom },
    { keys: ['Escape'], shown: 'Esc', words: 'out of the zoom, then clear the search', act: out },
    { keys: ['0'], shown: '0', words: 'reset', act: reset },
    { keys: ['1', '2', '3', '4', '5'], shown: '1 2 3 4 5', words: 'metric', act: (key) => setMetric(METRICS[Number(key) - 1].id) },
    { keys: ['i'], shown: 'i', words: 'inverted', act: invert },
    { keys: ['c'], shown: 'c', words: 'copy the stack', act: () => void inspector.copyStack() },
    { keys: ['t'], shown: 't', words: 'dark or light', act: toggleTheme },
  ]);
  if (!embedded() && data.summary.state === 'running') setTimeout(refresh, REFRESH);
}

void start();
