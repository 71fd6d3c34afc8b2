import assert from 'node:assert/strict';
import { test } from 'node:test';
import { functionName } from '#columns';
import { boxAt, boxUnder, callersOf, descend, expander, heaviestLeaf, layout, pathOf, pathTo } from '#flame/layout';
import { boxPath, read, readTree, write, writeTree } from '#link';
import { measure, metricById } from '#metrics';
import { find } from '#search';
import { INITIAL } from '#state';
import { ALL, data, func } from './golden.js';

const peak = measure(data, metricById('peak'), ALL);
const name = (box) => functionName(data, box.func).split(/[:( ]/)[0];
/** `name x+width` of each box, row by row. */
const drawn = (view, m = peak, found = null) => layout(data, m, found, { inverted: false, zoom: [], width: 200, ...view })
  .rows.map((row) => row.map((box) => `${name(box)} ${box.x}+${box.width}`).join(' '));

test('boxes stand below their callers, widest first, lines of one function together', () => {
  assert.deepEqual(drawn({}), [
    '1 0+160 2 160+40',
    'main 0+158 main 160+40',
    'parse 0+157 operator 160+40',
    'parse 0+100 std 100+57',
    'std 0+100',
  ]);
});

test('one process is no row of its own', () => {
  const m = measure(data, metricById('peak'), { process: 1, thread: -1 });
  assert.deepEqual(drawn({}, m), ['main 0+200', 'operator 0+200']);
});

test('zoom gives a box the whole width', () => {
  const zoom = pathTo(data, peak, 3);
  assert.deepEqual(zoom.map((f) => functionName(data, f)), ['1 app 100', 'main', 'parse', 'parse']);
  assert.deepEqual(drawn({ zoom }), ['parse 0+200', 'std 0+200']);
  assert.deepEqual(drawn({ zoom: [...zoom, func('main')] }), drawn({ zoom }), 'a path that leads nowhere stops');
});

test('inverted, stacks begin at the first caller of an allocator', () => {
  assert.deepEqual(drawn({ inverted: true }), [
    'std 0+157 main 157+41 1 198+2',
    'parse 0+157 2 157+40 1 197+1',
    'parse 0+100 main 100+57',
    'main 0+100 1 100+57',
    '1 0+100',
  ]);
});

test('boxes under a pixel are counted, and a match in them is known', () => {
  const all = layout(data, peak, null, { inverted: false, zoom: [], width: 20 });
  assert.equal(all.culled, 0);
  const small = layout(data, peak, find(data, /operator/), { inverted: false, zoom: [], width: 4 });
  assert.deepEqual(small.rows.map((row) => row.map(name).join(' ')), ['1', 'main', 'parse', 'parse std', 'std']);
  assert.equal(small.culled, 1);
  assert.deepEqual(small.crumbs[0].culled, { x: 3.2, width: 0.8, count: 1, hit: true });
});

test('matches are marked', () => {
  const { rows, found } = layout(data, peak, find(data, /parse/), { inverted: false, zoom: [], width: 200 });
  assert.equal(found, true);
  assert.deepEqual(rows.flat().filter((box) => box.hit).map(name), ['parse', 'parse']);
});

test('boxes are found by place and by path', () => {
  const all = layout(data, peak, null, { inverted: false, zoom: [], width: 200 });
  const box = boxUnder(all, 3, 120);
  assert.equal(name(box), 'std');
  assert.equal(boxUnder(all, 3, 157), null);
  assert.equal(boxUnder(all, 9, 1), null);
  assert.equal(boxUnder(all, -1, 1), null);
  assert.equal(boxAt(all, pathOf(box)), box);
  assert.equal(boxAt(all, []), null);
  assert.equal(boxAt(all, [999]), null);
  assert.equal(box.self, 57);
  assert.deepEqual(box.items, [5, 9]);
  assert.equal(heaviestLeaf(data, peak, boxUnder(all, 0, 1)), 4);
  assert.equal(heaviestLeaf(data, peak, box), 5);
});

test('children never hold more than their caller, rows never overlap', () => {
  for (const inverted of [false, true]) {
    for (const id of ['peak', 'leaked', 'allocated', 'allocations', 'temporary']) {
      const { rows } = layout(data, measure(data, metricById(id), ALL), null, { inverted, zoom: [], width: 1000 });
      for (const row of rows) {
        for (const [i, box] of row.entries()) {
          assert.ok(box.children.reduce((sum, child) => sum + child.total, 0) <= box.total);
          assert.ok(i === 0 || box.x >= row[i - 1].x + row[i - 1].width - 1e-9);
        }
      }
    }
  }
});

test('nothing is drawn of nothing', () => {
  const none = measure(data, metricById('leaked'), { process: 1, thread: -1 });
  assert.deepEqual(layout(data, none, null, { inverted: false, zoom: [], width: 100 }).rows, []);
  assert.deepEqual(layout(data, none, null, { inverted: true, zoom: [3], width: 100 }).rows, []);
});

test('a view survives its address', () => {
  const state = {
    ...INITIAL, metric: 'leaked', process: 0, thread: 1, find: 'a&b=c#d', fold: false, sort: 'name', ascending: true, cursor: 12,
  };
  const { boxes, ...back } = read(`#${write(state, data, data, peak)}`, data);
  assert.deepEqual(back, state);
  assert.deepEqual(boxes, { zoom: '', select: '' });
  assert.deepEqual(read('', data), { ...INITIAL, boxes: { zoom: '', select: '' } });
  assert.deepEqual(read('#m=evil&p=99&t=-1&i=2&at=-3&sort=x', data).metric, 'peak');
  assert.equal(String(write(INITIAL, data, data, peak)), '');
});

test('a page with metrics of its own starts with its own', () => {
  const metrics = [{ id: 'after' }, { id: 'change' }];
  for (const metric of ['after', 'change']) {
    const parts = writeTree({ ...INITIAL, metric, byName: true, sandwich: 2 }, data, peak, 'after');
    assert.equal(parts.has('m'), metric === 'change');
    const { boxes: _, ...back } = readTree(parts, data, metrics, 'after');
    assert.deepEqual(back, { ...INITIAL, metric, byName: true, sandwich: 2 });
  }
  assert.equal(readTree(new URLSearchParams('m=peak'), data, metrics, 'after').metric, 'after');
});

test('boxes survive the address', () => {
  for (const inverted of [false, true]) {
    const expand = expander(data, peak, { inverted });
    const all = layout(data, peak, null, { inverted, zoom: [], width: 1000 });
    for (const box of all.rows.flat()) {
      const path = pathOf(box);
      const way = descend(expand, path);
      assert.equal(way.length, path.length + 1);
      const { boxes: { zoom } } = read(String(write({ ...INITIAL, inverted, zoom: path }, data, data, peak)), data);
      assert.deepEqual(boxPath(zoom, data, peak, inverted), path);
    }
  }
  for (const text of ['', 'x', '99', '-1', '1~', '1e3', '9'.repeat(40)]) assert.deepEqual(boxPath(text, data, peak, false), [], text);
  assert.deepEqual(callersOf(data, 12, 0), [func('main')]);
});
