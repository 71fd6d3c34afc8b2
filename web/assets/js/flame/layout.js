// The call tree as boxes. Pure: arrays in, boxes out, nothing drawn.
//
// A box stands for all nodes with the same functions on the way to them, so calls of one function from several lines
// are one box. Boxes are made top-down and only while they are at least `least` pixels wide: the cost follows what
// can be seen, not the size of the tree. Seen from the leaves the same rule walks towards the callers instead.

/** @import { Tree } from '#wire' */
/** @import { Sums } from '#metrics' */
/** @import { Found } from '#search' */
import { Kind, functionName } from '#columns';
import { memo } from '#state';

/**
 * @typedef {object} Box
 * @property {number} func -1 for the whole
 * @property {number} depth row; -1 for what is above the first row
 * @property {number} x
 * @property {number} width
 * @property {number} total what it is as wide as
 * @property {number} net what it comes to; only of signed metrics not the same
 * @property {number} beside the metric's other number
 * @property {number} self
 * @property {number[]} items nodes that it stands for; inverted: where the walk has come to
 * @property {number[] | null} leaves inverted: for each item, the leaf whose value it carries
 * @property {Box | null} parent
 * @property {Box[] | null} below all boxes below it, once asked for
 * @property {Box[]} children those of them that are wide enough
 * @property {{ x: number, width: number, count: number, hit: boolean } | null} culled those that are not
 * @property {boolean} hit the search matches it
 */

/**
 * @typedef {object} Layout
 * @property {Box[]} crumbs from the whole to what is zoomed to
 * @property {Box[][]} rows each ordered from left to right
 * @property {number} culled boxes that are too narrow to draw
 * @property {boolean} inverted
 * @property {boolean} found whether a search is on
 * @property {number} sum of the whole
 */

/**
 * @typedef {object} View
 * @property {boolean} inverted
 * @property {boolean} [byName] siblings by name instead of by size
 * @property {number} [sandwich] a function: its callers above it, its callees below
 * @property {number[]} zoom functions on the way from the top to what is zoomed to
 * @property {number} width in pixels
 * @property {number} [least] narrowest box in pixels, 1 unless said otherwise
 */

/** Whether processes are rows of their own: only when several have a value. @param {Tree} data @param {Sums} m */
export function showsProcesses(data, m) {
  let roots = 0;
  for (let i = 0; i < data.nodes.count; i = data.nodes.end[i]) if (m.total[i]) roots++;
  return roots > 1;
}

/** @param {Tree} data @param {Sums} m @param {Found | null} found @param {View} view @returns {Layout} */
export function layout(data, m, found, view) {
  const { inverted, width, zoom, least = 1 } = view;
  const rest = { inverted, found: !!found, sum: m.sum };
  const build = { data, found, width, least };
  if (view.sandwich !== undefined && view.sandwich >= 0) return { ...sandwich(build, m, view.sandwich, !!view.byName), ...rest };
  const expand = expander(data, m, view);
  const crumbs = descend(expand, zoom);
  const top = crumbs[crumbs.length - 1];
  const zoomed = crumbs.length > 1;
  top.depth = zoomed ? 0 : -1;
  top.x = 0;
  const { rows, culled } = grow(build, top, expand);
  return { crumbs, rows: zoomed ? [[top], ...rows] : rows, culled, ...rest };
}

/**
 * Whether a node has any number: of what is signed, also one that makes no width.
 * @param {Sums} m @param {number} width @param {number} net @param {number} beside
 */
const counts = ({ metric }, width, net, beside) => width !== 0 || (metric.signed === true && (net !== 0 || beside !== 0));

/** @typedef {{ data: Tree, found: Found | null, width: number, least: number }} Build */

/** The rows below a box that is as wide as the picture. @param {Build} build @param {Box} top @param {(box: Box) => Box[]} expand */
function grow({ data, found, width, least }, top, expand) {
  top.width = width;
  top.hit = !!found && isHit(data, found, top);
  /** @type {Box[][]} */
  const rows = [];
  let row = [top], culled = 0;
  while (row.length && top.total > 0) {
    /** @type {Box[]} */
    const next = [];
    for (const box of row) {
      let x = box.x;
      box.children = [];
      box.culled = null;
      for (const child of expand(box)) {
        child.x = x;
        child.depth = box.depth + 1;
        child.width = (width * child.total) / top.total;
        x += child.width;
        if (child.width < least) {
          culled++;
          box.culled ??= { x: child.x, width: 0, count: 0, hit: false };
          box.culled.width += child.width;
          box.culled.count++;
          box.culled.hit ||= !!found && holdsHit(data, found, child);
          continue;
        }
        child.hit = !!found && isHit(data, found, child);
        box.children.push(child);
        next.push(child);
      }
    }
    if (next.length) rows.push(next);
    row = next;
  }
  return { rows, culled };
}

/**
 * A function between its callers, above it and nearest to it, and its callees. Where it calls itself, the outermost
 * call counts.
 * @param {Build} build @param {Sums} m @param {number} func @param {boolean} byName
 */
