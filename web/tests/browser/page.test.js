// The page in a real browser. `cargo test -p web --test page` makes the files and starts the server it looks at.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, test as nodeTest } from 'node:test';
import { launch } from './chromium.js';

const { PAGE_SEVERAL, PAGE_MANY, PAGE_SMALL, PAGE_HOSTILE, PAGE_SERVED, PAGE_SOURCE, PAGE_RUNNING, PAGE_TWO, PAGE_DIFF, PAGE_SHOTS } = process.env;
let browser;
before(async () => {
  for (const [name, value] of Object.entries({ PAGE_SEVERAL, PAGE_MANY, PAGE_SMALL, PAGE_HOSTILE, PAGE_SERVED, PAGE_SOURCE, PAGE_RUNNING, PAGE_TWO, PAGE_DIFF })) {
    if (!value) throw new Error(`${name} is not set: run this through cargo test -p web --test page.`);
  }
  browser = await launch();
});
after(() => browser?.close());

/** A test that does not wait for ever. */
const test = (name, run) => nodeTest(name, { timeout: 60_000 }, run);

/** A page that must end without a problem and without asking anyone but where it came from. */
async function visit(url, options = {}, check) {
  const page = await browser.page(options);
  await page.open(url);
  await page.settled();
  await check(page);
  const origin = url.startsWith('file:') ? url.split('#')[0] : new URL(url).origin;
  assert.deepEqual(page.requests.filter((address) => !address.startsWith(origin)), [], 'requests to elsewhere');
  if (url.startsWith('file:')) assert.equal(page.requests.length, 1, 'an exported page asks for nothing');
  assert.deepEqual(page.problems, []);
  await page.close();
}

const shot = async (page, name) => {
  if (!PAGE_SHOTS) return;
  mkdirSync(PAGE_SHOTS, { recursive: true });
  writeFileSync(`${PAGE_SHOTS}/${name}.png`, await page.screenshot());
};

/** The pixels of a part of a canvas, read from a copy. */
const pixels = (id, box) => `(() => {
  const c = document.getElementById('${id}'), copy = Object.assign(document.createElement('canvas'), { width: c.width, height: c.height });
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(c, 0, 0);
  return context.getImageData(${box ?? '0, 0, c.width, c.height'}).data;
})()`;

/** How many colours other than the background a canvas shows, and the share of such pixels. */
const painted = (id) => `(() => {
  const d = ${pixels(id)};
  const colours = new Set(); let drawn = 0;
  for (let i = 0; i < d.length; i += 4) if (d[i + 3]) { drawn++; colours.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]); }
  return { colours: colours.size, share: drawn / (d.length / 4) };
})()`;

/** Frames in the order of a walk with the arrow keys: the text of the selected tree item. */
const selected = (page) => page.value("document.querySelector('#flame-selected')?.textContent ?? ''");
const hash = (page) => page.value('location.hash');

test('flamegraph and timeline are drawn, in the colours of the kinds', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    for (const id of ['flame-canvas', 'timeline-canvas']) {
      const { colours, share } = await page.value(painted(id));
      assert.ok(colours > 5 && share > 0.05, `${id}: ${colours} colours on ${share}`);
    }
    assert.match(await page.text('#answers'), /Leaked[\s\S]*Peak[\s\S]*812\.4[\s\S]*Churn/);
    assert.match(await page.text('#trust'), /Nothing lost/);
    assert.match(await page.value('document.title'), /812\.4\u202fMiB peak, .* leaked · python3 · memtrack/);
    await shot(page, 'light');
  });
});

test('a click selects, a second click zooms, Escape and the crumbs lead back', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const { left, top } = await page.box('#flame-area');
    await page.click(left + 40, top + 27);
    assert.match(await selected(page), /^clone3, /);
    assert.match(await page.text('#inspector h3'), /clone3/);
    const whole = await page.value(painted('flame-canvas'));
    await page.click(left + 40, top + 27);
    assert.match(await page.text('#crumbs'), /All 3 processes[\s\S]*clone3/);
    assert.notDeepEqual(await page.value(painted('flame-canvas')), whole);
    assert.match(await hash(page), /z=\d+/);
    await page.key('Escape');
    await page.key('Escape');
    assert.match(await page.text('#crumbs'), /^All 3 processes\s*812\.4/);
    await page.key('Enter');
    assert.match(await page.text('#crumbs'), /clone3/);
    await page.press('#crumbs button');
    assert.doesNotMatch(await page.text('#crumbs'), /clone3/);
  });
});

