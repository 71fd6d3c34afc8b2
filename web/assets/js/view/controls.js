// The bar, the tools above the flamegraph, and what they say.

/** @import { Data } from '#wire' */
/** @import { Model } from '#derive' */
/** @import { State, Store } from '#state' */
import { byId, element, say } from '#dom';
import { METRICS } from '#metrics';
import { exact, moment } from '#units';
import { findBox } from '#view/find';
import { KINDS } from '#view/tip';

/** Switches of the menu: state, words, key. @type {readonly ['flipped' | 'byName' | 'recursion' | 'byModule' | 'interpreter', string, string][]} */
const SWITCHES = [
  ['flipped', 'Roots at the bottom', 'v'], ['byName', 'Siblings by name', 'l'], ['recursion', 'Fold recursion', 'r'],
  ['byModule', 'Colour by module', 'k'], ['interpreter', 'Interpreter frames', 'y'],
];

/** The metrics that this capture has. @param {Data} data */
export const offered = (data) => METRICS.filter((metric) => metric.id !== 'growth' || data.slices);

/** What a metric is called now. @param {Model} model @param {string} id */
export function metricWords({ base, state, moment: at, running }, id) {
  const run = base.summary.duration_ns;
  if (id === 'peak') {
    const totals = state.process < 0 ? base.summary.totals : base.processes[state.process].totals;
    return at < 0 ? `Live at peak ${moment(totals.peak_at_ns, run)}` : `Live at ${moment(at, run)}`;
  }
  if (id === 'leaked') return state.range ? 'Left over' : running ? 'Live now' : 'Leaked';
  return { growth: 'Growth', allocated: 'Allocated', allocations: 'Allocations', temporary: 'Temporary' }[id] ?? id;
}

/** @param {Store} store @param {{ match: (step: 1 | -1) => void, matches: () => { count: number, at: number }, setMetric: (id: string) => void }} actions */
export function controls(store, actions) {
  const find = findBox(store, actions);

  /** @param {Model} model */
  function update(model) {
    const { base, state } = model;
    byId('metrics').replaceChildren(...offered(base).map((metric) => element('button', {
      type: 'button', 'aria-pressed': metric.id === state.metric, onclick: () => actions.setMetric(metric.id),
      disabled: metric.id === 'growth' && !state.range,
      title: metric.id === 'growth' && !state.range ? 'Drag over the timeline: what a range added and took away' : '',
    }, metricWords(model, metric.id))));
    byId('inverted').setAttribute('aria-pressed', String(state.inverted));
    /** @type {HTMLInputElement} */ (byId('fold')).checked = state.fold;
    scopes(base, state);
    menu(base, state);
    kinds(model);
    find.update(model);
  }

  /** @param {Data} base @param {State} state */
  function scopes({ processes, threads }, state) {
    options('process', `All ${exact(processes.length)} processes`, state.process,
      processes.map((one, i) => [i, `${one.index} ${one.name} ${one.pid}`]));
    const mine = [...threads.tid.keys()].filter((i) => state.process < 0 || threads.process[i] === state.process);
    options('thread', `All ${exact(mine.length)} threads`, state.thread,
      mine.map((i) => [i, `${threads.index[i]} ${threads.name[i] || 'thread'} ${threads.tid[i]}`]));
  }

  /** @param {Data} base @param {State} state */
  function menu({ functions }, state) {
    const shown = SWITCHES.filter(([key]) => key !== 'interpreter' || functions.interpreter.includes(1));
    byId('view-menu').replaceChildren(...shown.map(([key, words, letter]) => element('button', {
      type: 'button', 'aria-pressed': state[key], onclick: () => store.set({ [key]: !state[key], zoom: key === 'recursion' ? [] : state.zoom }),
    }, element('span', {}, words), element('kbd', {}, letter))));
  }

  /** The colours' meaning. @param {Model} model */
  function kinds({ base, state, modules }) {
    const key = (/** @type {string} */ colour, /** @type {string} */ text) => element('span', {}, element('i', { class: `sw ${colour}` }), text);
    const parts = state.metric === 'growth' ? [key('d0', 'less'), key('d3', 'same'), key('d6', 'more')]
      : state.byModule ? [...modules.largest.map((name, i) => key(`m${i}`, base.strings[name].split('/').pop() ?? '')), key('m6', 'others')]
        : [0, 1, 2, 3, 4].filter((kind) => kind !== 2 || base.functions.kind.includes(2)).map((kind) => key(`k${kind}`, KINDS[kind]));
    byId('kinds').replaceChildren(...parts);
  }

  byId('process').addEventListener('change', (event) => store.set({
    process: Number(/** @type {HTMLSelectElement} */ (event.target).value), thread: -1, zoom: [], select: [],
  }));
  byId('thread').addEventListener('change', (event) => store.set({
    thread: Number(/** @type {HTMLSelectElement} */ (event.target).value), zoom: [],
  }));
  byId('fold').addEventListener('change', (event) => store.set({ fold: /** @type {HTMLInputElement} */ (event.target).checked }));
  // A menu closes when something else is pressed, or with Escape.
  const menus = [...document.querySelectorAll('details.menu')].map((one) => /** @type {HTMLDetailsElement} */ (one));
  document.addEventListener('click', (event) => {
    for (const one of menus) if (one.open && !one.contains(/** @type {Node} */ (event.target))) one.open = false;
  });
  for (const one of menus) {
    one.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !one.open) return;
      event.preventDefault();
      one.open = false;
      one.querySelector('summary')?.focus();
    });
  }

  /** @param {typeof SWITCHES[number][0]} key */
  function toggle(key) {
    const on = !store.get()[key];
    store.set({ [key]: on, ...(key === 'recursion' || key === 'interpreter' ? { zoom: [] } : {}) });
    say(`${SWITCHES.find(([one]) => one === key)?.[1]}: ${on ? 'on' : 'off'}`);
  }

  return { update, focusFind: find.focus, toggle };
}

/** @param {string} id @param {string} all @param {number} chosen @param {[number, string][]} choices */
function options(id, all, chosen, choices) {
  const select = /** @type {HTMLSelectElement} */ (byId(id));
  select.hidden = choices.length < 2 && chosen < 0;
  const key = choices.map(([, text]) => text).join('\n');
  if (select.dataset.choices !== key) {
    select.dataset.choices = key;
    select.replaceChildren(element('option', { value: '-1' }, all), ...choices.map(([value, text]) => element('option', { value: String(value) }, text)));
  }
  select.value = String(chosen);
}
