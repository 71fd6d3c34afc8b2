//! The index of a sealed capture, behind valid blocks and a valid seal.

use tracker_core::report::{OpenOptions, load};

use super::views;
use crate::repair::{repair, seal};

/// Any index makes a profile that has every view, or none. Answers whether it made one.
pub fn index(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    seal(&mut bytes);
    let profile = load(&bytes[..], &OpenOptions::default());
    if let Some(profile) = &profile {
        views::all(profile, &bytes);
    }
    profile.is_some()
}
