//! Hostile input for everything that reads bytes which memtrack did not make in the same process.
//!
//! [`targets`] are plain functions from bytes to nothing that panic when a promise is broken. [`campaign()`] feeds one of them
//! with mutations of real input: the same few thousand in every test run, or new ones for as long as
//! `MEMTRACK_FUZZ_SECONDS` says.
#![forbid(unsafe_code)]

mod campaign;
mod mutate;
mod random;
mod repair;
mod sums;
pub mod targets;

pub use campaign::campaign;
pub use mutate::mutate;
pub use random::Random;
pub use repair::{index_of, raw, repair};
pub use sums::assert_sums;
