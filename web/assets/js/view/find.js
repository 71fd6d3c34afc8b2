// The find box: a search as it is typed, and how much it matches.

/** @import { Scene } from '#derive' */
/** @import { Store } from '#state' */
import { byId } from '#dom';
import { matchedSum, pattern } from '#search';
import { count, percent } from '#units';

/** Keystrokes within this time are one search, in milliseconds. */
const TYPING = 80;

/** @param {Store} store @param {{ match: (step: 1 | -1) => void, matches: () => { count: number, at: number } }} actions */
export function findBox(store, actions) {
  const box = /** @type {HTMLInputElement} */ (byId('find'));
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  box.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(() => store.set({ find: box.value }), TYPING);
  });
  box.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    store.set({ find: box.value });
    queueMicrotask(() => actions.match(event.shiftKey ? -1 : 1));
  });
  byId('open-find').addEventListener('click', openFind);

  /** How much the search matches, said in the find box. @param {Scene} model */
  function update({ found: matches, measure: m, state }) {
    if (document.activeElement !== box) box.value = state.find;
    const words = byId('found');
    if (!matches) {
      words.textContent = '';
      words.removeAttribute('title');
      return;
    }
    const { count: drawn, at } = actions.matches();
    const share = percent(matchedSum(matches, m), m.sum);
    words.textContent = drawn ? `${share} · ${at ? `${at} of ` : ''}${count(drawn)}` : share;
    words.title = pattern(state.find)?.literal ? 'Not a regular expression: searched as text' : 'Share of all stacks with a match; nested matches count once';
  }

  function openFind() {
    const scope = byId('scope');
    const open = scope.classList.toggle('open');
    byId('open-find').setAttribute('aria-expanded', String(open));
    if (open) box.focus();
  }

  /** Puts the cursor into the find box, wherever that is. */
  function focus() {
    if (byId('scope').checkVisibility?.() === false) openFind();
    box.focus();
  }

  return { update, focus };
}
