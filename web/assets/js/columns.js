// Columns as they travel, made into the arrays that everything else loops over. Pure.

/** @import { Wire, WireSparse, WireSlices, Data, Pair, Slices, Tree } from '#wire' */

import { visible } from '#names';

/** The kinds of a function, as the data numbers them. */
export const Kind = Object.freeze({
  native: 0, inlined: 1, python: 2, runtime: 3, allocator: 4, unknown: 5, jit: 6, process: 7, task: 8,
});

/** What a change of a slice is. */
export const What = Object.freeze({ allocated: 0, temporary: 1, freed: 2, ended: 3 });

/** @param {number[]} steps @returns {Float64Array} */
export function ascending(steps) {
  const values = new Float64Array(steps.length);
  let value = 0;
  for (let i = 0; i < steps.length; i++) values[i] = value += steps[i];
  return values;
}

/** @param {WireSparse} sparse @returns {Pair} */
function pair(sparse) {
  return {
    row: Uint32Array.from(ascending(sparse.row)),
    blocks: Float64Array.from(sparse.blocks),
    bytes: Float64Array.from(sparse.bytes),
  };
}

/** @param {WireSlices} wire @returns {Slices} */
function slices(wire) {
  const count = wire.slice.length;
  const first = new Uint32Array(wire.changes.length + 1);
  const row = new Uint32Array(count);
  const slice = new Uint16Array(count);
  const birth = new Uint16Array(count);
  let at = 0;
  wire.changes.forEach((length, number) => {
    for (let last = 0, left = length; left > 0; left--, at++) {
      row[at] = number;
      slice[at] = last += wire.slice[at];
      birth[at] = last - wire.age[at];
    }
    first[number + 1] = at;
  });
  return {
    bounds: ascending(wire.bounds_ns), first, row, slice, birth,
    what: Uint8Array.from(wire.what),
    blocks: Float64Array.from(wire.blocks),
    bytes: Float64Array.from(wire.bytes),
  };
}

/**
 * The tree's shape, from preorder: parents, ends of subtrees, and what each node is.
 * @param {Wire['nodes']} nodes @param {Uint32Array} frameFunction
 */
function tree(nodes, frameFunction) {
  const count = nodes.frame.length;
  const parent = new Int32Array(count);
  const end = new Uint32Array(count);
  const frame = Uint32Array.from(nodes.frame);
  const func = new Uint32Array(count);
  const process = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const up = nodes.up[i];
    parent[i] = up ? i - up : -1;
    end[i] = i + 1;
    func[i] = frameFunction[frame[i]];
    process[i] = up ? process[i - up] : func[i];
  }
  for (let i = count - 1; i >= 0; i--) {
    if (parent[i] >= 0 && end[parent[i]] < end[i]) end[parent[i]] = end[i];
  }
  return { count, parent, end, frame, function: func, process };
}

/**
 * The same value with every text in it made visible.
 * @template T
 * @param {T} value @returns {T}
 */
export function readable(value) {
  if (typeof value === 'string') return /** @type {T} */ (visible(value));
  if (Array.isArray(value)) return /** @type {T} */ (value.map(readable));
  if (value === null || typeof value !== 'object') return value;
  return /** @type {T} */ (Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, readable(inner)])));
}

/**
 * The part of the columns that names things.
 * @param {Pick<Wire, 'strings' | 'functions' | 'frames' | 'nodes'>} wire @returns {Tree}
 */
export function decodeTree({ strings, functions, frames: { function: func, file, line }, nodes }) {
  const frames = { function: Uint32Array.from(func), file: Uint32Array.from(file), line: Uint32Array.from(line) };
  return {
    strings: strings.map(visible),
    functions: {
      name: Uint32Array.from(functions.name),
      module: Uint32Array.from(functions.module),
      kind: Uint8Array.from(functions.kind),
      library: Uint8Array.from(functions.library),
      interpreter: Uint8Array.from(functions.interpreter),
    },
    frames,
    nodes: tree(nodes, frames.function),
  };
}

