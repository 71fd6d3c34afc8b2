// The stacks of a measure as lines `root;…;leaf VALUE`, which other flamegraph tools read. Pure.

/** @import { Data } from '#wire' */
/** @import { Measure } from '#metrics' */
import { functionName, stackOf } from '#columns';

/** Equal stacks are one line; frames only, largest first. @param {Data} data @param {Measure} m */
export function collapsed(data, m) {
  /** @type {Map<string, number>} */
  const lines = new Map();
  for (let node = 0; node < data.nodes.count; node++) {
    if (!m.netSelf[node]) continue;
    const names = stackOf(data, node).reverse().map((at) => escaped(functionName(data, data.nodes.function[at])));
    const line = names.join(';') || '[unknown]';
    lines.set(line, (lines.get(line) ?? 0) + m.netSelf[node]);
  }
  return [...lines].sort((a, b) => b[1] - a[1]).map(([line, value]) => `${line} ${value}\n`).join('');
}

/** @param {string} name */
const escaped = (name) => name.replaceAll('\\', '\\\\').replaceAll(';', '\\x3b');
