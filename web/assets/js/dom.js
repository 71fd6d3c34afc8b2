// Elements by name. Text from captures enters the page here, as text.

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/** @param {string} id */
export const canvasById = (id) => /** @type {HTMLCanvasElement} */ (byId(id));

/**
 * A new element: properties by name, then children; strings become text nodes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties] `class`, `role`, `aria-…` and `data-…` are attributes, the rest properties
 * @param {(Node | string | null)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (/^(class|role|scope|colspan|aria-[a-z]+|data-[a-z]+)$/.test(name)) made.setAttribute(name, String(value));
    else Reflect.set(made, name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A number with its unit set back: `38.7 MiB`. @param {[string, string]} parts */
export const figure = ([number, unit]) =>
  unit ? [number, '\u202f', element('span', { class: 'u' }, unit)] : [number];

/** A swatch in a kind's colour. @param {number} kind */
export const bar = (kind) => element('i', { class: `kb k${kind}`, 'aria-hidden': 'true' });

/** @param {string} text @param {() => void} onclick @param {string} [tip] */
export const link = (text, onclick, tip) => element('button', { class: 'link', type: 'button', onclick, title: tip }, text);

/** Says something once to those who listen to the page. @param {string} text */
export function say(text) {
  byId('say').textContent = text;
}

/** Puts text on the clipboard, also where pages from files may not. @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element('textarea', { class: 'unseen', value: text });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
}

/** Offers text as a file. @param {string} name @param {string} type @param {string} text */
export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Writes the view into the address. @param {URLSearchParams} parts */
export function setAddress(parts) {
  const hash = parts.toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, '', hash ? `#${hash}` : location.pathname + location.search);
}
