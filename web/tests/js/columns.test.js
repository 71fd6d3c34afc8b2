import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ascending, decode, functionName, moduleName, place, stackOf, rowsOf } from '#columns';
import { data, wire } from './golden.js';

test('ascending numbers come back from their differences', () => {
  assert.deepEqual([...ascending([3, 0, 2])], [3, 3, 5]);
  assert.deepEqual([...ascending([])], []);
});

test('the tree has the shape that the profile has', () => {
  const { parent, end, process, count, function: func } = data.nodes;
  const text = Array.from({ length: count }, (_, i) => {
    let depth = 0;
    for (let at = i; parent[at] >= 0; at = parent[at]) depth++;
    return `${' '.repeat(depth)}${functionName(data, func[i])}`;
  });
  assert.deepEqual(text, [
    '1 app 100', ' main', '  parse', '   parse', '    std::vector<int>::push_back(int const&)',
    '   std::vector<int>::push_back(int const&)', '  [app+0x40]', ' main', '  parse',
    '   std::vector<int>::push_back(int const&)', '2 child 101', ' main', '  operator new(unsigned long)',
  ]);
  assert.equal(end[0], 10);
  assert.deepEqual([...process], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
});

test('stacks are leaf first, with places, without the process', () => {
  const lines = stackOf(data, 4).map((node) => `${functionName(data, data.nodes.function[node])} ${place(data, data.nodes.frame[node])}`);
  assert.deepEqual(lines, [
    'std::vector<int>::push_back(int const&) app/main.c:30', 'parse app/main.c:25', 'parse app/main.c:20', 'main app/main.c:10',
  ]);
  assert.equal(moduleName(data, data.nodes.function[12]), 'libstdc++.so.6');
});

test('text that a screen would obey is shown', () => {
  const hostile = wire();
  hostile.strings[3] = 'a\u001b[31m\u202eb\u2028<script>';
  hostile.processes[0].name = '\u0007';
  hostile.threads.name[0] = '\u009b';
  hostile.summary.warnings = ['\u0000'];
  const seen = decode(hostile);
  assert.equal(seen.strings[3], 'a\\x1b[31m\\u202eb\\u2028<script>');
  assert.deepEqual([seen.processes[0].name, seen.threads.name[0], seen.summary.warnings[0]], ['\\x07', '\\x9b', '\\x00']);
});

test('other data is refused by name', () => {
  assert.throws(() => decode({ schema: 'memtrack.page/2' }), /memtrack\.page\/2/);
  assert.throws(() => decode(null), /nothing/);
});

test('rows of a subtree are found in either way', () => {
  for (const nodes of [[0], [2], [2, 9], [10], [4]]) {
    assert.deepEqual(rowsOf(data, nodes, true), rowsOf(data, nodes, false), nodes.join());
  }
  assert.deepEqual(rowsOf(data, [2], true), [2, 3]);
});
