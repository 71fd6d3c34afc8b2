import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kind, functionName } from '#columns';
import { blamed, functionRows } from '#functions';
import { leakedBelow, leaks } from '#leaks';
import { METRICS, measure, metricById } from '#metrics';
import { find, matchedSum, pattern } from '#search';
import { ALL, data, func } from './golden.js';

test('every metric adds up to the summary', () => {
  const { totals } = data.summary;
  const expected = {
    peak: totals.peak_bytes, leaked: totals.leaked_bytes, allocated: totals.allocated_bytes,
    allocations: totals.allocations, temporary: totals.temporary_allocations,
  };
  for (const metric of METRICS.filter(({ id }) => id !== 'growth')) {
    const m = measure(data, metric, ALL);
    assert.equal(m.sum, expected[metric.id], metric.id);
    assert.equal(m.total[0] + m.total[10], m.sum, metric.id);
  }
});

test('a process is seen at its own peak, a thread by its rows', () => {
  const peak = (filter) => measure(data, metricById('peak'), filter);
  assert.equal(peak({ process: 1, thread: -1 }).sum, data.processes[1].totals.peak_bytes);
  assert.equal(peak({ process: 0, thread: -1 }).sum, 160);
  assert.equal(peak({ process: -1, thread: 1 }).sum, 1);
  assert.equal(peak({ process: 1, thread: 0 }).sum, 0);
});

const rowsOf = (metric, fold) => {
  const m = measure(data, metricById(metric), ALL);
  return Object.fromEntries(functionRows(data, m, fold ? blamed(data) : null).map((row) => [functionName(data, row.func), [row.self, row.total]]));
};

test('total counts a function that calls itself once', () => {
  assert.deepEqual(rowsOf('peak', false), {
    '1 app 100': [2, 160], main: [1, 198], parse: [0, 157],
    'std::vector<int>::push_back(int const&)': [157, 157], 'operator new(unsigned long)': [40, 40],
  });
});

test('libraries count for their caller', () => {
  assert.deepEqual(rowsOf('peak', true), { '1 app 100': [2, 160], main: [41, 198], parse: [157, 157] });
  const sum = Object.values(rowsOf('allocated', true)).reduce((total, [self]) => total + self, 0);
  assert.equal(sum, data.summary.totals.allocated_bytes);
});

test('an unnamed function leaves the blame to a named one of its module', () => {
  // Each node calls the next: name, module, is a library.
  const who = (...chain) => {
    const [nodes, functions] = [{ count: chain.length, parent: [], function: [] }, { library: [], kind: [], module: [] }];
    chain.forEach(([name, module, library], i) => {
      nodes.parent.push(i - 1);
      nodes.function.push(i);
      functions.library.push(library ? 1 : 0);
      functions.kind.push(name === '?' ? Kind.unknown : Kind.native);
      functions.module.push(module);
    });
    return chain[blamed({ nodes, functions })[chain.length - 1]][0];
  };
  assert.equal(who(['main', 1], ['x_load', 2], ['?', 2]), 'x_load');
  assert.equal(who(['main', 1], ['step', 2], ['?', 2], ['sqlite3Malloc', 2, true], ['?', 2]), 'step');
  assert.equal(who(['main', 1], ['?', 2]), '?');
  assert.equal(who(['main', 1], ['step', 2], ['qsort', 3, true], ['?', 2]), '?');
});

test('an interpreter answers for nothing where the functions that it runs are known', () => {
  const who = (/** @type {[string, number][]} */ ...chain) => {
    const nodes = { count: chain.length, parent: chain.map((_, i) => i - 1), function: chain.map((_, i) => i) };
    const kind = chain.map(([, what]) => what);
    const interpreter = chain.map(([name]) => (name.startsWith('Py') ? 1 : 0));
    const functions = { library: kind.map(() => 0), kind, module: kind.map((what) => (what === Kind.native ? 2 : 0)), interpreter };
    return chain[blamed({ nodes, functions })[chain.length - 1]][0];
  };
  const [native, python, unknown] = [Kind.native, Kind.python, Kind.unknown];
  assert.equal(who(['main', native], ['PyEval', native], ['load', python], ['PyList', native]), 'load');
  assert.equal(who(['main', native], ['PyEval', native], ['PyList', native]), 'PyList');
  // Whoever asked for an arena is not who fills it.
  assert.equal(who(['PyEval', native], ['load', python], ['PyArena', native], ['[arena]', unknown]), '[arena]');
});

test('leaks are stacks, worst first', () => {
  const list = leaks(data, ALL);
  assert.deepEqual(list.map(({ node, bytes, blocks, first, last }) => [node, bytes, blocks, first, last]), [
    [4, 30, 3, 100_000_000, 1_000_000_000], [1, 1, 1, 400_000_000, 1_000_000_003],
  ]);
  assert.deepEqual(leaks(data, { process: 1, thread: -1 }), []);
  assert.equal(leaks(data, { process: -1, thread: 1 }).length, 1);
});

test('a search counts nested matches once', () => {
  const m = measure(data, metricById('peak'), ALL);
  const share = (text) => matchedSum(find(data, pattern(text).regex), m);
  assert.equal(share('parse'), 157);
  assert.equal(share('parse|push'), 157);
  assert.equal(share('PUSH_BACK'), 157);
  assert.equal(share('main'), 198);
  assert.equal(share('libstdc'), 40);
  assert.equal(share('main\\.c$'), 198);
  assert.equal(share('nothing'), 0);
  assert.equal(find(data, /parse/).functions[func('parse')], 1);
});

test('text that is no regular expression is searched as it is', () => {
  assert.equal(pattern(''), null);
  assert.equal(pattern('a.b').literal, false);
  const { regex, literal } = pattern('operator(');
  assert.equal(literal, true);
  assert.ok(regex.test('operator(int)'));
  assert.ok(pattern('vector<int>::push_back(int const&)').regex);
});

test('what leaked below a node is what the metric says of it', () => {
  const all = leaks(data, ALL);
  const { total, beside } = measure(data, metricById('leaked'), ALL);
  const { count, parent, end } = data.nodes;
  for (let node = 0; node < count; node++) {
    assert.deepEqual(leakedBelow(all, [node], end), { bytes: total[node], blocks: beside[node] }, `node ${node}`);
  }
  const roots = [...Array(count).keys()].filter((node) => parent[node] < 0).reverse();
  assert.equal(leakedBelow(all, roots, end).bytes, all.reduce((sum, leak) => sum + leak.bytes, 0));
});
