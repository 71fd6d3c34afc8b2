// How a program allocates: what is temporary, what grows by realloc, how long blocks live. Pure.

/** @import { Data } from '#wire' */
/** @import { Filter } from '#metrics' */
import { LIFETIMES, history } from '#slices';
import { eachRow, metricById } from '#metrics';

/** @typedef {{ func: number, node: number, count: number, bytes: number }} Place */

/**
 * Functions by how often something happens in their name, most first.
 * @param {Data} data @param {Filter} filter @param {Uint32Array} blame @param {'temporary' | 'allocations'} metric
 * @param {(row: number) => boolean} [counts] which rows do
 * @returns {Place[]}
 */
export function places(data, filter, blame, metric, counts = () => true) {
  /** @type {Map<number, Place & { most: number }>} */
  const found = new Map();
  eachRow(data, metricById(metric), filter, (row, count, bytes) => {
    if (!counts(row)) return;
    const node = data.rows.node[row];
    const func = data.nodes.function[blame[node]];
    let place = found.get(func);
    if (!place) found.set(func, place = { func, node, count: 0, bytes: 0, most: 0 });
    place.count += count;
    place.bytes += bytes;
    if (count > place.most) Object.assign(place, { most: count, node });
  });
  return [...found.values()].sort((a, b) => b.count - a.count);
}

/** Whether a row's allocations are calls of realloc. @param {Data} data */
export const reallocates = (data) => (/** @type {number} */ row) => /^realloc/.test(data.strings[data.rows.allocator[row]]);

/**
 * Blocks by how long they lived, in slices of time: within one, up to two, up to four…; and those that were not freed.
 * @param {Data} data @param {Filter} filter
 */
export function lifetimes(data, filter) {
  if (!data.slices) return { classes: new Float64Array(LIFETIMES), never: 0 };
  /** @type {number[]} */
  const rows = [];
  eachRow(data, metricById('allocations'), filter, (row) => rows.push(row));
  const { lifetimes: classes, never } = history(data.slices, rows);
  return { classes, never };
}
