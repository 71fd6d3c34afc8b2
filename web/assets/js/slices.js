// Any range of time, from what each row did slice by slice. Pure.
//
// A change says what happened to blocks of a row in a slice, and when blocks that went were allocated. So sums over
// changes give what was live at a slice's end, what a range allocated, and what of it was still live at its end.

/** @import { Data, Pair, Slices } from '#wire' */
import { What } from '#columns';

/**
 * From the beginning of one slice to the beginning of another, by number.
 * @typedef {{ from: number, to: number }} Range
 */

/** @param {Slices} slices */
export const sliceCount = (slices) => slices.bounds.length - 1;

/** The bound nearest to a moment. @param {Slices} slices @param {number} at */
export function nearestBound({ bounds }, at) {
  let low = 0, high = bounds.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (bounds[middle] <= at) low = middle;
    else high = middle;
  }
  return at - bounds[low] <= bounds[high] - at ? low : high;
}

/** A range of at least one slice, its ends at the bounds nearest to two moments. @param {Slices} slices @param {number} a @param {number} b @returns {Range} */
export function snapped(slices, a, b) {
  const from = Math.min(nearestBound(slices, Math.min(a, b)), sliceCount(slices) - 1);
  return { from, to: Math.max(nearestBound(slices, Math.max(a, b)), from + 1) };
}

/** @type {WeakMap<Slices, { first: Uint32Array, order: Uint32Array }>} */
const sorted = new WeakMap();

/**
 * The changes by slice: those of slice `s` are `order[first[s]]` to before `order[first[s + 1]]`, by row. A range then costs
 * what happened in it.
 * @param {Slices} slices
 */
function byTime(slices) {
  let known = sorted.get(slices);
  if (!known) {
    const count = sliceCount(slices);
    const first = new Uint32Array(count + 1);
    for (const at of slices.slice) first[at + 1]++;
    for (let i = 0; i < count; i++) first[i + 1] += first[i];
    const next = first.slice(), order = new Uint32Array(slices.slice.length);
    for (let i = 0; i < order.length; i++) order[next[slices.slice[i]]++] = i;
    sorted.set(slices, known = { first, order });
  }
  return known;
}

/** Bytes live at the end of each slice. @param {Data} data @param {Slices} slices @param {number} process -1 for all */
export function liveAtEnds(data, slices, process) {
  const live = new Float64Array(sliceCount(slices));
  const { slice, row, what, bytes } = slices;
  for (let i = 0; i < slice.length; i++) {
    if (what[i] === What.temporary) continue;
    const at = data.rows.node[row[i]];
    if (at < 0 || (process >= 0 && data.nodes.process[at] !== process)) continue;
    live[slice[i]] += what[i] === What.allocated ? bytes[i] : -bytes[i];
  }
  for (let i = 1; i < live.length; i++) live[i] += live[i - 1];
  return live;
}

/** @param {number} count @returns {Pair} */
const zeros = (count) => ({ row: null, blocks: new Float64Array(count), bytes: new Float64Array(count) });

/** @param {Pair} pair @param {number} row @param {number} blocks @param {number} bytes */
function book(pair, row, blocks, bytes) {
  pair.blocks[row] += blocks;
  pair.bytes[row] += bytes;
}

/** What each row had live when a slice ended. @param {Data} data @param {Slices} slices @param {number} last the slice's number @returns {Pair} */
function liveAt(data, slices, last) {
  const live = zeros(data.rows.count);
  const { first, order } = byTime(slices);
  for (let k = 0; k < first[last + 1]; k++) {
    const i = order[k];
    if (slices.what[i] === What.temporary) continue;
    const sign = slices.what[i] === What.allocated ? 1 : -1;
    book(live, slices.row[i], sign * slices.blocks[i], sign * slices.bytes[i]);
  }
  return live;
}

