// What pointer, wheel and keys do to the timeline: a range is dragged, its ends are moved, time is panned and zoomed.

/** @import { Data } from '#wire' */
/** @import { Store } from '#state' */
import { say } from '#dom';
import { nearestBound, sliceCount, snapped } from '#slices';
import { moment } from '#units';

/** Shorter drags are clicks, in pixels. */
const CLICK = 4;
/** How near to an end of the range a drag moves it, in pixels. */
const REACH = 12;
/** Time is not zoomed in below this, in nanoseconds. */
const SHORTEST = 1000;
const ZOOM = 1.5;

/** @typedef {{ x: (at: number) => number, at: (x: number) => number, window: [number, number], duration: number, base: Data }} Now */

/**
 * @param {HTMLCanvasElement} canvas @param {Store} store
 * @param {{ now: () => Now | null, hover: (at: number | null) => void, drag: (range: [number, number] | null) => void }} view
 */
export function startBrush(canvas, store, view) {
  /** @type {{ x: number, fixed: number, moves: boolean } | null} */
  let press = null;

  const xOf = (/** @type {MouseEvent} */ event) => event.clientX - canvas.getBoundingClientRect().left;

  /** The end of the range under the pointer: what stays fixed while it is dragged. @param {Now} now @param {number} x */
  function fixedEnd(now, x) {
    const { range } = store.get();
    if (!range) return null;
    const [from, to] = range.map((at) => Math.abs(now.x(at) - x));
    if (Math.min(from, to) > REACH) return null;
    return from < to ? range[1] : range[0];
  }

  /** @param {Now} now @param {number} a @param {number} b @returns {[number, number] | null} */
  function bounds({ base: { slices } }, a, b) {
    if (!slices) return null;
    const { from, to } = snapped(slices, a, b);
    return [slices.bounds[from], slices.bounds[to]];
  }

  canvas.addEventListener('pointerdown', (event) => {
    const now = view.now();
    if (!now || event.button !== 0) return;
    const x = xOf(event);
    const fixed = fixedEnd(now, x);
    press = { x, fixed: fixed ?? now.at(x), moves: fixed !== null };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener('pointermove', (event) => {
    const now = view.now();
    if (!now) return;
    const x = xOf(event);
    if (press && (press.moves || Math.abs(x - press.x) >= CLICK)) {
      press.moves = true;
      const at = now.at(x);
      view.drag(now.base.slices ? [Math.min(press.fixed, at), Math.max(press.fixed, at)] : null);
    }
    canvas.style.cursor = fixedEnd(now, x) === null ? 'crosshair' : 'ew-resize';
    view.hover(now.at(x));
  });
  canvas.addEventListener('pointerup', (event) => {
    const now = view.now();
    const before = press;
    press = null;
    view.drag(null);
    if (!now || !before) return;
    const at = now.at(xOf(event));
    if (!before.moves) store.set({ cursor: at });
    else setRange(now, bounds(now, before.fixed, at));
  });
  canvas.addEventListener('pointercancel', () => {
    press = null;
    view.drag(null);
  });
  canvas.addEventListener('pointerleave', () => view.hover(null));
  canvas.addEventListener('dblclick', () => {
    const { range } = store.get();
    store.set({ window: range, cursor: null });
  });
  canvas.addEventListener('wheel', (event) => {
    const now = view.now();
    if (!now) return;
    if (event.ctrlKey) {
      event.preventDefault();
      zoom(event.deltaY < 0 ? 1 / ZOOM : ZOOM, now.at(xOf(event)));
      return;
    }
    const by = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
    // The page itself scrolls up and down; where nothing is hidden there is nothing to pan.
    if (!by || !store.get().window) return;
    event.preventDefault();
    pan(by / canvas.clientWidth);
  }, { passive: false });

  /** @param {Now} now @param {[number, number] | null} range */
  function setRange(now, range) {
    store.set({ range, cursor: null });
    if (range) say(`Range ${moment(range[0], now.duration)} to ${moment(range[1], now.duration)}`);
  }

  /** Shows more or less time; `at` stays where it is. @param {number} factor @param {number} [at] */
  function zoom(factor, at) {
    const now = view.now();
    if (!now) return;
    const [from, to] = now.window;
    const { range, cursor } = store.get();
    const centre = at ?? cursor ?? (range ? (range[0] + range[1]) / 2 : (from + to) / 2);
    const length = Math.max(SHORTEST, (to - from) * factor);
    if (length >= now.duration) {
      store.set({ window: null });
      return;
    }
    const start = Math.max(0, Math.min(now.duration - length, centre - ((centre - from) / (to - from)) * length));
    store.set({ window: [start, start + length] });
  }

  /** @param {number} share of the visible time, forwards */
  function pan(share) {
    const now = view.now();
    if (!now) return;
    const [from, to] = now.window;
    const start = Math.max(0, Math.min(now.duration - (to - from), from + share * (to - from)));
    store.set({ window: [start, start + to - from] });
  }

  /** Moves the range by a slice; without one, makes one around the cursor or the peak. @param {1 | -1} by */
  function step(by) {
    const now = view.now();
    const slices = now?.base.slices;
    if (!now || !slices) return;
    const { range, cursor } = store.get();
    if (!range) {
      const at = cursor ?? now.base.summary.totals.peak_at_ns;
      const near = Math.min(nearestBound(slices, at), sliceCount(slices) - 1);
      setRange(now, [slices.bounds[near], slices.bounds[near + 1]]);
      return;
    }
    const [from, to] = range.map((at) => nearestBound(slices, at));
    if (from + by < 0 || to + by > sliceCount(slices)) return;
    setRange(now, [slices.bounds[from + by], slices.bounds[to + by]]);
  }

  return { zoom, step };
}
