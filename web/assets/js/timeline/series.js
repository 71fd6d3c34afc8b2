// The capture over time as series to draw. Pure.

/** @import { Data } from '#wire' */

/** Bands beyond these are one band, "others". */
const BANDS = 5;

/**
 * @typedef {object} Band
 * @property {number} process position, or -1 for the others
 * @property {string} name
 * @property {Float64Array} values live bytes at the end of each interval
 */

/**
 * @typedef {object} Series
 * @property {Float64Array} time end of each interval
 * @property {Band[]} bands lowest first
 * @property {Float64Array} heap sum of the bands
 * @property {Float64Array} high highest sum within the interval
 * @property {Float64Array} rate allocations per second in the interval
 * @property {{ time: Float64Array, anon: Float64Array, all: Float64Array }} rss
 * @property {{ at: number, bytes: number }} peak
 * @property {number} duration
 */

/** @param {Data} data @param {number} process position, or -1 for all @returns {Series} */
export function series(data, process) {
  const { timeline, summary, processes } = data;
  const count = timeline.time.length;
  /** @type {Band[]} */
  const all = timeline.processes
    .filter((one) => process < 0 || one.process === process)
    .map((one) => {
      const values = new Float64Array(count);
      values.set(one.live.subarray(0, Math.max(0, count - one.from)), Math.min(one.from, count));
      const { index, name } = processes[one.process];
      return { process: one.process, name: `${index} ${name}`, values };
    });
  const bands = largest(all, count);
  const heap = sum(bands, count);
  const totals = process < 0 ? summary.totals : processes[process].totals;
  // What each process held at the highest moment within an interval is not known, only their sum is.
  const high = process < 0 ? timeline.liveMax.map((bytes, i) => Math.max(bytes, heap[i])) : heap;
  if (bands.length === 1 && process < 0) bands[0].values = high;
  const rate = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const length = timeline.time[i] - (i ? timeline.time[i - 1] : 0);
    rate[i] = length > 0 ? (timeline.allocations[i] * 1e9) / length : 0;
  }
  return {
    time: timeline.time, bands, heap, high, rate,
    rss: resident(data, process),
    peak: { at: totals.peak_at_ns, bytes: totals.peak_bytes },
    duration: Math.max(1, summary.duration_ns, count ? timeline.time[count - 1] : 0),
  };
}

/** @param {Band[]} bands @param {number} count @returns {Band[]} */
function largest(bands, count) {
  if (bands.length <= BANDS) return bands;
  const top = (/** @type {Band} */ band) => band.values.reduce((a, b) => Math.max(a, b), 0);
  const ranked = [...bands].sort((a, b) => top(b) - top(a));
  const kept = ranked.slice(0, BANDS).sort((a, b) => a.process - b.process);
  const rest = ranked.slice(BANDS);
  return [...kept, { process: -1, name: `${rest.length} others`, values: sum(rest, count) }];
}

/** @param {Band[]} bands @param {number} count */
function sum(bands, count) {
  const values = new Float64Array(count);
  for (const band of bands) for (let i = 0; i < count; i++) values[i] += band.values[i];
  return values;
}

/**
 * Samples of several processes as one line: each process counts with its latest sample until it ends.
 * @param {Data} data @param {number} process
 */
function resident(data, process) {
  const { rss } = data.timeline;
  const events = [];
  for (let i = 0; i < rss.time.length; i++) {
    if (process >= 0 && rss.process[i] !== process) continue;
    events.push({ time: rss.time[i], process: rss.process[i], anon: rss.anon[i], file: rss.file[i] });
  }
  for (const [position, one] of data.processes.entries()) {
    if (one.end_ns !== null && (process < 0 || process === position)) {
      events.push({ time: one.end_ns, process: position, anon: 0, file: 0 });
    }
  }
  events.sort((a, b) => a.time - b.time);
  const last = data.processes.map(() => ({ anon: 0, file: 0 }));
  const time = [], anon = [], all = [];
  let anonSum = 0, fileSum = 0;
  for (const [i, event] of events.entries()) {
    const before = last[event.process];
    anonSum += event.anon - before.anon;
    fileSum += event.file - before.file;
    last[event.process] = event;
    if (i + 1 < events.length && events[i + 1].time === event.time) continue;
    time.push(event.time);
    anon.push(anonSum);
    all.push(anonSum + fileSum);
  }
  return { time: Float64Array.from(time), anon: Float64Array.from(anon), all: Float64Array.from(all) };
}

/** The interval that holds a moment; -1 when there is none. @param {Series} s @param {number} at */
export function intervalAt(s, at) {
  let low = 0, high = s.time.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (s.time[middle] < at) low = middle + 1;
    else high = middle;
  }
  return high < 0 ? -1 : low;
}

/** Resident memory at a moment: the last sample before it. @param {Series} s @param {number} at */
export function residentAt(s, at) {
  let low = 0, high = s.rss.time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (s.rss.time[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low ? { anon: s.rss.anon[low - 1], all: s.rss.all[low - 1] } : null;
}

/**
 * At most one interval per pixel, the one with the highest heap, so that spikes survive.
 * @param {Series} s @param {number} width @param {[number, number]} window the times at the left and the right @returns {number[]}
 */
export function visible(s, width, [from, to]) {
  const chosen = [];
  let column = -1;
  // One interval more at each end: lines come from and go to what is outside.
  const first = Math.max(0, intervalAt(s, from) - 1);
  for (let i = first; i < s.time.length && (i === first || s.time[i - 1] <= to); i++) {
    const at = Math.max(-1, Math.min(width, Math.floor(((s.time[i] - from) / (to - from)) * width)));
    if (at !== column || !chosen.length) {
      chosen.push(i);
      column = at;
    } else if (s.high[i] > s.high[chosen[chosen.length - 1]]) {
      chosen[chosen.length - 1] = i;
    }
  }
  return chosen;
}

/** Mean allocation rate in `bars` equal parts of a window of time. @param {Series} s @param {number} bars @param {[number, number]} window */
export function rateBars(s, bars, [start, end]) {
  const out = new Float64Array(bars);
  let i = Math.max(0, intervalAt(s, start));
  for (let bar = 0; bar < bars; bar++) {
    const from = start + ((end - start) * bar) / bars, to = start + ((end - start) * (bar + 1)) / bars;
    while (i > 0 && s.time[i - 1] > from) i--;
    let over = 0;
    for (; i < s.time.length; i++) {
      const start = i ? s.time[i - 1] : 0;
      if (start >= to) break;
      over += s.rate[i] * Math.max(0, Math.min(to, s.time[i]) - Math.max(from, start));
    }
    out[bar] = over / (to - from);
  }
  return out;
}
