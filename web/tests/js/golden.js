// The profile both test suites know by heart; `examples/synthetic/small.rs` draws it.
import { readFileSync } from 'node:fs';
import { decode, functionName } from '#columns';

export const wire = () => JSON.parse(readFileSync(new URL('../golden/small.json', import.meta.url), 'utf8'));
export const data = decode(wire());
export const ALL = { process: -1, thread: -1 };
/** The number of a function, by its name. */
export const func = (name) => Array.from(data.functions.name, (_, i) => functionName(data, i)).indexOf(name);
