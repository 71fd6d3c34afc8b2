// The overview in sentences. Pure: numbers in, pieces of text out, some of them links to the view that proves them.

/** @import { Data } from '#wire' */
import { Kind, functionName, place } from '#columns';
import { blamed, functionRows } from '#functions';
import { leaks } from '#leaks';
import { measure, metricById } from '#metrics';
import { shortName } from '#names';
import { history } from '#slices';
import { residentAt, series } from '#timeline/series';
import { THIN, bytes, bytesParts, count, countParts, exact, moment, percent, span } from '#units';

/**
 * Text, or a link: it shows a metric, and in it a node.
 * @typedef {string | { text: string, metric?: string, node?: number, part?: string }} Piece
 * @typedef {{ label: string, figure: string, small: string, bad?: boolean, pieces: Piece[] }} Answer
 */

const ALL = { process: -1, thread: -1 };
/** Below this share temporary allocations are not worth a change. */
const LOW_CHURN = 0.05;

/** @param {Data} data @returns {Answer[]} */
export function answers(data) {
  const blame = blamed(data);
  return [leaked(data, blame), peak(data, blame), churn(data, blame)];
}

/** Functions by what they answer for. @param {Data} data @param {string} metric @param {Uint32Array} blame */
function ranked(data, metric, blame) {
  const rows = functionRows(data, measure(data, metricById(metric), ALL), blame);
  return rows.sort((a, b) => b.self - a.self).filter((row) => row.self > 0);
}

/** @param {Data} data @param {import('#functions').FunctionRow} row @param {string} metric @returns {Piece} */
const named = (data, row, metric) => ({ text: shortName(functionName(data, row.func), 36), metric, node: row.node });

/** @param {Data} data @param {Uint32Array} blame @returns {Answer} */
function leaked(data, blame) {
  const { totals, state, duration_ns: run } = data.summary;
  const running = state === 'running';
  const label = running ? 'Live now' : 'Leaked';
  if (!totals.leaked_blocks) {
    const text = running ? 'No block is live.' : 'Every block was freed before exit.';
    return { label, figure: '0', small: '', pieces: [text] };
  }
  const [figure, unit] = bytesParts(totals.leaked_bytes);
  const stacks = leaks(data, ALL).filter((leak) => !leak.rule);
  const apart = totals.leaked_blocks - stacks.reduce((sum, leak) => sum + leak.blocks, 0);
  const [worst] = ranked(data, 'leaked', blame);
  /** @type {Piece[]} */
  const pieces = [
    `in ${count(totals.leaked_blocks)} ${plural(totals.leaked_blocks, 'block')}${apart ? `, ${count(apart)} of them known one-time ones, the rest` : ''} at `,
    { text: `${exact(stacks.length)} ${plural(stacks.length, 'place')}`, part: 'leaks' }, '. ',
  ];
  if (worst) {
    const own = stacks.filter((leak) => data.nodes.function[blame[leak.node]] === worst.func);
    const first = own.reduce((least, leak) => Math.min(least, leak.first), run), last = own.reduce((most, leak) => Math.max(most, leak.last), 0);
    pieces.push(stacks.length > 1 ? 'The worst, ' : 'It is ', named(data, worst, 'leaked'));
    pieces.push(stacks.length > 1 ? `, holds ${bytes(worst.self)} of it` : '');
    const past = data.slices && own.length ? history(data.slices, own.flatMap((leak) => leak.rows)) : null;
    pieces.push(`${stacks.length > 1 ? ',' : ':'} ${past && data.slices ? course(data.slices.bounds, past.leaked, first, last, run) : when(first, last, run, worst.self)}.`);
  }
  return { label, figure, small: unit, pieces };
}

/**
 * How leaked blocks came about, as far as the first and the last one tell.
 * @param {number} first @param {number} last @param {number} run @param {number} size
 */
export function when(first, last, run, size) {
  if (last - first < run / 50) return last < run / 10 ? 'once at start' : `all at ${moment(first, run)}`;
  const perMinute = (size * 60e9) / (last - first);
  const grew = run >= 60e9 ? `, on average ${bytes(Math.round(perMinute))} a minute` : '';
  return `from ${moment(first, run)} to ${moment(last, run)}${grew}`;
}

