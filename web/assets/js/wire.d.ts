// What the server and the exported file send: the Rust side is `web/src/columns/`.
// A golden file, `tests/golden/small.json`, is read by the tests of both sides.

/** Ascending numbers as differences. */
export type Deltas = number[];

export interface Totals {
  allocations: number;
  allocated_bytes: number;
  frees: number;
  reallocations: number;
  leaked_blocks: number;
  leaked_bytes: number;
  peak_blocks: number;
  peak_bytes: number;
  peak_at_ns: number;
  peak_error_bytes: number;
  peak_rss_bytes: number;
  temporary_allocations: number;
  inherited_frees: number;
  unmatched_frees: number;
  lost_events: number;
  truncated_stacks: number;
  unresolved_frames: number;
}

export interface Summary {
  name: string;
  state: 'complete' | 'running' | 'cut';
  command: string[];
  host: string;
  version: string;
  start_unix_ms: number;
  duration_ns: number;
  exit: { code: number } | { signal: number } | null;
  totals: Totals;
  frames: number;
  untracked: { pid: number; exe: string; reason: string }[];
  warnings: string[];
  /** Arguments, host and folders were left out. */
  redacted: boolean;
  counted: string | null;
  /** Allocations of the whole capture by requested size: from each size up to the next. */
  sizes: { from: number[]; allocations: number[]; bytes: number[] };
}

/** Lines of a source file around the one that a frame names. */
export interface Excerpt {
  file: string;
  /** The one in question. */
  line: number;
  /** Number of the first of `lines`. */
  first: number;
  lines: string[];
  /** Why there are none. */
  missing: string | null;
}

export interface Process {
  index: number;
  pid: number;
  parent: number | null;
  name: string;
  command: string[];
  start_ns: number;
  end_ns: number | null;
  totals: Totals;
}

export interface WireSparse {
  row: Deltas;
  blocks: number[];
  bytes: number[];
}

/** What rows did in each slice of time, sorted by row, slice, what, birth. */
export interface WireSlices {
  /** Where slices begin and, one more, where the last ends. */
  bounds_ns: Deltas;
  /** How many changes each row has. */
  changes: number[];
  /** Ascending within a row, as differences. */
  slice: number[];
  /** 0 allocated, 1 allocated and temporary, 2 freed, 3 gone with its image. */
  what: number[];
  /** How many slices before its end a freed block was allocated. */
  age: number[];
  blocks: number[];
  bytes: number[];
}

export interface Wire {
  schema: string;
  summary: Summary;
  processes: Process[];
  threads: { index: number[]; tid: number[]; name: string[]; process: (number | null)[] };
  strings: string[];
  functions: { name: number[]; module: number[]; kind: number[]; library: number[]; interpreter: number[] };
  frames: { function: number[]; file: number[]; line: number[] };
  nodes: { up: number[]; frame: number[] };
  rows: {
    node: Deltas;
    thread: number[];
    /** Number of the string that names the function which handed the blocks out, or 0. */
    allocator: number[];
    allocations: number[];
    allocated_bytes: number[];
    temporary: WireSparse;
    peak: WireSparse;
    process_peak: WireSparse | null;
    leaked: WireSparse;
    leaked_first_ns: number[];
    leaked_last_ns: number[];
    leaked_rule: number[];
  };
  slices: WireSlices | null;
  timeline: {
    time_ns: Deltas;
    live_max_bytes: number[];
    live_bytes: number[];
    allocations: number[];
    allocated_bytes: number[];
    processes: { process: number; from: number; live_bytes: number[] }[];
    rss: { time_ns: Deltas; process: number[]; anon_bytes: number[]; file_bytes: number[] };
  };
}

/** A pair of columns; without `row` there is a value for every row. */
export interface Pair {
  row: Uint32Array | null;
  blocks: Float64Array;
  bytes: Float64Array;
}

export interface Slices {
  bounds: Float64Array;
  /** Changes of row `r` are `first[r]` to before `first[r + 1]`. */
  first: Uint32Array;
  row: Uint32Array;
  slice: Uint16Array;
  birth: Uint16Array;
  what: Uint8Array;
  blocks: Float64Array;
  bytes: Float64Array;
}

/** Captures of one side of a difference. */
export interface DiffSide {
  names: string[];
  command: string[];
  duration_ns: number[];
  /** One of each capture. */
  totals: number[];
}

/** What changed between two sides: `web/src/columns/diff.rs`. */
export interface WireDiff {
  schema: string;
  metric: string;
  unit: 'bytes' | 'blocks';
  before: DiffSide;
  after: DiffSide;
  /** Functions that have another name after. */
  renamed: [string, string][];
  /** Stacks that changed no more than captures of one side differ. */
  noise: number;
  redacted: boolean;
  strings: string[];
  functions: Wire['functions'];
  frames: Wire['frames'];
  nodes: Wire['nodes'];
  stacks: { node: Deltas; before: number[]; after: number[] };
}

/** A call tree and what its nodes are called. */
export interface Tree {
  strings: string[];
  functions: { name: Uint32Array; module: Uint32Array; kind: Uint8Array; library: Uint8Array; interpreter: Uint8Array };
  frames: { function: Uint32Array; file: Uint32Array; line: Uint32Array };
  nodes: {
    count: number;
    /** -1 for a root. */
    parent: Int32Array;
    /** One past the node's subtree. */
    end: Uint32Array;
    frame: Uint32Array;
    function: Uint32Array;
    process: Uint32Array;
  };
}

/** The decoded columns: what every module reads and none changes. */
export interface Data extends Tree {
  summary: Summary;
  processes: Process[];
  threads: { index: number[]; tid: number[]; name: string[]; process: (number | null)[] };
  rows: {
    count: number;
    /** -1 where the reader left the stack out. */
    node: Int32Array;
    thread: Uint32Array;
    allocator: Uint32Array;
    allocated: Pair;
    temporary: Pair;
    peak: Pair;
    processPeak: Pair;
    leaked: Pair;
    leakedFirst: Float64Array;
    leakedLast: Float64Array;
    /** Number of the string that names the rule which sets the leak apart, or 0. */
    leakedRule: Uint32Array;
    /** What a range of time added and took away; known for ranges only. */
    growth: Pair | null;
  };
  slices: Slices | null;
  timeline: {
    time: Float64Array;
    liveMax: Float64Array;
    live: Float64Array;
    allocations: Float64Array;
    allocated: Float64Array;
    processes: { process: number; from: number; live: Float64Array }[];
    rss: { time: Float64Array; process: Uint32Array; anon: Float64Array; file: Float64Array };
  };
}
