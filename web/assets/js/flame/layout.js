// The call tree as boxes. Pure: arrays in, boxes out, nothing drawn.
//
// A box stands for all nodes with the same functions on the way to them, so calls of one function from several lines
// are one box. Boxes are made top-down and only while they are at least `least` pixels wide: the cost follows what
// can be seen, not the size of the tree. Seen from the leaves the same rule walks towards the callers instead.

/** @import { Data } from '#wire' */
/** @import { Measure } from '#metrics' */
/** @import { Found } from '#search' */
import { Kind } from '#columns';

/**
 * @typedef {object} Box
 * @property {number} func -1 for the whole
 * @property {number} depth row; -1 for what is above the first row
 * @property {number} x
 * @property {number} width
 * @property {number} total
 * @property {number} beside the metric's other number
 * @property {number} self
 * @property {number[]} items nodes that it stands for; inverted: where the walk has come to
 * @property {number[] | null} leaves inverted: for each item, the leaf whose value it carries
 * @property {Box | null} parent
 * @property {Box[]} children those that are wide enough
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
 */

/**
 * @typedef {object} View
 * @property {boolean} inverted
 * @property {number[]} zoom functions on the way from the top to what is zoomed to
 * @property {number} width in pixels
 * @property {number} [least] narrowest box in pixels, 1 unless said otherwise
 */

/** Whether processes are rows of their own: only when several have a value. @param {Data} data @param {Measure} m */
export function showsProcesses(data, m) {
  let roots = 0;
  for (let i = 0; i < data.nodes.count; i = data.nodes.end[i]) if (m.total[i]) roots++;
  return roots > 1;
}

/** @param {Data} data @param {Measure} m @param {Found | null} found @param {View} view @returns {Layout} */
export function layout(data, m, found, view) {
  const least = view.least ?? 1;
  const expand = expander(data, m, view.inverted);
  const crumbs = descend(expand, m, view.zoom);
  const top = crumbs[crumbs.length - 1];
  top.width = view.width;
  const zoomed = crumbs.length > 1;
  top.depth = zoomed ? 0 : -1;
  if (found) top.hit = isHit(data, found, top);

  /** @type {Box[][]} */
  const rows = zoomed ? [[top]] : [];
  let row = [top], culled = 0;
  while (row.length && top.total > 0) {
    /** @type {Box[]} */
    const next = [];
    for (const box of row) {
      let x = box.x;
      for (const child of expand(box)) {
        child.x = x;
        child.width = (view.width * child.total) / top.total;
        x += child.width;
        if (child.width < least) {
          culled++;
          box.culled ??= { x: child.x, width: 0, count: 0, hit: false };
          box.culled.width += child.width;
          box.culled.count++;
          box.culled.hit ||= !!found && holdsHit(data, found, child);
          continue;
        }
        if (found) child.hit = isHit(data, found, child);
        box.children.push(child);
        next.push(child);
      }
    }
    if (next.length) rows.push(next);
    row = next;
  }
  return { crumbs, rows, culled, inverted: view.inverted, found: !!found };
}

/**
 * What gives the boxes below a box, none left out.
 * @param {Data} data @param {Measure} m @param {boolean} inverted @returns {(box: Box) => Box[]}
 */
export const expander = (data, m, inverted) => (inverted ? callers(data, m) : callees(data, m));

/**
 * The boxes along a path, the whole first; shorter than the path where it leads nowhere.
 * @param {(box: Box) => Box[]} expand @param {Measure} m @param {number[]} path
 */
export function descend(expand, m, path) {
  const root = newBox(-1, null);
  root.total = m.sum;
  root.beside = m.besideSum;
  const boxes = [root];
  for (const func of path) {
    const next = expand(boxes[boxes.length - 1]).find((box) => box.func === func);
    if (!next) break;
    boxes.push(next);
  }
  return boxes;
}

/** @param {number} func @param {Box | null} parent @returns {Box} */
function newBox(func, parent) {
  return {
    func, depth: parent ? parent.depth + 1 : -1, x: 0, width: 0, total: 0, beside: 0, self: 0,
    items: [], leaves: null, parent, children: [], culled: null, hit: false,
  };
}

/** Widest first, so that what matters stands at the left. @param {Map<number, Box>} groups */
const ordered = (groups) => [...groups.values()].sort((a, b) => b.total - a.total || a.func - b.func);

/** Boxes below a box, from roots to leaves. @param {Data} data @param {Measure} m @returns {(box: Box) => Box[]} */
function callees(data, m) {
  const { count, end, function: func } = data.nodes;
  const processes = showsProcesses(data, m);
  return (box) => {
    /** @type {Map<number, Box>} */
    const groups = new Map();
    /** @param {number} node @param {number} until */
    const gather = (node, until) => {
      for (let at = node; at < until; at = end[at]) {
        if (!m.total[at]) continue;
        let group = groups.get(func[at]);
        if (!group) groups.set(func[at], group = newBox(func[at], box));
        group.items.push(at);
        group.total += m.total[at];
        group.beside += m.beside[at];
        group.self += m.self[at];
      }
    };
    if (box.func >= 0) for (const node of box.items) gather(node + 1, end[node]);
    else if (processes) gather(0, count);
    else for (let node = 0; node < count; node = end[node]) gather(node + 1, end[node]);
    return ordered(groups);
  };
}

/** Boxes below a box, from leaves to roots. @param {Data} data @param {Measure} m @returns {(box: Box) => Box[]} */
function callers(data, m) {
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
      group.total += m.self[leaf];
      group.beside += m.besideSelf[leaf];
      if (box.func < 0) group.self += m.self[leaf];
    };
    if (box.func < 0) {
      for (let leaf = 0; leaf < count; leaf++) if (m.self[leaf]) add(firstCaller(data, leaf), leaf);
    } else {
      box.items.forEach((at, i) => add(parent[at], box.leaves ? box.leaves[i] : at));
    }
    return ordered(groups);
  };
}

/** Where an inverted stack begins: allocators are folded into their first caller. @param {Data} data @param {number} leaf */
export function firstCaller(data, leaf) {
  const { parent, function: func } = data.nodes;
  let at = leaf;
  while (parent[at] >= 0 && data.functions.kind[func[at]] === Kind.allocator) at = parent[at];
  return parent[at] >= 0 ? at : leaf;
}

/** @param {Data} data @param {Found} found @param {Box} box */
const isHit = (data, found, box) => box.items.some((node) => found.frames[data.nodes.frame[node]] === 1);

/** Whether the search matches anything in a box that is not drawn. @param {Data} data @param {Found} found @param {Box} box */
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

/** The way to a node's box. @param {Data} data @param {Measure} m @param {number} node */
export function pathTo(data, m, node) {
  const { parent, function: func } = data.nodes;
  const path = [];
  for (let at = node; at >= 0; at = parent[at]) path.unshift(func[at]);
  if (!showsProcesses(data, m)) path.shift();
  return path;
}

/** The way to an inverted box: `depth + 1` functions up from a leaf. @param {Data} data @param {number} leaf @param {number} depth */
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

/** The heaviest stack through a box: its leaf. @param {Data} data @param {Measure} m @param {Box} box */
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
