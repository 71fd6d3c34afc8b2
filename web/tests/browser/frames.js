// How much script a page runs per frame, measured and not judged:
// `cargo run --release -p web --example sample -- million page.html && node tests/browser/frames.js file:///…/page.html`
//
// Prints the longest and the median script time of each kind of frame, in milliseconds.

import { launch } from './chromium.js';

const [url] = process.argv.slice(2);
if (!url) throw new Error('usage: node tests/browser/frames.js URL');

/** Time of each task that runs scripts is summed from one frame to the next. */
const WATCH = `(() => {
  let spent = 0;
  const wrap = (target, name) => {
    const original = target[name];
    target[name] = function (type, listener, ...rest) {
      return original.call(this, type, typeof listener === 'function' ? function (...args) {
        const start = performance.now();
        try { return listener.apply(this, args); } finally { spent += performance.now() - start; }
      } : listener, ...rest);
    };
  };
  wrap(EventTarget.prototype, 'addEventListener');
  const micro = window.queueMicrotask.bind(window);
  window.queueMicrotask = (task) => micro(() => {
    const start = performance.now();
    try { task(); } finally { spent += performance.now() - start; }
  });
  window.takeSpent = () => { const was = spent; spent = 0; return was; };
})()`;

const browser = await launch();
const page = await browser.page({ before: WATCH });
const start = performance.now();
await page.open(url);
await page.settled();
console.log(`first picture after ${Math.round(performance.now() - start)} ms; ${await page.value('performance.memory.usedJSHeapSize >> 20')} MiB of heap`);
console.log(`nodes: ${await page.value("document.getElementById('functions-foot').textContent")}`);

/** Runs `act` several times and prints what its frames cost. */
async function measure(name, times, act) {
  const spent = [];
  for (let i = 0; i < times; i++) {
    await page.value('takeSpent()');
    await act(i);
    await page.settled();
    spent.push(await page.value('takeSpent()'));
  }
  spent.sort((a, b) => a - b);
  console.log(`${name.padEnd(34)} median ${spent[times >> 1].toFixed(1).padStart(7)} ms   most ${spent[times - 1].toFixed(1).padStart(7)} ms`);
}

const flame = await page.box('#flame-area');
const time = await page.box('#timeline-canvas');
await measure('hover over the flamegraph', 40, (i) => page.move(flame.left + 20 + i * 20, flame.top + 9 + 18 * (i % 9)));
await measure('scroll the flamegraph', 20, (i) => page.value(`document.getElementById('flame-area').scrollTop = ${i * 7}`));
await page.value("document.getElementById('flame-area').scrollTop = 0");
await measure('select a frame', 12, (i) => page.click(flame.left + 40 + i * 60, flame.top + 9 + 18 * (2 + (i % 4))));
await measure('zoom in and out', 10, (i) => page.key(i % 2 ? 'Escape' : 'Enter'));
await measure('hover over the timeline', 40, (i) => page.move(time.left + 80 + i * 20, time.top + 60));
await measure('time zoom', 8, (i) => page.key(i < 4 ? '+' : '-'));
await measure('another metric', 8, (i) => page.key(['4', '5', '6', '1'][i % 4]));
await measure('another range', 10, (i) => page.key(i % 2 ? ']' : '['));
await measure('inverted and back', 4, () => page.key('i'));
await measure('callers and callees', 4, () => page.key('s'));
await measure('fold recursion', 4, () => page.key('r'));
await page.key('0');
await measure('scroll the table', 20, (i) => page.value(`document.getElementById('functions-scroll').scrollTop = ${i * 60}`));
await browser.close();
