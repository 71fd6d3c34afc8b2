//! From a trace to a text, in every layout, and the sums that hold in every profile.

use fuzz::assert_sums;
use tracker_core::report::names::Symbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::{Profile, Pymalloc};
use tracker_core::report::{OpenOptions, names::NoSymbols};

use crate::{show, trace};

/// Reads a capture from memory.
pub(crate) fn profile(bytes: &[u8], symbols: &mut dyn Symbols) -> Profile {
    counted(bytes, symbols, Pymalloc::default())
}

fn counted(bytes: &[u8], symbols: &mut dyn Symbols, pymalloc: Pymalloc) -> Profile {
    let options = OpenOptions { pymalloc, ..OpenOptions::default() };
    let profile = read(&bytes, false, &options, symbols, &mut |_, _| {}).expect("a capture");
    assert_sums(&profile);
    profile
}

/// Reads a capture without names.
pub(crate) fn plain_profile(bytes: &[u8]) -> Profile {
    profile(bytes, &mut NoSymbols)
}

/// What a trace replays to, in every layout.
#[track_caller]
pub(crate) fn check(trace: &str, expected: &str) {
    check_counted(trace, Pymalloc::default(), expected);
}

/// The same with a choice of what counts.
#[track_caller]
pub(crate) fn check_counted(trace: &str, pymalloc: Pymalloc, expected: &str) {
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    // What is lost with a chunk depends on what was written of it.
    let layouts = if trace.contains(" lose") { &trace::Layout::ALL[..2] } else { &trace::Layout::ALL };
    for &layout in layouts {
        let (recording, mut functions) = trace::write(trace, layout);
        let shown = show::show(&counted(&recording.finish(), &mut functions, pymalloc));
        assert!(shown == expected, "{layout:?}\n{trace}\n--- is\n{shown}--- should be\n{expected}");
    }
}
