import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fit, forms, shortName, visible } from '#names';
import { byteTicks, bytes, count, exact, exactAmount, moment, percent, span, tick, timeStep } from '#units';

/** Spaces in expectations stand for the thin space. */
const check = (format, cases) => {
  for (const [input, expected] of cases) {
    const args = Array.isArray(input) ? input : [input];
    assert.equal(format(...args).replaceAll('\u202f', ' '), expected, JSON.stringify(input));
  }
};
const KiB = 1024, MiB = 1024 ** 2, GiB = 1024 ** 3;

test('bytes', () => check(bytes, [
  [0, '0'], [1, '1 B'], [847, '847 B'], [1023, '1,023 B'], [1024, '1.0 KiB'], [1012 * KiB, '1,012 KiB'],
  [999.94 * KiB, '999.9 KiB'], [999.96 * KiB, '1,000 KiB'], [1023.4 * KiB, '1,023 KiB'], [1023.6 * KiB, '1.0 MiB'],
  [38.7 * MiB, '38.7 MiB'], [1024 * MiB, '1.00 GiB'], [1.07 * GiB, '1.07 GiB'], [1500 * GiB, '1.46 TiB'],
  [-5 * MiB, '−5.0 MiB'], [2 ** 53, '8.00 PiB'],
]));

test('counts', () => check(count, [
  [0, '0'], [99_999, '99,999'], [100_000, '100 k'], [402_400, '402 k'], [999_499, '999 k'], [999_500, '1.0 M'],
  [41_900_000, '41.9 M'], [25_512_345, '25.5 M'], [-12, '−12'], [3e9, '3.0 G'],
]));

test('exact numbers', () => {
  check(exact, [[90_333_799, '90,333,799'], [-1, '−1']]);
  check(exactAmount, [[['bytes', 90_333_799], '90,333,799 B'], [['blocks', 12], '12']]);
});

test('shares', () => check(percent, [
  [[0, 10], '0 %'], [[1, 0], '0 %'], [[10, 10], '100 %'], [[11, 10], '100 %'], [[9999, 10_000], '99.9 %'],
  [[1, 10_000], '<0.1 %'], [[29, 100], '29.0 %'], [[1, 3], '33.3 %'],
]));

test('lengths of time', () => check(span, [
  [0, '0'], [12, '12 ns'], [1500, '1.50 µs'], [340e6, '340 ms'], [999.6e6, '1.00 s'], [26.1e9, '26.1 s'],
  [59.96e9, '1 min 0.0 s'], [252.6e9, '4 min 12.6 s'], [3720e9, '1 h 2 min'],
]));

test('moments', () => check(moment, [
  [[171.3e9, 252e9], '2:51.3'], [[0, 252e9], '0:00.0'], [[41e9, 60e9], '0:41.0'], [[59.99e9, 252e9], '1:00.0'],
  [[3771.3e9, 8000e9], '1:02:51.3'], [[1.24e9, 2e9], '1.24 s'], [[86e3, 2e9], '86.0 µs'],
]));

test('axes', () => {
  check(tick, [[[90e9, 30e9], '1:30'], [[3690e9, 30e9], '1:01:30'], [[0, 1e6], '0'], [[5e6, 1e6], '5 ms'], [[1.2e9, 200e6], '1.2 s']]);
  assert.deepEqual(byteTicks(1.1 * GiB, 4.5).map((value) => bytes(value).replaceAll('\u202f', ' ')), ['0', '256.0 MiB', '512.0 MiB', '768.0 MiB', '1.00 GiB']);
  assert.deepEqual(byteTicks(1, 4), [0, 1]);
  for (const run of [1, 999, 1e6, 2e9, 60e9, 252e9, 86_400e9, 1e18]) {
    const step = timeStep(run, 10);
    assert.ok(step > 0 && run / step <= 10, `${run}: ${step}`);
  }
  assert.equal(timeStep(252e9, 10), 30e9);
});

test('names keep the end that means something', () => {
  const cases = [
    ['tilery::RasterCache::insert_or_get(tilery::TileKey const&)', [
      'tilery::RasterCache::insert_or_get(tilery::TileKey const&)', 'tilery::RasterCache::insert_or_get', 'RasterCache::insert_or_get', 'insert_or_get']],
    ['std::vector<int, std::allocator<int> >::push_back(int const&)', [
      'std::vector<int, std::allocator<int> >::push_back(int const&)', 'std::vector<int, std::allocator<int> >::push_back',
      'std::vector<…>::push_back', 'vector<…>::push_back', 'push_back']],
    ['<module>', ['<module>']],
    ['[unknown]', ['[unknown]']],
    ['main', ['main']],
    ['json.loads', ['json.loads']],
    ['operator new(unsigned long)', ['operator new(unsigned long)', 'operator new']],
    ['app::F::operator()(int) const', ['app::F::operator()(int) const', 'app::F::operator()', 'F::operator()', 'operator()']],
    ['a::operator<<(std::ostream&, a::B const&)', ['a::operator<<(std::ostream&, a::B const&)', 'a::operator<<', 'operator<<']],
    ['<app::List<T> as core::iter::Iterator>::next', ['<app::List<T> as core::iter::Iterator>::next', 'app::List<…>::next', 'List<…>::next', 'next']],
    ['core::ops::function::FnOnce::call_once{{vtable.shim}}', [
      'core::ops::function::FnOnce::call_once{{vtable.shim}}', 'ops::function::FnOnce::call_once{{vtable.shim}}',
      'function::FnOnce::call_once{{vtable.shim}}', 'FnOnce::call_once{{vtable.shim}}', 'call_once{{vtable.shim}}']],
    ['f() [clone .isra.0]', ['f() [clone .isra.0]', 'f']],
    ['(anonymous namespace)::run(int)', ['(anonymous namespace)::run(int)', '(anonymous namespace)::run', 'run']],
    ['', ['']],
  ];
  for (const [input, expected] of cases) assert.deepEqual(forms(input), expected, input);
});

test('odd names are survived', () => {
  for (const text of ['<', '>', '<<<<', '::', '()', ')(', 'operator', 'a<b', '>'.repeat(5000), '<'.repeat(5000), '::'.repeat(5000), '('.repeat(5000)]) {
    assert.ok(Array.isArray(forms(text)));
    assert.ok(shortName(text, 20).length <= 20);
  }
});

test('labels fit or are not there', () => {
  const measure = (text) => text.length;
  assert.equal(fit('tilery::RasterCache::insert_or_get', 40, measure), 'tilery::RasterCache::insert_or_get');
  assert.equal(fit('tilery::RasterCache::insert_or_get', 30, measure), 'RasterCache::insert_or_get');
  assert.equal(fit('tilery::RasterCache::insert_or_get', 13, measure), 'insert_or_get');
  assert.equal(fit('tilery::RasterCache::insert_or_get', 8, measure), 'insert_…');
  assert.equal(fit('main', 3, measure), 'ma…');
  assert.equal(fit('main', 2, measure), '');
  assert.equal(shortName('tilery::RasterCache::insert_or_get', 26), 'RasterCache::insert_or_get');
});

test('control characters are shown', () => {
  assert.equal(visible('a\u001b\u202e\ufeff\u0085é<>'), 'a\\x1b\\u202e\\ufeff\\x85é<>');
});
