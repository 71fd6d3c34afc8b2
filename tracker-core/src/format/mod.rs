//! The bytes a recorded thread writes, and the shared memory it writes them into. Specified in `docs/format.md`.
//!
//! `no_std`, no allocation, no panic: this module runs inside the target. It knows no consumer.

pub mod event;
pub mod lanes;
pub mod lines;
pub mod python;
pub mod record;
pub mod varint;
pub mod wire;

pub use event::{AllocFields, Deltas, Encoded};
pub use record::{Called, DecodeError, Function, ImageKind, Record};

/// Version of the capture file and of the lanes. Until the first release a change bumps it and keeps no reader.
pub const VERSION: u32 = 12;

/// Longest record in bytes, tag included. A writer that has this much room left can write any record unchecked.
pub const MAX_RECORD_LEN: usize = 3072;

/// Longest event (allocation, free, epoch, clock), tag included.
pub const MAX_EVENT_LEN: usize = 32;

/// Most return addresses in one [`Record::Define`]; a deeper stack is defined by several in a row.
pub const MAX_DEFINE_PCS: usize = 256;

/// Return addresses below this are not code but markers inside a stack.
pub const MARKER_LIMIT: u64 = 4096;
/// Marker: the frames between this one's neighbours were cut out of a very deep stack.
pub const PC_TRUNCATED: u64 = 1;
/// Marker: the stack was not walked (too little stack left, or a hook inside a hook inside a hook).
pub const PC_NOT_WALKED: u64 = 2;
/// Markers `PC_FUNCTION + Function`: innermost entry of every stack, the allocation function that was called.
pub const PC_FUNCTION: u64 = 16;
/// Added to such a marker: the memory is recorded twice (see [`record::Called`]).
pub const PC_TWICE: u64 = 32;

/// The stack id that stands for the empty stack, the parent of outermost frames.
pub const ROOT_STACK: u32 = 0;
