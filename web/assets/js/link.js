// The view in the address: what is after `#` restores it. Pure.
//
// Boxes are written as a node, inverted ones as `leaf~depth`: numbers that stay the same for the same capture.

/** @import { Data } from '#wire' */
/** @import { State } from '#state' */
/** @import { Measure } from '#metrics' */
import { callersOf, pathTo } from '#flame/layout';
import { METRICS } from '#metrics';
import { snapped } from '#slices';
import { INITIAL } from '#state';
import { tableById } from '#tables';

/** What is on or off. @type {readonly ['i' | 'rec' | 'int' | 'up' | 'az' | 'mod', 'inverted' | 'recursion' | 'interpreter' | 'flipped' | 'byName' | 'byModule'][]} */
const FLAGS = [['i', 'inverted'], ['rec', 'recursion'], ['int', 'interpreter'], ['up', 'flipped'], ['az', 'byName'], ['mod', 'byModule']];

/**
 * @param {State} state @param {Data} data @param {(path: number[]) => string} nameBox how a path's box is written
 */
export function write(state, data, nameBox) {
  const parts = new URLSearchParams();
  if (state.capture) parts.set('cap', String(state.capture));
  if (state.metric !== INITIAL.metric) parts.set('m', state.metric);
  if (state.process >= 0) parts.set('p', String(data.processes[state.process].index));
  if (state.thread >= 0) parts.set('t', String(data.threads.index[state.thread]));
  for (const [name, path] of /** @type {const} */ ([['z', state.zoom], ['s', state.select]])) {
    // A range may hold nothing of what is selected.
    const box = path.length ? nameBox(path) : '';
    if (box) parts.set(name, box);
  }
  if (state.find) parts.set('q', state.find);
  if (!state.fold) parts.set('fold', '0');
  if (state.sort !== INITIAL.sort || state.ascending) parts.set('sort', (state.ascending ? '-' : '') + state.sort);
  if (state.cursor !== null) parts.set('at', String(Math.round(state.cursor)));
  for (const [name, times] of /** @type {const} */ ([['r', state.range], ['w', state.window]])) {
    if (times) parts.set(name, times.map(Math.round).join('-'));
  }
  for (const [name, list] of /** @type {const} */ ([['only', state.focus], ['not', state.exclude], ['hide', state.modules]])) {
    if (list.length) parts.set(name, list.join('.'));
  }
  if (state.sandwich >= 0) parts.set('both', String(state.sandwich));
  for (const [name, key] of FLAGS) if (state[key]) parts.set(name, '1');
  if (state.tab !== INITIAL.tab) parts.set('tab', state.tab);
  return parts.toString();
}

/** Which of the captures an address is about. @param {string} hash */
export function captureOf(hash) {
  return Number(/^\d{1,4}$/.exec(new URLSearchParams(hash.replace(/^#/, '')).get('cap') ?? '')?.[0] ?? 0);
}

/**
 * The state an address asks for; what it names and the data does not have is left out.
 * @param {string} hash @param {Data} data @returns {State & { boxes: { zoom: string, select: string } }}
 */
export function read(hash, data) {
  const parts = new URLSearchParams(hash.replace(/^#/, ''));
  const metric = parts.get('m');
  const sort = parts.get('sort') ?? INITIAL.sort;
  const at = Number(parts.get('at') ?? NaN);
  const functions = data.functions.name.length;
  /** @param {string} name @param {number} limit */
  const numbers = (name, limit) => (/^\d{1,9}(\.\d{1,9}){0,99}$/.exec(parts.get(name) ?? '')?.[0].split('.') ?? [])
    .map(Number).filter((one) => one < limit);
  /** @param {string} name @returns {[number, number] | null} */
  const times = (name) => {
    const match = /^(\d{1,16})-(\d{1,16})$/.exec(parts.get(name) ?? '');
    return match && Number(match[1]) < Number(match[2]) ? [Number(match[1]), Number(match[2])] : null;
  };
  const range = times('r');
  const snap = range && data.slices ? snapped(data.slices, ...range) : null;
  /** @type {Partial<State>} */
  const flags = Object.fromEntries(FLAGS.map(([name, key]) => [key, parts.get(name) === '1']));
  return {
    ...INITIAL,
    capture: captureOf(hash),
    metric: METRICS.some((one) => one.id === metric) ? /** @type {string} */ (metric) : INITIAL.metric,
    process: data.processes.findIndex((process) => String(process.index) === parts.get('p')),
    thread: data.threads.index.findIndex((index) => String(index) === parts.get('t')),
    ...flags,
    range: snap && data.slices ? [data.slices.bounds[snap.from], data.slices.bounds[snap.to]] : null,
    window: times('w'),
    focus: numbers('only', functions),
    exclude: numbers('not', functions),
    modules: numbers('hide', data.strings.length),
    sandwich: numbers('both', functions)[0] ?? -1,
    tab: tableById(parts.get('tab') ?? '').id,
    find: (parts.get('q') ?? '').slice(0, 500),
    fold: parts.get('fold') !== '0',
    sort: sort.replace(/^-/, ''),
    ascending: sort.startsWith('-'),
    cursor: Number.isFinite(at) && at >= 0 ? at : null,
    boxes: { zoom: parts.get('z') ?? '', select: parts.get('s') ?? '' },
  };
}

/** The path of a box as `write` wrote it. @param {string} text @param {Data} data @param {Measure} measure @param {boolean} inverted */
export function boxPath(text, data, measure, inverted) {
  const match = /^(\d{1,10})(?:~(\d{1,6}))?$/.exec(text);
  if (!match || Number(match[1]) >= data.nodes.count) return [];
  const node = Number(match[1]);
  return inverted ? callersOf(data, node, Number(match[2] ?? 0)) : pathTo(data, measure, node);
}