test('arrow keys walk, and the tree says where', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    await page.value("document.getElementById('flame-area').focus()");
    for (let i = 0; i < 6; i++) await page.key('ArrowUp');
    assert.match(await selected(page), /^1 app 100, 160\u202fB, 80\.0/);
    await page.key('ArrowDown');
    assert.match(await selected(page), /^main, 158/);
    await page.key('ArrowUp');
    await page.key('ArrowRight');
    assert.match(await selected(page), /^2 child 101, 40/);
    await page.key('ArrowLeft');
    assert.match(await selected(page), /^1 app 100/);
    const level = await page.value("document.querySelector('#flame-selected').getAttribute('aria-level')");
    assert.equal(level, '1');
    assert.equal(await page.value("document.getElementById('flame-area').getAttribute('aria-activedescendant')"), 'flame-selected');
  });
});

test('search says its share, fades what does not match, and filters the lists', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    const before = await page.value(painted('flame-canvas'));
    await page.key('/');
    assert.equal(await page.value('document.activeElement.id'), 'find');
    await page.type('parse|push_back');
    await page.until("document.getElementById('found').textContent !== ''");
    assert.match(await page.text('#found'), /^78\.5\u202f% · /, 'nested matches count once');
    assert.notDeepEqual(await page.value(painted('flame-canvas')), before);
    assert.match(await page.text('#functions-foot'), /1 of 3 functions match/);
    assert.match(await page.text('#leaks-sum'), /30\u202fB at 1 place/);
    await page.key('Escape');
    await page.key('n');
    assert.match(await selected(page), /^parse/);
    assert.match(await page.text('#found'), /\d of 4/);
    await page.key('Escape');
    assert.equal(await page.text('#found'), '');
    await page.key('/');
    await page.type('operator(');
    await page.until("document.getElementById('found').title.includes('searched as text')");
  });
});

test('metrics and inversion switch by key and by button', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    for (const [key, text] of [['3', '31'], ['4', '1.6'], ['5', '48'], ['6', '11'], ['1', '200'], ['2', '200']]) {
      await page.key(key);
      assert.ok((await page.text('#functions-sum')).startsWith(text), `${key}: ${await page.text('#functions-sum')}`);
      assert.ok((await page.text('#functions-foot')).includes(`add up to ${text}`));
    }
    await page.key('i');
    assert.match(await page.text('#crumbs'), /Inverted, by callers/);
    assert.match(await hash(page), /i=1/);
    await page.press('#inverted');
    assert.doesNotMatch(await hash(page), /i=1/);
    await page.press('#metrics button:nth-child(3)');
    assert.match(await hash(page), /m=leaked/);
    await page.key('0');
    assert.doesNotMatch(await hash(page), /m=/);
  });
});

test('process and thread filters show that process at its own peak', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    const choose = (id, value) => page.value(`(() => { const s = document.getElementById('${id}'); s.value = '${value}'; s.dispatchEvent(new Event('change')); })()`);
    await choose('process', 1);
    await page.settled();
    assert.match(await page.text('#functions-sum'), /^90\u202fB/);
    await choose('process', -1);
    await choose('thread', 1);
    await page.settled();
    assert.match(await page.text('#functions-sum'), /^1\u202fB/);
    assert.match(await hash(page), /t=2/);
  });
});

test('rows of both lists select in the flamegraph', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    await page.press('#functions-table tbody tr:nth-child(4) .fn');
    const name = await page.value("document.querySelector('#functions-table tr.sel .fn').closest('td').title");
    assert.ok((await selected(page)).startsWith(name), name);
    await page.press('#leaks-list li:nth-child(2) .leak');
    assert.match(await hash(page), /m=leaked/);
    assert.equal(await page.value("document.querySelectorAll('#leaks-list .leak.sel').length"), 1);
    assert.match(await page.text('#inspector .big'), /of all leaked/);
    await page.press('#answers .strong');
    assert.match(await hash(page), /m=leaked/);
    assert.ok((await selected(page)).length > 0);
  });
});

