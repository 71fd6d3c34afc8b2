// The flamegraph as it is drawn, as an SVG file. Built as nodes, so names stay text.

/** @import { Picture } from '#flame/draw' */
import { look, rowTop } from '#flame/draw';
import { shown } from '#metrics';
import { fit } from '#names';
import { font, token } from '#theme';

const NAMESPACE = 'http://www.w3.org/2000/svg';

/** @param {Element} parent @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function add(parent, tag, attributes, text) {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

/** @param {number} n */
const round = (n) => Math.round(n * 100) / 100;

/** @param {Picture} picture @param {number} width @param {string} title @returns {string} */
export function svg(picture, width, title) {
  const { layout, rowHeight, fontSize, metric } = picture;
  const head = 24;
  const height = head + layout.rows.length * rowHeight;
  const root = document.createElementNS(NAMESPACE, 'svg');
  for (const [name, text] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
    root.setAttribute(name, String(text));
  }
  root.setAttribute('font-family', 'Inter, system-ui, sans-serif');
  root.setAttribute('font-size', String(fontSize));
  add(root, 'rect', { width, height, fill: token('bg') });
  add(root, 'text', { x: INSET, y: 16, fill: token('ink') }, title);
  const context = /** @type {CanvasRenderingContext2D} */ (document.createElement('canvas').getContext('2d'));
  layout.rows.forEach((row, depth) => {
    const y = head + rowTop(picture, depth);
    for (const box of row) {
      const { fill, opacity, text, style, name } = look(picture, box);
      const group = add(root, 'g', {});
      add(group, 'title', {}, `${name}\n${shown(metric, box.net)}`);
      const boxWidth = Math.max(1, box.width - 1);
      add(group, 'rect', {
        x: round(box.x), y, width: round(boxWidth), height: rowHeight - 1, fill, 'fill-opacity': opacity,
      });
      if (boxWidth < 26) continue;
      context.font = font(fontSize, style);
      const label = fit(name, boxWidth - 2 * INSET, (candidate) => context.measureText(candidate).width);
      if (label) add(group, 'text', { x: round(box.x + INSET), y: y + rowHeight * 0.68, fill: text, ...face(style) }, label);
    }
  });
  return new XMLSerializer().serializeToString(root);
}

const INSET = 5;

/** @param {string} style @returns {Record<string, string>} */
const face = (style) => (style === 'italic' ? { 'font-style': style } : style ? { 'font-weight': style } : {});
