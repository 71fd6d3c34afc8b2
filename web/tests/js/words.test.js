import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kind, decode } from '#columns';
import { leaks } from '#leaks';
import { intervalAt, rateBars, residentAt, series, visible } from '#timeline/series';
import { answers, arenaWords, commandLine, facts, peakByProcess, stateWords, title, trust, when } from '#words';
import { ALL, data, wire } from './golden.js';

const plain = (text) => text.replaceAll('\u202f', ' ');
const sentence = ({ label, figure, small, pieces }) =>
  plain(`${label}: ${figure} ${small} | ${pieces.map((piece) => (typeof piece === 'string' ? piece : `*${piece.text}*`)).join('')}`);
/** The golden profile with changes to its summary's totals. */
const changed = (totals, summary = {}) => {
  const other = wire();
  Object.assign(other.summary.totals, totals);
  Object.assign(other.summary, summary);
  return decode(other);
};

test('the first answers', () => {
  assert.deepEqual(answers(data).map(sentence), [
    'Leaked: 31 B | in 4 blocks at *2 places*. The worst, *parse*, holds 30 B of it, once, 100 ms to 1.00 s.',
    'Peak: 200 B at 1.20 s | *app* held 160 B, *child* 40 B. 78.5 % of it is *parse*. RSS was then 24.0 KiB.',
    'Churn: 11 temporary | 22.9 % of 48 allocations were freed at once. *parse* makes 7 of them; reusing one buffer there saves 14.6 % of all calls.',
  ]);
});

test('answers when there is nothing to say', () => {
  const quiet = changed({ leaked_blocks: 0, leaked_bytes: 0, temporary_allocations: 1 });
  assert.equal(sentence(answers(quiet)[0]), 'Leaked: 0  | Every block was freed before exit.');
  assert.equal(sentence(answers(quiet)[2]), 'Churn: 2.1 % temporary | 1 of 48 allocations. Nothing to gain here.');
  const running = changed({}, { state: 'running' });
  assert.equal(answers(running)[0].label, 'Live now');
  assert.deepEqual(stateWords(running), ['Recording, as of 2.00 s'.replaceAll(' s', '\u202fs'), 'accent']);
});

test('leaked arenas of Python are told from what lies in them', () => {
  assert.equal(arenaWords(data, leaks(data, ALL)), '');
  const other = wire();
  const { node, bytes, blocks } = leaks(data, ALL)[0];
  const leaf = data.nodes.function[node];
  other.functions.name[leaf] = other.strings.push('[pymalloc arena]') - 1;
  const words = (kind) => {
    other.functions.kind[leaf] = kind;
    const changed = decode(other);
    return plain(arenaWords(changed, leaks(changed, ALL).filter((leak) => leak.node === node)));
  };
  assert.match(words(Kind.unknown), new RegExp(`^${bytes} B of this .* ${blocks} arenas? of pymalloc, .*--python-allocators`));
  assert.equal(words(Kind.python), '', 'a function may be called so');
});

test('an empty capture has answers too', () => {
  const empty = wire();
  for (const part of ['nodes', 'rows', 'timeline']) {
    const clear = (value) => (Array.isArray(value) ? [] : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, clear(v)])) : value);
    empty[part] = clear(empty[part]);
  }
  empty.processes = [];
  empty.threads = { index: [], tid: [], name: [], process: [] };
  for (const key of Object.keys(empty.summary.totals)) empty.summary.totals[key] = 0;
  const none = decode(empty);
  assert.deepEqual(answers(none).map(sentence), [
    'Leaked: 0  | Every block was freed before exit.', 'Peak: 0  | ', 'Churn: 0 % temporary | 0 of 0 allocations. Nothing to gain here.',
  ]);
  assert.equal(series(none, -1).time.length, 0);
  assert.equal(intervalAt(series(none, -1), 5), -1);
});

test('how leaks came about', () => {
  const min = 60e9;
  assert.equal(when(0, 1e8, min, 100), 'once at start');
  assert.equal(plain(when(30e9, 30.1e9, min, 100)), 'all at 0:30.0');
  assert.equal(plain(when(24e9, 84e9, 252e9, 4.4 * 1024 ** 2)), 'from 0:24.0 to 1:24.0, on average 4.4 MiB a minute');
});