test('the table sorts, and makes only the rows that are seen', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const first = () => page.value("document.querySelector('#functions-table tbody tr:nth-child(2) td').title");
    const before = await first();
    await page.press('#functions-table th.c-name button');
    assert.notEqual(await first(), before);
    assert.equal(await page.value("document.querySelector('th.c-name').getAttribute('aria-sort')"), 'ascending');
    await page.press('#functions-table th.c-name button');
    assert.equal(await page.value("document.querySelector('th.c-name').getAttribute('aria-sort')"), 'descending');
    assert.match(await hash(page), /sort=name/);
    const [made, all] = await page.value("[document.querySelectorAll('#functions-table tbody tr:not(.space)').length, +document.getElementById('functions-table').getAttribute('aria-rowcount') - 1]");
    assert.ok(made < all, `${made} of ${all}`);
    await page.value("document.getElementById('functions-scroll').scrollTop = 1e6");
    await page.settled();
    assert.equal(await page.value("+[...document.querySelectorAll('#functions-table tbody tr:not(.space)')].at(-1).getAttribute('aria-rowindex')"), all + 1);
  });
});

test('the tooltip has exact numbers and stays off the row it explains', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const { left, top } = await page.box('#flame-area');
    await page.move(left + 100, top + 27);
    const text = await page.text('#tip');
    assert.match(text, /clone3/);
    assert.match(text, /[\d,]{9,}\u202fB/);
    assert.match(text, /% of all · .*% of caller/);
    const tip = await page.value("(() => { const r = document.getElementById('tip').getBoundingClientRect(); return { top: r.top, bottom: r.bottom } })()");
    assert.ok(tip.top >= top + 36 || tip.bottom <= top + 18, JSON.stringify(tip));
    await page.move(5, 5);
    assert.equal(await page.value("document.getElementById('tip').hidden"), true);
  });
});

test('the timeline reads out under the pointer and keeps a clicked moment', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    assert.match(await page.text('#legend'), /at peak, 2:51/);
    const { x, y } = await page.box('#timeline-canvas');
    await page.move(x, y);
    assert.match(await page.text('#legend'), /at 2:0\d/);
    await page.click(x, y);
    await page.move(5, 5);
    assert.match(await page.text('#legend'), /at 2:0\d/);
    assert.match(await hash(page), /at=\d+/);
    await page.key('Escape');
    assert.match(await page.text('#legend'), /at peak/);
  });
});

test('a range is dragged, moved, resized and left, and everything follows', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    const { left, top, width, height } = await page.box('#timeline-canvas');
    const at = (seconds) => left + width * (0.06 + 0.94 * (seconds / 2));
    const y = top + height / 2;
    await page.drag(at(0.45), y, at(1.05), y);
    // Snapped to the slices of half a second.
    assert.match(await hash(page), /r=500000000-1000000000/);
    assert.match(await page.text('#range'), /500\u202fms – 1\.00\u202fs · 500\u202fms/);
    assert.match(await page.text('#crumbs'), /1\.2\u202fKiB live then/, 'live at the highest slice end');
    assert.match(await page.text('#metrics'), /Live at 1\.00\u202fs/);
    for (const [key, text] of [['2', '+1.1\u202fKiB'], ['3', '1.1\u202fKiB'], ['4', '1.1\u202fKiB'], ['5', '20'], ['6', '2']]) {
      await page.key(key);
      assert.ok((await page.text('#functions-sum')).startsWith(text), `${key}: ${await page.text('#functions-sum')}`);
      assert.ok((await page.text('#functions-foot')).includes(`add up to ${text}`));
    }
    assert.match(await page.text('#leaks-title'), /Left over/);
    assert.match(await page.text('#leaks-sum'), /1\.1\u202fKiB at 3 places/);
    await page.key(']');
    assert.match(await hash(page), /r=1000000000-1500000000/);
    assert.match(await page.text('#leaks-sum'), /100\u202fB at 1 place/);
    // The range now holds the peak, which is exact.
    await page.key('1');
    assert.match(await page.text('#crumbs'), /200\u202fB live/);
    // An end is taken and dragged.
    await page.drag(at(1.5), y, at(1.98), y);
    assert.match(await hash(page), /r=1000000000-2000000000/);
    await page.key('2');
    assert.ok((await page.text('#functions-sum')).startsWith('\u22121.2\u202fKiB'), await page.text('#functions-sum'));
    assert.ok((await page.value(painted('flame-canvas'))).colours > 3);
    await page.press('#range .tag');
    assert.doesNotMatch(await hash(page), /r=/);
    assert.match(await page.text('#leaks-sum'), /31\u202fB at 2 places/);
  });
});

