// What changed between two sides, made into the arrays that everything else loops over. Pure.

/** @import { DiffSide, Tree, WireDiff } from '#wire' */
/** @import { FunctionRow } from '#functions' */
/** @import { Quantity, Sums } from '#metrics' */
import { ascending, decodeTree, expectSchema, readable } from '#columns';
import { blamed, functionRows } from '#functions';
import { upwards } from '#metrics';

/**
 * @typedef {object} Difference
 * @property {Tree} tree
 * @property {string} metric
 * @property {'bytes' | 'blocks'} value
 * @property {DiffSide} before
 * @property {DiffSide} after
 * @property {[string, string][]} renamed
 * @property {number} noise
 * @property {boolean} redacted
 * @property {Float64Array} old of each node itself, before
 * @property {Float64Array} new the same, after
 */

/** @param {WireDiff} wire @returns {Difference} */
export function decodeDiff(wire) {
  expectSchema(wire, 'memtrack.diffpage/1');
  const tree = decodeTree(wire);
  const { stacks } = wire;
  const [old, fresh] = [new Float64Array(tree.nodes.count), new Float64Array(tree.nodes.count)];
  ascending(stacks.node).forEach((node, i) => {
    old[node] += stacks.before[i];
    fresh[node] += stacks.after[i];
  });
  return {
    tree, metric: wire.metric, value: wire.unit, noise: wire.noise, redacted: wire.redacted, old, new: fresh,
    before: readable(wire.before), after: readable(wire.after), renamed: readable(wire.renamed),
  };
}

/** What boxes can be as wide as. @type {readonly { id: string, title: string, words: string }[]} */
export const WIDTHS = Object.freeze([
  { id: 'after', title: 'After', words: 'As wide as what it holds after' },
  { id: 'before', title: 'Before', words: 'As wide as what it held before: shows what is gone' },
  { id: 'change', title: 'Change', words: 'As wide as the change of its stacks, whichever way' },
]);

/**
 * Sums per node: a box comes to its change, the number beside is what it was before.
 * @param {Difference} difference @param {string} width one of WIDTHS, or `both` sides together @returns {Sums}
 */
export function diffSums({ tree: { nodes: { count, parent } }, metric, value, old, new: fresh }, width) {
  const [netSelf, self] = [new Float64Array(count), new Float64Array(count)];
  let sum = 0, netSum = 0, besideSum = 0;
  for (let i = 0; i < count; i++) {
    netSum += netSelf[i] = fresh[i] - old[i];
    besideSum += old[i];
    sum += self[i] = width === 'after' ? fresh[i] : width === 'before' ? old[i] : width === 'change' ? Math.abs(netSelf[i]) : old[i] + fresh[i];
  }
  /** @type {Quantity} */
  const quantity = { value, of: `change of ${metric}`, none: width === 'change' ? 'changed' : `there ${width}`, signed: true, grown };
  return {
    metric: quantity, self, total: upwards(self, parent), netSelf, net: upwards(netSelf, parent), besideSelf: old, beside: upwards(old, parent), sum, netSum, besideSum,
  };
}

/** By which share of its larger side a box grew. @param {{ net: number, beside: number }} box */
export const grown = ({ net, beside }) => (net ? net / Math.max(beside, beside + net) : 0);

/** Functions that changed: by what they answer for themselves, then by all below them. @param {Difference} difference @returns {FunctionRow[]} */
export function changedFunctions(difference) {
  const { tree } = difference;
  const rows = functionRows(tree, diffSums(difference, 'both'), blamed(tree)).filter((row) => row.self || row.total);
  return rows.sort((a, b) => Math.abs(b.self) - Math.abs(a.self) || Math.abs(b.total) - Math.abs(a.total) || a.func - b.func);
}
