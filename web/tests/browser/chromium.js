// A headless Chromium, driven over a pipe with the DevTools protocol. Nothing but node and the browser is needed.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable'];

/** Starts the browser that CHROMIUM names, or the one that is installed. */
export async function launch() {
  const program = process.env.CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (!program || !existsSync(program)) {
    throw new Error('These tests need a Chromium: apt-get install chromium, or set CHROMIUM to its path.');
  }
  const profile = mkdtempSync(join(tmpdir(), 'memtrack-page-'));
  const child = spawn(program, [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--hide-scrollbars',
    `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank',
  ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const connection = connect(child.stdio[3], child.stdio[4]);
  const exited = new Promise((resolve) => child.once('exit', resolve));
  void exited.then(() => connection.fail(new Error('The browser ended.')));
  await connection.send('Browser.getVersion');
  return {
    /** A new tab in a profile of its own. */
    async page(options = {}) {
      const { browserContextId } = await connection.send('Target.createBrowserContext');
      const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank', browserContextId });
      const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true });
      return openPage(connection, sessionId, targetId, options);
    },
    async close() {
      await connection.send('Browser.close').catch(() => {});
      await exited;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function connect(input, output) {
  const waiting = new Map();
  const listeners = new Set();
  let next = 1, rest = '';
  output.setEncoding('utf8');
  output.on('data', (chunk) => {
    const messages = (rest + chunk).split('\0');
    rest = messages.pop();
    for (const text of messages) {
      const message = JSON.parse(text);
      const waiter = waiting.get(message.id);
      if (!waiter) {
        for (const listener of listeners) listener(message);
        continue;
      }
      waiting.delete(message.id);
      if (message.error) waiter.reject(new Error(`${waiter.method}: ${message.error.message}`));
      else waiter.resolve(message.result);
    }
  });
  input.on('error', () => {});
  return {
    send: (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, { resolve, reject, method });
      input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    }),
    listen: (listener) => listeners.add(listener),
    fail(error) {
      for (const { reject } of waiting.values()) reject(error);
      waiting.clear();
    },
  };
}

async function openPage(connection, sessionId, targetId, { width = 1440, height = 900, dark = false, touch = false, before = '' }) {
  const send = (method, params) => connection.send(method, params, sessionId);
  /** What a correct page never has. */
  const problems = [];
  /** Every address that was asked for, except inside the page itself. */
  const requests = [];
  const responses = [];
  let loaded = () => {};
  connection.listen((message) => {
    if (message.sessionId !== sessionId) return;
    const { method, params } = message;
    if (method === 'Runtime.exceptionThrown') problems.push(`exception: ${params.exceptionDetails.exception?.description ?? params.exceptionDetails.text}`);
    if (method === 'Runtime.consoleAPICalled') problems.push(`console.${params.type}: ${params.args.map((one) => one.value ?? one.description).join(' ')}`);
    if (method === 'Log.entryAdded') problems.push(`log: ${params.entry.text} ${params.entry.url ?? ''}`);
    if (method === 'Network.requestWillBeSent' && !/^(data|blob):/.test(params.request.url)) requests.push(params.request.url);
    if (method === 'Network.responseReceived') responses.push(params.response);
    if (method === 'Page.loadEventFired') loaded();
  });
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`);
  await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: false });
  await send('Emulation.setTouchEmulationEnabled', { enabled: touch });
  await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
  if (before) await send('Page.addScriptToEvaluateOnNewDocument', { source: before });

  const page = {
    problems, requests, responses, send,
    async open(url) {
      const load = new Promise((resolve) => (loaded = resolve));
      await send('Page.navigate', { url });
      await load;
      await page.until("document.documentElement.dataset.ready !== undefined");
    },
    async reload() {
      const load = new Promise((resolve) => (loaded = resolve));
      await send('Page.reload', {});
      await load;
      await page.until("document.documentElement.dataset.ready !== undefined");
    },
    /** The value of an expression in the page. */
    async value(expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
      return result.value;
    },
    async until(expression, patience = 20_000) {
      const end = Date.now() + patience;
      while (!(await page.value(expression))) {
        if (Date.now() > end) throw new Error(`This did not become true: ${expression}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    text: (selector) => page.value(`document.querySelector(${JSON.stringify(selector)}).innerText`),
    async key(key, text = key.length === 1 ? key : undefined) {
      const codes = { Enter: 13, Escape: 27, ArrowUp: 38, ArrowDown: 40, ArrowLeft: 37, ArrowRight: 39 };
      const event = { key, text: key === 'Enter' ? '\r' : text, windowsVirtualKeyCode: codes[key] };
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
      await page.settled();
    },
    async type(text) {
      await send('Input.insertText', { text });
    },
    async move(x, y) {
      await send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
      await page.settled();
    },
    async click(x, y) {
      await send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
      await send('Input.dispatchMouseEvent', { type: 'mousePressed', x, y, button: 'left', clickCount: 1 });
      await send('Input.dispatchMouseEvent', { type: 'mouseReleased', x, y, button: 'left', clickCount: 1 });
      await page.settled();
    },
    /** Presses at one point and lets go at another. */
    async drag(x0, y0, x1, y1) {
      await send('Input.dispatchMouseEvent', { type: 'mouseMoved', x: x0, y: y0 });
      await send('Input.dispatchMouseEvent', { type: 'mousePressed', x: x0, y: y0, button: 'left', clickCount: 1 });
      for (const part of [0.5, 1]) {
        await send('Input.dispatchMouseEvent', { type: 'mouseMoved', x: x0 + (x1 - x0) * part, y: y0 + (y1 - y0) * part, button: 'left', buttons: 1 });
      }
      await send('Input.dispatchMouseEvent', { type: 'mouseReleased', x: x1, y: y1, button: 'left', clickCount: 1 });
      await page.settled();
    },
    /** Clicks the middle of an element. */
    async press(selector) {
      const { x, y } = await page.box(selector);
      await page.click(x, y);
    },
    /** The middle and the edges of an element that is scrolled to. */
    box: (selector) => page.value(`(() => { const e = document.querySelector(${JSON.stringify(selector)});
      e.scrollIntoView({ block: 'nearest' }); const r = e.getBoundingClientRect();
      return { x: r.x + r.width / 2, y: r.y + r.height / 2, left: r.x, top: r.y, width: r.width, height: r.height } })()`),
    /** After the page has drawn what it was told. */
    settled: () => page.value('new Promise((done) => setTimeout(() => requestAnimationFrame(() => setTimeout(done)), 0))').then(() => {}),
    async screenshot(whole = true) {
      const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: whole, ...(whole ? { clip: await whole_(send) } : {}) });
      return Buffer.from(data, 'base64');
    },
    close: () => connection.send('Target.closeTarget', { targetId }),
  };
  return page;
}

async function whole_(send) {
  const { cssContentSize } = await send('Page.getLayoutMetrics');
  return { x: 0, y: 0, width: cssContentSize.width, height: cssContentSize.height, scale: 1 };
}