/** That this page and the data are of one kind. @param {{ schema?: unknown } | null} wire @param {string} schema */
export function expectSchema(wire, schema) {
  if (typeof wire?.schema !== 'string' || !wire.schema.startsWith(schema)) {
    throw new Error(`This page reads ${schema}, but the data says ${wire?.schema ?? 'nothing'}.`);
  }
}

/** @param {Wire} wire @returns {Data} */
export function decode(wire) {
  expectSchema(wire, 'memtrack.page/1');
  const { rows, timeline } = wire;
  const peak = pair(rows.peak);
  return {
    summary: readable(wire.summary),
    processes: readable(wire.processes),
    threads: { ...wire.threads, name: wire.threads.name.map(visible) },
    ...decodeTree(wire),
    rows: {
      count: rows.node.length,
      node: Int32Array.from(ascending(rows.node)),
      thread: Uint32Array.from(rows.thread),
      allocator: Uint32Array.from(rows.allocator),
      allocated: {
        row: null,
        blocks: Float64Array.from(rows.allocations),
        bytes: Float64Array.from(rows.allocated_bytes),
      },
      temporary: pair(rows.temporary),
      peak,
      processPeak: rows.process_peak ? pair(rows.process_peak) : peak,
      leaked: pair(rows.leaked),
      leakedFirst: Float64Array.from(rows.leaked_first_ns),
      leakedLast: Float64Array.from(rows.leaked_last_ns),
      leakedRule: Uint32Array.from(rows.leaked_rule),
      growth: null,
    },
    slices: wire.slices ? slices(wire.slices) : null,
    timeline: {
      time: ascending(timeline.time_ns),
      liveMax: Float64Array.from(timeline.live_max_bytes),
      live: Float64Array.from(timeline.live_bytes),
      allocations: Float64Array.from(timeline.allocations),
      allocated: Float64Array.from(timeline.allocated_bytes),
      processes: timeline.processes.map((one) => ({
        process: one.process, from: one.from, live: Float64Array.from(one.live_bytes),
      })),
      rss: {
        time: ascending(timeline.rss.time_ns),
        process: Uint32Array.from(timeline.rss.process),
        anon: Float64Array.from(timeline.rss.anon_bytes),
        file: Float64Array.from(timeline.rss.file_bytes),
      },
    },
  };
}

/**
 * Rows of some nodes, none of which is inside another, and of all below them.
 * @param {Data} data @param {number[]} nodes @param {boolean} sorted whether rows are in the order of their nodes
 */
export function rowsOf(data, nodes, sorted) {
  const { node, count } = data.rows;
  const { end } = data.nodes;
  const rows = [];
  if (sorted) {
    for (const top of nodes) {
      let low = 0, high = count;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (node[middle] < top) low = middle + 1;
        else high = middle;
      }
      for (; low < count && node[low] < end[top]; low++) rows.push(low);
    }
    return rows;
  }
  const inside = new Uint8Array(data.nodes.count);
  for (const top of nodes) inside.fill(1, top, end[top]);
  for (let row = 0; row < count; row++) if (node[row] >= 0 && inside[node[row]]) rows.push(row);
  return rows;
}

/** @param {Tree} data @param {number} func */
export const functionName = (data, func) => data.strings[data.functions.name[func]];

/** The module's file name. @param {Tree} data @param {number} func */
export function moduleName(data, func) {
  const path = data.strings[data.functions.module[func]];
  return path.slice(path.lastIndexOf('/') + 1);
}

/** `folder/file.c:12`, or nothing. @param {Tree} data @param {number} frame */
export function place(data, frame) {
  const file = data.strings[data.frames.file[frame]];
  if (!file) return '';
  const line = data.frames.line[frame];
  const short = file.split('/').slice(-2).join('/');
  return line ? `${short}:${line}` : short;
}

/** Frames of the stack that ends in `node`, leaf first, without the process. @param {Tree} data @param {number} node */
export function stackOf(data, node) {
  const nodes = [];
  for (let at = node; at >= 0 && data.nodes.parent[at] >= 0; at = data.nodes.parent[at]) nodes.push(at);
  return nodes;
}
