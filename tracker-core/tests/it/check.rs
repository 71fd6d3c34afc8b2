//! From a trace to a text, in every layout, and the sums that hold in every profile.

use tracker_core::report::names::Symbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::{Metrics, Profile};
use tracker_core::report::{OpenOptions, names::NoSymbols};

use crate::{show, trace};

/// Reads a capture from memory.
pub(crate) fn profile(bytes: &[u8], symbols: &mut dyn Symbols) -> Profile {
    let profile = read(&bytes, false, &OpenOptions::default(), symbols, &mut |_, _| {}).expect("a capture");
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
    let expected: String =
        expected.lines().map(str::trim).filter(|l| !l.is_empty()).map(|l| format!("{l}\n")).collect();
    // What is lost with a chunk depends on what was written of it.
    let layouts = if trace.contains(" lose") { &trace::Layout::ALL[..2] } else { &trace::Layout::ALL };
    for &layout in layouts {
        let (recording, mut functions) = trace::write(trace, layout);
        let shown = show::show(&profile(&recording.finish(), &mut functions));
        assert!(shown == expected, "{layout:?}\n{trace}\n--- is\n{shown}--- should be\n{expected}");
    }
}

/// Every number of a profile is a sum of its rows.
pub(crate) fn assert_sums(profile: &Profile) {
    fn sum<'m>(all: impl Iterator<Item = &'m Metrics>, of: fn(&Metrics) -> u64) -> u64 {
        all.map(of).fold(0, u64::saturating_add)
    }
    let fields: [fn(&Metrics) -> u64; 10] = [
        |m| m.allocations,
        |m| m.allocated_bytes,
        |m| m.leaked_blocks,
        |m| m.leaked_bytes,
        |m| m.peak_blocks,
        |m| m.peak_bytes,
        |m| m.process_peak_blocks,
        |m| m.process_peak_bytes,
        |m| m.temporary_allocations,
        |m| m.temporary_bytes,
    ];
    for field in fields {
        let total = field(&profile.totals.metrics);
        assert_eq!(total, sum(profile.rows.iter().map(|row| &row.metrics), field));
        assert_eq!(total, sum(profile.processes.iter().map(|process| &process.totals.metrics), field));
        assert_eq!(total, sum(profile.threads.iter().map(|thread| &thread.metrics), field));
    }
    let points = &profile.timeline.points;
    let counted = points.iter().map(|point| point.allocations).sum::<u64>();
    assert_eq!(counted, profile.totals.metrics.allocations);
    assert_eq!(points.iter().map(|point| point.live_max_bytes).max().unwrap_or(0), profile.totals.metrics.peak_bytes);
    for live in &profile.timeline.process_live {
        assert_eq!(live.len(), points.len());
    }
    for (at, point) in points.iter().enumerate() {
        let live = profile.timeline.process_live.iter().map(|live| live[at]).fold(0, u64::saturating_add);
        assert_eq!(live, point.live_bytes);
    }
    let classes = profile.sizes.iter().map(|class| class.allocations).sum::<u64>();
    assert_eq!(classes, profile.totals.metrics.allocations);
}
