// Which modules have colours of their own: the largest over the whole capture, so that no filter recolours. Pure.

/** @import { Data } from '#wire' */
import { Kind } from '#columns';
import { measure, metricById } from '#metrics';

/** Modules with a colour; the rest share one. */
export const COLOURS = 6;

/**
 * For each function the position of its module among the largest by allocated bytes, `COLOURS` for the rest; and those
 * modules' strings.
 * @param {Data} data
 */
export function moduleRanks(data) {
  const { module, kind, name } = data.functions;
  const { self } = measure(data, metricById('allocated'), { process: -1, thread: -1 });
  const sums = new Map();
  const { parent, function: func, count } = data.nodes;
  for (let i = 0; i < count; i++) {
    if (!self[i]) continue;
    // An allocator's module says less than its caller's.
    let at = i;
    while (data.functions.library[func[at]] && parent[at] >= 0) at = parent[at];
    const key = kind[func[at]] === Kind.process ? module[func[i]] : module[func[at]];
    sums.set(key, (sums.get(key) ?? 0) + self[i]);
  }
  sums.delete(0);
  const largest = [...sums].sort((a, b) => b[1] - a[1]).slice(0, COLOURS).map(([key]) => key);
  const rank = new Uint8Array(name.length);
  for (let f = 0; f < rank.length; f++) {
    const at = largest.indexOf(module[f]);
    rank[f] = at < 0 ? COLOURS : at;
  }
  return { rank, largest };
}