test('time is zoomed and panned, and a moment shows what was live', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    const { left, top, width, height } = await page.box('#timeline-canvas');
    await page.click(left + width * 0.3, top + height / 2);
    assert.match(await page.text('#metrics'), /Live at 500\u202fms/);
    assert.match(await page.text('#functions-sum'), /^172\u202fB/);
    const whole = await page.value(painted('timeline-canvas'));
    await page.key('+');
    assert.match(await hash(page), /w=\d+-\d+/);
    assert.match(await page.text('#range'), /shows/);
    assert.notDeepEqual(await page.value(painted('timeline-canvas')), whole);
    const before = await hash(page);
    await page.send('Input.dispatchMouseEvent', { type: 'mouseWheel', x: left + width / 2, y: top + height / 2, deltaX: 200, deltaY: 0 });
    await page.until(`location.hash !== ${JSON.stringify(before)}`);
    await page.key('-');
    await page.key('-');
    assert.doesNotMatch(await hash(page), /w=/);
    await page.key('Home');
    assert.match(await page.text('#metrics'), /Live at peak 1\.20\u202fs/);
  });
});

test('focus, exclude, hidden modules and folded recursion are chips with a way out', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    const choose = async (name) => {
      await page.value(`[...document.querySelectorAll('#functions-table .fn')].find((one) => one.textContent.startsWith('${name}')).click()`);
      await page.settled();
    };
    await choose('parse');
    await page.key('f');
    assert.match(await page.text('#chips'), /only through parse/);
    assert.match(await page.text('#functions-sum'), /^157\u202fB/);
    assert.match(await hash(page), /only=\d+/);
    await page.key('f');
    assert.equal(await page.text('#chips'), '');
    await choose('parse');
    await page.key('x');
    assert.match(await page.text('#functions-sum'), /^43\u202fB/);
    await page.press('#chips .tag');
    assert.match(await page.text('#functions-sum'), /^200\u202fB/);
    await page.key('r');
    assert.match(await page.text('#chips'), /recursion folded/);
    await choose('main');
    await page.key('m');
    assert.match(await page.text('#chips'), /app hidden/);
    assert.match(await page.text('#functions-sum'), /^200\u202fB/);
    await page.key('Escape');
    assert.match(await page.text('#chips'), /^recursion folded/);
  });
});

test('callers and callees of a function stand around it', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    await page.value("[...document.querySelectorAll('#functions-table .fn')].find((one) => one.textContent === 'parse').click()");
    await page.settled();
    await page.key('s');
    assert.match(await page.text('#crumbs'), /parse[\s\S]*157\u202fB · 78\.5\u202f%[\s\S]*recurses, up to 2 deep/);
    assert.match(await page.text('#inspector h3'), /parse/);
    const { left, top, height, width } = await page.box('#flame-area');
    assert.ok(height >= 5 * 18, `${height}: two callers, itself, two callees`);
    await page.move(left + width / 2, top + 27);
    assert.match(await page.text('#tip'), /^main/);
    await page.click(left + width / 2, top + 27);
    assert.match(await page.text('#crumbs'), /main[\s\S]*198\u202fB/);
    assert.match(await hash(page), /both=/);
    await page.key('Escape');
    assert.doesNotMatch(await hash(page), /both=/);
  });
});

test('the picture turns, sorts and takes other colours', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const picture = () => page.value(`[...${pixels('flame-canvas')}].reduce((a, b) => (a * 31 + b) | 0, 7)`);
    const plain = await picture();
    for (const [key, name] of [['v', 'up'], ['l', 'az'], ['k', 'mod']]) {
      await page.key(key);
      assert.match(await hash(page), new RegExp(`${name}=1`));
      assert.notEqual(await picture(), plain, key);
      await page.key(key);
      assert.equal(await picture(), plain, key);
    }
    await page.key('k');
    assert.match(await page.text('#kinds'), /tile-encoder/);
    await page.press('.menu:not(#save) summary');
    await page.press('#view-menu button');
    assert.match(await hash(page), /up=1/);
    const { left, top, height } = await page.box('#flame-area');
    await page.move(left + 100, top + height - 9);
    assert.match(await page.text('#tip'), /encoder/, 'roots are at the bottom');
    await shot(page, 'modules');
  });
});

