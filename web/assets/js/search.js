// Finding frames by a regular expression, and how much of the whole they account for. Pure.

/** @import { Tree } from '#wire' */
/** @import { Sums } from '#metrics' */

/**
 * The pattern a person typed; text that is no regular expression is searched as it is.
 * @param {string} text @returns {{ regex: RegExp, literal: boolean } | null}
 */
export function pattern(text) {
  if (!text) return null;
  try {
    return { regex: new RegExp(text, 'i'), literal: false };
  } catch {
    return { regex: new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i'), literal: true };
  }
}

/**
 * @typedef {object} Found
 * @property {RegExp} regex
 * @property {Uint8Array} frames 1 for each frame whose function, file or module matches
 * @property {Uint8Array} functions 1 for each function one of whose frames matches
 * @property {Uint8Array} nodes 1 for each node whose stack, itself included, holds a match
 */

/** @param {Pick<Tree, 'strings' | 'frames' | 'functions' | 'nodes'>} data @param {RegExp} regex @returns {Found} */
export function find(data, regex) {
  const { strings } = data;
  const asked = new Int8Array(strings.length);
  /** @param {number} at */
  const test = (at) => {
    // Each distinct text is asked once.
    if (!asked[at]) asked[at] = strings[at] && regex.test(strings[at]) ? 1 : -1;
    return asked[at] > 0;
  };
  const { frames, functions, nodes } = data;
  const hits = new Uint8Array(frames.function.length);
  const hitFunctions = new Uint8Array(functions.name.length);
  for (let i = 0; i < hits.length; i++) {
    const func = frames.function[i];
    if (test(functions.name[func]) || test(functions.module[func]) || test(frames.file[i])) {
      hits[i] = 1;
      hitFunctions[func] = 1;
    }
  }
  const under = new Uint8Array(nodes.count);
  for (let i = 0; i < nodes.count; i++) {
    under[i] = hits[nodes.frame[i]] || (nodes.parent[i] >= 0 ? under[nodes.parent[i]] : 0);
  }
  return { regex, frames: hits, functions: hitFunctions, nodes: under };
}

/** The value of all stacks with a match; nested matches count once. @param {Found} found @param {Sums} measure */
export function matchedSum(found, measure) {
  let sum = 0;
  for (let i = 0; i < found.nodes.length; i++) if (found.nodes[i]) sum += measure.self[i];
  return sum;
}
