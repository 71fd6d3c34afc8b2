// The function table: sorted, filtered by the search, only the visible rows made.

/** @import { Model } from '#main' */
/** @import { Store } from '#state' */
/** @import { FunctionRow } from '#functions' */
import { functionName, moduleName } from '#columns';
import { bar, byId, element, figure } from '#dom';
import { shortName } from '#names';
import { memo } from '#state';
import { amount, amountParts, exact, exactAmount, percent } from '#units';

/** Rows made beyond what is visible, at each end. */
const SPARE = 8;
const PRINTED = 40;
/** Mean width of a character in a name, in pixels: shorter forms of a name are better than cut ones. */
const CHARACTER = 6.6;

/** @param {Store} store @param {{ select: (row: FunctionRow) => void }} actions */
export function functionTable(store, actions) {
  const scroll = byId('functions-scroll');
  const table = /** @type {HTMLTableElement} */ (byId('functions-table'));
  const body = table.tBodies[0];
  /** @type {Model | null} */
  let model = null;
  /** @type {FunctionRow[]} */
  let rows = [];
  let printing = false;
  const narrow = matchMedia('(max-width: 719px)');
  const rowHeight = () => (narrow.matches ? 32 : 24);

  const sorted = memo(sort);
  const filtered = memo((/** @type {FunctionRow[]} */ all, /** @type {Model['found']} */ found) =>
    (found ? all.filter((row) => found.functions[row.func]) : all));

  /** @param {Model['data']} data @param {FunctionRow[]} all @param {string} key @param {boolean} ascending */
  function sort(data, all, key, ascending) {
    const text = key === 'module' ? moduleName : key === 'name' ? functionName : null;
    const order = text
      ? (/** @type {FunctionRow} */ a, /** @type {FunctionRow} */ b) => text(data, b.func).localeCompare(text(data, a.func))
      : (/** @type {FunctionRow} */ a, /** @type {FunctionRow} */ b) =>
        key === 'total' ? b.total - a.total : key === 'beside' ? b.beside - a.beside : b.self - a.self || b.total - a.total;
    const out = [...all].sort(order);
    return ascending ? out.reverse() : out;
  }

  /** @param {Model} next */
  function update(next) {
    model = next;
    const { data, state, measure, found } = model;
    const all = sorted(data, model.rows, state.sort, state.ascending);
    rows = filtered(all, found);
    const { value, beside, of } = measure.metric;
    head(beside);
    byId('functions-sum').textContent = `${amount(value, measure.sum)} ${of}`;
    const foot = byId('functions-foot');
    if (found && !rows.length) {
      foot.replaceChildren(`No function matches ${state.find}. `, element('button', {
        class: 'link', type: 'button', onclick: () => store.set({ find: '' }),
      }, 'Clear'));
    } else {
      const matching = found ? `${exact(rows.length)} of ${exact(all.length)} functions match` : `${exact(all.length)} functions`;
      foot.textContent = `${matching}; ${found ? 'all rows together' : 'all rows'} add up to ${amount(value, measure.sum)}`;
    }
    draw();
  }

  /** @param {string} beside */
  function head(beside) {
    if (!model) return;
    const { state } = model;
    const columns = [['name', 'Function'], ['module', 'Module'], ['self', 'Self'], ['total', 'Total'], ['', 'Total %'], ['beside', beside]];
    table.tHead?.replaceChildren(element('tr', {}, ...columns.map(([key, label]) => {
      const on = key === state.sort;
      const sortable = key ? element('button', {
        type: 'button',
        onclick: () => store.set({ sort: key, ascending: on ? !state.ascending : key === 'name' || key === 'module' }),
      }, label, on ? (state.ascending ? ' ↑' : ' ↓') : '') : label;
      return element('th', {
        scope: 'col', class: [`c-${key || 'share'}`, on ? 's' : ''].join(' ').trim(),
        'aria-sort': on ? (state.ascending ? 'ascending' : 'descending') : undefined,
      }, sortable);
    })));
  }

  function draw() {
    if (!model) return;
    const height = rowHeight();
    const first = printing ? 0 : Math.max(0, Math.floor(scroll.scrollTop / height) - SPARE);
    const last = printing ? Math.min(rows.length, PRINTED)
      : Math.min(rows.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / height) + SPARE);
    const room = Math.max(16, Math.floor((table.querySelector('th')?.clientWidth ?? 0) / CHARACTER) - 3);
    const most = rows.reduce((max, row) => Math.max(max, row.self), 0);
    const chosen = model.state.select[model.state.select.length - 1];
    table.setAttribute('aria-rowcount', String(rows.length + 1));
    body.replaceChildren(
      space(first * height),
      ...rows.slice(first, last).map((row, i) => line(row, first + i, most, room, row.func === chosen)),
      space(printing ? 0 : (rows.length - last) * height));
  }

  /** @param {number} height */
  function space(height) {
    const row = element('tr', { class: 'space', 'aria-hidden': 'true' });
    row.style.height = `${height}px`;
    return row;
  }

  /** @param {FunctionRow} row @param {number} position @param {number} most @param {number} room @param {boolean} chosen */
  function line(row, position, most, room, chosen) {
    const { data, measure } = /** @type {Model} */ (model);
    const { value } = measure.metric;
    const other = value === 'bytes' ? 'blocks' : 'bytes';
    const name = functionName(data, row.func);
    const self = element('td', { class: 'c-self', title: exactAmount(value, row.self) }, ...figure(amountParts(value, row.self)));
    self.style.setProperty('--share', `${most ? (100 * row.self) / most : 0}%`);
    return element('tr', {
      class: chosen ? 'sel' : '', 'aria-rowindex': position + 2, 'aria-current': chosen ? 'true' : undefined, onclick: () => actions.select(row),
    },
    element('td', { class: 'c-name', title: name }, bar(data.functions.kind[row.func]),
      element('button', { class: 'fn', type: 'button' }, shortName(name, room))),
    element('td', { class: 'c-module', title: data.strings[data.functions.module[row.func]] }, moduleName(data, row.func)),
    self,
    element('td', { class: 'c-total', title: exactAmount(value, row.total) }, ...figure(amountParts(value, row.total))),
    element('td', { class: 'c-share' }, percent(row.total, measure.sum)),
    element('td', { class: 'c-beside', title: exactAmount(other, row.beside) }, ...figure(amountParts(other, row.beside))));
  }

  scroll.addEventListener('scroll', draw);
  new ResizeObserver(draw).observe(scroll);
  addEventListener('beforeprint', () => {
    printing = true;
    draw();
  });
  addEventListener('afterprint', () => {
    printing = false;
    draw();
  });
  return { update };
}
