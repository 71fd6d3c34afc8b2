// The view in the address: what is after `#` restores it. Pure.
//
// Boxes are written as a node, inverted ones as `leaf~depth`: numbers that stay the same for the same capture.

/** @import { Data, Tree } from '#wire' */
/** @import { State } from '#state' */
/** @import { Measure, Sums } from '#metrics' */
import { callersOf, descend, expander, pathTo } from '#flame/layout';
import { METRICS } from '#metrics';
import { snapped } from '#slices';
import { INITIAL } from '#state';
import { tableById } from '#tables';

/** @typedef {{ boxes: { zoom: string, select: string } }} Boxes as they are written */

/** What is on or off. @type {readonly ['i' | 'rec' | 'int' | 'up' | 'az' | 'mod', 'inverted' | 'recursion' | 'interpreter' | 'flipped' | 'byName' | 'byModule'][]} */
const FLAGS = [['i', 'inverted'], ['rec', 'recursion'], ['int', 'interpreter'], ['up', 'flipped'], ['az', 'byName'], ['mod', 'byModule']];

/**
 * What is seen of the tree itself, which the page of a difference has, too.
 * @param {State} state @param {Tree} tree @param {Sums} sums @param {string} initial the metric of a page without an address
 * @param {URLSearchParams} [parts] what stands before it
 */
export function writeTree(state, tree, sums, initial, parts = new URLSearchParams()) {
  if (state.metric !== initial) parts.set('m', state.metric);
  for (const [name, path] of /** @type {const} */ ([['z', state.zoom], ['s', state.select]])) {
    // A range may hold nothing of what is selected.
    const box = path.length ? boxName(state, tree, sums, path) : '';
    if (box) parts.set(name, box);
  }
  if (state.find) parts.set('q', state.find);
  if (state.sandwich >= 0) parts.set('both', String(state.sandwich));
  for (const [name, key] of FLAGS) if (state[key]) parts.set(name, '1');
  return parts;
}

/** @param {State} state @param {Tree} tree @param {Sums} sums @param {number[]} path */
function boxName(state, tree, sums, path) {
  const way = descend(expander(tree, sums, state), path);
  const box = way[way.length - 1];
  return box.leaves ? `${box.leaves[0]}~${way.length - 2}` : String(box.items[0] ?? '');
}

/**
 * @param {State} state @param {Data} data as loaded @param {Data} seen what the state makes of it @param {Measure} measure of that
 */
export function write(state, data, seen, measure) {
  const capture = new URLSearchParams(state.capture ? { cap: String(state.capture) } : {});
  const parts = writeTree(state, seen, measure, INITIAL.metric, capture);
  if (state.process >= 0) parts.set('p', String(data.processes[state.process].index));
  if (state.thread >= 0) parts.set('t', String(data.threads.index[state.thread]));
  if (!state.fold) parts.set('fold', '0');
  if (state.sort !== INITIAL.sort || state.ascending) parts.set('sort', (state.ascending ? '-' : '') + state.sort);
  if (state.cursor !== null) parts.set('at', String(Math.round(state.cursor)));
  for (const [name, times] of /** @type {const} */ ([['r', state.range], ['w', state.window]])) {
    if (times) parts.set(name, times.map(Math.round).join('-'));
  }
  for (const [name, list] of /** @type {const} */ ([['only', state.focus], ['not', state.exclude], ['hide', state.modules]])) {
    if (list.length) parts.set(name, list.join('.'));
  }
  if (state.tab !== INITIAL.tab) parts.set('tab', state.tab);
  return parts;
}

/** What an address says. @param {string} hash */
export const asked = (hash) => new URLSearchParams(hash.replace(/^#/, ''));

/** Which of the captures an address is about. @param {string} hash */
export const captureOf = (hash) => Number(/^\d{1,4}$/.exec(asked(hash).get('cap') ?? '')?.[0] ?? 0);

/**
 * What is seen of the tree, as an address asks for it; what it names and the tree does not have is left out.
 * @param {URLSearchParams} parts @param {Tree} tree @param {readonly { id: string }[]} metrics @param {string} initial
 * @returns {State & Boxes}
 */
export function readTree(parts, tree, metrics, initial) {
  const metric = parts.get('m');
  /** @type {Partial<State>} */
  const flags = Object.fromEntries(FLAGS.map(([name, key]) => [key, parts.get(name) === '1']));
  return {
    ...INITIAL,
    ...flags,
    metric: metrics.find(({ id }) => id === metric)?.id ?? initial,
    find: (parts.get('q') ?? '').slice(0, 500),
    sandwich: numbers(parts.get('both'), tree.functions.name.length)[0] ?? -1,
    boxes: { zoom: parts.get('z') ?? '', select: parts.get('s') ?? '' },
  };
}

/** @param {string | null} text @param {number} limit */
const numbers = (text, limit) => (/^\d{1,9}(\.\d{1,9}){0,99}$/.exec(text ?? '')?.[0].split('.') ?? [])
  .map(Number).filter((one) => one < limit);

/**
 * The state an address asks for; what it names and the data does not have is left out.
 * @param {string} hash @param {Data} data @returns {State & Boxes}
 */
export function read(hash, data) {
  const parts = asked(hash);
  const sort = parts.get('sort') ?? INITIAL.sort;
  const at = Number(parts.get('at') ?? NaN);
  const functions = data.functions.name.length;
  /** @param {string} name @returns {[number, number] | null} */
  const times = (name) => {
    const match = /^(\d{1,16})-(\d{1,16})$/.exec(parts.get(name) ?? '');
    return match && Number(match[1]) < Number(match[2]) ? [Number(match[1]), Number(match[2])] : null;
  };
  const range = times('r');
  const snap = range && data.slices ? snapped(data.slices, ...range) : null;
  return {
    ...readTree(parts, data, METRICS, INITIAL.metric),
    capture: captureOf(hash),
    process: data.processes.findIndex((process) => String(process.index) === parts.get('p')),
    thread: data.threads.index.findIndex((index) => String(index) === parts.get('t')),
    range: snap && data.slices ? [data.slices.bounds[snap.from], data.slices.bounds[snap.to]] : null,
    window: times('w'),
    focus: numbers(parts.get('only'), functions),
    exclude: numbers(parts.get('not'), functions),
    modules: numbers(parts.get('hide'), data.strings.length),
    tab: tableById(parts.get('tab') ?? '').id,
    fold: parts.get('fold') !== '0',
    sort: sort.replace(/^-/, ''),
    ascending: sort.startsWith('-'),
    cursor: Number.isFinite(at) && at >= 0 ? at : null,
  };
}

/** The path of a box as `write` wrote it. @param {string} text @param {Tree} tree @param {Sums} sums @param {boolean} inverted */
export function boxPath(text, tree, sums, inverted) {
  const match = /^(\d{1,10})(?:~(\d{1,6}))?$/.exec(text);
  if (!match || Number(match[1]) >= tree.nodes.count) return [];
  const node = Number(match[1]);
  return inverted ? callersOf(tree, node, Number(match[2] ?? 0)) : pathTo(tree, sums, node);
}
