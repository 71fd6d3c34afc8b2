// What the flamegraph shows of the whole: the way to what is zoomed to, and the filters in force, each with its way out.

/** @import { Scene } from '#derive' */
/** @import { State, Store } from '#state' */
/** @import { Box } from '#flame/layout' */
import { functionName } from '#columns';
import { byId, element } from '#dom';
import { pathOf, recursionDepth } from '#flame/layout';
import { shown } from '#metrics';
import { shortName } from '#names';
import { percent } from '#units';

/** @param {Store} store @param {(path: number[]) => void} zoomTo */
export function crumbRow(store, zoomTo) {
  /** @param {Scene} model @param {Box[]} path */
  function update(model, path) {
    byId('crumbs').replaceChildren(...(model.state.sandwich >= 0 ? between(model, path[1]) : way(model, path)));
    byId('chips').replaceChildren(...chips(model));
  }

  /** @param {Scene} model @param {Box} box */
  function between({ data, measure, scope, state }, box) {
    const depth = recursionDepth(data, state.sandwich);
    return [
      element('button', { type: 'button', class: 'link', onclick: () => store.set({ sandwich: -1 }) }, scope),
      element('span', {}, '›'),
      element('b', {}, shortName(functionName(data, state.sandwich), 40)),
      element('span', {}, `${shown(measure.metric, box.net)} · ${percent(box.total, measure.sum)}${depth > 1 ? ` · recurses, up to ${depth} deep` : ''}`),
    ];
  }

  /** @param {Scene} model @param {Box[]} path */
  function way({ data, measure, scope, state }, path) {
    const whole = state.inverted ? 'Inverted, by callers' : scope;
    /** @param {Box} box @param {number} depth */
    const crumb = (box, depth) => {
      const name = depth ? shortName(functionName(data, box.func), 40) : whole;
      if (depth === path.length - 1) return element('b', {}, name);
      return element('button', { type: 'button', class: 'link', onclick: () => zoomTo(pathOf(box)) }, name);
    };
    /** @type {(Node | string)[]} */
    const parts = [];
    path.forEach((box, depth) => {
      // The way there in four: the whole, the first, what is between them, and where we are.
      if (path.length > 4 && depth > 1 && depth < path.length - 1) {
        if (depth === 2) parts.push('› … ›');
        return;
      }
      if (depth && !(path.length > 4 && depth === path.length - 1)) parts.push('›');
      parts.push(crumb(box, depth));
    });
    const top = path[path.length - 1];
    const { metric } = measure;
    parts.push(`${shown(metric, top.net)}${path.length > 1 ? ` · ${percent(top.total, measure.sum)}` : ` ${metric.of}`}`);
    return parts.map((part) => (typeof part === 'string' ? element('span', {}, part) : part));
  }

  /** @param {Scene} model */
  function chips({ data, state }) {
    const name = (/** @type {number} */ func) => shortName(functionName(data, func), 28);
    /** @param {'focus' | 'exclude' | 'modules'} list @param {number} out @returns {Partial<State>} */
    const without = (list, out) => ({ [list]: state[list].filter((one) => one !== out) });
    return [
      ...state.focus.map((func) => chip(`only through ${name(func)}`, without('focus', func))),
      ...state.exclude.map((func) => chip(`without ${name(func)}`, without('exclude', func))),
      ...state.modules.map((text) => chip(`${data.strings[text].split('/').pop()} hidden`, without('modules', text))),
      ...(state.recursion ? [chip('recursion folded', { recursion: false })] : []),
    ];
  }

  /** @param {string} text @param {Partial<State>} change */
  const chip = (text, change) => element('button', {
    class: 'tag', type: 'button', 'aria-label': `${text}: remove`, onclick: () => store.set({ ...change, zoom: [] }),
  }, text, element('span', { 'aria-hidden': 'true' }, ' ×'));

  return { update };
}
