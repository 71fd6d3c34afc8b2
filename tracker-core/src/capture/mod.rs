//! The capture file: header, then self-checking blocks, append-only. Written by the collector, read by everyone.

pub mod block;
pub mod meta;
pub mod writer;
