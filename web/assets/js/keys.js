// The keyboard: one table of keys, their words and what they do.

import { byId, element } from '#dom';

/**
 * @typedef {object} Key
 * @property {string[]} keys values of `KeyboardEvent.key`
 * @property {string} shown
 * @property {string} words
 * @property {string[]} [then] this key waits for one of these
 * @property {(key: string) => void} act
 */

/** @param {Key[]} table */
export function startKeys(table) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('keys'));
  const help = () => (dialog.open ? dialog.close() : dialog.showModal());
  const all = [...table, { keys: ['?'], shown: '?', words: 'this list', act: help }];
  dialog.replaceChildren(
    element('h2', {}, 'Keys'),
    element('dl', {}, ...all.flatMap(({ shown, words }) => [
      element('dt', {}, ...shown.split(' ').flatMap((key, i) => [i ? ' ' : '', element('kbd', {}, key)])), element('dd', {}, words),
    ])),
    element('button', { class: 'ctl', type: 'button', onclick: () => dialog.close() }, 'Close'));
  byId('show-keys').addEventListener('click', help);
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());

  /** @type {Key | null} */
  let waiting = null;
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target instanceof Element ? event.target : document.body;
    // Text fields and lists keep their keys; Escape always leaves them.
    const typing = target.matches('input[type=search], select, textarea');
    if (typing && event.key !== 'Escape') return;
    // A focused button is pressed by Enter.
    if (event.key === 'Enter' && target.matches('button, a, input')) return;
    if (dialog.open && event.key !== '?') return;
    const second = waiting?.then?.includes(event.key) ? waiting : null;
    waiting = null;
    const entry = second ?? all.find(({ keys }) => keys.includes(event.key));
    if (!entry) return;
    event.preventDefault();
    if (entry.then && !second) waiting = entry;
    else entry.act(event.key);
  });
}
