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
 * @property {number[]} threads positions of the threads that made them
 */

/** Largest first. @param {Data} data @param {Filter} filter @returns {Leak[]} */
export function leaks(data, filter) {
  const { node, thread, leaked, leakedFirst, leakedLast } = data.rows;
  const { process } = data.nodes;
  /** @type {Map<number, Leak>} */
  const stacks = new Map();
  const { row: rows } = leaked;
  if (!rows) return [];
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i];
    const at = node[row];
    if (filter.process >= 0 && process[at] !== filter.process) continue;
    if (filter.thread >= 0 && thread[row] !== filter.thread) continue;
    let leak = stacks.get(at);
    if (!leak) stacks.set(at, leak = { node: at, bytes: 0, blocks: 0, first: Infinity, last: 0, threads: [] });
    leak.bytes += leaked.bytes[i];
    leak.blocks += leaked.blocks[i];
    leak.first = Math.min(leak.first, leakedFirst[i]);
    leak.last = Math.max(leak.last, leakedLast[i]);
    if (!leak.threads.includes(thread[row])) leak.threads.push(thread[row]);
  }
  return [...stacks.values()].sort((a, b) => b.bytes - a.bytes || b.blocks - a.blocks || a.node - b.node);
}
