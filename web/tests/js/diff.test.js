import assert from 'node:assert/strict';
import { test } from 'node:test';
import { functionName } from '#columns';
import { changedFunctions, decodeDiff, diffSums, grown } from '#diff/columns';
import { expander } from '#flame/layout';
import { wire } from './golden.js';

/** app: main calls read (10 before, 30 after), old (8, 0), same (5, 5); read calls grow (0, 4). */
const side = (total) => ({ names: ['x.mtk'], command: ['app'], duration_ns: [1], totals: [total] });
const difference = decodeDiff({
  schema: 'memtrack.diffpage/1', metric: 'peak', unit: 'bytes', before: side(23), after: side(39), renamed: [], noise: 0, redacted: true,
  strings: ['', 'app', 'main', 'read', 'old', 'same', 'grow'],
  functions: { name: [1, 2, 3, 4, 5, 6], module: [0, 0, 0, 0, 0, 0], kind: [7, 0, 0, 0, 0, 0], library: [0, 0, 0, 0, 0, 0], interpreter: [0, 0, 0, 0, 0, 0] },
  frames: { function: [0, 1, 2, 3, 4, 5], file: [0, 0, 0, 0, 0, 0], line: [0, 0, 0, 0, 0, 0] },
  nodes: { up: [0, 1, 1, 1, 3, 4], frame: [0, 1, 2, 5, 3, 4] },
  stacks: { node: [2, 1, 1, 1], before: [10, 0, 8, 5], after: [30, 4, 0, 5] },
});
const name = (box) => functionName(difference.tree, box.func);

test('a box has its width, its change and what it was', () => {
  for (const [width, sum] of [['after', 39], ['before', 23], ['change', 32]]) {
    const sums = diffSums(difference, width);
    assert.deepEqual([sums.sum, sums.netSum, sums.besideSum], [sum, 16, 23], width);
    const boxes = expander(difference.tree, sums, { inverted: false });
    const [main] = boxes(boxes.root);
    assert.deepEqual([name(main), main.total, main.net, main.beside], ['main', sum, 16, 23], width);
    const below = Object.fromEntries(boxes(main).map((box) => [name(box), [box.net, box.beside]]));
    assert.deepEqual(below, { read: [24, 10], old: [-8, 8], same: [0, 5] }, `${width}: what has no width keeps its numbers`);
  }
});

test('inverted boxes add up both sides, also where one of them is nothing', () => {
  const sums = diffSums(difference, 'after');
  const boxes = expander(difference.tree, sums, { inverted: true });
  const top = Object.fromEntries(boxes(boxes.root).map((box) => [name(box), [box.total, box.net, box.beside]]));
  assert.deepEqual(top, { read: [30, 20, 10], grow: [4, 4, 0], old: [0, -8, 8], same: [5, 0, 5] });
});

test('growth is a share of the larger side', () => {
  for (const [before, after, share] of [[0, 5, 1], [5, 0, -1], [5, 10, 0.5], [10, 5, -0.5], [3, 3, 0]]) {
    assert.equal(grown({ net: after - before, beside: before }), share);
  }
});

test('functions that changed, the largest change of their own first', () => {
  assert.deepEqual(changedFunctions(difference).map(({ func, self, total, beside }) => [functionName(difference.tree, func), self, total, beside]),
    [['read', 20, 24, 10], ['old', -8, -8, 8], ['grow', 4, 4, 0], ['main', 0, 16, 23]]);
});

test('a capture is no difference', () => {
  assert.throws(() => decodeDiff(wire()), /reads memtrack\.diffpage\/1, but the data says memtrack\.page\/1/);
});
