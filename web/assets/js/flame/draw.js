// Paints boxes on a canvas. Knows no event and changes nothing.

/** @import { Tree } from '#wire' */
/** @import { Box, Layout } from '#flame/layout' */
import { Kind, functionName, place } from '#columns';
import { fit } from '#names';
import { shown } from '#metrics';
import { font, token } from '#theme';

/** Narrower boxes have no label, in pixels. */
const LEAST_LABEL = 26;
const INSET = 5;

/**
 * @typedef {object} Picture
 * @property {Tree} data
 * @property {Layout} layout
 * @property {import('#metrics').Quantity} metric
 * @property {Uint8Array | null} modules for each function the colour of its module; null: kinds have colours
 * @property {boolean} flipped roots at the bottom
 * @property {number} rowHeight
 * @property {number} fontSize
 * @property {Box | null} selected
 */

/** Shares of a box by which it grew, where the colour changes. */
const STEPS = [-0.5, -0.1, -0.01, 0.01, 0.1, 0.5];

/** What a box is painted with. @param {Picture} picture @param {Box} box @returns {string} the name of a token */
function fillOf({ data, metric, modules }, box) {
  const kind = data.functions.kind[box.func];
  if (metric.signed) {
    const share = metric.grown?.(box) ?? 0;
    return `d${STEPS.filter((step) => share > step).length}`;
  }
  if (modules && kind !== Kind.process) return `m${modules[box.func]}`;
  return `k${kind}`;
}

/** Top of a row, in pixels. @param {{ layout: Layout, rowHeight: number, flipped: boolean }} picture @param {number} row */
export const rowTop = ({ layout, rowHeight, flipped }, row) => (flipped ? layout.rows.length - 1 - row : row) * rowHeight;

/**
 * What a box looks like: shared by the canvas and the SVG.
 * @param {Picture} picture @param {Box} box
 */
export function look(picture, box) {
  const { data, layout, metric, selected } = picture;
  const kind = data.functions.kind[box.func];
  const isSelected = box === selected;
  const faded = layout.found && !box.hit && !isSelected;
  const process = kind === Kind.process;
  const frame = data.nodes.frame[box.items[0]];
  const python = kind === Kind.python && !layout.inverted;
  return {
    fill: token(isSelected ? 'accent-fill' : fillOf(picture, box)),
    opacity: faded ? 0.32 : 1,
    text: isSelected ? '#ffffff' : faded ? token('ink2') : token('on-fill'),
    style: isSelected ? '500' : process ? '600' : kind === Kind.inlined ? 'italic' : '',
    name: functionName(data, box.func),
    after: process || isSelected ? shown(metric, box.net) : python ? place(data, frame) : '',
    foot: box.hit,
  };
}

/**
 * @param {CanvasRenderingContext2D} context @param {Picture} picture
 * @param {number} top first visible pixel row @param {number} height visible pixels
 */
export function draw(context, picture, top, height) {
  const { layout, rowHeight, flipped } = picture;
  const bottom = layout.rows.length - 1;
  const [near, far] = [Math.max(0, Math.floor(top / rowHeight)), Math.min(bottom, Math.floor((top + height) / rowHeight))];
  const [first, last] = flipped ? [bottom - far, bottom - near] : [near, far];
  context.textBaseline = 'middle';
  context.textAlign = 'left';
  for (let row = first; row <= last; row++) {
    const y = rowTop(picture, row) - top;
    for (const box of layout.rows[row]) drawBox(context, picture, box, y);
  }
  // A match too narrow to draw still leaves a tick.
  context.fillStyle = token('accent');
  for (let row = Math.max(0, first - 1); layout.found && row <= last; row++) {
    for (const { culled } of layout.rows[row]) {
      if (culled?.hit) context.fillRect(culled.x, rowTop(picture, row + 1) - top, 1, rowHeight - 1);
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
