//! What a person asks of a capture, as plain data. No IO, no text.
//!
//! Every view is a sum over the rows of a [`filter::Selection`], so all of them agree.

pub mod budget;
pub mod filter;
mod json;
pub mod metric;
pub mod name;
pub mod pattern;
pub mod places;
pub mod profile;
pub mod rows;
#[cfg(any(test, feature = "sketch"))]
pub mod sketch;
pub mod stats;
pub mod summary;
pub mod sums;
pub mod suppress;
pub mod tree;

pub use json::{StatsJson, TreeJson};
