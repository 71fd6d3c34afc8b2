// What can be measured, and the one sum behind every view: values per node for a metric and a filter. Pure.

/** @import { Data, Pair } from '#wire' */

/**
 * @typedef {object} Metric
 * @property {string} id
 * @property {'bytes' | 'blocks'} value which of the pair is the metric
 * @property {string} of what follows a number: "38.7 MiB leaked"
 * @property {string} share what follows a share: "29.0 % of the peak"
 * @property {string} beside what the other number is called
 * @property {(data: Data, filter: Filter) => Pair} pair
 */

/**
 * Positions among processes and threads; -1 means all.
 * @typedef {{ process: number, thread: number }} Filter
 */

/** In the order of the keys 1 to 5. @type {readonly Metric[]} */
export const METRICS = Object.freeze([
  {
    id: 'peak', value: 'bytes', of: 'live at the peak', share: 'of the peak', beside: 'Blocks',
    // A process on its own is seen at its own peak.
    pair: (data, filter) => (filter.process < 0 ? data.rows.peak : data.rows.processPeak),
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

/** @param {string} id @returns {Metric} */
export const metricById = (id) => METRICS.find((metric) => metric.id === id) ?? METRICS[0];

/**
 * Sums per node: `self` is the node's own, `total` includes everything below it; the same for the other number.
 * @typedef {object} Measure
 * @property {Metric} metric
 * @property {Float64Array} self
 * @property {Float64Array} total
 * @property {Float64Array} besideSelf
 * @property {Float64Array} beside
 * @property {number} sum
 * @property {number} besideSum
 */

/** @param {Data} data @param {Metric} metric @param {Filter} filter @returns {Measure} */
export function measure(data, metric, filter) {
  const { count, parent, process } = data.nodes;
  const { node, thread } = data.rows;
  const pair = metric.pair(data, filter);
  const values = pair[metric.value];
  const others = metric.value === 'bytes' ? pair.blocks : pair.bytes;
  const self = new Float64Array(count);
  const besideSelf = new Float64Array(count);
  let sum = 0, besideSum = 0;
  for (let i = 0; i < values.length; i++) {
    const row = pair.row ? pair.row[i] : i;
    const at = node[row];
    if (filter.process >= 0 && process[at] !== filter.process) continue;
    if (filter.thread >= 0 && thread[row] !== filter.thread) continue;
    self[at] += values[i];
    besideSelf[at] += others[i];
    sum += values[i];
    besideSum += others[i];
  }
  const total = self.slice();
  const beside = besideSelf.slice();
  for (let i = count - 1; i >= 0; i--) {
    if (parent[i] < 0) continue;
    total[parent[i]] += total[i];
    beside[parent[i]] += beside[i];
  }
  return { metric, self, total, besideSelf, beside, sum, besideSum };
}
