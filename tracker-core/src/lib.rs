//! The stations between the bytes a recorded program leaves and the numbers a person reads.
//!
//! ```text
//! format ← capture ← replay ← report ← export, budget        symbol stands beside replay
//! ```
//!
//! [`mod@format`] is all that the preload library takes (`default-features = false`): `no_std`, no allocation.
//! Nothing here writes to a terminal, knows HTTP, or contains `unsafe`.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod format;

#[cfg(feature = "std")]
pub mod budget;
#[cfg(feature = "std")]
pub mod capture;
#[cfg(feature = "std")]
pub mod export;
#[cfg(feature = "std")]
pub mod replay;
#[cfg(feature = "std")]
pub mod report;
#[cfg(feature = "std")]
pub mod symbol;
