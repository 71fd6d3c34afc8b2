// Paints boxes on a canvas. Knows no event and changes nothing.

/** @import { Data } from '#wire' */
/** @import { Box, Layout } from '#flame/layout' */
import { Kind, functionName, place } from '#columns';
import { fit } from '#names';
import { font, kindColour, token } from '#theme';
import { amount } from '#units';

/** Narrower boxes have no label, in pixels. */
const LEAST_LABEL = 26;
const INSET = 5;

/**
 * @typedef {object} Picture
 * @property {Data} data
 * @property {Layout} layout
 * @property {'bytes' | 'blocks'} value
 * @property {number} rowHeight
 * @property {number} fontSize
 * @property {Box | null} selected
 */

/**
 * What a box looks like: shared by the canvas and the SVG.
 * @param {Picture} picture @param {Box} box
 */
export function look({ data, layout, value, selected }, box) {
  const kind = data.functions.kind[box.func];
  const isSelected = box === selected;
  const faded = layout.found && !box.hit && !isSelected;
  const process = kind === Kind.process;
  const frame = data.nodes.frame[box.items[0]];
  const python = kind === Kind.python && !layout.inverted;
  return {
    fill: isSelected ? token('accent-fill') : kindColour(kind),
    opacity: faded ? 0.32 : 1,
    text: isSelected ? '#ffffff' : faded ? token('ink2') : token('on-fill'),
    style: isSelected ? '500' : process ? '600' : kind === Kind.inlined ? 'italic' : '',
    name: functionName(data, box.func),
    after: process || isSelected ? amount(value, box.total) : python ? place(data, frame) : '',
    foot: box.hit,
  };
}

/**
 * @param {CanvasRenderingContext2D} context @param {Picture} picture
 * @param {number} top first visible pixel row @param {number} height visible pixels
 */
export function draw(context, picture, top, height) {
  const { layout, rowHeight } = picture;
  const first = Math.max(0, Math.floor(top / rowHeight));
  const last = Math.min(layout.rows.length - 1, Math.floor((top + height) / rowHeight));
  context.textBaseline = 'middle';
  context.textAlign = 'left';
  for (let row = first; row <= last; row++) {
    const y = row * rowHeight - top;
    for (const box of layout.rows[row]) drawBox(context, picture, box, y);
  }
  // A match too narrow to draw still leaves a tick.
  context.fillStyle = token('accent');
  for (let row = Math.max(0, first - 1); layout.found && row <= last; row++) {
    for (const { culled } of layout.rows[row]) {
      if (culled?.hit) context.fillRect(culled.x, (row + 1) * rowHeight - top, 1, rowHeight - 1);
    }
  }
}

/** @param {CanvasRenderingContext2D} context @param {Picture} picture @param {Box} box @param {number} y */
function drawBox(context, picture, box, y) {
  const { rowHeight, fontSize } = picture;
  const { fill, opacity, text, style, name, after, foot } = look(picture, box);
  const width = Math.max(1, box.width - 1);
  context.globalAlpha = opacity;
  context.fillStyle = fill;
  context.fillRect(box.x, y, width, rowHeight - 1);
  context.globalAlpha = 1;
  if (foot) {
    context.fillStyle = token('accent');
    context.fillRect(box.x, y + rowHeight - 3, width, 2);
  }
  if (width < LEAST_LABEL) return;
  context.font = font(fontSize, style);
  const room = width - 2 * INSET;
  const label = fit(name, room, (candidate) => context.measureText(candidate).width);
  if (!label) return;
  const middle = y + (rowHeight - 1) / 2 + 0.5;
  context.fillStyle = text;
  context.fillText(label, box.x + INSET, middle);
  if (!after) return;
  const used = context.measureText(label).width + 10;
  context.font = font(fontSize);
  if (used + context.measureText(after).width + 6 <= room) {
    context.globalAlpha = 0.85;
    context.fillText(after, box.x + INSET + used, middle);
    context.globalAlpha = 1;
  }
}