/** @param {Data} data @param {Uint32Array} blame @returns {Answer} */
function peak(data, blame) {
  const { totals, duration_ns: run } = data.summary;
  const [figure, unit] = totals.peak_bytes ? bytesParts(totals.peak_bytes) : ['0', ''];
  const small = totals.peak_bytes ? `${unit} at ${moment(totals.peak_at_ns, run)}` : '';
  const holders = peakByProcess(data);
  const top = ranked(data, 'peak', blame);
  /** @type {Piece[]} */
  const pieces = [];
  if (holders.length > 1) {
    holders.slice(0, 3).forEach(({ process, bytes: held, node }, i) => {
      pieces.push(i ? ', ' : '', { text: processName(data, process), metric: 'peak', node });
      pieces.push(`${i ? '' : ' held'} ${bytes(held)}`);
    });
    const rest = holders.length - 3;
    pieces.push(rest > 0 ? `, ${exact(rest)} ${plural(rest, 'other')} the rest. ` : '. ');
    if (top[0]) pieces.push(`${percent(top[0].self, totals.peak_bytes)} of it is `, named(data, top[0], 'peak'), '. ');
  } else if (top[0]) {
    pieces.push('Most of it: ', named(data, top[0], 'peak'), ` ${bytes(top[0].self)}`);
    if (top[1]) pieces.push(', ', named(data, top[1], 'peak'), ` ${bytes(top[1].self)}`);
    pieces.push('. ');
  }
  const rss = residentAt(series(data, -1), totals.peak_at_ns);
  if (rss?.all) pieces.push(`RSS was then ${bytes(rss.all)}.`);
  return { label: 'Peak', figure, small, pieces };
}

/** A process's name, with its number where others have the same. @param {Data} data @param {number} position */
export function processName({ processes }, position) {
  const { name, index } = processes[position];
  return processes.some((other, i) => other.name === name && i !== position) ? `${index} ${name}` : name;
}

/** What each process held at the capture's peak, largest first. @param {Data} data */
export function peakByProcess(data) {
  const { peak: pair, node } = data.rows;
  const { process, end, count: nodes } = data.nodes;
  const held = new Float64Array(data.processes.length);
  pair.bytes.forEach((value, i) => (held[process[node[pair.row ? pair.row[i] : i]]] += value));
  const roots = new Map();
  for (let i = 0; i < nodes; i = end[i]) roots.set(process[i], i);
  return [...held.entries()]
    .filter(([, value]) => value > 0)
    .map(([position, value]) => ({ process: position, bytes: value, node: roots.get(position) ?? 0 }))
    .sort((a, b) => b.bytes - a.bytes);
}

/** @param {Data} data @param {Uint32Array} blame @returns {Answer} */
function churn(data, blame) {
  const { temporary_allocations: temporary, allocations } = data.summary.totals;
  const share = allocations ? temporary / allocations : 0;
  if (share < LOW_CHURN) {
    const figure = percent(temporary, allocations).split(THIN)[0];
    const text = `${count(temporary)} of ${count(allocations)} allocations. Nothing to gain here.`;
    return { label: 'Churn', figure: `${figure}${THIN}%`, small: 'temporary', pieces: [text] };
  }
  const [figure, unit] = countParts(temporary);
  const [worst] = ranked(data, 'temporary', blame);
  /** @type {Piece[]} */
  const pieces = [`${percent(temporary, allocations)} of ${count(allocations)} allocations were freed at once. `];
  if (worst) {
    pieces.push(named(data, worst, 'temporary'), ` makes ${count(worst.self)} of them; reusing one buffer there saves `);
    pieces.push(`${percent(worst.self, allocations)} of all calls.`);
  }
  return { label: 'Churn', figure: unit ? `${figure}${THIN}${unit}` : figure, small: 'temporary', pieces };
}

/**
 * Whether the numbers can be believed, worst last.
 * @param {Data} data @returns {{ strong?: string, text: string, level?: 'warn' | 'bad' }[]}
 */
