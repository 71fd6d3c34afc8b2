// The call tree without what a reader does not want to see: whole stacks left out, frames folded into their callers.
// Pure: a tree in, a tree out, so that every view of it works as before.

/** @import { Data } from '#wire' */
import { Kind } from '#columns';
import { interpreterNodes } from '#functions';

/**
 * Lists are numbers of functions, or of the strings that name modules.
 * @typedef {object} Shape
 * @property {number[]} focus only stacks through all of these functions
 * @property {number[]} exclude no stack through any of these functions
 * @property {number[]} modules frames of these modules count for their callers
 * @property {boolean} recursion a function that calls itself is one frame
 * @property {boolean} interpreter the interpreter's own frames are seen, too
 */

/**
 * A tree, and for each node of the whole one where it went: -1 for those of stacks that are left out.
 * @typedef {{ nodes: Data['nodes'], to: Int32Array }} Shaped
 */

/** @param {Shaped | null} shaped @param {Data} data @returns {Data} */
export function reshaped(shaped, data) {
  if (!shaped) return data;
  const { nodes, to } = shaped;
  return { ...data, nodes, rows: { ...data.rows, node: data.rows.node.map((at) => to[at]) } };
}

/**
 * The tree in a shape; null where nothing changes.
 * @param {Pick<Data, 'functions' | 'nodes'>} data @param {Shape} shape @returns {Shaped | null}
 */
export function reshape(data, shape) {
  const { functions, nodes } = data;
  const { focus, exclude, modules, recursion } = shape;
  const hidden = new Uint8Array(functions.name.length);
  if (modules.length) {
    for (let f = 0; f < hidden.length; f++) {
      if (modules.includes(functions.module[f]) && functions.kind[f] !== Kind.process) hidden[f] = 1;
    }
  }
  const plumbing = shape.interpreter ? null : interpreterNodes(data);
  if (!plumbing && !recursion && !modules.length && !focus.length && !exclude.length) return null;

  const { count, parent, frame, function: func, process } = nodes;
  const to = new Int32Array(count);
  const met = new Uint32Array(count);
  const wanted = focus.slice(0, 31);
  const all = 2 ** wanted.length - 1;
  const kept = {
    count: 0, parent: new Int32Array(count), end: new Uint32Array(count), frame: new Uint32Array(count),
    function: new Uint32Array(count), process: new Uint32Array(count),
  };
  const dropped = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const up = parent[i], f = func[i];
    const above = up < 0 ? -1 : to[up];
    met[i] = up < 0 ? 0 : met[up];
    const at = wanted.indexOf(f);
    if (at >= 0) met[i] |= 2 ** at;
    dropped[i] = exclude.includes(f) || (up >= 0 && dropped[up]) ? 1 : 0;
    if (above >= 0 && (hidden[f] || plumbing?.[i] || (recursion && kept.function[above] === f))) {
      to[i] = above;
      continue;
    }
    const next = kept.count++;
    to[i] = next;
    kept.parent[next] = above;
    kept.frame[next] = frame[i];
    kept.function[next] = f;
    kept.process[next] = process[i];
    kept.end[next] = next + 1;
  }
  for (let i = kept.count - 1; i >= 0; i--) {
    const up = kept.parent[i];
    if (up >= 0 && kept.end[up] < kept.end[i]) kept.end[up] = kept.end[i];
  }
  for (let i = 0; i < count; i++) if (dropped[i] || (met[i] & all) !== all) to[i] = -1;
  return { nodes: trimmed(kept), to };
}

/** @param {Data['nodes']} nodes @returns {Data['nodes']} */
function trimmed({ count, parent, end, frame, function: func, process }) {
  return {
    count, parent: parent.subarray(0, count), end: end.subarray(0, count), frame: frame.subarray(0, count),
    function: func.subarray(0, count), process: process.subarray(0, count),
  };
}

/** A path of functions as it reads in the shaped tree. @param {Data} data @param {Shape} shape @param {number[]} path */
export function shapedPath(data, shape, path) {
  const { module, kind } = data.functions;
  const seen = path.filter((f) => kind[f] === Kind.process || !shape.modules.includes(module[f]));
  return shape.recursion ? seen.filter((f, i) => f !== seen[i - 1]) : seen;
}
