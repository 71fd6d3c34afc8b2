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
  const { process, count } = data.nodes;
  /** By leaf and rule, as one number: there are as many look-ups as rows. @type {Map<number, Leak>} */
  const stacks = new Map();
  for (let i = 0; i < leaked.bytes.length; i++) {
    if (!leaked.blocks[i] && !leaked.bytes[i]) continue;
    const row = leaked.row ? leaked.row[i] : i;
    const at = node[row];
    if (at < 0) continue;
    if (filter.process >= 0 && process[at] !== filter.process) continue;
    if (filter.thread >= 0 && thread[row] !== filter.thread) continue;
    const key = leakedRule[i] * count + at;
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

/**
 * What leaked in the subtrees of some nodes, none of which is inside another.
 * @param {Leak[]} all @param {number[]} nodes @param {Int32Array | Uint32Array} end of each node's subtree
 */
export function leakedBelow(all, nodes, end) {
  const tops = Uint32Array.from(nodes).sort();
  let bytes = 0, blocks = 0;
  for (const leak of all) {
    // How many of the nodes do not come behind the leaf.
    let low = 0, high = tops.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle] <= leak.node) low = middle + 1;
      else high = middle;
    }
    if (!low || leak.node >= end[tops[low - 1]]) continue;
    bytes += leak.bytes;
    blocks += leak.blocks;
  }
  return { bytes, blocks };
}