test('an interpreter\'s frames are hidden beside the frames of its program, and one key shows them', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const rows = async () => Number((await page.text('#functions-foot')).replaceAll(',', '').match(/^\d+/)[0]);
    const hidden = await rows();
    await page.key('y');
    assert.ok(await rows() > hidden);
    assert.match(await hash(page), /int=1/);
    assert.match(await page.text('#kinds'), /Python/);
  });
});

test('every table of the lists adds up, and its rows lead on', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    for (const [tab, rows] of [['stacks', 6], ['modules', 3], ['files', 2], ['threads', 3], ['processes', 2]]) {
      await page.press(`#tab-${tab}`);
      assert.match(await page.text('#functions-foot'), new RegExp(`^${rows} \\w+; all rows add up to 200\u202fB`), tab);
    }
    await page.press('#functions-table tbody tr:nth-child(2) .fn');
    assert.match(await hash(page), /p=1/);
    await page.press('#tab-modules');
    await page.press('#functions-table tbody tr:nth-child(2) .fn');
    assert.match(await page.text('#found'), /%/);
    await page.key('0');
    await page.value("document.getElementById('tab-modules').focus()");
    await page.key('ArrowRight');
    await page.settled();
    assert.equal(await page.value('document.activeElement.id'), 'tab-files');
  });
});

test('how the program allocates is told in tables, known one-time leaks stand apart', async () => {
  await visit(PAGE_SMALL, {}, async (page) => {
    await page.box('#habits');
    await page.until("document.getElementById('habits').textContent !== ''");
    const text = await page.text('#habits');
    assert.match(text, /Sizes[\s\S]*8 – 15\s+40/);
    assert.match(text, /Lifetimes[\s\S]*up to 500\u202fms\s+13[\s\S]*never freed\s+4/);
    assert.match(text, /Temporary allocations\s+11: [\s\S]*22\.9\u202f% of all calls/);
    await page.press('#habits .fn');
    assert.match(await hash(page), /m=temporary/);
    assert.equal(await page.value("document.querySelectorAll('#leaks-list canvas.spark[role=img][aria-label]').length"), 4);
  });
});

test('g and a letter go to a part, ? lists every key', async () => {
  await visit(PAGE_SEVERAL, { height: 500 }, async (page) => {
    await page.key('g');
    await page.key('k');
    assert.equal(await page.value('document.activeElement.id'), 'leaks');
    assert.doesNotMatch(await hash(page), /mod=1/, 'the letter is not the key of that name');
    await page.key('?');
    const list = await page.text('#keys');
    for (const word of ['find', 'focus', 'callers and callees', 'range', 'zoom the time', 'interpreter']) assert.ok(list.includes(word), word);
    await shot(page, 'keys');
    await page.key('Escape');
  });
});

test('a view is restored from its address', async () => {
  let address = '', crumbs = '', inspector = '';
  await visit(PAGE_SEVERAL, {}, async (page) => {
    await page.key('4');
    for (const key of ['k', 'l', 'f', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'Enter']) await page.key(key);
    const { left, top, width, height } = await page.box('#timeline-canvas');
    await page.drag(left + width * 0.2, top + height / 2, left + width * 0.8, top + height / 2);
    await page.press('#tab-modules');
    await page.key('/');
    await page.type('Raster.*get');
    await page.until("location.hash.includes('q=')");
    address = await hash(page);
    crumbs = await page.text('#crumbs');
    inspector = await page.text('#inspector');
  });
  await visit(`${PAGE_SEVERAL}${address}`, {}, async (page) => {
    assert.equal(await hash(page), address);
    assert.equal(await page.text('#crumbs'), crumbs);
    assert.equal(await page.text('#inspector'), inspector);
    assert.equal(await page.value("document.getElementById('find').value"), 'Raster.*get');
  });
});

