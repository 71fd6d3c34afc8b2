// The view in the address: what is after `#` restores it. Pure.
//
// Boxes are written as a node, inverted ones as `leaf~depth`: numbers that stay the same for the same capture.

/** @import { Data } from '#wire' */
/** @import { State } from '#state' */
/** @import { Measure } from '#metrics' */
import { callersOf, pathTo } from '#flame/layout';
import { METRICS } from '#metrics';
import { INITIAL } from '#state';

/**
 * @param {State} state @param {Data} data @param {(path: number[]) => string} nameBox how a path's box is written
 */
export function write(state, data, nameBox) {
  const parts = new URLSearchParams();
  if (state.metric !== INITIAL.metric) parts.set('m', state.metric);
  if (state.process >= 0) parts.set('p', String(data.processes[state.process].index));
  if (state.thread >= 0) parts.set('t', String(data.threads.index[state.thread]));
  if (state.inverted) parts.set('i', '1');
  if (state.zoom.length) parts.set('z', nameBox(state.zoom));
  if (state.select.length) parts.set('s', nameBox(state.select));
  if (state.find) parts.set('q', state.find);
  if (!state.fold) parts.set('fold', '0');
  if (state.sort !== INITIAL.sort || state.ascending) parts.set('sort', (state.ascending ? '-' : '') + state.sort);
  if (state.cursor !== null) parts.set('at', String(Math.round(state.cursor)));
  return parts.toString();
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
  return {
    ...INITIAL,
    metric: METRICS.some((one) => one.id === metric) ? /** @type {string} */ (metric) : INITIAL.metric,
    process: data.processes.findIndex((process) => String(process.index) === parts.get('p')),
    thread: data.threads.index.findIndex((index) => String(index) === parts.get('t')),
    inverted: parts.get('i') === '1',
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
