// Function names made short without losing the end that means something. Pure.

/**
 * Text from a program, with what a screen would obey rather than show written as an escape: control characters, line
 * separators, and the marks that turn the direction of writing.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/g, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** Longer names are cut first: they come from the program that was recorded, and shortening must stay cheap. */
const LONGEST = 2000;

/**
 * The name in ever shorter forms: full, without parameters, templates as `<…>`, leading namespaces dropped one by
 * one, the last name alone.
 * @param {string} name @returns {string[]}
 */
export function forms(name) {
  const full = name.length > LONGEST ? `${name.slice(0, LONGEST)}…` : name;
  const all = [full];
  const add = (/** @type {string} */ form) => {
    if (form && form !== all[all.length - 1]) all.push(form);
  };
  if (/^[<[][^<>:]*[>\]]$/.test(full)) return all; // Python's <module>, our [unknown].
  const bare = withoutParameters(full);
  add(bare);
  const folded = foldTemplates(implementor(bare));
  add(folded);
  const parts = splitPath(folded);
  for (let i = 1; i < parts.length; i++) add(parts.slice(i).join('::'));
  add(parts[parts.length - 1].replace(/<…>$/, ''));
  return all;
}

const memo = new Map();

/** The best form for a sentence or a list of `limit` characters. @param {string} name @param {number} limit */
export function shortName(name, limit) {
  const key = `${limit} ${name}`;
  let form = memo.get(key);
  if (form === undefined) {
    const all = forms(name);
    form = all.find((candidate) => candidate.length <= limit) ?? all[all.length - 1];
    if (form.length > limit) form = `${form.slice(0, limit - 1)}…`;
    memo.set(key, form);
  }
  return form;
}

/**
 * The form that fits `width`, or the last name cut at the right, or nothing.
 * @param {string} name @param {number} width @param {(text: string) => number} measure
 */
export function fit(name, width, measure) {
  const all = forms(name);
  for (const form of all) if (measure(form) <= width) return form;
  const last = all[all.length - 1];
  let low = 2, high = Math.min(last.length - 1, 200);
  if (high <= low || measure(`${last.slice(0, low)}…`) > width) return '';
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${last.slice(0, middle)}…`) <= width) low = middle;
    else high = middle - 1;
  }
  return `${last.slice(0, low)}…`;
}

/** `f(int) const` is `f`; `operator()(int)` is `operator()`. @param {string} name */
function withoutParameters(name) {
  const tail = /(?:\s*(?:const|volatile|&&?|noexcept|\[[^\]]*\]|\(\.[^)]*\)))*$/.exec(name);
  const body = tail ? name.slice(0, tail.index) : name;
  if (!body.endsWith(')')) return name;
  let depth = 0, at = body.length - 1;
  for (; at >= 0; at--) {
    if (body[at] === ')') depth++;
    else if (body[at] === '(' && --depth === 0) break;
  }
  if (at <= 0 || body.slice(0, at).endsWith('operator')) return name;
  const bare = body.slice(0, at);
  return bare.endsWith('operator new') || /[\w>~\])!=<+\-*/%^&|]$/.test(bare) ? bare : name;
}

/** `<app::List<T> as Iterator>::next` is `app::List<T>::next`. @param {string} name */
function implementor(name) {
  if (name[0] !== '<') return name;
  const close = closing(name, 0);
  if (close < 0 || close === name.length - 1) return name;
  const inside = name.slice(1, close);
  let depth = 0;
  for (let i = 0; i < inside.length; i++) {
    if (inside[i] === '<') depth++;
    else if (inside[i] === '>' && inside[i - 1] !== '-') depth--;
    else if (depth === 0 && inside.startsWith(' as ', i)) return inside.slice(0, i) + name.slice(close + 1);
  }
  return inside + name.slice(close + 1);
}

/** Where the angle bracket at `open` is closed, or -1. @param {string} name @param {number} open */
function closing(name, open) {
  let depth = 0;
  for (let i = open; i < name.length; i++) {
    if (name[i] === '<') depth++;
    else if (name[i] === '>' && name[i - 1] !== '-' && --depth === 0) return i;
  }
  return -1;
}

/** @param {string} name */
function foldTemplates(name) {
  let out = '';
  for (let i = 0; i < name.length; i++) {
    if (name.startsWith('operator', i)) {
      const symbol = /^operator\s*(?:<=>|<<=|>>=|->\*?|<<|>>|<=|>=|<|>|\(\))?/.exec(name.slice(i, i + 16));
      const token = symbol ? symbol[0] : 'operator';
      out += token;
      i += token.length - 1;
      continue;
    }
    const close = name[i] === '<' ? closing(name, i) : -1;
    if (close > i) {
      // Rust's turbofish: f::<T>.
      if (out.endsWith('::')) out = out.slice(0, -2);
      out += '<…>';
      i = close;
    } else {
      out += name[i];
    }
  }
  return out;
}

/** Splits at `::` outside of brackets. @param {string} name */
function splitPath(name) {
  const parts = [];
  let depth = 0, start = 0;
  for (let i = 0; i < name.length; i++) {
    if (name[i] === '(' || name[i] === '{') depth++;
    else if (name[i] === ')' || name[i] === '}') depth--;
    else if (depth === 0 && name.startsWith('::', i)) {
      parts.push(name.slice(start, i));
      start = i + 2;
      i++;
    }
  }
  parts.push(name.slice(start));
  return parts.filter((part, i) => part || i === 0);
}
