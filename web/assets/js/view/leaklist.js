// Leaked stacks, worst first: how much, where, since when, and whether their like are freed at all.

/** @import { Model } from '#derive' */
/** @import { Leak } from '#leaks' */
/** @import { Store } from '#state' */
/** @import { History } from '#slices' */
import { functionName } from '#columns';
import { bar, byId, element, figure } from '#dom';
import { shortName } from '#names';
import { history } from '#slices';
import { memo } from '#state';
import { columns, curve } from '#spark';
import { bytes, bytesParts, count, exact, exactAmount, moment } from '#units';
import { arenaWords, leakWords, lifetimeWords, plural } from '#words';

/** Places shown at first, and added by each press of "more". */
const STEP = 8;
const PRINTED = 40;

/** @param {Store} store @param {{ select: (leak: Leak) => void }} actions */
export function leakList(store, actions) {
  const holder = byId('leaks-list');
  /** @type {Model | null} */
  let model = null;
  let limit = STEP;
  /** What is drawn, by the leak's node. @type {Map<number, HTMLElement>} */
  const buttons = new Map();

  /** @param {Model} next */
  function update(next) {
    model = next;
    const { data, leaks, found, running, state } = model;
    drawn(data, leaks, found, running, state.range, state.find);
    mark();
  }

  /** Shows which leak is the selected one. */
  function mark() {
    for (const [node, button] of buttons) {
      const chosen = node === model?.selectedLeaf;
      button.classList.toggle('sel', chosen);
      if (chosen) button.setAttribute('aria-current', 'true');
      else button.removeAttribute('aria-current');
    }
  }

  /** @type {(...shown: unknown[]) => void} */
  const drawn = memo(draw);

  function draw() {
    buttons.clear();
    if (!model) return;
    const { found, running, state } = model;
    const matching = found ? model.leaks.filter((leak) => found.nodes[leak.node]) : model.leaks;
    const all = matching.filter((leak) => !leak.rule);
    byId('leaks-title').textContent = state.range ? 'Left over' : running ? 'Live now' : 'Leaks';
    const where = `${bytes(sum(all))} at ${exact(all.length)} ${plural(all.length, 'place')}${state.range ? ', allocated in the range and live at its end' : ''}`;
    byId('leaks-sum').textContent = all.length ? where : '';
    const apart = suppressed(matching.filter((leak) => leak.rule));
    if (!all.length) {
      const clear = element('button', { class: 'link', type: 'button', onclick: () => store.set({ find: '' }) }, 'Clear');
      const words = found && model.leaks.length
        ? [`No leaked stack matches ${state.find}. `, clear]
        : [state.range ? 'Nothing that the range allocated was left over.' : running ? 'No block is live.' : 'Nothing leaked: every block was freed before exit.'];
      holder.replaceChildren(element('p', { class: 'sub empty' }, ...words), ...apart);
      return;
    }
    const sliced = model.base.slices ? ['leaked over the run', 'lifetimes'] : ['first to last'];
    const head = element('div', { class: model.base.slices ? 'lh wide' : 'lh', 'aria-hidden': 'true' },
      ...['bytes', 'place', ...sliced].map((text) => element('span', {}, text)));
    const shown = all.slice(0, limit);
    const rest = all.slice(limit);
    const more = rest.length ? element('div', { class: 'sub foot' },
      element('button', { class: 'link', type: 'button', onclick: () => { limit += 5 * STEP; draw(); mark(); } },
        `${exact(rest.length)} more ${plural(rest.length, 'place')}`),
      `, ${bytes(sum(rest))} in ${count(blocks(rest))} blocks`) : null;
    const arenas = arenaWords(model.data, all);
    const notes = arenas ? [element('p', { class: 'sub foot' }, arenas)] : [];
    const legend = model.base.slices ? [element('div', { class: 'sub foot' }, lifetimeLegend(model))] : [];
    holder.replaceChildren(head, element('ul', {}, ...shown.map(item)), more ?? '', ...notes, ...legend, ...apart);
  }

  /** Known one-time blocks, by the rule that sets them apart. @param {Leak[]} leaks */
  function suppressed(leaks) {
    if (!model || !leaks.length) return [];
    const { strings } = model.data;
    /** @type {Map<number, Leak[]>} */
    const rules = new Map();
    for (const leak of leaks) rules.set(leak.rule, [...(rules.get(leak.rule) ?? []), leak]);
    const rows = [...rules].sort((a, b) => sum(b[1]) - sum(a[1])).flatMap(([rule, some]) => [
      element('dt', {}, strings[rule]), element('dd', {}, `${bytes(sum(some))} in ${count(blocks(some))} ${plural(blocks(some), 'block')}`),
    ]);
    return [element('details', { class: 'sub suppressed' },
      element('summary', {}, `${exact(blocks(leaks))} suppressed, ${bytes(sum(leaks))}: listed in a suppression file, or taken once and kept by a library`),
      element('dl', {}, ...rows))];
  }

  /** @param {Model} now */
  function lifetimeLegend({ base }) {
    const bounds = /** @type {import('#wire').Slices} */ (base.slices).bounds;
    const run = base.summary.duration_ns;
    return `Lifetimes of all blocks from the place: ${moment(bounds[1] - bounds[0], run)} or less, then doubling; red was never freed.`;
  }

  /** @param {Leak} leak */
  function item(leak) {
    const { data, base, blame, state } = /** @type {Model} */ (model);
    const run = base.summary.duration_ns || 1;
    const node = blame[leak.node];
    const func = data.nodes.function[node];
    const name = functionName(data, func);
    const past = base.slices ? history(base.slices, leak.rows) : null;
    const pictures = past ? grown(past, state.range) : [span(leak, run)];
    const button = element('button', { class: past ? 'leak wide' : 'leak', type: 'button', onclick: () => actions.select(leak) },
      element('span', { class: 'v' },
        element('span', { class: 'b', title: exactAmount('bytes', leak.bytes) }, ...figure(bytesParts(leak.bytes))),
        element('span', { class: 'c', title: exact(leak.blocks) }, `${count(leak.blocks)} ${plural(leak.blocks, 'block')}`)),
      element('span', { class: 't' },
        element('span', { class: 'n', title: name }, bar(data.functions.kind[func]), shortName(name, 56)),
        element('span', { class: 'w' }, leakWords(base, data, leak, node, past))),
      ...pictures);
    buttons.set(leak.node, button);
    return element('li', {}, button);
  }

  /** @param {History} past @param {[number, number] | null} range */
  function grown(past, range) {
    const slices = /** @type {import('#wire').Slices} */ (/** @type {Model} */ (model).base.slices);
    const at = (/** @type {number} */ time) => slices.bounds.findIndex((bound) => bound >= time);
    const part = range ? { from: at(range[0]), to: at(range[1]) } : {};
    return [
      curve(112, 34, 'Leaked bytes by the time of their allocation', { values: past.leaked, colour: 'bad', ...part }),
      columns(92, 34, lifetimeWords(past), [...past.lifetimes, past.never].map((value) => Math.sqrt(value)), 1),
    ];
  }

  /** @param {Leak} leak @param {number} run */
  function span(leak, run) {
    const life = element('i', {});
    life.style.left = `${(100 * Math.min(leak.first, run)) / run}%`;
    life.style.width = `${(100 * Math.max(0, Math.min(leak.last, run) - leak.first)) / run}%`;
    const times = `first ${moment(leak.first, run)}, last ${moment(leak.last, run)}`;
    return element('span', { class: 'life', title: times, role: 'img', 'aria-label': times }, life);
  }

  addEventListener('beforeprint', () => {
    limit = Math.max(limit, PRINTED);
    draw();
  });
  return { update };
}

/** @param {Leak[]} leaks */
const sum = (leaks) => leaks.reduce((total, leak) => total + leak.bytes, 0);
/** @param {Leak[]} leaks */
const blocks = (leaks) => leaks.reduce((total, leak) => total + leak.blocks, 0);