export function trust(data) {
  const { totals, frames, untracked, warnings, counted, state, duration_ns: run } = data.summary;
  /** @type {ReturnType<typeof trust>} */
  const items = [];
  const unmatched = `${exact(totals.unmatched_frees)} unmatched ${plural(totals.unmatched_frees, 'free')}`;
  if (!totals.lost_events && state !== 'cut') items.push({ strong: 'Nothing lost.', text: ` 0 lost events, ${unmatched}` });
  else items.push({ text: unmatched });
  items.push({ text: totals.peak_error_bytes ? `Peak exact to ±${bytes(totals.peak_error_bytes).replace('.0', '')}` : 'Peak exact' });
  if (frames) items.push({ text: `${percent(totals.unresolved_frames, frames)} of frames without symbols` });
  items.push({ text: `${exact(totals.truncated_stacks)} ${plural(totals.truncated_stacks, 'stack')} truncated` });
  if (counted) items.push({ text: counted });
  for (const text of warnings) items.push({ text, level: 'warn' });
  if (untracked.length) {
    const { exe, reason } = untracked[0];
    const more = untracked.length > 1 ? `; ${exact(untracked.length - 1)} more` : '';
    const what = `${exact(untracked.length)} ${untracked.length === 1 ? 'process' : 'processes'} not recorded`;
    items.push({ text: `${what}: ${exe.slice(exe.lastIndexOf('/') + 1)}: ${reason}${more}`, level: 'warn' });
  }
  if (state === 'cut') items.push({ strong: 'Cut or damaged:', text: ` events are missing; the last one is of ${moment(run, run)}`, level: 'warn' });
  if (totals.lost_events) {
    const events = totals.allocations + totals.frees + totals.lost_events;
    const level = totals.lost_events * 100 >= events ? 'bad' : 'warn';
    items.push({ strong: `${exact(totals.lost_events)} events lost`, text: ` (${percent(totals.lost_events, events)}); numbers are low`, level });
  }
  return items;
}

/** The line beside the command. @param {Data} data */
export function facts(data) {
  const { summary, processes, threads } = data;
  const all = [
    `${exact(processes.length)} ${processes.length === 1 ? 'process' : 'processes'}`,
    `${exact(threads.tid.length)} ${plural(threads.tid.length, 'thread')}`,
    span(summary.duration_ns),
  ];
  if (summary.start_unix_ms) {
    const date = new Intl.DateTimeFormat('en-GB', {
      day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit',
    });
    all.push(date.format(summary.start_unix_ms).replace(',', ''));
  }
  if (summary.exit) all.push(ending(summary.exit));
  if (summary.host) all.push(summary.host);
  if (summary.redacted) all.push('redacted');
  return all.join(' · ');
}

const SIGNALS = new Map([
  [1, 'SIGHUP'], [2, 'SIGINT'], [3, 'SIGQUIT'], [4, 'SIGILL'], [5, 'SIGTRAP'], [6, 'SIGABRT'], [7, 'SIGBUS'],
  [8, 'SIGFPE'], [9, 'SIGKILL'], [11, 'SIGSEGV'], [13, 'SIGPIPE'], [14, 'SIGALRM'], [15, 'SIGTERM'],
]);

/** @param {{ code: number } | { signal: number }} exit */
function ending(exit) {
  if ('code' in exit) return `exited ${exit.code}`;
  return `died of ${SIGNALS.get(exit.signal) ?? `signal ${exit.signal}`}`;
}

/** The state chip: its words and its colour. @param {Data} data @returns {[string, 'good' | 'accent' | 'warn']} */
export function stateWords(data) {
  const { state, duration_ns: run } = data.summary;
  if (state === 'running') return [`Recording, as of ${moment(run, run)}`, 'accent'];
  if (state === 'cut') return [`Cut at ${moment(run, run)}`, 'warn'];
  return ['Complete', 'good'];
}

/** The tab's title. @param {Data} data */
export function title(data) {
  const { totals, command, name, state } = data.summary;
  const program = command[0]?.split('/').pop() || name;
  const left = state === 'running' ? 'live' : 'leaked';
  return `${bytes(totals.peak_bytes)} peak, ${bytes(totals.leaked_bytes)} ${left} · ${program} · memtrack`;
}

/** The command as a shell would take it. @param {string[]} command */
export function commandLine(command) {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}

