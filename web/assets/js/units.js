// Numbers as text. Pure. The one place that decides how bytes, counts, shares and times look.

/** Between a number and its unit. */
export const THIN = '\u202f';
export const MINUS = '\u2212';
const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** The exact integer: `90,333,799`. @param {number} n */
export const exact = (n) => (n < 0 ? MINUS : '') + grouped.format(Math.abs(n));

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A number of bytes and its unit: `['38.7', 'MiB']`. @param {number} n @returns {[string, string]} */
export function bytesParts(n) {
  let value = Math.abs(n), unit = 0;
  // 1023.9 rounds to 1,024, which is the next unit's 1.
  while (unit < BYTE_UNITS.length - 1 && (unit ? Math.round(value) >= 1024 : value >= 1024)) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 ? 0 : unit >= 3 ? 2 : 1;
  const text = unit === 0 || Number(value.toFixed(digits)) >= 1000 ? grouped.format(value) : value.toFixed(digits);
  return [(n < 0 ? MINUS : '') + text, BYTE_UNITS[unit]];
}

/** `38.7 MiB`. @param {number} n */
export const bytes = (n) => (n === 0 ? '0' : bytesParts(n).join(THIN));

/** Exact to 99,999, then `402 k`, `41.9 M`. @param {number} n @returns {[string, string]} */
export function countParts(n) {
  if (Math.abs(n) < 100_000) return [exact(n), ''];
  let value = Math.abs(n) / 1000, unit = 0;
  const units = ['k', 'M', 'G', 'T'];
  while (unit < units.length - 1 && Math.round(value) >= 1000) {
    value /= 1000;
    unit++;
  }
  const text = unit === 0 || Number(value.toFixed(1)) >= 1000 ? grouped.format(value) : value.toFixed(1);
  return [(n < 0 ? MINUS : '') + text, units[unit]];
}

/** @param {number} n */
export function count(n) {
  const [text, unit] = countParts(n);
  return unit ? text + THIN + unit : text;
}

/** @param {'bytes' | 'blocks'} kind @param {number} n */
export const amount = (kind, n) => (kind === 'bytes' ? bytes(n) : count(n));

/** @param {'bytes' | 'blocks'} kind @param {number} n @returns {[string, string]} */
export const amountParts = (kind, n) => (n === 0 ? ['0', ''] : kind === 'bytes' ? bytesParts(n) : countParts(n));

/** `90,333,799 B`. @param {'bytes' | 'blocks'} kind @param {number} n */
export const exactAmount = (kind, n) => (kind === 'bytes' ? `${exact(n)}${THIN}B` : exact(n));

/** A share of a whole, one decimal; 100 only when it is all. @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (!(whole > 0) || part <= 0) return `0${THIN}%`;
  if (part >= whole) return `100${THIN}%`;
  const share = (100 * part) / whole;
  if (share < 0.1) return `<0.1${THIN}%`;
  return `${Math.min(99.9, share).toFixed(1)}${THIN}%`;
}

const two = (/** @type {number} */ n) => String(n).padStart(2, '0');

/** A length of time: `26.1 s`, `340 ms`, `4 min 12.6 s`. @param {number} ns */
export function span(ns) {
  if (ns === 0) return '0';
  if (ns < 1e3) return `${ns}${THIN}ns`;
  if (ns < 999_500) return `${short(ns / 1e3)}${THIN}µs`;
  if (ns < 999_500_000) return `${short(ns / 1e6)}${THIN}ms`;
  const tenths = Math.round(ns / 1e8);
  if (tenths < 600) return `${short(ns / 1e9)}${THIN}s`;
  if (tenths < 36_000) return `${Math.floor(tenths / 600)}${THIN}min ${((tenths % 600) / 10).toFixed(1)}${THIN}s`;
  const minutes = Math.round(ns / 6e10);
  return `${grouped.format(Math.floor(minutes / 60))}${THIN}h ${minutes % 60}${THIN}min`;
}

/** Two decimals below 10, one below 100. @param {number} value */
function short(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

/** A moment since the start, `2:51.3`; in runs under 10 s, `1.24 s`. @param {number} ns @param {number} run */
export function moment(ns, run) {
  if (run < 10e9) return span(ns);
  const tenths = Math.round(ns / 1e8);
  const seconds = ((tenths % 600) / 10).toFixed(1).padStart(4, '0');
  const minutes = Math.floor(tenths / 600);
  return minutes < 60 ? `${minutes}:${seconds}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${seconds}`;
}

/** A tick on the time axis, no finer than its step. @param {number} ns @param {number} step */
export function tick(ns, step) {
  if (step >= 1e9) {
    const seconds = Math.round(ns / 1e9), minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes}:${two(seconds % 60)}`;
    return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`;
  }
  if (ns === 0) return '0';
  const [size, unit] = step >= 1e6 ? [1e6, 'ms'] : step >= 1e3 ? [1e3, 'µs'] : [1, 'ns'];
  return ns >= 1e9 ? `${Number((ns / 1e9).toFixed(3))}${THIN}s` : `${Math.round(ns / size)}${THIN}${unit}`;
}

/** Ticks in powers of two for bytes up to `max`, at most `limit` steps. @param {number} max @param {number} limit */
export function byteTicks(max, limit) {
  let step = 1;
  while (step * limit < max) step *= 2;
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

/** The step of a time axis over `run` with at most `limit` steps. @param {number} run @param {number} limit */
export function timeStep(run, limit) {
  const least = Math.max(1, run / Math.max(1, limit));
  for (let unit = 1; unit < 1e9; unit *= 10) {
    for (const factor of [1, 2, 5]) if (unit * factor >= least && unit * factor < 1e9) return unit * factor;
  }
  const seconds = SECONDS.find((step) => step * 1e9 >= least);
  return (seconds ?? 86400 * Math.ceil(least / 86400e9)) * 1e9;
}