test('stacks are copied and the SVG is offered, with names as text', async () => {
  const before = `window.copied = []; Object.defineProperty(navigator, 'clipboard', { value: { writeText: async (t) => { window.copied.push(t) } } });
    window.offered = []; URL.createObjectURL = (blob) => { blob.text().then((t) => window.offered.push(t)); return 'blob:x' };
    HTMLAnchorElement.prototype.click = function () {};`;
  await visit(PAGE_HOSTILE, { before: `${before} window.pwned = () => { throw new Error('a name ran as a script') };` }, async (page) => {
    await page.key('c');
    await page.until('window.copied.length === 1');
    assert.match(await page.value('window.copied[0]'), /live at the peak, .*\n {2}/);
    await page.press('#save summary');
    await page.press('#save-svg');
    await page.until('window.offered.length === 1');
    const svg = await page.value('window.offered[0]');
    assert.match(svg, /^<svg xmlns/);
    assert.doesNotMatch(svg, /<script|<img|onload=pwned\(\)>/);
    await page.press('#save-collapsed');
    await page.until('window.offered.length === 2');
    const lines = (await page.value('window.offered[1]')).trimEnd().split('\n');
    assert.ok(lines.length > 2 && lines.every((line) => / \d+$/.test(line)), lines.join('\n'));
    const parsed = await page.value("new DOMParser().parseFromString(window.offered[0], 'image/svg+xml').querySelector('parsererror')?.textContent ?? ''");
    assert.equal(parsed, '');
  });
});

test('hostile names run nothing and make no element', async () => {
  const before = "window.pwned = () => { throw new Error('a name ran as a script') };";
  for (const options of [{}, { dark: true }, { width: 360 }]) {
    await visit(PAGE_HOSTILE, { ...options, before }, async (page) => {
      for (const key of ['3', '4', 'i', '1', 'i', 's', 'Escape', 'k', 'v', 'f', 'm', 'x', '0', '?', 'Escape']) await page.key(key);
      for (const tab of ['stacks', 'modules', 'files', 'threads', 'processes']) await page.press(`#tab-${tab}`);
      const { left, top } = await page.box('#flame-area');
      for (let row = 0; row < 5; row++) {
        await page.move(left + 60, top + 9 + 18 * row);
        await page.click(left + 60, top + 9 + 18 * row);
      }
      await page.value(`(() => { const f = document.getElementById('find'); f.value = '<script>'; f.dispatchEvent(new Event('input')); })()`);
      await page.until("location.hash.includes('q=')");
      const made = await page.value("document.querySelectorAll('img, svg, iframe, object, embed, body script:not([nonce]):not([type=\"application/json\"])').length");
      assert.equal(made, 0);
      assert.match(await page.text('#command'), /<script>pwned\(\)<\/script>/);
      if (!options.width) await shot(page, options.dark ? 'hostile-dark' : 'hostile');
    });
  }
});

test('three hundred thousand nodes are drawn, searched and inverted', async () => {
  await visit(PAGE_MANY, {}, async (page) => {
    const { colours } = await page.value(painted('flame-canvas'));
    assert.ok(colours > 3);
    await page.key('i');
    await page.key('4');
    await page.key('/');
    await page.type('leaf_node');
    await page.until("document.getElementById('found').textContent.includes('%')");
    await shot(page, 'many');
  });
});

test('nothing runs off the side, from 320 px to 4K, in both themes', async () => {
  for (const [width, dark] of [[320, false], [360, true], [719, false], [720, true], [1024, false], [1440, true], [3840, false]]) {
    await visit(PAGE_SEVERAL, { width, height: width < 720 ? 740 : 900, dark, touch: width < 720 }, async (page) => {
      const wide = await page.value('document.documentElement.scrollWidth - document.documentElement.clientWidth');
      assert.ok(wide <= 0, `${width}: ${wide} px too wide`);
      const { share } = await page.value(painted('flame-canvas'));
      assert.ok(share > 0.1, `${width}: ${share}`);
      await shot(page, `${width}-${dark ? 'dark' : 'light'}`);
    });
  }
});

test('the theme can be switched, and canvases follow', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const pixel = `[...${pixels('flame-canvas', '3, 25, 1, 1')}].join()`;
    const light = await page.value(pixel);
    await page.key('t');
    assert.equal(await page.value('document.documentElement.dataset.theme'), 'dark');
    assert.notEqual(await page.value(pixel), light);
    await page.press('#theme');
    assert.equal(await page.value(pixel), light);
  });
});

