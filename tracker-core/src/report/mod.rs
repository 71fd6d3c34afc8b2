//! What a person asks of a capture, as plain data. No text but the remarks of [`open()`], and no other IO than its and
//! the index that [`seal()`](open::seal) appends.
//!
//! [`open()`] makes the [`profile::Profile`]; every view is a sum over the rows of a [`filter::Selection`], so all of them
//! agree.

mod build;
pub mod diff;
pub mod escaping;
pub mod events;
pub mod filter;
pub mod harmful;
mod index;
pub mod interpreter;
mod json;
mod known;
pub mod labels;
pub mod levels;
mod merge;
pub mod metric;
pub mod name;
pub mod names;
mod narrow;
pub mod open;
pub mod pattern;
pub mod places;
pub mod profile;
pub mod quantity;
mod remarks;
mod resolve;
pub mod rows;
mod rss;
pub mod runtime;
mod seal;
pub mod share;
#[cfg(any(test, feature = "sketch"))]
pub mod sketch;
pub mod slices;
pub mod span;
mod stacks;
pub mod stats;
pub mod summary;
pub mod sums;
pub mod suppress;
pub mod table;
pub mod tree;
pub mod verify;

pub(crate) use json::{RowsJson, StackJson};
pub use json::{StatsJson, TableJson, TimelineJson, TreeJson};
pub use narrow::{narrow, narrow_in};
pub use open::{OpenError, OpenOptions, open, seal, symbolize, verify};
pub use seal::{Unsealed, load};
