//! The capture file: header, then self-checking blocks, append-only. Written by the collector, read by everyone.
//!
//! Reading, in order: [`source`] gives bytes at a place, [`scan`] finds the valid blocks between them, [`reader`] sorts
//! the blocks by stream and gathers the [`facts`], [`cursor`] decodes one stream's records (of payloads
//! that `ahead` has ready). A sealed capture
//! has its replay's results behind the events: the [`index`]. [`dump`] prints all of it,
//! [`strip`] copies it without what [`redact`] takes out.

pub(crate) mod ahead;
pub mod block;
pub(crate) mod columns;
pub mod cursor;
pub mod dump;
pub mod facts;
pub mod index;
pub mod meta;
mod pack;
pub mod payload;
mod predict;
pub mod reader;
pub mod redact;
pub mod scan;
pub mod source;
pub mod strip;
mod unpack;
pub mod writer;
