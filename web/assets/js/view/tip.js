// The tooltip: what a box is, in exact numbers.

/** @import { Model } from '#derive' */
/** @import { Box } from '#flame/layout' */
import { Kind, functionName, moduleName } from '#columns';
import { byId, element, figure } from '#dom';
import { shownParts } from '#metrics';
import { amountParts, exactAmount, percent } from '#units';

/** Characters of a name that are shown at most. */
const LONGEST = 1000;

/** What the kinds are called. */
export const KINDS = ['native', 'inlined', 'Python', 'runtime', 'allocator', 'unknown', 'run-time code', 'process', 'task'];

/** What a function is: module and kind. @param {import('#wire').Tree} data @param {number} func */
export function about(data, func) {
  const kind = data.functions.kind[func];
  if (kind === Kind.process) return 'process';
  return [moduleName(data, func), KINDS[kind]].filter(Boolean).join(' · ');
}

/** A name with places to break; of very long ones the beginning, copies have all of it. @param {string} name */
export function breakable(name) {
  const parts = (name.length > LONGEST ? `${name.slice(0, LONGEST)}…` : name).split(/(?<=::|, |\(|\/)/);
  return parts.flatMap((part, i) => (i ? [document.createElement('wbr'), part] : [part]));
}

/** @param {Model} model @param {Box} box */
export function boxTip({ data, measure }, box) {
  const { value, beside } = measure.metric;
  const other = value === 'bytes' ? 'blocks' : 'bytes';
  const rows = [
    row(capital(measure.metric.of), element('b', {}, ...figure(shownParts(measure.metric, box.net))), ' ',
      element('span', { class: 'u' }, exactAmount(value, box.net))),
    row('Share', `${percent(box.total, measure.sum)} of all`,
      box.parent && box.parent.func >= 0 && !measure.metric.signed ? ` · ${percent(box.total, box.parent.total)} of caller` : ''),
    row('Self', ...figure(shownParts(measure.metric, box.self))),
    row(beside, ...figure(amountParts(other, box.beside)), ' ', element('span', { class: 'u' }, exactBeside(other, box.beside))),
  ];
  return [
    element('div', { class: 'n' }, ...breakable(functionName(data, box.func))),
    element('div', { class: 'u' }, about(data, box.func)),
    element('dl', {}, ...rows.flat()),
  ];
}

/** Counts below 100,000 are exact already. @param {'bytes' | 'blocks'} kind @param {number} n */
const exactBeside = (kind, n) => (kind === 'blocks' && n < 100_000 ? '' : exactAmount(kind, n));

/** @param {string} text */
const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** @param {string} term @param {(Node | string)[]} value */
export const row = (term, ...value) => [element('dt', {}, term), element('dd', {}, ...value)];

const GAP = 12;

/** Shows a tooltip beside the pointer, never over the row it explains. @param {Node[]} content @param {number} x @param {number} top @param {number} bottom */
export function showTip(content, x, top, bottom) {
  const tip = byId('tip');
  tip.replaceChildren(...content);
  tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tip;
  const left = Math.max(8, Math.min(x + GAP, innerWidth - width - 8));
  const below = bottom + GAP + height <= innerHeight || top - GAP - height < 0;
  tip.style.left = `${left}px`;
  tip.style.top = `${below ? bottom + GAP : top - GAP - height}px`;
}

export function hideTip() {
  byId('tip').hidden = true;
}
