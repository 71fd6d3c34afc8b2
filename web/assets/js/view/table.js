// The table: what stacks have in common, sorted, filtered by the search, only the visible rows made.

/** @import { Model } from '#derive' */
/** @import { Store } from '#state' */
/** @import { TableRow } from '#tables' */
import { bar, byId, element, figure } from '#dom';
import { shown, shownParts } from '#metrics';
import { shortName } from '#names';
import { memo } from '#state';
import { TABLES, rowModule, tableById } from '#tables';
import { amountParts, exact, exactAmount, percent } from '#units';
import { plural } from '#words';

/** Rows made beyond what is visible, at each end. */
const SPARE = 8;
const PRINTED = 40;
/** Mean width of a character in a name, in pixels: shorter forms of a name are better than cut ones. */
const CHARACTER = 6.6;

/** @param {Store} store @param {{ select: (row: TableRow) => void }} actions */
export function functionTable(store, actions) {
  const scroll = byId('functions-scroll');
  const table = /** @type {HTMLTableElement} */ (byId('functions-table'));
  const body = table.tBodies[0];
  /** @type {Model | null} */
  let model = null;
  /** @type {TableRow[]} */
  let rows = [];
  let printing = false;
  const narrow = matchMedia('(max-width: 719px)');
  const rowHeight = () => (narrow.matches ? 32 : 24);

  const made = memo((/** @type {Model['data']} */ data, /** @type {Model['measure']} */ m, /** @type {string} */ tab, /** @type {number} */ process, /** @type {number} */ thread, /** @type {Uint32Array | null} */ blame) =>
    tableById(tab).rows(data, m, { process, thread }, blame));
  const sorted = memo(sort);
  const filtered = memo(filter);

  /** @param {TableRow[]} all @param {string} key @param {boolean} ascending @param {Model['data']} data @param {string} tab @param {Uint32Array} blame */
  function sort(all, key, ascending, data, tab, blame) {
    const kind = tableById(tab);
    const text = key === 'module' ? (/** @type {TableRow} */ row) => rowModule(data, kind, row, blame)
      : key === 'name' ? (/** @type {TableRow} */ row) => kind.name(data, row, blame) : null;
    const order = text
      ? (/** @type {TableRow} */ a, /** @type {TableRow} */ b) => text(b).localeCompare(text(a))
      : (/** @type {TableRow} */ a, /** @type {TableRow} */ b) =>
        key === 'total' ? b.total - a.total : key === 'beside' ? b.beside - a.beside : b.self - a.self || b.total - a.total;
    const out = [...all].sort(order);
    return ascending ? out.reverse() : out;
  }

  /** @param {TableRow[]} all @param {Model['found']} found @param {Model['data']} data @param {string} tab @param {Uint32Array} blame */
  function filter(all, found, data, tab, blame) {
    if (!found) return all;
    if (tab === 'functions') return all.filter((row) => found.functions[row.key]);
    if (tab === 'stacks') return all.filter((row) => found.nodes[row.key]);
    const kind = tableById(tab);
    return all.filter((row) => found.regex.test(kind.name(data, row, blame)));
  }

  /** @param {Model} next */
  function update(next) {
    model = next;
    const { data, state, measure, found, blame } = model;
    const kind = tableById(state.tab);
    const { metric } = measure;
    const all = sorted(made(data, measure, kind.id, state.process, state.thread, state.fold ? blame : null), state.sort, state.ascending, data, kind.id, blame);
    rows = filtered(all, found, data, kind.id, blame);
    tabs();
    head(kind.title, metric.beside);
    byId('functions-sum').textContent = `${shown(metric, measure.netSum)} ${metric.of}`;
    const foot = byId('functions-foot');
    if (found && !rows.length) {
      foot.replaceChildren(`No ${kind.one} matches ${state.find}. `, element('button', {
        class: 'link', type: 'button', onclick: () => store.set({ find: '' }),
      }, 'Clear'));
    } else {
      const some = `${exact(all.length)} ${plural(all.length, kind.one)}`;
      const matching = found ? `${exact(rows.length)} of ${some} ${rows.length === 1 ? 'matches' : 'match'}` : some;
      foot.textContent = `${matching}; ${found ? 'all rows together' : 'all rows'} add up to ${shown(metric, measure.netSum)}`;
    }
    draw();
  }

  function tabs() {
    const now = model?.state.tab;
    byId('tabs').replaceChildren(...TABLES.map(({ id, title }) => element('button', {
      type: 'button', role: 'tab', id: `tab-${id}`, 'aria-selected': id === now, 'aria-controls': 'functions-scroll', tabIndex: id === now ? 0 : -1,
      onclick: () => {
        scroll.scrollTop = 0;
        store.set({ tab: id });
      },
    }, title)));
  }

  // Arrow keys move among the tabs while one of them has the focus.
  byId('tabs').addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !model) return;
    event.preventDefault();
    const at = TABLES.findIndex(({ id }) => id === model?.state.tab);
    const next = TABLES[(at + step + TABLES.length) % TABLES.length].id;
    store.set({ tab: next });
    queueMicrotask(() => queueMicrotask(() => byId(`tab-${next}`).focus()));
  });

  /** @param {string} title @param {string} beside */
  function head(title, beside) {
    if (!model) return;
    const { state } = model;
    const named = title === 'Functions' || title === 'Stacks';
    const first = title === 'Stacks' ? 'Stack' : tableById(state.tab).one;
    const columns = [
      ['name', first[0].toUpperCase() + first.slice(1)], ...(named ? [['module', 'Module']] : []),
      ['self', 'Self'], ['total', 'Total'], ['', 'Total %'], ['beside', beside],
    ];
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
    const most = rows.reduce((max, row) => Math.max(max, Math.abs(row.self)), 0);
    const { select, sandwich, tab } = model.state;
    const chosen = tab === 'stacks' ? model.selectedLeaf : tab === 'functions' ? (sandwich >= 0 ? sandwich : select[select.length - 1]) : -1;
    table.setAttribute('aria-rowcount', String(rows.length + 1));
    body.replaceChildren(
      space(first * height),
      ...rows.slice(first, last).map((row, i) => line(row, first + i, most, room, row.key === chosen)),
      space(printing ? 0 : (rows.length - last) * height));
  }

  /** @param {number} height */
  function space(height) {
    const row = element('tr', { class: 'space', 'aria-hidden': 'true' });
    row.style.height = `${height}px`;
    return row;
  }

  /** @param {TableRow} row @param {number} position @param {number} most @param {number} room @param {boolean} chosen */
  function line(row, position, most, room, chosen) {
    const { data, measure, state, blame } = /** @type {Model} */ (model);
    const { metric } = measure;
    const kind = tableById(state.tab);
    const other = metric.value === 'bytes' ? 'blocks' : 'bytes';
    const name = kind.name(data, row, blame);
    const func = kind.func(data, row, blame);
    const self = element('td', { class: 'c-self', title: exactAmount(metric.value, row.self) }, ...figure(shownParts(metric, row.self)));
    self.style.setProperty('--share', `${most ? (100 * Math.abs(row.self)) / most : 0}%`);
    const paths = kind.id === 'modules' || kind.id === 'files';
    const module = state.tab === 'functions' || state.tab === 'stacks'
      ? [element('td', { class: 'c-module', title: func < 0 ? '' : data.strings[data.functions.module[func]] }, rowModule(data, kind, row, blame))] : [];
    return element('tr', {
      class: chosen ? 'sel' : '', 'aria-rowindex': position + 2, 'aria-current': chosen ? 'true' : undefined, onclick: () => actions.select(row),
    },
    element('td', { class: 'c-name', title: name }, func < 0 ? '' : bar(data.functions.kind[func]),
      element('button', { class: paths ? 'fn path' : 'fn', type: 'button' }, paths ? name : shortName(name, room))),
    ...module,
    self,
    element('td', { class: 'c-total', title: exactAmount(metric.value, row.total) }, ...figure(shownParts(metric, row.total))),
    element('td', { class: 'c-share' }, percent(Math.abs(row.total), measure.sum)),
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
