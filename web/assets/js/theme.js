// Colours: the style sheet's tokens as canvases need them, and the choice of dark or light.

const KEY = 'memtrack.theme';
/** @type {Map<string, string>} */
let known = new Map();
/** @type {HTMLElement | undefined} */
let probe;
/** @type {Set<() => void>} */
const listeners = new Set();
const system = matchMedia('(prefers-color-scheme: dark)');

/** The value of a colour token now. @param {string} name */
export function token(name) {
  let value = known.get(name);
  if (value === undefined) {
    if (!probe) {
      probe = document.createElement('i');
      probe.hidden = true;
      document.body.append(probe);
    }
    probe.style.color = `var(--${name})`;
    value = getComputedStyle(probe).color;
    known.set(name, value);
  }
  return value;
}

/** Fill of a kind of frame. @param {number} kind */
export const kindColour = (kind) => token(`k${kind}`);

/** @param {() => void} listener */
export const onTheme = (listener) => void listeners.add(listener);

function changed() {
  known = new Map();
  for (const listener of listeners) listener();
}

/** @param {'dark' | 'light' | null} theme null: as the system says */
function apply(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  changed();
}

const current = () => document.documentElement.dataset.theme ?? (system.matches ? 'dark' : 'light');

/** The other theme; going back to what the system says forgets the choice. */
export function toggleTheme() {
  const next = current() === 'dark' ? 'light' : 'dark';
  const asSystem = (next === 'dark') === system.matches;
  apply(asSystem ? null : next);
  try {
    if (asSystem) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Pages from files may have no storage: the choice then lasts as long as the page.
  }
}

/** The remembered choice, and repaints for what changes colours from outside. */
export function startTheme() {
  try {
    const stored = localStorage.getItem(KEY);
    if (stored === 'dark' || stored === 'light') apply(stored);
  } catch {
    // As above.
  }
  system.addEventListener('change', changed);
  /** @type {string | undefined} */
  let before;
  addEventListener('beforeprint', () => {
    before = document.documentElement.dataset.theme;
    apply('light');
  });
  addEventListener('afterprint', () => apply(/** @type {'dark' | 'light' | undefined} */ (before) ?? null));
}

/**
 * A canvas at the screen's resolution, cleared.
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height in CSS pixels
 */
export function prepare(canvas, width, height) {
  const ratio = Math.max(1, devicePixelRatio || 1);
  const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.style.height = `${height}px`;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** The page's type on a canvas. @param {number} size @param {string} [style] */
export const font = (size, style = '') => `${style} ${size}px Inter, system-ui, sans-serif`.trim();
