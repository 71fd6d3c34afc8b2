// Leaked stacks, worst first.

/** @import { Model } from '#main' */
/** @import { Leak } from '#leaks' */
/** @import { Store } from '#state' */
import { functionName } from '#columns';
import { bar, byId, element, figure } from '#dom';
import { shortName } from '#names';
import { bytes, bytesParts, count, exact, exactAmount, moment } from '#units';
import { leakWords } from '#words';

/** Places shown at first, and added by each press of "more". */
const STEP = 8;
const PRINTED = 40;

/** @param {Store} store @param {{ select: (leak: Leak) => void }} actions */
export function leakList(store, actions) {
  const holder = byId('leaks-list');
  /** @type {Model | null} */
  let model = null;
  let limit = STEP;

  /** @param {Model} next */
  function update(next) {
    model = next;
    draw();
  }

  function draw() {
    if (!model) return;
    const { found, running, state } = model;
    const all = found ? model.leaks.filter((leak) => found.nodes[leak.node]) : model.leaks;
    const sum = all.reduce((total, leak) => total + leak.bytes, 0);
    byId('leaks-title').textContent = running ? 'Live now' : 'Leaks';
    byId('leaks-sum').textContent = all.length
      ? `${bytes(sum)} at ${exact(all.length)} ${all.length === 1 ? 'place' : 'places'}`
      : '';
    if (!all.length) {
      const clear = element('button', { class: 'link', type: 'button', onclick: () => store.set({ find: '' }) }, 'Clear');
      const words = found && model.leaks.length
        ? [`No leaked stack matches ${state.find}. `, clear]
        : [running ? 'No block is live.' : 'Nothing leaked: every block was freed before exit.'];
      holder.replaceChildren(element('p', { class: 'sub empty' }, ...words));
      return;
    }
    const head = element('div', { class: 'lh', 'aria-hidden': 'true' },
      element('span', {}, 'bytes'), element('span', {}, 'place'), element('span', {}, 'first to last'));
    const shown = all.slice(0, limit);
    const rest = all.slice(limit);
    const more = rest.length ? element('div', { class: 'sub foot' },
      element('button', { class: 'link', type: 'button', onclick: () => { limit += 5 * STEP; draw(); } },
        `${exact(rest.length)} more ${rest.length === 1 ? 'place' : 'places'}`),
      `, ${bytes(rest.reduce((total, leak) => total + leak.bytes, 0))} in ${count(rest.reduce((total, leak) => total + leak.blocks, 0))} blocks`) : null;
    const chosen = model.selectedLeaf;
    holder.replaceChildren(head, element('ul', {}, ...shown.map((leak) => item(leak, leak.node === chosen))), more ?? '');
  }

  /** @param {Leak} leak @param {boolean} chosen */
  function item(leak, chosen) {
    const { data, blame } = /** @type {Model} */ (model);
    const run = data.summary.duration_ns || 1;
    const node = blame[leak.node];
    const func = data.nodes.function[node];
    const name = functionName(data, func);
    const life = element('i', {});
    life.style.left = `${(100 * Math.min(leak.first, run)) / run}%`;
    life.style.width = `${(100 * Math.max(0, Math.min(leak.last, run) - leak.first)) / run}%`;
    const times = `first ${moment(leak.first, run)}, last ${moment(leak.last, run)}`;
    return element('li', {},
      element('button', { class: chosen ? 'leak sel' : 'leak', type: 'button', 'aria-current': chosen ? 'true' : undefined, onclick: () => actions.select(leak) },
        element('span', { class: 'v' },
          element('span', { class: 'b', title: exactAmount('bytes', leak.bytes) }, ...figure(bytesParts(leak.bytes))),
          element('span', { class: 'c', title: exact(leak.blocks) }, `${count(leak.blocks)} ${leak.blocks === 1 ? 'block' : 'blocks'}`)),
        element('span', { class: 't' },
          element('span', { class: 'n', title: name }, bar(data.functions.kind[func]), shortName(name, 56)),
          element('span', { class: 'w' }, leakWords(data, leak, node))),
        element('span', { class: 'life', title: times, role: 'img', 'aria-label': times }, life)));
  }

  addEventListener('beforeprint', () => {
    limit = Math.max(limit, PRINTED);
    draw();
  });
  return { update };
}
