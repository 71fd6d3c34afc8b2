//! The index of a sealed capture, behind valid blocks and a valid seal.

use tracker_core::report::span::{Asked, Moment};
use tracker_core::report::{OpenOptions, load, narrow_in};

use super::views;
use crate::repair::{repair, seal};

/// Any index makes a profile that has every view and any range of time, or none. Answers whether it made one.
pub fn index(bytes: &[u8]) -> bool {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    seal(&mut bytes);
    let profile = load(&bytes[..], &OpenOptions::default());
    if let Some(profile) = &profile {
        views::all(profile, &bytes);
        for (from, to) in [(0, 300_000), (700_000, 900_000), (400_000, 1_000_000)] {
            let asked = Asked { from: Some(Moment::Share(from)), to: Some(Moment::Share(to)), at: None };
            let Ok(span) = asked.resolve(profile) else { continue };
            // Any numbers, or none.
            let _ = narrow_in(&bytes[..], profile.clone(), span, &OpenOptions::default(), &mut |_, _| {});
        }
    }
    profile.is_some()
}
