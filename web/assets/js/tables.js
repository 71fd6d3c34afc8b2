// The rows of the table: what stacks have in common, with self and total. Pure.

/** @import { Data } from '#wire' */
/** @import { Filter, Measure } from '#metrics' */
import { Kind, functionName, moduleName } from '#columns';
import { functionRows } from '#functions';
import { eachRow } from '#metrics';

/**
 * @typedef {object} TableRow
 * @property {number} key what it is: a function, string, node, thread or process, as the table has it
 * @property {number} self
 * @property {number} total
 * @property {number} beside the other number, of `total`
 * @property {number} node where it holds most
 */

/**
 * @typedef {object} Table
 * @property {string} id
 * @property {string} title
 * @property {string} one what a row is
 * @property {(data: Data, m: Measure, filter: Filter, blame: Uint32Array | null) => TableRow[]} rows
 * @property {(data: Data, row: TableRow, blame: Uint32Array) => string} name
 * @property {(data: Data, row: TableRow, blame: Uint32Array) => number} func whose module and kind describe the row, or -1
 */

/** @type {readonly Table[]} */
export const TABLES = Object.freeze([
  {
    id: 'functions', title: 'Functions', one: 'function',
    rows: (data, m, _, blame) => functionRows(data, m, blame).map(({ func, ...row }) => ({ key: func, ...row })),
    name: (data, row) => functionName(data, row.key),
    func: (_, row) => row.key,
  },
  {
    id: 'stacks', title: 'Stacks', one: 'stack',
    rows: stacks,
    name: (data, row, blame) => functionName(data, data.nodes.function[blame[row.key]]),
    func: (data, row, blame) => data.nodes.function[blame[row.key]],
  },
  {
    id: 'modules', title: 'Modules', one: 'module',
    rows: (data, m, _, blame) => grouped(data, m, blame, (node) => data.functions.module[data.nodes.function[node]], data.strings.length),
    name: (data, row) => data.strings[row.key] || 'no module',
    func: () => -1,
  },
  {
    id: 'files', title: 'Files', one: 'file',
    rows: (data, m, _, blame) => grouped(data, m, blame, (node) => data.frames.file[data.nodes.frame[node]], data.strings.length),
    name: (data, row) => data.strings[row.key] || 'no file known',
    func: () => -1,
  },
  {
    id: 'threads', title: 'Threads', one: 'thread',
    rows: (data, m, filter) => summed(data, m, filter, (row) => data.rows.thread[row]),
    name: (data, { key }) => `${data.threads.index[key]} ${data.threads.name[key] || 'thread'} ${data.threads.tid[key]}`,
    func: () => -1,
  },
  {
    id: 'processes', title: 'Processes', one: 'process',
    rows: (data, m, filter) => summed(data, m, filter, (row) => data.nodes.process[data.rows.node[row]]),
    name: (data, { key }) => functionName(data, key),
    func: (_, { key }) => key,
  },
]);

/** @param {string} id */
export const tableById = (id) => TABLES.find((table) => table.id === id) ?? TABLES[0];

/** What describes a row beside its name. @param {Data} data @param {Table} table @param {TableRow} row @param {Uint32Array} blame */
export function rowModule(data, table, row, blame) {
  const func = table.func(data, row, blame);
  return func < 0 || data.functions.kind[func] === Kind.process ? '' : moduleName(data, func);
}

/** @param {Data} data @param {Measure} m @returns {TableRow[]} */
function stacks(data, m) {
  /** @type {TableRow[]} */
  const rows = [];
  for (let node = 0; node < data.nodes.count; node++) {
    if (m.self[node]) rows.push({ key: node, self: m.netSelf[node], total: m.netSelf[node], beside: m.besideSelf[node], node });
  }
  return rows;
}

/**
 * One row per group of nodes. A stack counts once in the total of each group that it passes through.
 * @param {Data} data @param {Measure} m @param {Uint32Array | null} blame @param {(node: number) => number} keyOf @param {number} size
 * @returns {TableRow[]}
 */
function grouped(data, m, blame, keyOf, size) {
  const { count, end, function: func } = data.nodes;
  /** @type {Map<number, TableRow>} */
  const rows = new Map();
  const open = new Uint32Array(size);
  /** @param {number} key @param {number} node */
  const rowOf = (key, node) => {
    let row = rows.get(key);
    if (!row) rows.set(key, row = { key, self: 0, total: 0, beside: 0, node });
    return row;
  };
  for (let node = 0; node < count; node++) {
    if (m.self[node]) rowOf(keyOf(blame ? blame[node] : node), node).self += m.netSelf[node];
    const key = keyOf(node);
    if (node < open[key] || !m.total[node]) continue;
    // A process is in no module: what is said of it begins below.
    if (data.functions.kind[func[node]] === Kind.process) continue;
    open[key] = end[node];
    const row = rowOf(key, node);
    row.total += m.net[node];
    row.beside += m.beside[node];
    if (m.total[node] > m.total[row.node]) row.node = node;
  }
  return [...rows.values()];
}

/**
 * One row per group of the data's rows.
 * @param {Data} data @param {Measure} m @param {Filter} filter @param {(row: number) => number} keyOf @returns {TableRow[]}
 */
function summed(data, m, filter, keyOf) {
  /** @type {Map<number, TableRow & { most: number }>} */
  const rows = new Map();
  eachRow(data, m.metric, filter, (at, value, beside) => {
    const key = keyOf(at), node = data.rows.node[at];
    let row = rows.get(key);
    if (!row) rows.set(key, row = { key, self: 0, total: 0, beside: 0, node, most: 0 });
    row.self += value;
    row.beside += beside;
    if (Math.abs(value) > row.most) {
      row.most = Math.abs(value);
      row.node = node;
    }
  });
  return [...rows.values()].map(({ most: _, ...row }) => ({ ...row, total: row.self }));
}
