//! How much of what leaked nobody minds, in the same words everywhere: *leaked* is all of it.

use tracker_core::report::rows::Sum;

use super::units::bytes;

/// What the built-in suppressions stand for.
pub(crate) const KEPT: &str = "kept by libc and the like";

/// `4.0 KiB kept by …`, or nothing when there is no such part.
pub(crate) fn part(total: &Sum, part: &Sum, what: &str) -> Option<String> {
    match part.blocks {
        0 => None,
        blocks if blocks == total.blocks => Some(format!("all of it {what}")),
        _ => Some(format!("{} {what}", bytes(part.bytes))),
    }
}
