// What the page of a difference says beside its flamegraph: the answers, the selected frame, the functions that changed.

/** @import { Scene } from '#derive' */
/** @import { Difference } from '#diff/columns' */
/** @import { Box } from '#flame/layout' */
/** @import { FunctionRow } from '#functions' */
/** @import { DiffSide } from '#wire' */
import { functionName, moduleName, stackOf } from '#columns';
import { grown } from '#diff/columns';
import { bar, byId, element, figure } from '#dom';
import { heaviestLeaf } from '#flame/layout';
import { shown, shownParts } from '#metrics';
import { shortName } from '#names';
import { MINUS, THIN, amount, amountParts, exact, exactAmount, span } from '#units';
import { about, breakable, row } from '#view/tip';
import { commandLine, plural } from '#words';

/** Functions that are listed. */
const MOST_ROWS = 200;

/** Class of the colour of a good or a bad change. @param {number} change */
const colour = (change) => (change > 0 ? 'bad' : change < 0 ? 'good' : '');

/** By how much something became more, relative to what it was. @param {number} before @param {number} change */
function relative(before, change) {
  if (!change) return 'no change';
  if (!before) return 'new';
  if (!(before + change)) return 'gone';
  return `${change > 0 ? '+' : MINUS}${((100 * Math.abs(change)) / before).toFixed(1)}${THIN}%`;
}

/** Before, after, change; and the change that is its own. @param {Scene} scene @param {Box} box */
function numbers({ measure: { metric } }, box) {
  const { value } = metric;
  /** @param {string} term @param {number} n */
  const side = (term, n) => row(term, ...figure(amountParts(value, n)), ' ', element('span', { class: 'u' }, exactAmount(value, n)));
  return element('dl', {},
    ...side('Before', box.beside), ...side('After', box.beside + box.net),
    ...row('Change', element('b', { class: colour(box.net) }, ...figure(shownParts(metric, box.net))), ' ', element('span', { class: 'u' }, `${exactAmount(value, box.net)}, ${relative(box.beside, box.net)}`)),
    ...row('Of its own', ...figure(shownParts(metric, box.self))));
}

/** The tooltip. @param {Scene} scene @param {Box} box */
export const diffTip = (scene, box) => [
  element('div', { class: 'n' }, ...breakable(functionName(scene.data, box.func))),
  element('div', { class: 'u' }, about(scene.data, box.func)),
  numbers(scene, box),
];

/** @param {DiffSide} side */
const mean = ({ totals }) => Math.round(totals.reduce((sum, one) => sum + one, 0) / Math.max(1, totals.length));

/** @param {Difference} difference */
export function showAnswers(difference) {
  const { before, after, metric, value, renamed, noise, redacted } = difference;
  const [was, is] = [mean(before), mean(after)];
  /** @param {string} label @param {DiffSide} side @param {number} n */
  const answer = (label, side, n) => element('div', {},
    element('div', { class: 'l' }, `${label}: ${metric}`),
    element('div', { class: 'f', title: exactAmount(value, n) }, ...figure(amountParts(value, n))),
    element('p', {}, side.names.length > 1 ? `mean of ${exact(side.names.length)} captures: ` : '', side.names.join(', '), `; ran ${side.duration_ns.map(span).join(', ')}`));
  const words = relative(was, is - was);
  const sign = is > was ? '+' : '';
  byId('answers').replaceChildren(answer('Before', before, was), answer('After', after, is), element('div', {},
    element('div', { class: 'l' }, 'Change'),
    element('div', { class: `f ${colour(is - was)}`, title: exactAmount(value, is - was) }, sign, ...figure(amountParts(value, is - was)), ' ', element('small', {}, words)),
    element('p', {}, 'Stacks are matched by the names of their functions, so that two builds can be compared.')));
  const notes = renamed.map(([old, now]) => `renamed: ${shortName(old, 60)} → ${shortName(now, 60)}`);
  if (noise) notes.push(`${exact(noise)} ${plural(noise, 'stack')} changed no more than captures of one side differ among themselves`);
  byId('trust').replaceChildren(...notes.map((text) => element('span', {}, text)));
  const title = `${sign}${amount(value, is - was)} ${metric}`;
  document.title = `${title} · memtrack diff`;
  byId('file').textContent = [...before.names, '→', ...after.names].join(' ');
  byId('command').textContent = commandLine(after.command);
  const old = commandLine(before.command);
  const facts = old === commandLine(after.command) ? [] : [`before: ${old}`];
  if (redacted) facts.push('redacted');
  byId('facts').textContent = facts.join(' · ');
}

