// Leaked blocks by stack. Pure.

/** @import { Data } from '#wire' */
/** @import { Filter } from '#metrics' */

/**
 * @typedef {object} Leak
 * @property {number} node the stack's leaf
 * @property {number} bytes
 * @property {number} blocks
 * @property {number} first time of the first allocation that leaked
 * @property {number} last
 * @property {number[]} rows where the numbers come from
 * @property {number} rule number of the string that names the rule which sets it apart, or 0
 */

/** Largest first. @param {Data} data @param {Filter} filter @returns {Leak[]} */
export function leaks(data, filter) {
  const { node, thread, leaked, leakedFirst, leakedLast, leakedRule } = data.rows;
  const { process } = data.nodes;
  /** @type {Map<string, Leak>} */
  const stacks = new Map();
  for (let i = 0; i < leaked.bytes.length; i++) {
    if (!leaked.blocks[i] && !leaked.bytes[i]) continue;
    const row = leaked.row ? leaked.row[i] : i;
    const at = node[row];
    if (at < 0) continue;
    if (filter.process >= 0 && process[at] !== filter.process) continue;
    if (filter.thread >= 0 && thread[row] !== filter.thread) continue;
    const key = `${at} ${leakedRule[i]}`;
    let leak = stacks.get(key);
    if (!leak) stacks.set(key, leak = { node: at, bytes: 0, blocks: 0, first: Infinity, last: 0, rows: [], rule: leakedRule[i] });
    leak.bytes += leaked.bytes[i];
    leak.blocks += leaked.blocks[i];
    leak.first = Math.min(leak.first, leakedFirst[i]);
    leak.last = Math.max(leak.last, leakedLast[i]);
    leak.rows.push(row);
  }
  return [...stacks.values()].sort((a, b) => b.bytes - a.bytes || b.blocks - a.blocks || a.node - b.node);
}
