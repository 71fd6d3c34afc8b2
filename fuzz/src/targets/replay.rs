//! The replay, behind valid blocks.

use tracker_core::capture::dump::dump;
use tracker_core::report::OpenOptions;
use tracker_core::report::names::NoSymbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::Profile;

use crate::repair::repair;
use crate::sums::assert_sums;

/// Any records make a profile, and its numbers add up.
pub fn replay(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    profile(&bytes);
    let _ = dump(&&bytes[..], &mut std::io::sink());
}

pub(super) fn profile(bytes: &[u8]) -> Profile {
    let profile = read(&bytes, false, &OpenOptions::default(), &mut NoSymbols, &mut |_, _| {});
    let profile = profile.expect("a capture with a valid header");
    assert_sums(&profile);
    profile
}
