// Compares the tables of a page in a real browser with what `memtrack table --json` says of the same capture.
// `tracker-cli/tests/page.rs` runs it: `node numbers.js PAGE TABLES`, TABLES being a file with a JSON list of those tables.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { launch } from './chromium.js';

const [url, tables] = process.argv.slice(2);
const TABS = { function: 'functions', module: 'modules', file: 'files', thread: 'threads', process: 'processes' };
/** What the page calls a row that `--json` leaves without a name. */
const NAMELESS = { module: 'no module', file: 'no file known' };

const browser = await launch();
const page = await browser.page();
await page.open(url);
await page.settled();
let compared = 0;
for (const { by, metric, sum, rows } of JSON.parse(readFileSync(tables, 'utf8'))) {
  await page.value(`location.hash = 'm=${metric}&tab=${TABS[by]}&int=1'`);
  await page.reload();
  await page.value("dispatchEvent(new Event('beforeprint'))");
  const shown = await page.value(`[...document.querySelectorAll('#functions-table tbody tr:not(.space)')].map((row) => {
    const title = (name) => row.querySelector('.c-' + name)?.title ?? '';
    return { name: title('name'), module: title('module'), own: title('self'), total: title('total') };
  })`);
  const number = (text) => Number(text.replace(/[^0-9]/g, ''));
  // A process is called after its file's name there, by the whole path here.
  const key = ({ name, module = '' }) => `${by === 'process' ? name.split(' ')[0] : name || NAMELESS[by]} ${module}`;
  const known = new Map(rows.map((row) => [key(row), row]));
  let owned = 0;
  for (const row of shown) {
    const own = number(row.own), expected = known.get(key(row));
    // The page's table of functions has processes, too, where one holds memory without a stack.
    assert.ok(expected, `${metric} by ${by}: ${key(row)} is on the page only: ${JSON.stringify([...known.keys()])}`);
    assert.deepEqual([own, number(row.total)], [expected.own, expected.total], `${metric} by ${by}: ${key(row)}`);
    owned += own;
    compared++;
  }
  assert.equal(owned, sum, `${metric} by ${by}: the page's rows add up`);
}
assert.deepEqual(page.problems, []);
await page.close();
await browser.close();
console.log(`${compared} rows compared`);