test('paper gets everything in light colours', async () => {
  await visit(PAGE_SEVERAL, { dark: true }, async (page) => {
    const { data } = await page.send('Page.printToPDF', { printBackground: true });
    assert.ok(Buffer.from(data, 'base64').length > 20_000);
    await page.send('Emulation.setEmulatedMedia', { media: 'print' });
    await page.value("dispatchEvent(new Event('beforeprint'))");
    await page.settled();
    assert.match(await page.text('#colophon'), /memtrack\.several\..*Live at peak/);
    assert.equal(await page.value("getComputedStyle(document.getElementById('find').closest('.scope')).display"), 'none');
    await shot(page, 'print');
    await page.value("dispatchEvent(new Event('afterprint'))");
    assert.equal(await page.value('document.documentElement.dataset.theme ?? null'), null);
  });
});

test('labels of controls and tables are there for those who do not see', async () => {
  await visit(PAGE_SEVERAL, {}, async (page) => {
    const { nodes } = await page.send('Accessibility.getFullAXTree');
    const named = (role) => nodes.filter((node) => node.role?.value === role).map((node) => node.name?.value ?? '');
    for (const role of ['button', 'textbox', 'searchbox', 'combobox', 'checkbox', 'image', 'tree', 'treeitem', 'columnheader', 'img']) {
      assert.deepEqual(named(role).filter((name) => !name), [], `${role} without a name`);
    }
    assert.ok(named('treeitem').length > 0);
    assert.ok(named('table').length + named('grid').length > 0);
    const images = [...named('image'), ...named('img')];
    assert.ok(images.some((name) => /^Heap over .* peak 812/.test(name)), images.join());
  });
});

test('the served page opens with its token, loses it from the address, and asks nobody else', async () => {
  await visit(PAGE_SERVED, {}, async (page) => {
    assert.match(await page.text('#answers'), /200/);
    assert.doesNotMatch(await page.value('location.href'), /token/);
    assert.ok(page.responses.every(({ status }) => status === 200), JSON.stringify(page.responses.map(({ url, status }) => [url, status])));
    await page.key('3');
    // The tab keeps its session over a reload.
    await page.reload();
    assert.match(await hash(page), /m=leaked/);
  });
});

test('a served page shows the source lines of the selected frame, an exported one does not', async () => {
  await visit(PAGE_SOURCE, {}, async (page) => {
    const { left, top } = await page.box('#flame-area');
    await page.click(left + 40, top + 27);
    await page.until("document.querySelector('#inspector .src pre .on')");
    assert.equal(await page.value("document.querySelector('#inspector .src pre .on').textContent"), '3\t\treturn <b>parse();');
    assert.equal(await page.value("document.querySelectorAll('#inspector .src pre div').length"), 4);
    await shot(page, 'source');
  });
  await visit(PAGE_SMALL, {}, async (page) => {
    const { left, top } = await page.box('#flame-area');
    await page.click(left + 40, top + 27);
    assert.equal(await page.value("document.querySelectorAll('#inspector .st').length"), 1);
    assert.equal(await page.value("document.querySelectorAll('#inspector .src').length"), 0);
  });
});

