// What can be measured, and the one sum behind every view: values per node for a metric and a filter. Pure.

/** @import { Data, Pair } from '#wire' */
import { amount, amountParts } from '#units';

/**
 * How a number is written, drawn and called.
 * @typedef {object} Quantity
 * @property {'bytes' | 'blocks'} value
 * @property {string} of what follows a number: "38.7 MiB leaked"
 * @property {string} [none] what did not happen where there is nothing; as `of` unless said otherwise
 * @property {boolean} [signed] it can be less than nothing
 * @property {(box: { total: number, net: number, beside: number }) => number} [grown] of a signed one: the share by which a box grew, -1 to 1
 */

/**
 * What rows have.
 * @typedef {object} RowMetric
 * @property {string} id
 * @property {string} share what follows a share: "29.0 % of the peak"
 * @property {string} beside what the other number is called
 * @property {(data: Data, filter: Filter) => Pair} pair where its numbers are, `value` first
 * @typedef {Quantity & RowMetric} Metric
 */

/**
 * Positions among processes and threads; -1 means all.
 * @typedef {{ process: number, thread: number }} Filter
 */

/** @type {Pair} */
const NOTHING = { row: new Uint32Array(0), blocks: new Float64Array(0), bytes: new Float64Array(0) };

/** In the order of the keys 1 to 6. @type {readonly Metric[]} */
export const METRICS = Object.freeze([
  {
    id: 'peak', value: 'bytes', of: 'live at the peak', share: 'of the peak', beside: 'Blocks',
    // A process on its own is seen at its own peak.
    pair: (data, filter) => (filter.process < 0 ? data.rows.peak : data.rows.processPeak),
  },
  {
    id: 'growth', value: 'bytes', of: 'net change', none: 'added or taken away', share: 'of all change', beside: 'Blocks', signed: true,
    grown: ({ net, total }) => (total ? net / total : 0),
    pair: (data) => data.rows.growth ?? NOTHING,
  },
  {
    id: 'leaked', value: 'bytes', of: 'leaked', share: 'of all leaked', beside: 'Blocks',
    pair: (data) => data.rows.leaked,
  },
  {
    id: 'allocated', value: 'bytes', of: 'allocated', share: 'of all allocated', beside: 'Allocations',
    pair: (data) => data.rows.allocated,
  },
  {
    id: 'allocations', value: 'blocks', of: 'allocations', share: 'of all', beside: 'Bytes',
    pair: (data) => data.rows.allocated,
  },
  {
    id: 'temporary', value: 'blocks', of: 'temporary allocations', share: 'of all temporary', beside: 'Bytes',
    pair: (data) => data.rows.temporary,
  },
]);

const AT_MOMENT = Object.freeze({ ...METRICS[0], of: 'live then', share: 'of all live then' });
const LEFT_OVER = Object.freeze({ ...METRICS[2], of: 'left over', share: 'of all left over' });

/** A value of a metric as text, `+1.2 MiB` where it could be negative. @param {Quantity} metric @param {number} n */
export const shown = (metric, n) => (metric.signed && n > 0 ? '+' : '') + amount(metric.value, n);

/** The same as number and unit. @param {Quantity} metric @param {number} n @returns {[string, string]} */
export function shownParts(metric, n) {
  const [text, unit] = amountParts(metric.value, n);
  return [(metric.signed && n > 0 ? '+' : '') + text, unit];
}

/**
 * The metric as it is called at a moment other than the peak, or in a range of time.
 * @param {string} id @param {boolean} atMoment @param {boolean} inRange @returns {Metric}
 */
export function metricFor(id, atMoment, inRange) {
  if (id === 'peak' && atMoment) return AT_MOMENT;
  return id === 'leaked' && inRange ? LEFT_OVER : metricById(id);
}

/** @param {string} id @returns {Metric} */
export const metricById = (id) => METRICS.find((metric) => metric.id === id) ?? METRICS[0];

/**
 * Sums per node: `self` is the node's own, `total` includes everything below it; the same for the other number. Of a
 * signed metric these are sizes, to be laid out, and `net` is what they come to; of others both are the same.
 * @typedef {object} Sums
 * @property {Quantity} metric
 * @property {Float64Array} self
 * @property {Float64Array} total
 * @property {Float64Array} netSelf
 * @property {Float64Array} net
 * @property {Float64Array} besideSelf
 * @property {Float64Array} beside
 * @property {number} sum
 * @property {number} netSum
 * @property {number} besideSum
 */

/** Sums of what rows have. @typedef {Sums & { metric: Metric }} Measure */

/** @param {Data} data @param {Metric} metric @param {Filter} filter @returns {Measure} */
export function measure(data, metric, filter) {
  const { count, parent } = data.nodes;
  const netSelf = new Float64Array(count);
  const besideSelf = new Float64Array(count);
  let netSum = 0, besideSum = 0;
  eachRow(data, metric, filter, (row, value, beside) => {
    const at = data.rows.node[row];
    netSelf[at] += value;
    besideSelf[at] += beside;
    netSum += value;
    besideSum += beside;
  });
  const net = upwards(netSelf, parent);
  const beside = upwards(besideSelf, parent);
  if (!metric.signed) {
    return { metric, self: netSelf, total: net, netSelf, net, besideSelf, beside, sum: netSum, netSum, besideSum };
  }
  const self = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += self[i] = Math.abs(netSelf[i]);
  return { metric, self, total: upwards(self, parent), netSelf, net, besideSelf, beside, sum, netSum, besideSum };
}

/** Each node's own and everything below it. @param {Float64Array} own @param {Int32Array} parent */
export function upwards(own, parent) {
  const total = own.slice();
  for (let i = total.length - 1; i >= 0; i--) if (parent[i] >= 0) total[parent[i]] += total[i];
  return total;
}

/**
 * Every row that has a value and passes the filter, with both of its numbers.
 * @param {Data} data @param {Metric} metric @param {Filter} filter
 * @param {(row: number, value: number, beside: number) => void} take
 */
export function eachRow(data, metric, filter, take) {
  const { process } = data.nodes;
  const { node, thread } = data.rows;
  const pair = metric.pair(data, filter);
  const values = pair[metric.value];
  const others = metric.value === 'bytes' ? pair.blocks : pair.bytes;
  for (let i = 0; i < values.length; i++) {
    if (!values[i] && !others[i]) continue;
    const row = pair.row ? pair.row[i] : i;
    const at = node[row];
    if (at < 0) continue;
    if (filter.process >= 0 && process[at] !== filter.process) continue;
    if (filter.thread >= 0 && thread[row] !== filter.thread) continue;
    take(row, values[i], others[i]);
  }
}
