// Where the columns come from: the element in an exported file, or the server that sent the page.

/** @import { Excerpt, Wire } from '#wire' */

const SESSION = 'memtrack.session';
/** Header that carries the session; a page from elsewhere cannot send it without asking the server first. */
const HEADER = 'Memtrack-Session';

/** An error whose message is meant for the reader of the page. */
export class Refusal extends Error {}

/** @returns {boolean} whether the data is inside the page */
export const embedded = () => document.getElementById('data') !== null;

/** @param {number} capture its position among those that are served @param {(done: number, all: number) => void} progress @returns {Promise<Wire>} */
export async function load(capture, progress) {
  const holder = document.getElementById('data');
  if (holder) {
    const wire = await unpack(JSON.parse(holder.textContent ?? ''));
    holder.textContent = '';
    return wire;
  }
  const session = await openSession();
  shown = capture;
  const response = await ask(session, `profile/${shown}`, {});
  const all = Number(response.headers.get('Content-Length') ?? 0);
  version = response.headers.get('ETag') ?? '';
  return JSON.parse(await text(response, (done) => progress(done, all)));
}

let version = '';
/** Position of the capture that is shown. */
let shown = 0;

/** What the captures are called that are served together; one in a file of its own. @returns {Promise<string[]>} */
export async function captures() {
  if (embedded()) return [];
  const response = await ask(sessionStorage.getItem(SESSION) ?? '', 'captures', {});
  return response.json();
}

/** The newer data of a capture that is still being recorded, or nothing. @returns {Promise<Wire | null>} */
export async function reload() {
  const response = await ask(sessionStorage.getItem(SESSION) ?? '', `profile/${shown}`, { 'If-None-Match': version });
  if (response.status === 304) return null;
  // New columns number their frames anew.
  excerpts.clear();
  version = response.headers.get('ETag') ?? '';
  return response.json();
}

/** Excerpts that were asked for, by capture and frame: the same lines are looked at again and again. @type {Map<string, Promise<Excerpt | null>>} */
const excerpts = new Map();
const MOST_EXCERPTS = 100;

/** The source lines around the one that a frame names; nothing where the server does not answer any more. @param {number} frame @returns {Promise<Excerpt | null>} */
export function excerptOf(frame) {
  const key = `${shown}/${frame}`;
  const known = excerpts.get(key);
  if (known) return known;
  if (excerpts.size >= MOST_EXCERPTS) excerpts.clear();
  const asked = ask(sessionStorage.getItem(SESSION) ?? '', `source/${key}`, {})
    .then((response) => response.json(), () => null);
  excerpts.set(key, asked);
  return asked;
}

/** @param {{ encoding: string, data: string }} packed @returns {Promise<Wire>} */
async function unpack(packed) {
  if (packed.encoding !== 'deflate+base64') throw new Refusal(`This page cannot read ${packed.encoding}.`);
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Response(plain).json();
}

/** The token in the printed address opens a session; the address then loses it, so that it can be shown around. */
async function openSession() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const token = parts.get('token');
  if (token) {
    parts.delete('token');
    history.replaceState(null, '', parts.size ? `#${parts}` : location.pathname);
    const response = await fetch('/api/session', { method: 'POST', headers: { 'Memtrack-Token': token } });
    if (!response.ok) throw new Refusal(await refusal(response));
    sessionStorage.setItem(SESSION, (await response.json()).session);
  }
  const session = sessionStorage.getItem(SESSION);
  if (!session) throw new Refusal('Open the whole address that memtrack serve printed: it ends in #token=….');
  return session;
}

/** @param {string} session @param {string} what @param {Record<string, string>} headers */
async function ask(session, what, headers) {
  const response = await fetch(`/api/${what}`, { headers: { ...headers, [HEADER]: session } });
  if (!response.ok && response.status !== 304) throw new Refusal(await refusal(response));
  return response;
}

/** @param {Response} response */
async function refusal(response) {
  const words = (await response.text()).trim();
  return words || `The server answered ${response.status}.`;
}

/** @param {Response} response @param {(done: number) => void} progress */
async function text(response, progress) {
  if (!response.body) return response.text();
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let out = '', done = 0;
  for (;;) {
    const part = await reader.read();
    if (part.done) return out + decoder.decode();
    done += part.value.length;
    progress(done);
    out += decoder.decode(part.value, { stream: true });
  }
}
