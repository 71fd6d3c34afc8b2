// Functions with self and total, and who answers for a library's bytes. Pure.

/** @import { Tree } from '#wire' */
/** @import { Sums } from '#metrics' */
import { Kind } from '#columns';

/**
 * Frames of an interpreter in stacks that have the frames of the program it runs; none where there are no such stacks.
 * @param {Pick<Tree, 'functions' | 'nodes'>} data @returns {Uint8Array | null}
 */
export function interpreterNodes({ functions, nodes: { count, parent, function: func } }) {
  if (!functions.kind.includes(Kind.python)) return null;
  // 1: a Python frame stands above, 2: one stands below.
  const near = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const up = parent[i];
    if (up >= 0) near[i] = near[up] & 1 || functions.kind[func[up]] === Kind.python ? 1 : 0;
  }
  for (let i = count - 1; i >= 0; i--) {
    if (parent[i] >= 0 && (near[i] & 2 || functions.kind[func[i]] === Kind.python)) near[parent[i]] |= 2;
  }
  return near.map((sides, i) => (sides && functions.interpreter[func[i]] ? 1 : 0));
}

/**
 * For each node, the node that answers for its own bytes: the nearest caller that is no library and, where Python
 * functions run, not the interpreter; where that one has no
 * name, the first with a name that called it from the same module; itself when the whole stack is library code.
 * @param {Pick<Tree, 'functions' | 'nodes'>} data @returns {Uint32Array}
 */
export function blamed(data) {
  const { count, parent, function: func } = data.nodes;
  const { library, kind, module } = data.functions;
  const own = new Int32Array(count);
  // The nearest node with a name, no library, that is reached without leaving the module.
  const named = new Int32Array(count);
  const blame = new Uint32Array(count);
  const plumbing = interpreterNodes(data);
  for (let i = 0; i < count; i++) {
    const [f, up] = [func[i], parent[i]];
    const passes = library[f] === 1 || kind[f] === Kind.process || plumbing?.[i] === 1;
    const hasName = !passes && kind[f] !== Kind.unknown;
    if (hasName) named[i] = i;
    else named[i] = up >= 0 && module[f] && module[func[up]] === module[f] ? named[up] : -1;
    if (passes) own[i] = up < 0 ? -1 : own[up];
    else own[i] = hasName || named[i] < 0 ? i : named[i];
    blame[i] = own[i] < 0 ? i : own[i];
  }
  return blame;
}

/**
 * @typedef {object} FunctionRow
 * @property {number} func
 * @property {number} self
 * @property {number} total counted once where the function calls itself
 * @property {number} beside the other number, of `total`
 * @property {number} node where it holds most
 */

/**
 * One row per function with a value. With `blame`, self counts for the blamed node's function.
 * @param {Tree} data @param {Sums} measure @param {Uint32Array | null} blame @returns {FunctionRow[]}
 */
export function functionRows(data, measure, blame) {
  const { count, end, function: func } = data.nodes;
  const { total, self, net, netSelf, beside } = measure;
  const size = data.functions.name.length;
  const selfOf = new Float64Array(size);
  const totalOf = new Float64Array(size);
  const besideOf = new Float64Array(size);
  const best = new Int32Array(size).fill(-1);
  // End of the outermost subtree of the function that is still open: calls within it are counted already.
  const open = new Uint32Array(size);
  for (let i = 0; i < count; i++) {
    if (self[i]) selfOf[func[blame ? blame[i] : i]] += netSelf[i];
    const f = func[i];
    if (i < open[f] || !total[i]) continue;
    open[f] = end[i];
    totalOf[f] += net[i];
    besideOf[f] += beside[i];
    if (best[f] < 0 || total[i] > total[best[f]]) best[f] = i;
  }
  const { kind, library } = data.functions;
  /** @type {FunctionRow[]} */
  const rows = [];
  for (let f = 0; f < size; f++) {
    if (best[f] < 0) continue;
    // With blame, a library that answers for nothing would be a row of zeros; a process is a row only for its own.
    if (!selfOf[f] && (kind[f] === Kind.process || (blame && library[f]))) continue;
    rows.push({ func: f, self: selfOf[f], total: totalOf[f], beside: besideOf[f], node: best[f] });
  }
  return rows;
}
