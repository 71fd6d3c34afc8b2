//! What holds in every profile, whatever it was read from.

use tracker_core::report::profile::{Metrics, Profile};

/// Every number of a profile is a sum of its rows.
///
/// # Panics
/// When one is not.
pub fn assert_sums(profile: &Profile) {
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