function sandwich(build, m, func, byName) {
  const { data } = build;
  const root = newRoot(m);
  const middle = newBox(func, root);
  for (const node of outermost(data, m, func)) take(middle, m, node);
  const up = newBox(func, root);
  up.total = middle.total;
  up.items = up.leaves = middle.items;
  const above = grow(build, up, callers(data, m, byName, m.total, m.net, m.beside));
  const below = grow(build, middle, callees(data, m, byName));
  const height = above.rows.length;
  above.rows.forEach((row, i) => row.forEach((box) => { box.depth = height - 1 - i; }));
  [[middle], ...below.rows].forEach((row, i) => row.forEach((box) => { box.depth = height + i; }));
  return {
    crumbs: [root, middle], rows: [...above.rows.reverse(), [middle], ...below.rows], culled: above.culled + below.culled,
  };
}

/** Calls of a function that are not inside another of its calls. @param {Tree} data @param {Sums} m @param {number} func */
function outermost({ nodes: { count, end, function: of } }, m, func) {
  const found = [];
  for (let i = 0; i < count;) {
    if (of[i] !== func) i++;
    else {
      if (counts(m, m.total[i], m.net[i], m.beside[i])) found.push(i);
      i = end[i];
    }
  }
  return found;
}

/** How deep a function is inside its own calls at most; 1 when it never calls itself. @param {Tree} data @param {number} func */
export function recursionDepth({ nodes: { count, parent, function: of } }, func) {
  const depth = new Uint32Array(count);
  let most = 0;
  for (let i = 0; i < count; i++) {
    depth[i] = (parent[i] < 0 ? 0 : depth[parent[i]]) + (of[i] === func ? 1 : 0);
    most = Math.max(most, depth[i]);
  }
  return most;
}

/** What gives the boxes below a box, none left out; and the box of the whole. @typedef {((box: Box) => Box[]) & { root: Box }} Expand */

/** Boxes are made once: everything that asks for those of the same measure gets the same ones. */
const lastExpander = memo((/** @type {Tree} */ data, /** @type {Sums} */ m, /** @type {boolean} */ inverted, /** @type {boolean} */ byName) => {
  const make = inverted ? callers(data, m, byName, m.self, m.netSelf, m.besideSelf) : callees(data, m, byName);
  return Object.assign((/** @type {Box} */ box) => (box.below ??= make(box)), { root: newRoot(m) });
});

/** @param {Tree} data @param {Sums} m @param {{ inverted: boolean, byName?: boolean }} view @returns {Expand} */
export const expander = (data, m, { inverted, byName = false }) => lastExpander(data, m, inverted, byName);

/**
 * The boxes along a path, the whole first; shorter than the path where it leads nowhere.
 * @param {Expand} expand @param {number[]} path
 */
export function descend(expand, path) {
  const boxes = [expand.root];
  for (const func of path) {
    const next = expand(boxes[boxes.length - 1]).find((box) => box.func === func);
    if (!next) break;
    boxes.push(next);
  }
  return boxes;
}

/** The box of the whole. @param {Sums} m */
function newRoot(m) {
  const root = newBox(-1, null);
  root.total = m.sum;
  root.net = m.netSum;
  root.beside = m.besideSum;
  return root;
}

/** @param {number} func @param {Box | null} parent @returns {Box} */
function newBox(func, parent) {
  return {
    func, depth: -1, x: 0, width: 0, total: 0, net: 0, beside: 0, self: 0,
    items: [], leaves: null, parent, below: null, children: [], culled: null, hit: false,
  };
}

/** Widest first, so that what matters stands at the left; or by name. @param {Tree} data @param {Map<number, Box>} groups @param {boolean} byName */
function ordered(data, groups, byName) {
  const boxes = [...groups.values()];
  if (!byName) return boxes.sort((a, b) => b.total - a.total || a.func - b.func);
  const name = (/** @type {Box} */ box) => functionName(data, box.func);
  return boxes.sort((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : a.func - b.func));
}

/** Adds a node with all below it to a box. @param {Box} box @param {Sums} m @param {number} node */
function take(box, m, node) {
  box.items.push(node);
  box.total += m.total[node];
  box.net += m.net[node];
  box.beside += m.beside[node];
  box.self += m.netSelf[node];
}

/** Boxes below a box, from roots to leaves. @param {Tree} data @param {Sums} m @param {boolean} byName @returns {(box: Box) => Box[]} */
function callees(data, m, byName) {
  const { count, end, function: func } = data.nodes;
  const processes = showsProcesses(data, m);
  return (box) => {
    /** @type {Map<number, Box>} */
    const groups = new Map();
    /** @param {number} node @param {number} until */
    const gather = (node, until) => {
      for (let at = node; at < until; at = end[at]) {
        if (!counts(m, m.total[at], m.net[at], m.beside[at])) continue;
        let group = groups.get(func[at]);
        if (!group) groups.set(func[at], group = newBox(func[at], box));
        take(group, m, at);
      }
    };
    if (box.func >= 0) for (const node of box.items) gather(node + 1, end[node]);
    else if (processes) gather(0, count);
    else for (let node = 0; node < count; node = end[node]) gather(node + 1, end[node]);
    return ordered(data, groups, byName);
  };
}

