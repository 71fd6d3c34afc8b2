// The timeline on the page: what is drawn, and a legend that reads out. What the pointer does to it is in `brush`.

/** @import { Model } from '#derive' */
/** @import { Store } from '#state' */
/** @import { Series } from '#timeline/series' */
import { byId, canvasById, element } from '#dom';
import { memo } from '#state';
import { font, onTheme, prepare, token } from '#theme';
import { startBrush } from '#timeline/brush';
import { intervalAt, rateBars, residentAt, series, visible } from '#timeline/series';
import { byteTicks, bytes, count, moment, span, tick, timeStep } from '#units';

/** Resident memory more than this many times the heap would flatten the heap: it is then off until asked for. */
const CROWDING = 5;
/** Label of the lane below. */
const RATE = 'alloc/s';
/** Narrower ranges have their ends written in the chip only, in pixels. */
const ENDS = 60;
/** The handles of a range, in pixels. */
const GRIP = { width: 8, height: 22 };

/** @param {Store} store */
export function timelineView(store) {
  const canvas = canvasById('timeline-canvas');
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  /** @type {Model | null} */
  let model = null;
  /** @type {number | null} */
  let hovered = null;
  /** @type {[number, number] | null} what is being dragged and not decided yet */
  let dragged = null;
  /** @type {boolean | null} what the reader chose; null: what fits */
  let wanted = null;
  const seriesOnce = memo(series);
  const narrow = matchMedia('(max-width: 719px)');

  /** @param {Model} next */
  function update(next) {
    model = next;
    paint();
  }

  const most = (/** @type {Float64Array} */ values) => values.reduce((a, b) => Math.max(a, b), 0);

  /** @param {Series} s */
  function withResident(s) {
    if (!s.rss.time.length) return false;
    return wanted ?? most(s.rss.all) <= CROWDING * Math.max(1, s.peak.bytes);
  }

  /** Where things are, in pixels. @param {Series} s */
  function frame(s) {
    const width = canvas.clientWidth, height = narrow.matches ? 188 : 232;
    const rateHeight = narrow.matches ? 20 : 28, axis = 20, top = 20;
    const right = width - 2;
    const bottom = height - axis - rateHeight - 8;
    const high = Math.max(1, s.peak.bytes, most(s.high), withResident(s) ? most(s.rss.all) : 0) * 1.06;
    const ticks = byteTicks(high, 4.5).map((value) => ({ value, text: value ? bytes(value).replace(/\.0+(?=\u202f)/, '') : '0' }));
    context.font = font(11);
    const left = 12 + Math.max(...[...ticks.map(({ text }) => text), RATE].map((text) => context.measureText(text).width));
    const window = model?.state.window ?? [0, s.duration];
    const [from, to] = window;
    return {
      width, height, ticks, left, right, top, bottom, rateHeight, base: height - axis, high, window,
      x: (/** @type {number} */ at) => left + ((right - left) * (at - from)) / (to - from),
      y: (/** @type {number} */ value) => bottom - ((bottom - top) * value) / high,
      at: (/** @type {number} */ x) => Math.max(from, Math.min(to, from + ((x - left) / (right - left)) * (to - from))),
    };
  }

  /** @typedef {ReturnType<typeof frame>} Frame */

  const now = () => {
    if (!model) return null;
    const s = seriesOnce(model.base, model.state.process);
    return { s, f: frame(s) };
  };

  function paint() {
    const seen = now();
    if (!model || !seen) return;
    const { s, f } = seen;
    prepare(canvas, f.width, f.height);
    context.font = font(11);
    context.textBaseline = 'middle';
    grid(context, f);
    context.save();
    context.beginPath();
    context.rect(f.left, 0, f.right - f.left, f.height);
    context.clip();
    areas(context, s, f);
    if (withResident(s)) resident(context, s, f);
    rates(context, s, f);
    const range = dragged ?? model.state.range;
    if (range) veil(context, f, range);
    context.restore();
    context.textAlign = 'right';
    context.fillStyle = token('ink3');
    context.fillText(RATE, f.left - 8, f.base - f.rateHeight / 2);
    peak(context, s, f);
    if (range) ends(context, s, f, range);
    const at = hovered ?? model.state.cursor;
    if (at !== null) cursor(context, f, at);
    legend(s, at);
    chip(s, range);
    const words = `Heap over ${moment(s.duration, s.duration)}; peak ${bytes(s.peak.bytes)} at ${moment(s.peak.at, s.duration)}`;
    canvas.setAttribute('aria-label', words);
  }

  /** @param {CanvasRenderingContext2D} c @param {Frame} f */
  function grid(c, f) {
    c.strokeStyle = token('line');
    c.fillStyle = token('ink3');
    c.lineWidth = 1;
    c.textAlign = 'right';
    for (const { value, text } of f.ticks) {
      const y = Math.round(f.y(value)) + 0.5;
      rule(c, f.left, y, f.right, y);
      c.fillText(text, f.left - 8, y);
    }
    rule(c, f.left, f.base + 0.5, f.right, f.base + 0.5);
    c.textAlign = 'center';
    const [from, to] = f.window;
    const step = timeStep(to - from, (f.right - f.left) / 90);
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const text = tick(at, step);
      const half = c.measureText(text).width / 2;
      c.fillText(text, Math.min(f.right - half, Math.max(f.left + half, f.x(at))), f.base + 12);
    }
  }

  /** @param {CanvasRenderingContext2D} c @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
  function rule(c, x0, y0, x1, y1) {
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  }

  /** @param {CanvasRenderingContext2D} c @param {Series} s @param {Frame} f */
  function areas(c, s, f) {
    const chosen = visible(s, Math.floor(f.right - f.left), f.window);
    if (!chosen.length) return;
    const base = new Float64Array(chosen.length);
    const xs = chosen.map((i) => f.x(s.time[i]));
    const start = chosen[0] ? xs[0] : f.x(0);
    /** @param {(k: number) => number} value */
    const line = (value) => {
      c.moveTo(start, chosen[0] ? f.y(value(0)) : f.y(0));
      chosen.forEach((_, k) => c.lineTo(xs[k], f.y(value(k))));
    };
    const close = () => c.lineTo(start, f.y(0));
    // Between the sum at the end of an interval and the highest within it: whose it was is not known.
    if (s.bands.length > 1) {
      c.beginPath();
      line((k) => s.high[chosen[k]]);
      for (let k = chosen.length - 1; k >= 0; k--) c.lineTo(xs[k], f.y(0));
      close();
      c.fillStyle = token('line2');
      c.fill();
    }
    s.bands.forEach((band, b) => {
      c.beginPath();
      line((k) => base[k] + band.values[chosen[k]]);
      for (let k = chosen.length - 1; k >= 0; k--) c.lineTo(xs[k], f.y(base[k]));
      c.lineTo(start, f.y(base[0]));
      c.closePath();
      c.fillStyle = token(bandToken(b, s.bands.length));
      c.fill();
      for (let k = 0; k < base.length; k++) base[k] += band.values[chosen[k]];
      const top = b === s.bands.length - 1;
      c.beginPath();
      line((k) => base[k]);
      c.strokeStyle = top ? token('p1') : token('sunken');
      c.lineWidth = 1;
      c.stroke();
    });
  }

  /** @param {CanvasRenderingContext2D} c @param {Series} s @param {Frame} f */
  function resident(c, s, f) {
    const { time, anon, all } = s.rss;
    c.lineJoin = 'round';
    c.lineWidth = 1.25;
    for (const [values, colour, dash] of /** @type {[Float64Array, string, number[]][]} */ ([
      [anon, 'ink', []], [all, 'ink2', [1.5, 3]],
    ])) {
      c.beginPath();
      let last = -Infinity;
      for (let i = 0; i < time.length; i++) {
        const x = f.x(Math.min(time[i], s.duration));
        if (x - last < 1 && i + 1 < time.length) continue;
        last = x;
        c.lineTo(x, f.y(values[i]));
      }
      c.strokeStyle = token(colour);
      c.setLineDash(dash);
      c.stroke();
    }
    c.setLineDash([]);
  }

  /** @param {CanvasRenderingContext2D} c @param {Series} s @param {Frame} f */
  function rates(c, s, f) {
    const bars = rateBars(s, Math.max(1, Math.floor((f.right - f.left) / 3)), f.window);
    const top = most(bars);
    c.fillStyle = token('ink3');
    bars.forEach((rate, i) => {
      const height = top ? (rate / top) * (f.rateHeight - 2) : 0;
      if (rate) c.fillRect(f.left + i * 3, f.base - Math.max(1, height), 2, Math.max(1, height));
    });
  }

  /** @param {CanvasRenderingContext2D} c @param {Series} s @param {Frame} f */
  function peak(c, s, f) {
    if (!s.peak.bytes || s.peak.at < f.window[0] || s.peak.at > f.window[1]) return;
    const x = Math.round(f.x(s.peak.at)) + 0.5, y = f.y(s.peak.bytes);
    c.strokeStyle = token('ink');
    c.lineWidth = 1;
    rule(c, x, 13, x, y);
    c.fillStyle = token('sunken');
    c.lineWidth = 1.5;
    c.beginPath();
    c.arc(x, y, 3.5, 0, 7);
    c.fill();
    c.stroke();
    c.font = font(11, '500');
    c.fillStyle = token('ink');
    c.textAlign = 'center';
    const text = `peak ${bytes(s.peak.bytes)}`;
    const half = c.measureText(text).width / 2;
    c.fillText(text, Math.min(f.right - half, Math.max(f.left + half, x)), 7);
    c.font = font(11);
  }

  /** What is outside the range steps back. @param {CanvasRenderingContext2D} c @param {Frame} f @param {[number, number]} range */
  function veil(c, f, [from, to]) {
    c.globalAlpha = 0.6;
    c.fillStyle = token('sunken');
    c.fillRect(f.left, 0, f.x(from) - f.left, f.base);
    c.fillRect(f.x(to), 0, f.right - f.x(to), f.base);
    c.globalAlpha = 1;
  }

  /** @param {CanvasRenderingContext2D} c @param {Series} s @param {Frame} f @param {[number, number]} range */
  function ends(c, s, f, [from, to]) {
    c.fillStyle = c.strokeStyle = token('accent');
    const middle = (f.top + f.bottom) / 2;
    const wide = f.x(to) - f.x(from) >= ENDS;
    for (const [time, side] of /** @type {[number, number][]} */ ([[from, -1], [to, 1]])) {
      if (time < f.window[0] || time > f.window[1]) continue;
      const x = f.x(time);
      c.lineWidth = 1.5;
      rule(c, x, f.top - 6, x, f.base);
      c.beginPath();
      c.roundRect(x - GRIP.width / 2, middle - GRIP.height / 2, GRIP.width, GRIP.height, 2);
      c.fill();
      const text = moment(time, s.duration);
      const room = side < 0 ? x - f.left : f.right - x;
      if (!wide || c.measureText(text).width + 8 > room) continue;
      c.textAlign = side < 0 ? 'right' : 'left';
      c.fillText(text, x + side * 6, f.top - 2);
    }
  }

  /** @param {CanvasRenderingContext2D} c @param {Frame} f @param {number} at */
  function cursor(c, f, at) {
    if (at < f.window[0] || at > f.window[1]) return;
    const x = Math.round(f.x(at)) + 0.5;
    c.strokeStyle = token('accent');
    c.lineWidth = 1;
    rule(c, x, f.top - 4, x, f.base);
  }

  /** The range and the visible part of the run, each with its way out. @param {Series} s @param {[number, number] | null} range */
  function chip(s, range) {
    const parts = [];
    const window = model?.state.window;
    if (window) {
      parts.push(element('button', { class: 'tag', type: 'button', onclick: () => store.set({ window: null }) },
        `shows ${moment(window[0], s.duration)} – ${moment(window[1], s.duration)}`, element('span', { 'aria-hidden': 'true' }, ' ×')));
    }
    if (range) {
      parts.push(element('button', {
        class: 'tag', type: 'button', 'aria-label': 'Leave the range', onclick: () => store.set({ range: null }),
      }, `${moment(range[0], s.duration)} – ${moment(range[1], s.duration)} · ${span(Math.round(range[1] - range[0]))}`, element('span', { 'aria-hidden': 'true' }, ' ×')));
    }
    byId('range').replaceChildren(...parts);
  }

  /** The legend shows values at the pointer, at the cursor, or at the peak. @param {Series} s @param {number | null} at */
  function legend(s, at) {
    if (!model) return;
    const moment_ = at ?? s.peak.at;
    const i = intervalAt(s, moment_);
    const atPeak = at === null;
    const rss = residentAt(s, moment_);
    const parts = [element('span', { class: 'u' }, `${atPeak ? 'at peak, ' : 'at '}${moment(moment_, s.duration)}`)];
    const held = new Map(model.held.map((one) => [one.process, one.bytes]));
    [...s.bands.entries()].reverse().forEach(([b, band]) => {
      // At the peak it is known exactly who held what; elsewhere at the end of each interval.
      const exact = atPeak && band.process >= 0 && model?.state.process === -1 ? held.get(band.process) ?? 0 : undefined;
      const value = exact ?? (atPeak && s.bands.length === 1 ? s.peak.bytes : band.values[i] ?? 0);
      const swatch = element('i', { class: 'sw' });
      swatch.style.background = `var(--${bandToken(b, s.bands.length)})`;
      parts.push(element('span', {}, swatch, band.name, ' ', element('b', {}, bytes(value))));
    });
    if (s.bands.length > 1) {
      parts.push(element('span', {}, 'heap ', element('b', {}, bytes(atPeak ? s.peak.bytes : s.high[i] ?? 0))));
    }
    if (s.rss.time.length) {
      const on = withResident(s);
      parts.push(element('button', {
        type: 'button', class: 'key', 'aria-pressed': on, title: on ? 'Hide resident memory' : 'Show resident memory',
        onclick: () => { wanted = !on; paint(); },
      }, element('i', { class: 'sw line' }), 'RSS anon ', element('b', {}, rss ? bytes(rss.anon) : '–'),
      element('i', { class: 'sw dash' }), 'with file ', element('b', {}, rss ? bytes(rss.all) : '–')));
    }
    if (!atPeak && i >= 0) parts.push(element('span', {}, 'alloc/s ', element('b', {}, count(Math.round(s.rate[i])))));
    byId('legend').replaceChildren(...parts);
  }

  const brush = startBrush(canvas, store, {
    now: () => {
      const seen = now();
      return model && seen ? { ...seen.f, duration: seen.s.duration, base: model.base } : null;
    },
    hover: (at) => {
      hovered = at;
      paint();
    },
    drag: (range) => {
      dragged = range;
      paint();
    },
  });
  new ResizeObserver(paint).observe(canvas);
  onTheme(paint);
  return { update, ...brush };
}

/** The ramp is spread over the bands that there are, dark at the bottom. @param {number} band @param {number} bands */
function bandToken(band, bands) {
  const ramp = 6;
  if (bands === 1) return 'p5';
  return `p${1 + Math.round((band * (Math.min(ramp, bands + 2) - 1)) / (bands - 1))}`;
}