/**
 * One line about a leak: how it came about, and where it is.
 * @param {Data} base the whole run @param {Data} data @param {import('#leaks').Leak} leak
 * @param {number} node the one that answers for it @param {import('#slices').History | null} past
 */
export function leakWords(base, data, leak, node, past) {
  const at = place(data, data.nodes.frame[node]);
  const { first, last, bytes: size } = leak;
  const run = base.summary.duration_ns;
  const verdict = past && base.slices
    ? course(base.slices.bounds, past.leaked, first, last, run) : when(first, last, run, size);
  return at ? `${verdict} · ${at}` : verdict;
}

/** Most of a steady growth lies this near to a straight line, as a share of its height. */
const STEADY = 0.12;
/** Growth in fewer steps than this is told step by step. */
const FEW = 3;

/**
 * How leaked bytes came about, from their level at the end of each slice.
 * @param {Float64Array} bounds @param {Float64Array} leaked @param {number} first @param {number} last @param {number} run
 */
export function course(bounds, leaked, first, last, run) {
  const count = leaked.length;
  const high = leaked[count - 1];
  if (!(high > 0)) return 'all of it freed later';
  if (last - first < run / 50) return last < run / 10 ? 'once at start' : `all at ${moment(first, run)}`;
  const begin = leaked.findIndex((level) => level > 0);
  let end = count - 1;
  while (end > begin && leaked[end - 1] === high) end--;
  let steps = 0;
  for (let i = begin; i <= end; i++) if (leaked[i] > (i ? leaked[i - 1] : 0)) steps++;
  if (steps <= FEW) return `${steps === 1 ? 'once' : `in ${steps} steps`}, ${moment(first, run)} to ${moment(last, run)}`;
  let off = 0;
  for (let i = begin; i <= end; i++) {
    const straight = (high * (i - begin + 1)) / (end - begin + 1);
    off = Math.max(off, Math.abs(leaked[i] - straight));
  }
  const seconds = (bounds[end + 1] - bounds[begin]) / 1e9;
  const [length, unit] = run >= 60e9 ? [seconds / 60, 'min'] : [seconds, 's'];
  const rate = `${bytes(Math.round(high / length))}/${unit}`;
  const grows = end >= count - Math.max(2, count / 20);
  if (off <= STEADY * high) return grows ? `grows ${rate} from ${moment(first, run)} on` : `grew ${rate} from ${moment(first, run)} to ${moment(last, run)}`;
  const half = bounds[Math.max(begin, leaked.findIndex((level) => level >= high / 2))];
  return `in bursts from ${moment(first, run)} to ${moment(last, run)}, half of it by ${moment(half, run)}`;
}

/** The frame that stands for memory which pymalloc cuts small objects from. */
const ARENA = '[pymalloc arena]';

/** What leaked arenas of Python mean; empty where there are none. @param {Data} data @param {import('#leaks').Leak[]} leaks */
export function arenaWords({ nodes, functions, strings, summary }, leaks) {
  let size = 0, number = 0;
  for (const leak of leaks) {
    const leaf = nodes.function[leak.node];
    if (functions.kind[leaf] !== Kind.unknown || strings[functions.name[leaf]] !== ARENA) continue;
    size += leak.bytes;
    number += leak.blocks;
  }
  if (!number) return '';
  return `${bytes(size)} of this ${number === 1 ? 'is' : 'are'} ${exact(number)} ${plural(number, 'arena')} of pymalloc, which small Python objects share: one counts as long as a single object in it lives, under the stack of whoever needed room next. ${summary.counted ? 'Without --arenas each object counts instead.' : 'memtrack run --python-allocators records each object, too.'}`;
}

/** Whether blocks like the leaked ones are freed at all. @param {import('#slices').History} past */
export function lifetimeWords({ lifetimes, never }) {
  const freed = lifetimes.reduce((all, one) => all + one, 0);
  if (!freed) return `None of its ${count(never)} blocks was ever freed`;
  return `${count(freed)} blocks from here were freed, ${count(never)} never`;
}

/** @param {number} n @param {string} word */
export const plural = (n, word) => (n === 1 ? word : word.endsWith('s') ? `${word}es` : `${word}s`);
