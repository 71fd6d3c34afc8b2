// Photographs a page: `node tests/browser/picture.js URL range|dark OUT.png`. `range`: its beginning, with the
// middle of the run brushed; `dark`: its middle, in dark.

import { writeFileSync } from 'node:fs';
import { launch } from './chromium.js';

const [url, look, out] = process.argv.slice(2);
if (!out) throw new Error('usage: node tests/browser/picture.js URL range|dark OUT.png');
const browser = await launch();
const page = await browser.page({ width: look === 'dark' ? 1190 : 1280, height: look === 'dark' ? 690 : 800, dark: look === 'dark' });
await page.open(url);
await page.settled();
if (look === 'dark') {
  // What stands below: flamegraph and lists.
  await page.value('window.scrollTo(0, 600)');
} else {
  const { left, top, width, height } = await page.box('#timeline-canvas');
  await page.drag(left + width * 0.36, top + height / 2, left + width * 0.6, top + height / 2);
  await page.move(5, 5);
}
if (page.problems.length) throw new Error(page.problems.join('\n'));
writeFileSync(out, await page.screenshot(false));
await browser.close();