/**
 * The data as a range of time and a moment have it: allocations of the range, what of them was live at its end (its
 * image's end is no free), what it added, and what was live at the end of the slice `moment`.
 * @param {Data} data @param {Range | null} range @param {number} moment -1: at the peak @returns {Data}
 */
export function within(data, range, moment) {
  const { slices, rows } = data;
  if (!slices || (!range && moment < 0)) return data;
  const live = moment < 0 ? null : liveAt(data, slices, moment);
  const moments = live ? { peak: live, processPeak: live } : {};
  if (!range) return { ...data, rows: { ...rows, ...moments } };
  const { row, birth, what, blocks, bytes } = slices;
  const { first, order } = byTime(slices);
  const { from, to } = range;
  const allocated = zeros(rows.count), temporary = zeros(rows.count), leaked = zeros(rows.count), growth = zeros(rows.count);
  for (let k = first[from]; k < first[to]; k++) {
    const i = order[k], r = row[i];
    if (what[i] === What.allocated) {
      book(allocated, r, blocks[i], bytes[i]);
      book(leaked, r, blocks[i], bytes[i]);
      book(growth, r, blocks[i], bytes[i]);
    } else if (what[i] === What.temporary) {
      if (birth[i] >= from) book(temporary, r, blocks[i], bytes[i]);
    } else {
      book(growth, r, -blocks[i], -bytes[i]);
      if (what[i] === What.freed && birth[i] >= from) book(leaked, r, -blocks[i], -bytes[i]);
    }
  }
  const [start, end] = [slices.bounds[from], slices.bounds[to]];
  return { ...data, rows: { ...rows, ...moments, allocated, temporary, growth, ...dense(rows, leaked, start, end) } };
}

/** The leaks of a range: their columns have a value for every row. @param {Data['rows']} rows @param {Pair} leaked @param {number} start @param {number} end */
function dense(rows, leaked, start, end) {
  const leakedFirst = new Float64Array(rows.count).fill(start);
  const leakedLast = new Float64Array(rows.count).fill(end);
  const leakedRule = new Uint32Array(rows.count);
  rows.leaked.row?.forEach((row, i) => {
    leakedFirst[row] = Math.min(end, Math.max(start, rows.leakedFirst[i]));
    leakedLast[row] = Math.max(start, Math.min(end, rows.leakedLast[i]));
    leakedRule[row] = rows.leakedRule[i];
  });
  return { leaked, leakedFirst, leakedLast, leakedRule };
}

/** Lifetimes are counted in classes that double: within one slice, up to 2, up to 4, … */
export const LIFETIMES = 10;

/**
 * What some rows did over the run: bytes live and, by the time of their allocation, bytes leaked at the end of each
 * slice; blocks by lifetime, and those that were never freed.
 * @param {Slices} slices @param {Iterable<number>} rows
 */
export function history(slices, rows) {
  const count = sliceCount(slices);
  const live = new Float64Array(count), leaked = new Float64Array(count);
  const lifetimes = new Float64Array(LIFETIMES);
  let allocated = 0, freed = 0;
  for (const row of rows) {
    for (let i = slices.first[row]; i < slices.first[row + 1]; i++) {
      const at = slices.slice[i], bytes = slices.bytes[i];
      if (slices.what[i] === What.temporary) continue;
      if (slices.what[i] === What.allocated) {
        live[at] += bytes;
        leaked[at] += bytes;
        allocated += slices.blocks[i];
        continue;
      }
      live[at] -= bytes;
      if (slices.what[i] !== What.freed) continue;
      leaked[slices.birth[i]] -= bytes;
      freed += slices.blocks[i];
      lifetimes[Math.min(LIFETIMES - 1, Math.ceil(Math.log2(at - slices.birth[i] + 1)))] += slices.blocks[i];
    }
  }
  for (let i = 1; i < count; i++) {
    live[i] += live[i - 1];
    leaked[i] += leaked[i - 1];
  }
  return { live, leaked, lifetimes, never: allocated - freed };
}

/** @typedef {ReturnType<typeof history>} History */
