// What the page shows now: one object, changed in one place. Knows no element.

/**
 * @typedef {object} State
 * @property {number} capture position among those that are served
 * @property {string} metric
 * @property {number} process position, -1 for all
 * @property {number} thread position, -1 for all
 * @property {boolean} inverted
 * @property {number[]} zoom functions on the way to what is zoomed to
 * @property {number[]} select functions on the way to the selected box
 * @property {string} find
 * @property {boolean} fold allocators and standard libraries count for their caller
 * @property {string} sort column of the function table
 * @property {boolean} ascending
 * @property {number | null} cursor a moment on the timeline, nanoseconds
 * @property {[number, number] | null} range nanoseconds; the bounds of slices
 * @property {[number, number] | null} window what the timeline shows, nanoseconds; null: all
 * @property {number[]} focus functions: only stacks through all of them
 * @property {number[]} exclude functions: no stack through any of them
 * @property {number[]} modules strings that name modules whose frames count for their callers
 * @property {boolean} recursion a function that calls itself is one frame
 * @property {boolean} interpreter the interpreter's own frames are seen, too
 * @property {number} sandwich the function whose callers and callees are shown, or -1
 * @property {boolean} flipped roots at the bottom
 * @property {boolean} byName siblings by name instead of by size
 * @property {boolean} byModule modules have colours instead of kinds
 * @property {string} tab what the table lists
 */

/** @type {Readonly<State>} */
export const INITIAL = Object.freeze({
  capture: 0,
  metric: 'peak', process: -1, thread: -1, inverted: false, zoom: [], select: [], find: '', fold: true,
  sort: 'self', ascending: false, cursor: null, range: null, window: null, focus: [], exclude: [], modules: [],
  recursion: false, interpreter: false, sandwich: -1, flipped: false, byName: false, byModule: false, tab: 'functions',
});

/**
 * A store: reads are plain, writes tell everyone once per turn of the event loop.
 * @param {State} state
 */
export function store(state) {
  /** @type {Set<() => void>} */
  const listeners = new Set();
  let told = true;
  return {
    get: () => state,
    /** @param {Partial<State>} change */
    set(change) {
      state = { ...state, ...change };
      if (!told) return;
      told = false;
      queueMicrotask(() => {
        told = true;
        for (const listener of listeners) listener();
      });
    },
    /** @param {() => void} listener */
    subscribe: (listener) => void listeners.add(listener),
  };
}

/** @typedef {ReturnType<typeof store>} Store */

/**
 * A function that runs again only when its arguments change, the first `free` of them apart.
 * @template {unknown[]} A
 * @template R
 * @param {(...args: A) => R} compute @param {number} [free] @returns {(...args: A) => R}
 */
export function memo(compute, free = 0) {
  /** @type {A | undefined} */
  let last;
  /** @type {R} */
  let result;
  return (...args) => {
    if (!last || args.some((arg, i) => i >= free && arg !== last?.[i])) {
      result = compute(...args);
      last = args;
    }
    return result;
  };
}