test('several captures are served together, and the address says which is shown', async () => {
  await visit(PAGE_TWO, {}, async (page) => {
    assert.match(await page.text('#command'), /app/);
    assert.equal(await page.value("[...document.getElementById('capture').options].map((one) => one.text).join()"), 'one.mtk,<b>two.mtk');
    await page.value("(() => { delete document.documentElement.dataset.ready; const s = document.getElementById('capture'); s.value = '1'; s.dispatchEvent(new Event('change')); })()");
    await page.until("document.documentElement?.dataset.ready === 'true'");
    assert.match(await page.text('#command'), /pwned/);
    await page.key('3');
    assert.match(await hash(page), /cap=1&m=leaked/);
    await page.key('0');
    assert.match(await hash(page), /^#cap=1/);
  });
});

test('without the token the page says what to do', async () => {
  const page = await browser.page();
  await page.open(PAGE_SERVED.split('#')[0]);
  assert.match(await page.text('#notice'), /whole address that memtrack serve printed/);
  assert.deepEqual(page.problems, []);
  await page.close();
  const wrong = await browser.page();
  await wrong.open(`${PAGE_SERVED.split('#')[0]}#token=00000000000000000000000000000000`);
  assert.match(await wrong.text('#notice'), /not valid/);
  await wrong.close();
});

test('a page that frames or scripts this server gets nothing', async () => {
  const page = await browser.page();
  await page.send('Page.navigate', { url: 'data:text/html,<title>evil</title>' });
  await page.until("document.title === 'evil'");
  const address = PAGE_SERVED.split('#')[0];
  const outcome = await page.value(`fetch('${address}api/profile/0').then((r) => r.status, (e) => 'refused')`);
  assert.equal(outcome, 'refused');
  await page.close();
});

test('a capture that is being recorded follows, and keeps what is selected', async () => {
  await visit(PAGE_RUNNING, {}, async (page) => {
    assert.match(await page.text('#state'), /Recording/);
    assert.match(await page.text('#answers'), /Live now/);
    const before = await page.text('#inspector h3');
    await page.until("document.getElementById('state').textContent.includes('Complete')", 30_000);
    assert.match(await page.text('#answers'), /Leaked/);
    assert.equal(await page.text('#inspector h3'), before);
  });
});

test('a difference is one flamegraph of both sides, coloured by what grew', async () => {
  const shades = new Set();
  for (const dark of [false, true]) {
    await visit(PAGE_DIFF, { dark }, async (page) => {
      assert.match(await page.text('#answers'), /Before[\s\S]*200[\s\S]*After[\s\S]*180[\s\S]*Change[\s\S]*20[\s\S]*10\.0/);
      assert.match(await page.text('#file'), /^<\/script><b>old\.mtk → new\.mtk$/);
      assert.match(await page.text('#functions-foot'), /^2 functions changed/);
      const { colours } = await page.value(painted('flame-canvas'));
      assert.ok(colours > 3, `${colours} colours`);
      shades.add(await page.value("getComputedStyle(document.querySelector('#kinds .d6')).backgroundColor"));
      const { left, top, width } = await page.box('#flame-area');
      await page.move(left + width / 4, top + 9);
      assert.match(await page.text('#tip'), /^main[\s\S]*Before[\s\S]*198[\s\S]*After[\s\S]*178[\s\S]*Change[\s\S]*\u221220/);
      await shot(page, dark ? 'diff-dark' : 'diff-light');
    });
  }
  assert.equal(shades.size, 2, 'both themes have their colours');
});

test('what is gone is reached by its function, the other widths and the search', async () => {
  await visit(PAGE_DIFF, {}, async (page) => {
    const gone = /operator new/;
    await page.value("[...document.querySelectorAll('#functions-table tbody tr')].find((row) => row.innerText.startsWith('main')).click()");
    assert.match(await page.text('#inspector'), /^main/);
    await page.key('2');
    assert.equal(await page.text('#metrics [aria-pressed=true]'), 'Before');
    await page.key('/');
    await page.type('operator new');
    await page.until("document.getElementById('found').textContent !== ''");
    assert.match(await page.text('#found'), /^20\.0\u202f%/);
    await page.key('Escape');
    await page.key('n');
    assert.match(await selected(page), gone);
    assert.match(await page.text('#inspector'), /gone[\s\S]*Before\s*40[\s\S]*After\s*0/);
    await page.key('3');
    await page.key('i');
    assert.match(await page.text('#crumbs'), /Inverted/);
    await page.key('0');
    assert.equal(await page.text('#metrics [aria-pressed=true]'), 'After');
  });
});

test('the address of a difference restores its view', async () => {
  let [address, header] = ['', ''];
  await visit(PAGE_DIFF, {}, async (page) => {
    await page.key('3');
    await page.key('i');
    await page.value("document.querySelector('#functions-table tbody tr').click()");
    await page.key('Enter');
    header = await page.text('#inspector h3');
    address = await hash(page);
    assert.match(address, /m=change&z=\d+&s=\d+/);
  });
  await visit(PAGE_DIFF + address, {}, async (page) => {
    assert.equal(await hash(page), address);
    assert.equal(await page.text('#inspector h3'), header);
    assert.equal(await page.text('#metrics [aria-pressed=true]'), 'Change');
  });
});