/**
 * Boxes below a box, from leaves to roots. A leaf carries its `value` along, `net` and `beside` are its other numbers.
 * @param {Tree} data @param {Sums} m @param {boolean} byName
 * @param {Float64Array} value @param {Float64Array} net @param {Float64Array} beside @returns {(box: Box) => Box[]}
 */
function callers(data, m, byName, value, net, beside) {
  const { count, parent, function: func } = data.nodes;
  const processes = showsProcesses(data, m);
  return (box) => {
    /** @type {Map<number, Box>} */
    const groups = new Map();
    /** @param {number} at @param {number} leaf */
    const add = (at, leaf) => {
      if (at < 0 || (!processes && parent[at] < 0)) return;
      let group = groups.get(func[at]);
      if (!group) {
        groups.set(func[at], group = newBox(func[at], box));
        group.leaves = [];
      }
      group.items.push(at);
      group.leaves?.push(leaf);
      group.total += value[leaf];
      group.net += net[leaf];
      group.beside += beside[leaf];
      if (box.func < 0) group.self += net[leaf];
    };
    if (box.func < 0) {
      for (let leaf = 0; leaf < count; leaf++) if (counts(m, value[leaf], net[leaf], beside[leaf])) add(firstCaller(data, leaf), leaf);
    } else {
      box.items.forEach((at, i) => add(parent[at], box.leaves ? box.leaves[i] : at));
    }
    return ordered(data, groups, byName);
  };
}

/** Where an inverted stack begins: allocators are folded into their first caller. @param {Tree} data @param {number} leaf */
export function firstCaller(data, leaf) {
  const { parent, function: func } = data.nodes;
  let at = leaf;
  while (parent[at] >= 0 && data.functions.kind[func[at]] === Kind.allocator) at = parent[at];
  return parent[at] >= 0 ? at : leaf;
}

/** @param {Tree} data @param {Found} found @param {Box} box */
const isHit = (data, found, box) => box.items.some((node) => found.frames[data.nodes.frame[node]] === 1);

/** Whether the search matches anything in a box that is not drawn. @param {Tree} data @param {Found} found @param {Box} box */
function holdsHit(data, found, box) {
  if (box.leaves) return isHit(data, found, box);
  return box.items.some((node) => {
    for (let at = node; at < data.nodes.end[node]; at++) if (found.frames[data.nodes.frame[at]]) return true;
    return false;
  });
}

/** Functions on the way to a box, from the top. @param {Box} box */
export function pathOf(box) {
  const path = [];
  for (let at = box; at.func >= 0 && at.parent; at = at.parent) path.unshift(at.func);
  return path;
}

/** The way to a node's box. @param {Tree} data @param {Sums} m @param {number} node */
export function pathTo(data, m, node) {
  const { parent, function: func } = data.nodes;
  const path = [];
  for (let at = node; at >= 0; at = parent[at]) path.unshift(func[at]);
  if (!showsProcesses(data, m)) path.shift();
  return path;
}

/** The way to an inverted box: `depth + 1` functions up from a leaf. @param {Tree} data @param {number} leaf @param {number} depth */
export function callersOf(data, leaf, depth) {
  const path = [];
  for (let at = firstCaller(data, leaf); at >= 0 && path.length <= depth; at = data.nodes.parent[at]) {
    path.push(data.nodes.function[at]);
  }
  return path;
}

/** The drawn box at the end of a path, if it is drawn. @param {Layout} layout @param {number[]} path @returns {Box | null} */
export function boxAt(layout, path) {
  const over = layout.crumbs.length - 1;
  if (path.length < Math.max(1, over)) return null;
  for (let i = 0; i < over; i++) if (layout.crumbs[i + 1].func !== path[i]) return null;
  let box = layout.crumbs[over];
  for (const func of path.slice(over)) {
    const child = box.children.find((candidate) => candidate.func === func);
    if (!child) return null;
    box = child;
  }
  return box;
}

/** The box under a point. @param {Layout} layout @param {number} row @param {number} x @returns {Box | null} */
export function boxUnder(layout, row, x) {
  const boxes = layout.rows[row];
  if (!boxes) return null;
  let low = 0, high = boxes.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const box = boxes[middle];
    if (x < box.x) high = middle - 1;
    else if (x >= box.x + box.width) low = middle + 1;
    else return box;
  }
  return null;
}

/** The heaviest stack through a box: its leaf. @param {Tree} data @param {Sums} m @param {Box} box */
export function heaviestLeaf(data, m, box) {
  const { end } = data.nodes;
  if (box.leaves) return box.leaves.reduce((best, leaf) => (m.self[leaf] > m.self[best] ? leaf : best), box.leaves[0]);
  let at = box.items.reduce((best, node) => (m.total[node] > m.total[best] ? node : best), box.items[0]);
  for (;;) {
    let best = -1;
    for (let child = at + 1; child < end[at]; child = end[child]) {
      if (m.total[child] && (best < 0 || m.total[child] > m.total[best])) best = child;
    }
    if (best < 0 || m.self[at] > m.total[best]) return at;
    at = best;
  }
}
