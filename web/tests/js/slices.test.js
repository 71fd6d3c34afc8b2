import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaks } from '#leaks';
import { measure, metricById } from '#metrics';
import { LIFETIMES, history, liveAtEnds, nearestBound, snapped, within } from '#slices';
import { course } from '#words';
import { ALL, data } from './golden.js';

const { slices } = data;
const sums = (d) => Object.fromEntries(['peak', 'growth', 'leaked', 'allocated', 'allocations', 'temporary']
  .map((id) => [id, measure(d, metricById(id), ALL).netSum]));

test('what is live at the ends of slices is what the profile says', () => {
  assert.deepEqual([...liveAtEnds(data, slices, -1)], [172, 1252, 200, 31]);
  assert.deepEqual([...liveAtEnds(data, slices, 1)], [0, 900, 40, 0]);
});

test('a range of everything says what the whole says, and nothing is live but what leaked', () => {
  const { totals } = data.summary;
  assert.deepEqual(sums(within(data, { from: 0, to: 4 }, 2)), {
    peak: totals.peak_bytes, growth: totals.leaked_bytes, leaked: totals.leaked_bytes, allocated: totals.allocated_bytes,
    allocations: totals.allocations, temporary: totals.temporary_allocations,
  });
  assert.equal(within(data, null, -1), data);
});

test('parts of the run add up, and what a range leaves over is what it did not free', () => {
  const parts = [0, 1, 2, 3].map((from) => sums(within(data, { from, to: from + 1 }, from)));
  for (const id of ['growth', 'allocated', 'allocations', 'temporary']) {
    assert.equal(parts.reduce((all, part) => all + part[id], 0), sums(within(data, { from: 0, to: 4 }, 3))[id], id);
  }
  assert.deepEqual(parts.map((part) => part.peak), [172, 1252, 200, 31]);
  assert.deepEqual(parts.map((part) => part.growth), [172, 1080, -1052, -169]);
  assert.deepEqual(parts.map((part) => part.leaked), [172, 1094, 100, 0]);
  // Of what slice 1 allocated and slice 2 did not free: 4 of 9 blocks, 5 of 10, and the 2 bytes without a stack.
  assert.equal(sums(within(data, { from: 1, to: 3 }, 2)).leaked, 40 + 50 + 2 + 100);
});

test('every node has its part in a range', () => {
  const ranged = within(data, { from: 2, to: 3 }, 2);
  for (const id of ['growth', 'peak', 'leaked']) {
    const m = measure(ranged, metricById(id), ALL);
    assert.equal(m.net[0] + m.net[10], m.netSum, id);
    assert.equal(m.total[0] + m.total[10], m.sum, id);
  }
  const growth = measure(ranged, metricById('growth'), ALL);
  assert.deepEqual([growth.net[10], growth.total[10]], [-860, 860]);
  const [left] = leaks(ranged, ALL);
  assert.deepEqual([left.node, left.blocks, left.bytes], [4, 10, 100]);
  assert.ok(left.first >= 1e9 && left.last <= 1.5e9);
});

test('moments snap to the nearest bound, ranges are never empty', () => {
  assert.deepEqual([0, 2.4e8, 2.6e8, 1.9e9, 9e9].map((at) => nearestBound(slices, at)), [0, 0, 1, 4, 4]);
  assert.deepEqual(snapped(slices, 1.4e9, 0.6e9), { from: 1, to: 3 });
  assert.deepEqual(snapped(slices, 1e9, 1e9), { from: 2, to: 3 });
  assert.deepEqual(snapped(slices, 2e9, 2e9), { from: 3, to: 4 });
});

test('a stack has a history: live, leaked by birth, lifetimes, never freed', () => {
  // The row of main > parse > parse > push: 20 allocations, 3 leaked.
  const past = history(slices, [2]);
  assert.deepEqual([...past.live], [150, 150, 100, 30]);
  assert.deepEqual([...past.leaked], [0, 0, 30, 30]);
  assert.equal(past.never, 3);
  assert.deepEqual([...past.lifetimes], [7, 7, 3, ...Array(LIFETIMES - 3).fill(0)]);
});

test('how a leak came about is told from its course', () => {
  const bounds = Float64Array.from({ length: 101 }, (_, i) => i * 1e9);
  const words = (level, first, last) => course(bounds, Float64Array.from({ length: 100 }, (_, i) => level(i)), first, last, 100e9).replaceAll('\u202f', ' ');
  assert.equal(words(() => 5, 0, 1e9), 'once at start');
  assert.equal(words((i) => (i < 50 ? 0 : 9), 50e9, 50.5e9), 'all at 0:50.0');
  assert.equal(words((i) => (i + 1) * 1024, 0, 99.9e9), 'grows 60.0 KiB/min from 0:00.0 on');
  assert.equal(words((i) => Math.min(i + 1, 50) * 1024, 0, 49.9e9), 'grew 60.0 KiB/min from 0:00.0 to 0:49.9');
  assert.equal(words((i) => (i < 20 ? 10 : 20), 0, 20e9), 'in 2 steps, 0:00.0 to 0:20.0');
  assert.equal(words((i) => (i < 80 ? i : 1000 + i), 1e9, 99e9), 'in bursts from 0:01.0 to 1:39.0, half of it by 1:20.0');
  assert.equal(words(() => 0, 0, 50e9), 'all of it freed later');
});
