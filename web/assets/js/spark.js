// Small pictures inside lists: a curve, and columns. Decoration for those who see; the words beside say the same.

import { onTheme, prepare, token } from '#theme';

/** @typedef {{ values: ArrayLike<number>, colour: string, from?: number, to?: number }} Curve */
/** @type {WeakMap<HTMLCanvasElement, (c: CanvasRenderingContext2D) => void>} */
const pictures = new WeakMap();
onTheme(() => {
  for (const canvas of document.querySelectorAll('canvas.spark')) paint(/** @type {HTMLCanvasElement} */ (canvas));
});

/** @param {HTMLCanvasElement} canvas */
function paint(canvas) {
  const picture = pictures.get(canvas);
  if (picture) picture(prepare(canvas, Number(canvas.dataset.width), Number(canvas.dataset.height)));
}

/**
 * @param {number} width @param {number} height in pixels
 * @param {string} words what it shows @param {(c: CanvasRenderingContext2D) => void} picture
 */
function small(width, height, words, picture) {
  const canvas = document.createElement('canvas');
  canvas.className = 'spark';
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', words);
  Object.assign(canvas.dataset, { width, height });
  canvas.style.width = `${width}px`;
  pictures.set(canvas, picture);
  paint(canvas);
  return canvas;
}

/** A level over time, from nothing to its own maximum. @param {number} width @param {number} height @param {string} words @param {Curve} curve */
export function curve(width, height, words, { values, colour, from = 0, to = values.length }) {
  return small(width, height, words, (c) => {
    const count = values.length;
    let most = 0;
    for (let i = 0; i < count; i++) most = Math.max(most, values[i]);
    const y = (/** @type {number} */ value) => height - 1.5 - ((height - 3) * Math.max(0, value)) / (most || 1);
    const trace = () => {
      c.lineTo(0, y(0));
      for (let i = 0; i < count; i++) {
        c.lineTo((width * i) / count, y(values[i]));
        c.lineTo((width * (i + 1)) / count, y(values[i]));
      }
    };
    if (from > 0 || to < count) {
      c.fillStyle = token('wash');
      c.fillRect((width * from) / count, 0, Math.max(1, (width * (to - from)) / count), height);
    }
    c.beginPath();
    trace();
    c.lineTo(width, height - 1);
    c.lineTo(0, height - 1);
    c.globalAlpha = 0.16;
    c.fillStyle = token(colour);
    c.fill();
    c.globalAlpha = 1;
    c.beginPath();
    trace();
    c.lineWidth = 1.25;
    c.strokeStyle = token(colour);
    c.stroke();
  });
}

/** Columns beside each other; the last `apart` of them in the colour of trouble. @param {number} width @param {number} height @param {string} words @param {number[]} values @param {number} apart */
export function columns(width, height, words, values, apart) {
  return small(width, height, words, (c) => {
    const most = Math.max(1e-9, ...values);
    const gap = apart ? 5 : 0;
    const step = (width - gap) / values.length;
    values.forEach((value, i) => {
      const last = i >= values.length - apart;
      const tall = value ? Math.max(1.5, ((height - 2) * value) / most) : 0;
      c.fillStyle = token(last ? 'bad' : 'ink3');
      c.fillRect(i * step + (last ? gap : 0), height - 1 - tall, Math.max(1, step - 1.5), tall);
      c.fillStyle = token('line2');
      c.fillRect(i * step + (last ? gap : 0), height - 1, Math.max(1, step - 1.5), 1);
    });
  });
}
