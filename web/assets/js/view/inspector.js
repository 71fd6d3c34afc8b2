// The selected frame: what it is, what it holds, and the heaviest stack through it.

/** @import { Model } from '#derive' */
/** @import { Box } from '#flame/layout' */
/** @import { Excerpt } from '#wire' */
import { functionName, moduleName, place, rowsOf, stackOf } from '#columns';
import { bar, byId, copy, element, figure, say } from '#dom';
import { descend, expander, heaviestLeaf, layout } from '#flame/layout';
import { leakedBelow } from '#leaks';
import { shown as text, shownParts } from '#metrics';
import { shortName } from '#names';
import { history } from '#slices';
import { embedded, excerptOf } from '#source';
import { memo } from '#state';
import { curve } from '#spark';
import { amountParts, bytes, count, exactAmount, percent } from '#units';
import { about, breakable } from '#view/tip';

/** Frames of the stack that are rows at once; deeper stacks are copied whole. */
const MOST_ROWS = 200;

/**
 * @typedef {object} Actions
 * @property {() => void} zoom
 * @property {(path: number[]) => void} select
 * @property {() => void} focus
 * @property {() => void} exclude
 * @property {() => void} hideModule
 * @property {() => void} sandwich
 */

/** @param {Actions} actions */
export function inspector(actions) {
  const holder = byId('inspector');
  /** @type {{ model: Model, box: Box, leaf: number } | null} */
  let shown = null;
  /** Of what is drawn, in pixels. Asking the element would have the whole page laid out in the middle of a change. */
  let width = 296;
  new ResizeObserver(([{ contentRect }]) => { width = contentRect.width || width; }).observe(holder);

  /** @param {Model} model */
  function update(model) {
    const { data, measure, state } = model;
    drawn(model, data, measure, state.select, state.sandwich, state.inverted, state.range);
  }

  /** @type {(model: Model, ...shown: unknown[]) => void} */
  const drawn = memo((model) => draw(model), 1);

  /** @param {Model} model */
  function draw(model) {
    const { measure, state } = model;
    const box = selectedBox(model);
    shown = null;
    if (!box || !box.items.length) {
      const words = state.select.length ? `The selected frame has nothing that is ${measure.metric.of}.` : 'Select a frame to see its stack.';
      holder.replaceChildren(element('p', { class: 'sub' }, words));
      return;
    }
    const leaf = heaviestLeaf(model.data, measure, box);
    shown = { model, box, leaf };
    holder.replaceChildren(numbers(model, box), stack(model, box, leaf), ...source(model, box, leaf));
  }

  /** @param {Model} model @returns {Box | null} */
  function selectedBox({ data, measure, state }) {
    if (state.sandwich >= 0) {
      return layout(data, measure, null, { inverted: false, zoom: [], width: 1, least: Infinity, sandwich: state.sandwich }).crumbs[1];
    }
    const way = descend(expander(data, measure, state), state.select);
    return way.length > state.select.length && way.length > 1 ? way[way.length - 1] : null;
  }

  /** What the frame had live over the run. @param {Model} model @param {Box} box */
  function overTime({ data, base, state }, box) {
    const { slices } = base;
    if (!slices || state.inverted) return [];
    const rows = rowsOf(data, box.items, data.nodes === base.nodes);
    const number = (/** @type {number} */ time) => slices.bounds.findIndex((bound) => bound >= time);
    const part = state.range ? { from: number(state.range[0]), to: number(state.range[1]) } : {};
    return [curve(Math.min(400, width), 40, 'Bytes it had live over the run', { values: history(slices, rows).live, colour: 'p1', ...part })];
  }

  /** @param {Model} model @param {Box} box */
  function numbers(model, box) {
    const { data, measure } = model;
    const { value, beside, share, signed } = measure.metric;
    const other = value === 'bytes' ? 'blocks' : 'bytes';
    const at = place(data, data.nodes.frame[box.items[0]]);
    const full = data.strings[data.frames.file[data.nodes.frame[box.items[0]]]];
    const caller = box.parent && box.parent.func >= 0 ? box.parent : null;
    /** @type {[string, (Node | string)[], string][]} */
    const rows = [
      [model.state.inverted ? 'Of what it calls' : 'Of its caller', caller && !signed ? [percent(box.total, caller.total)] : [], ''],
      ['Self', figure(shownParts(measure.metric, box.self)), exactAmount(value, box.self)],
      [beside, figure(amountParts(other, box.beside)), exactAmount(other, box.beside)],
    ];
    const { bytes: lost, blocks } = leakedBelow(model.leaks, box.items, data.nodes.end);
    if (lost && !model.state.inverted && measure.metric.id !== 'leaked') {
      rows.push([model.state.range ? 'Left over' : model.running ? 'Live now' : 'Leaked', [element('span', { class: 'bad' }, `${bytes(lost)} in ${count(blocks)} blocks`)], exactAmount('bytes', lost)]);
    }
    return element('div', {},
      element('h3', {}, ...breakable(functionName(data, box.func))),
      element('div', { class: 'u', title: full }, [about(data, box.func), at].filter(Boolean).join(' · ')),
      element('div', { class: 'big', title: exactAmount(value, box.net) }, ...figure(shownParts(measure.metric, box.net)),
        element('span', { class: 'u small' }, ` ${percent(box.total, measure.sum)} ${share}`)),
      element('dl', {}, ...rows.filter(([, content]) => content.length).flatMap(([term, content, title]) => [
        element('dt', {}, term), element('dd', { title }, ...content),
      ])),
      ...overTime(model, box),
      element('div', { class: 'acts' },
        action('Zoom', '⏎', actions.zoom), action('Callers', 's', actions.sandwich), action('Focus', 'f', actions.focus),
        action('Exclude', 'x', actions.exclude), action('Hide module', 'm', actions.hideModule), action('Copy stack', 'c', copyStack)));
  }

  /** @param {string} text @param {string} key @param {() => void} onclick */
  const action = (text, key, onclick) =>
    element('button', { class: 'ctl', type: 'button', onclick }, text, ' ', element('kbd', {}, key));

  /** @param {Model} model @param {Box} box @param {number} leaf */
  function stack(model, box, leaf) {
    const { data, state } = model;
    const nodes = stackOf(data, leaf);
    const rows = nodes.slice(0, MOST_ROWS).map((node) => {
      const func = data.nodes.function[node];
      const at = place(data, data.nodes.frame[node]) || moduleName(data, func);
      const on = box.items.includes(node);
      return element('li', { class: on ? 'on' : '' },
        bar(data.functions.kind[func]),
        element('button', {
          class: 'fn', type: 'button', title: functionName(data, func), 'aria-current': on ? 'true' : undefined,
          disabled: state.inverted, onclick: () => actions.select(model.pathTo(node)),
        }, shortName(functionName(data, func), 30)),
        element('span', { class: 'at', title: data.strings[data.frames.file[data.nodes.frame[node]]] }, at));
    });
    const more = nodes.length - rows.length;
    if (more > 0) rows.push(element('li', { class: 'u' }, `and ${count(more)} frames further out`));
    return element('div', { class: 'st' },
      element('div', { class: 'sub' }, 'Heaviest stack through it, innermost first'), element('ol', {}, ...rows));
  }

  /** A place for the source lines of the selected frame of that stack, filled when the server has sent them. @param {Model} model @param {Box} box @param {number} leaf */
  function source({ data }, box, leaf) {
    const node = stackOf(data, leaf).find((each) => box.items.includes(each));
    const frame = node === undefined ? -1 : data.nodes.frame[node];
    if (embedded() || frame < 0 || !data.frames.line[frame]) return [];
    const at = { file: data.strings[data.frames.file[frame]], line: data.frames.line[frame] };
    const part = element('div', { class: 'src' }, element('div', { class: 'sub', title: at.file }, place(data, frame)));
    excerptOf(frame).then((found) => {
      if (found) part.append(lines(found, at));
    });
    return [part];
  }

  /** @param {Excerpt} found @param {{ file: string, line: number }} at */
  function lines(found, at) {
    // The server may have read a running capture again since.
    if (found.file !== at.file || found.line !== at.line) return element('p', { class: 'sub' }, 'No lines: the capture has grown.');
    if (found.missing) return element('p', { class: 'sub' }, `No lines: ${found.missing}.`);
    const rows = found.lines.map((text, index) => {
      const number = found.first + index, on = number === found.line;
      return element('div', { class: on ? 'on' : '', 'aria-current': on ? 'true' : undefined }, element('span', {}, `${number}`), element('code', {}, text));
    });
    return element('pre', { tabindex: '0', 'aria-label': 'Source' }, ...rows);
  }

  async function copyStack() {
    if (!shown) return;
    const { model: { data, measure }, box, leaf } = shown;
    const { value, of } = measure.metric;
    const process = data.processes[data.nodes.process[leaf]];
    const lines = stackOf(data, leaf).map((node) => {
      const func = data.nodes.function[node], frame = data.nodes.frame[node];
      const file = data.strings[data.frames.file[frame]], line = data.frames.line[frame];
      const at = file ? ` at ${file}${line ? `:${line}` : ''}` : '';
      const module = data.strings[data.functions.module[func]];
      return `  ${functionName(data, func)}${at}${module ? ` (${module})` : ''}`;
    });
    const head = `${text(measure.metric, box.net)} (${exactAmount(value, box.net)}) ${of}, ${percent(box.total, measure.sum)}, in ${functionName(data, box.func)}`;
    await copy([head, ...lines, `  process ${process.index}: ${process.name} ${process.pid}`, ''].join('\n').replaceAll('\u202f', ' '));
    say(`Stack of ${lines.length} frames copied`);
  }

  return { update, copyStack };
}
