// How the program allocates, as tables with bars: sizes, lifetimes, and the places where less could be asked for.

/** @import { Model } from '#derive' */
/** @import { Place } from '#habits' */
import { functionName } from '#columns';
import { bar, byId, element } from '#dom';
import { lifetimes, places, reallocates } from '#habits';
import { shortName } from '#names';
import { memo } from '#state';
import { bytes, count, exact, percent, span } from '#units';

/** Places named in a list. */
const NAMED = 6;

/** @param {{ show: (metric: string, node: number) => void }} actions */
export function histograms(actions) {
  const drawn = memo(draw);
  /** @type {Model | null} */
  let model = null;
  let seen = false;

  /** @param {Model} next */
  function update(next) {
    model = next;
    if (seen) refresh();
  }

  function refresh() {
    if (model) drawn(model.data, model.base, model.blame, model.state.process, model.state.thread);
  }

  // It stands at the end of the page and costs as much as all the rest: made when it comes near.
  new IntersectionObserver((entries) => {
    seen = entries[entries.length - 1].isIntersecting;
    if (seen) refresh();
  }, { rootMargin: '200px' }).observe(byId('habits'));
  addEventListener('beforeprint', refresh);

  /** @param {Model['data']} data @param {Model['base']} base @param {Uint32Array} blame @param {number} process @param {number} thread */
  function draw(data, base, blame, process, thread) {
    const filter = { process, thread };
    const all = base.summary.totals.allocations;
    byId('habits').replaceChildren(
      sizes(base),
      ...(base.slices ? [lives(data, filter)] : []),
      worst(data, 'Temporary allocations', 'temporary', places(data, filter, blame, 'temporary'), all,
        (share) => `freed with at most one other allocation in between. Reusing one buffer at each of these places would save up to ${share} of all calls.`),
      worst(data, 'Grown by realloc', 'allocations', places(data, filter, blame, 'allocations', reallocates(data)), all,
        (share) => `${share} of all calls are reallocs. Asking for the final size at once saves the copies.`));
  }

  /** @param {Model['base']} base */
  function sizes({ summary: { sizes: { from, allocations, bytes: size } } }) {
    const most = allocations.reduce((a, b) => Math.max(a, b), 0);
    const rows = from.flatMap((least, i) => (allocations[i] ? [line(
      least > 1 ? `${short(least)} – ${short((from[i + 1] ?? 2 * least) - 1)}` : short(least),
      allocations[i], most, `${exact(allocations[i])} allocations, ${bytes(size[i])}`, [count(allocations[i]), bytes(size[i])],
    )] : []));
    return part('Sizes', 'of all allocations of the capture', ['Bytes', 'Allocations', 'Sum'], rows);
  }

  /** @param {Model['data']} data @param {{ process: number, thread: number }} filter */
  function lives(data, filter) {
    const { classes, never } = lifetimes(data, filter);
    const { bounds } = /** @type {import('#wire').Slices} */ (data.slices);
    const width = bounds[1] - bounds[0];
    const last = classes.findLastIndex((value) => value > 0);
    const most = Math.max(never, ...classes);
    const rows = [...classes].slice(0, last + 1).map((value, i) => line(
      `up to ${span(Math.round(width * 2 ** i))}`, value, most, `${exact(value)} blocks`, [count(value)]));
    if (never) rows.push(line('never freed', never, most, `${exact(never)} blocks`, [count(never)], true));
    return part('Lifetimes', 'of all blocks, by slices of the run', ['Lived', 'Blocks'], rows);
  }

  /**
   * @param {Model['data']} data @param {string} title @param {string} metric @param {Place[]} found @param {number} all
   * @param {(share: string) => string} words
   */
  function worst(data, title, metric, found, all, words) {
    const sum = found.reduce((total, one) => total + one.count, 0);
    if (!sum) return part(title, 'none', [], []);
    const rows = found.slice(0, NAMED).map((one) => {
      const name = functionName(data, one.func);
      return line(element('button', { class: 'fn', type: 'button', title: name, onclick: () => actions.show(metric, one.node) },
        bar(data.functions.kind[one.func]), shortName(name, 34)),
      one.count, found[0].count, `${exact(one.count)} calls, ${bytes(one.bytes)}`, [count(one.count), percent(one.count, all)]);
    });
    return part(title, `${count(sum)}: ${words(percent(sum, all))}`, ['Function', 'Calls', 'Of all'], rows);
  }

  /** @param {string} title @param {string} words @param {string[]} head @param {Node[]} rows */
  function part(title, words, head, rows) {
    return element('section', { 'aria-label': title },
      element('h3', {}, title), element('p', { class: 'sub' }, words),
      rows.length ? element('table', {},
        element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { scope: 'col' }, text)))),
        element('tbody', {}, ...rows)) : '');
  }

  /** @param {string | Node} label @param {number} value @param {number} most @param {string} title @param {string[]} cells @param {boolean} [bad] */
  function line(label, value, most, title, cells, bad = false) {
    const row = element('tr', { title, class: bad ? 'never' : '' }, element('td', {}, label), ...cells.map((text) => element('td', {}, text)));
    row.style.setProperty('--share', `${most ? (100 * value) / most : 0}%`);
    return row;
  }

  return { update };
}

/** A size without decimals where it has none. @param {number} n */
const short = (n) => (n < 1024 ? String(n) : bytes(n + (n % 2)).replace(/\.0+(?=\u202f)/, ''));
