// The flamegraph for those who do not see it: a tree around the selected frame, made on demand.

/** @import { Tree } from '#wire' */
/** @import { Sums } from '#metrics' */
/** @import { Box } from '#flame/layout' */
import { functionName } from '#columns';
import { element } from '#dom';
import { shown } from '#metrics';
import { shortName } from '#names';
import { percent } from '#units';

/** Siblings and callees beyond this many are not read out one by one. */
const MOST = 50;
/** Characters of a name that are read out at most. */
const LONGEST = 200;

/**
 * @param {HTMLElement} area what has the focus @param {HTMLElement} holder where the tree goes
 * @param {Tree} data @param {Sums} m @param {Box[]} path from the whole to the selected box
 * @param {(box: Box) => Box[]} expand
 */
export function describe(area, holder, data, m, path, expand) {
  const selected = path[path.length - 1];
  if (!selected || selected.func < 0) {
    holder.replaceChildren();
    area.removeAttribute('aria-activedescendant');
    return;
  }
  /** @type {HTMLElement[]} */
  const items = [];
  /** @param {Box} box @param {number} level @param {number} position @param {number} size */
  const add = (box, level, position, size) => {
    const isSelected = box.func === selected.func && level === path.length - 1;
    const text = `${shortName(functionName(data, box.func), LONGEST)}, ${shown(m.metric, box.net)}, ${percent(box.total, m.sum)}`;
    items.push(element('div', {
      role: 'treeitem', id: isSelected ? 'flame-selected' : '', 'aria-level': level, 'aria-posinset': position,
      'aria-setsize': size, 'aria-selected': isSelected,
    }, text));
  };
  path.slice(1, -1).forEach((box, i) => add(box, i + 1, 1, 1));
  const siblings = expand(path[path.length - 2]);
  siblings.slice(0, MOST).forEach((box, i) => {
    add(box, path.length - 1, i + 1, siblings.length);
    if (box.func !== selected.func) return;
    const below = expand(selected);
    below.slice(0, MOST).forEach((child, k) => add(child, path.length, k + 1, below.length));
  });
  holder.replaceChildren(...items);
  area.setAttribute('aria-activedescendant', 'flame-selected');
}
