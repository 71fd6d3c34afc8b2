//! What a person asks of a capture, as plain data. No text but the remarks of [`open()`].

mod build;
pub mod names;
pub mod open;
pub mod profile;
mod remarks;
mod rss;
mod stacks;

pub use open::{OpenError, OpenOptions, open};
