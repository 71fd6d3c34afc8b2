// The first answers, and whether to believe them.

/** @import { Data } from '#wire' */
/** @import { Piece } from '#words' */
import { byId, element } from '#dom';
import { answers, commandLine, facts, stateWords, title, trust } from '#words';

/** @param {{ show: (metric: string, node: number) => void, go: (part: string) => void }} actions */
export function overview(actions) {
  /** @param {Piece} piece */
  function inline(piece) {
    if (typeof piece === 'string') return document.createTextNode(piece);
    const { text, metric, node, part } = piece;
    const onclick = part ? () => actions.go(part) : () => actions.show(metric ?? 'peak', node ?? 0);
    return element('button', { class: part ? 'link' : 'link strong', type: 'button', onclick }, text);
  }

  /** @param {Data} data */
  function update(data) {
    document.title = title(data);
    byId('file').textContent = data.summary.name;
    const [words, colour] = stateWords(data);
    byId('state').replaceChildren(element('span', { class: `dot ${colour}` }), words);
    byId('command').textContent = commandLine(data.summary.command) || data.summary.name;
    byId('facts').textContent = facts(data);
    byId('answers').replaceChildren(...answers(data).map((answer) => element('div', {},
      element('div', { class: 'l' }, answer.label),
      element('div', { class: 'f' }, answer.figure, ' ', element('small', {}, answer.small)),
      element('p', {}, ...answer.pieces.map(inline)))));
    byId('trust').replaceChildren(...trust(data).map(({ strong, text, level }) => element('span', { class: level },
      strong ? element('b', {}, strong) : null, text)));
  }

  return { update };
}
