import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collapsed } from '#collapsed';
import { functionName } from '#columns';
import { layout, recursionDepth } from '#flame/layout';
import { measure, metricById } from '#metrics';
import { moduleRanks } from '#modules';
import { reshape, reshaped, shapedPath } from '#shape';
import { TABLES, tableById } from '#tables';
import { blamed } from '#functions';
import { ALL, data, func } from './golden.js';

const PLAIN = { focus: [], exclude: [], modules: [], recursion: false, interpreter: true };
const shape = (change) => reshaped(reshape(data, { ...PLAIN, ...change }), data);
const peak = (d) => measure(d, metricById('peak'), ALL);
const lines = (d) => collapsed(d, peak(d)).trimEnd().split('\n').map((line) => line.replace('std::vector<int>::push_back(int const&)', 'push').replace('operator new(unsigned long)', 'new'));

test('stacks as lines are exact', () => {
  assert.deepEqual(lines(data), ['main;parse;parse;push 100', 'main;parse;push 57', 'main;new 40', '[unknown] 2', 'main 1']);
});

test('focus keeps stacks through a function, exclude those without', () => {
  assert.deepEqual(lines(shape({ focus: [func('parse')] })), ['main;parse;parse;push 100', 'main;parse;push 57']);
  assert.deepEqual(lines(shape({ exclude: [func('parse')] })), ['main;new 40', '[unknown] 2', 'main 1']);
  assert.deepEqual(lines(shape({ focus: [func('main'), func('parse')] })), ['main;parse;parse;push 100', 'main;parse;push 57']);
  assert.equal(peak(shape({ focus: [func('parse')], exclude: [func('main')] })).sum, 0);
});

test('recursion folds, hidden modules count for their callers, nothing is lost', () => {
  const folded = shape({ recursion: true });
  assert.deepEqual(lines(folded), ['main;parse;push 157', 'main;new 40', '[unknown] 2', 'main 1']);
  const without = shape({ modules: [data.functions.module[func('operator new(unsigned long)')]] });
  assert.deepEqual(lines(without), ['main;parse;parse;push 100', 'main;parse;push 57', 'main 41', '[unknown] 2']);
  for (const d of [folded, without]) {
    assert.equal(peak(d).sum, 200);
    for (let node = 0; node < d.nodes.count; node++) {
      const up = d.nodes.parent[node];
      assert.ok(up < node && (up < 0 || d.nodes.end[node] <= d.nodes.end[up]), 'still in preorder');
    }
  }
  const path = ['1 app 100', 'main', 'parse', 'parse'].map(func);
  assert.deepEqual(shapedPath(data, { ...PLAIN, recursion: true }, path), path.slice(0, 3));
  assert.equal(reshape(data, PLAIN), null);
});

test('an interpreter is hidden where the program that it runs is seen, and only there', () => {
  // As if parse were Python, and main and push the interpreter.
  const kind = data.functions.kind.slice(), interpreter = new Uint8Array(kind.length);
  kind[func('parse')] = 2;
  for (const name of ['main', 'std::vector<int>::push_back(int const&)', 'operator new(unsigned long)']) interpreter[func(name)] = 1;
  const python = { ...data, functions: { ...data.functions, kind, interpreter } };
  const seen = reshaped(reshape(python, { ...PLAIN, interpreter: false }), python);
  assert.deepEqual(lines(seen), ['parse;parse 100', 'parse 57', 'main;new 40', '[unknown] 3']);
  assert.equal(reshape(python, PLAIN), null);
});

test('a function stands between its callers and its callees', () => {
  const m = peak(data);
  const { rows, crumbs } = layout(data, m, null, { inverted: false, zoom: [], width: 157, sandwich: func('parse') });
  const text = rows.map((row) => row.map((box) => `${functionName(data, box.func).split(/[:( ]/)[0]} ${box.x}+${box.width}`).join(' '));
  assert.deepEqual(text, ['1 0+157', 'main 0+157', 'parse 0+157', 'parse 0+100 std 100+57', 'std 0+100']);
  assert.deepEqual(rows.map((row) => row[0].depth), [0, 1, 2, 3, 4]);
  assert.equal(crumbs[1].total, 157);
  assert.equal(recursionDepth(data, func('parse')), 2);
  assert.equal(recursionDepth(data, func('main')), 1);
});

test('every table adds up, with and without libraries counting for their callers', () => {
  const m = peak(data);
  for (const blame of [null, blamed(data)]) {
    for (const table of TABLES) {
      const rows = table.rows(data, m, ALL, blame);
      assert.equal(rows.reduce((sum, row) => sum + row.self, 0), 200, table.id);
      assert.ok(rows.every((row) => row.total <= 200 && table.name(data, row, blamed(data)) !== undefined));
    }
  }
  const named = (id) => Object.fromEntries(tableById(id).rows(data, m, ALL, null).map((row) => [tableById(id).name(data, row, blamed(data)), [row.self, row.total]]));
  assert.deepEqual(named('modules'), { 'no module': [2, 0], '/opt/app': [158, 198], '/lib/libstdc++.so.6': [40, 40] });
  assert.deepEqual(named('threads'), { '1 app 100': [159, 159], '2 io 102': [1, 1], '3 child 101': [40, 40] });
  assert.deepEqual(named('processes'), { '1 app 100': [160, 160], '2 child 101': [40, 40] });
  assert.deepEqual(named('files'), { 'no file known': [42, 40], '/src/app/main.c': [158, 198] });
});

test('modules are ranked over the whole capture', () => {
  const { rank, largest } = moduleRanks(data);
  assert.deepEqual(largest.map((text) => data.strings[text]), ['/opt/app']);
  assert.equal(rank[func('main')], 0);
  assert.equal(rank[func('operator new(unsigned long)')], 6);
});