test('trust says the worst last', () => {
  const lines = (d) => trust(d).map(({ strong = '', text, level = '' }) => plain(`${level}|${strong}${text}`));
  assert.deepEqual(lines(data), ['|Nothing lost. 0 lost events, 0 unmatched frees', '|Peak exact', '|12.5 % of frames without symbols', '|0 stacks truncated']);
  assert.ok(lines(changed({}, { counted: 'arenas count' })).includes('|arenas count'));
  const bad = changed({ lost_events: 5, peak_error_bytes: 32768, unmatched_frees: 1 }, {
    state: 'cut', untracked: [{ pid: 9, exe: '/usr/bin/ffprobe', reason: 'static' }], warnings: ['jemalloc is linked in'],
  });
  assert.deepEqual(lines(bad), [
    '|1 unmatched free', '|Peak exact to ±32 KiB', '|12.5 % of frames without symbols', '|0 stacks truncated', 'warn|jemalloc is linked in',
    'warn|1 process not recorded: ffprobe: static', 'warn|Cut or damaged: events are missing; the last one is of 2.00 s',
    'bad|5 events lost (5.2 %); numbers are low',
  ]);
});

test('the head', () => {
  assert.match(plain(facts(data)), /^2 processes · 3 threads · 2\.00 s · .* · exited 0 · tiles-02$/);
  assert.match(facts(changed({}, { exit: { signal: 9 } })), /died of SIGKILL/);
  assert.match(facts(changed({}, { host: '', redacted: true })), / · redacted$/);
  assert.equal(plain(title(data)), '200 B peak, 31 B leaked · app · memtrack');
  assert.equal(commandLine(['a', 'b c', "d'e", '']), "a 'b c' 'd'\\''e' ''");
  assert.deepEqual(peakByProcess(data).map(({ process, bytes }) => [process, bytes]), [[0, 160], [1, 40]]);
});

test('the timeline adds up', () => {
  const s = series(data, -1);
  assert.deepEqual(s.bands.map(({ name, values }) => [name, [...values]]), [['1 app', [50, 70, 150, 31]], ['2 child', [0, 40, 40, 0]]]);
  assert.deepEqual([...s.heap], [50, 110, 190, 31]);
  assert.deepEqual([...s.high], [60, 120, 200, 150]);
  assert.deepEqual([...s.rate], [20, 40, 26, 10]);
  assert.deepEqual(s.peak, { at: 1.2e9, bytes: 200 });
  assert.equal(intervalAt(s, 1.2e9), 2);
  assert.equal(intervalAt(s, 9e9), 3);
  assert.deepEqual([...rateBars(s, 2, [0, s.duration])], [30, 18]);
});

test('a process of its own', () => {
  const s = series(data, 1);
  assert.deepEqual([...s.high], [0, 40, 40, 0]);
  assert.equal(s.peak.bytes, 90);
});

test('resident memory is the sum of the latest samples, until a process ends', () => {
  const s = series(data, -1);
  const at = (ns) => residentAt(s, ns);
  assert.equal(at(1e8), null);
  assert.deepEqual(at(5e8), { anon: 8192, all: 12288 });
  assert.deepEqual(at(1.2e9), { anon: 12288, all: 24576 });
  assert.deepEqual(at(1.95e9), { anon: 8192, all: 12288 });
  assert.deepEqual(at(2e9), { anon: 0, all: 0 });
});

test('spikes survive a narrow screen', () => {
  const s = series(data, -1);
  assert.deepEqual(visible(s, 1000, [0, s.duration]), [0, 1, 2, 3]);
  const narrow = visible(s, 1, [0, s.duration]);
  assert.equal(Math.max(...narrow.map((i) => s.high[i])), 200);
});

test('many processes are five and the others', () => {
  const many = wire();
  many.processes = Array.from({ length: 9 }, (_, i) => ({ ...many.processes[0], index: i + 1, name: `p${i + 1}` }));
  many.timeline.processes = many.processes.map((_, i) => ({ process: i, from: i % 4, live_bytes: [i + 1] }));
  const s = series(decode(many), -1);
  assert.deepEqual(s.bands.map((band) => band.name), ['5 p5', '6 p6', '7 p7', '8 p8', '9 p9', '4 others']);
  assert.equal(s.heap.reduce((a, b) => a + b), 45);
});