/** The colours' meaning. */
export function showColours() {
  byId('kinds').replaceChildren(...[['d0', 'less'], ['d3', 'same'], ['d6', 'more']].map(([name, text]) =>
    element('span', {}, element('i', { class: `sw ${name}` }), text)));
}

/** The selected frame, and the widest stack through it. @param {Scene} scene @param {Box | null} box */
export function showSelected(scene, box) {
  const { data, measure } = scene;
  if (!box || !box.items.length) {
    byId('inspector').replaceChildren(element('p', { class: 'sub' }, 'Select a frame to see its numbers and its stack.'));
    return;
  }
  const stack = stackOf(data, heaviestLeaf(data, measure, box)).slice(0, MOST_ROWS);
  byId('inspector').replaceChildren(
    element('div', {},
      element('h3', {}, ...breakable(functionName(data, box.func))),
      element('div', { class: 'u' }, about(data, box.func)),
      element('div', { class: `big ${colour(box.net)}` }, ...figure(shownParts(measure.metric, box.net)), element('span', { class: 'u small' }, ` ${relative(box.beside, box.net)}`)),
      numbers(scene, box)),
    element('div', { class: 'st' },
      element('div', { class: 'sub' }, 'Widest stack through it, innermost first'),
      element('ol', {}, ...stack.map((node) => {
        const func = data.nodes.function[node];
        return element('li', { class: box.items.includes(node) ? 'on' : '' },
          element('i', { class: `kb ${shade(measure.net[node], measure.beside[node])}`, 'aria-hidden': 'true' }),
          element('span', { class: 'fn', title: functionName(data, func) }, shortName(functionName(data, func), 30)),
          element('span', { class: 'at' }, shown(measure.metric, measure.net[node])));
      }))));
}

/** @param {number} net @param {number} beside */
function shade(net, beside) {
  const share = grown({ net, beside });
  return share > 0.01 ? 'd6' : share < -0.01 ? 'd0' : 'd3';
}

/** @param {Scene} scene @param {FunctionRow[]} all @param {(row: FunctionRow) => void} select */
export function showFunctions({ data, measure: { metric }, found, state }, all, select) {
  const rows = found ? all.filter(({ func }) => found.functions[func]) : all;
  const body = /** @type {HTMLTableElement} */ (byId('functions-table')).tBodies[0];
  /** @param {string} kind @param {number} n @param {boolean} signed */
  const cell = (kind, n, signed) => element('td', { class: `c-${kind} ${signed ? colour(n) : ''}`.trim(), title: exactAmount(metric.value, n) },
    ...figure(signed ? shownParts(metric, n) : amountParts(metric.value, n)));
  body.replaceChildren(...rows.slice(0, MOST_ROWS).map((one) => element('tr', {
    class: one.func === state.select[state.select.length - 1] ? 'sel' : '', onclick: () => select(one),
  },
  element('td', { class: 'c-name', title: functionName(data, one.func) }, bar(data.functions.kind[one.func]),
    element('button', { class: 'fn', type: 'button' }, shortName(functionName(data, one.func), 60))),
  element('td', { class: 'c-module' }, moduleName(data, one.func)),
  cell('self', one.self, true), cell('total', one.total, true), cell('beside', one.beside, false), cell('beside', one.beside + one.total, false))));
  const more = rows.length - MOST_ROWS;
  byId('functions-foot').textContent = `${exact(rows.length)} ${found ? 'matching ' : ''}${plural(rows.length, 'function')} changed${more > 0 ? `, ${exact(more)} of them not listed` : ''}; allocators and standard libraries count for their caller`;
}
