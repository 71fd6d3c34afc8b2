// What is shown, from the data and the state: one step after the other, each computed once per change of what it
// depends on. Pure.
//
//   data → a range of time and a moment → a shape of the tree → a metric and a filter → rows, leaks, matches

/** @import { Data, Tree } from '#wire' */
/** @import { Measure, Sums } from '#metrics' */
/** @import { Found } from '#search' */
/** @import { State } from '#state' */
import { descend, expander, pathTo } from '#flame/layout';
import { blamed } from '#functions';
import { leaks } from '#leaks';
import { measure, metricFor } from '#metrics';
import { moduleRanks } from '#modules';
import { find, pattern } from '#search';
import { reshape, reshaped } from '#shape';
import { liveAtEnds, nearestBound, within } from '#slices';
import { memo } from '#state';
import { peakByProcess } from '#words';

/**
 * What a call tree is drawn from.
 * @typedef {object} Scene
 * @property {Tree} data
 * @property {State} state
 * @property {Sums} measure
 * @property {Found | null} found
 * @property {string} scope what the whole is called
 */

/**
 * What every part of the page is given to show.
 * @typedef {object} Model
 * @property {Data} base the whole capture
 * @property {Data} data what the reader wants to see of it
 * @property {State} state
 * @property {boolean} running
 * @property {number} moment end of the slice whose live blocks are shown, nanoseconds; -1: the peak
 * @property {Measure} measure
 * @property {Found | null} found
 * @property {Uint32Array} blame
 * @property {import('#leaks').Leak[]} leaks
 * @property {{ process: number, bytes: number }[]} held
 * @property {ReturnType<typeof moduleRanks>} modules
 * @property {number} selectedLeaf leaf of the selected stack, or -1
 * @property {string} scope the filter in words
 * @property {(node: number) => number[]} pathTo
 */

/** @returns {(data: Data, state: State) => Model} */
export function deriver() {
  const endsOnce = memo((/** @type {Data} */ base, /** @type {number} */ process) => (base.slices ? liveAtEnds(base, base.slices, process) : new Float64Array(0)));
  const withinOnce = memo((/** @type {Data} */ base, /** @type {number} */ from, /** @type {number} */ to, /** @type {number} */ moment) =>
    within(base, from < 0 ? null : { from, to }, moment));
  const shapeOnce = memo((/** @type {Data} */ base, /** @type {number[]} */ focus, /** @type {number[]} */ exclude, /** @type {number[]} */ modules, /** @type {boolean} */ recursion, /** @type {boolean} */ interpreter) =>
    reshape(base, { focus, exclude, modules, recursion, interpreter }));
  const shapedOnce = memo(reshaped);
  const measureOnce = memo((/** @type {Data} */ d, /** @type {import('#metrics').Metric} */ metric, /** @type {number} */ process, /** @type {number} */ thread) =>
    measure(d, metric, { process, thread }));
  const leaksOnce = memo((/** @type {Data} */ d, /** @type {number} */ process, /** @type {number} */ thread) => leaks(d, { process, thread }));
  // Names do not change with the range: these depend on the tree alone.
  const findOnce = memo((/** @type {Data} */ { strings, frames, functions }, /** @type {Data['nodes']} */ nodes, /** @type {string} */ text) => {
    const wanted = pattern(text);
    return wanted && find({ strings, frames, functions, nodes }, wanted.regex);
  });
  const blamedOnce = memo((/** @type {Data['functions']} */ functions, /** @type {Data['nodes']} */ nodes) => blamed({ functions, nodes }));
  const heldOnce = memo(peakByProcess);
  const modulesOnce = memo(moduleRanks);

  return (base, state) => {
    const { metric, process, thread, focus, exclude, modules, recursion, interpreter } = state;
    const [from, to] = sliceRange(base, state);
    const at = momentSlice(base, state, from, to, () => endsOnce(base, process));
    const shaped = shapeOnce(base, focus, exclude, modules, recursion, interpreter);
    const data = shapedOnce(shaped, withinOnce(base, from, to, at));
    const measured = measureOnce(data, metricFor(metric, at >= 0, from >= 0), process, thread);
    return {
      base, data, state,
      running: base.summary.state === 'running',
      moment: at < 0 || !base.slices ? -1 : base.slices.bounds[at + 1],
      measure: measured,
      found: findOnce(base, data.nodes, state.find),
      blame: blamedOnce(base.functions, data.nodes),
      leaks: leaksOnce(data, process, thread),
      held: heldOnce(base),
      modules: modulesOnce(base),
      selectedLeaf: leafOf(data, measured, state),
      scope: scopeWords(base, state),
      pathTo: (node) => pathTo(data, measured, node),
    };
  };
}

/** @param {Data} base @param {State} state */
function sliceRange({ slices }, { range }) {
  if (!slices || !range) return [-1, -1];
  return range.map((at) => nearestBound(slices, at));
}

/**
 * The slice at whose end live blocks are shown: where the cursor is, else where a range has most, else -1 for the peak,
 * which is exact.
 * @param {Data} base @param {State} state @param {number} from @param {number} to @param {() => Float64Array} ends
 */
function momentSlice({ slices, summary, processes }, { cursor, process }, from, to, ends) {
  if (!slices) return -1;
  if (cursor !== null) return Math.max(0, nearestBound(slices, cursor) - 1);
  if (from < 0) return -1;
  const { peak_at_ns: peak } = process < 0 ? summary.totals : processes[process].totals;
  if (peak >= slices.bounds[from] && peak < slices.bounds[to]) return -1;
  const live = ends();
  let best = from;
  for (let i = from; i < to; i++) if (live[i] > live[best]) best = i;
  return best;
}

/** The node that a selected path ends in, where it is a single stack's leaf. @param {Data} data @param {Measure} m @param {State} state */
function leafOf(data, m, state) {
  if (state.inverted || !state.select.length) return -1;
  const way = descend(expander(data, m, { inverted: false, byName: state.byName }), state.select);
  const box = way[way.length - 1];
  return way.length > state.select.length && box.items.length === 1 ? box.items[0] : -1;
}

/** @param {Data} data @param {State} state */
function scopeWords({ processes, threads }, state) {
  if (state.thread >= 0) return `Thread ${threads.index[state.thread]} ${threads.name[state.thread]}`;
  if (state.process >= 0) return `${processes[state.process].index} ${processes[state.process].name}`;
  return processes.length > 1 ? `All ${processes.length} processes` : 'All';
}
