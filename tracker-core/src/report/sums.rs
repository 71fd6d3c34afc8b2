//! The numbers of one scope under the names of the JSON contract.

use serde::Serialize;

use super::filter::Selection;
use super::metric::{Metric, PeakOf};
use super::profile::{Metrics, Totals};

/// The sums of the capture, of a process row, or of a selection inside one of them. Numbers that only whole scopes
/// have are `None` in a narrower selection; those that say how far the numbers can be trusted are always the scope's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sums {
    pub allocations: u64,
    pub frees: Option<u64>,
    pub reallocations: Option<u64>,
    pub allocated_bytes: u64,
    pub peak_bytes: u64,
    pub peak_blocks: u64,
    /// Of a region nobody knows it.
    pub peak_at_ns: Option<u64>,
    pub peak_error_bytes: u64,
    pub leaked_bytes: u64,
    pub leaked_blocks: u64,
    pub temporary_allocations: u64,
    pub temporary_bytes: u64,
    pub inherited_frees: Option<u64>,
    pub peak_rss_bytes: Option<u64>,
    pub lost_events: u64,
    pub unmatched_frees: u64,
    pub truncated_stacks: u64,
    pub unresolved_frames: u64,
}

impl Sums {
    /// Those of a whole scope.
    pub fn of_scope(totals: &Totals, peak: PeakOf) -> Self {
        Self {
            frees: Some(totals.frees),
            reallocations: Some(totals.reallocations),
            inherited_frees: Some(totals.inherited_frees),
            peak_rss_bytes: Some(totals.peak_rss_bytes),
            ..Self::within(&totals.metrics, totals, peak)
        }
    }

    /// Those of a selection.
    pub fn of(selection: &Selection<'_>) -> Self {
        let totals = selection.process().map_or(&selection.profile().totals, |p| &p.totals);
        if selection.is_whole() {
            Self::of_scope(totals, selection.peak_of())
        } else {
            let sums = Self::within(selection.metrics(), totals, selection.peak_of());
            Self { peak_at_ns: sums.peak_at_ns.filter(|_| selection.region().is_none()), ..sums }
        }
    }

    fn within(metrics: &Metrics, scope: &Totals, peak: PeakOf) -> Self {
        let value = |metric: Metric| metric.of(metrics, peak);
        Self {
            allocations: metrics.allocations,
            frees: None,
            reallocations: None,
            allocated_bytes: metrics.allocated_bytes,
            peak_bytes: value(Metric::Peak),
            peak_blocks: value(Metric::PeakBlocks),
            peak_at_ns: Some(scope.peak_at_ns),
            peak_error_bytes: scope.peak_error_bytes,
            leaked_bytes: metrics.leaked_bytes,
            leaked_blocks: metrics.leaked_blocks,
            temporary_allocations: metrics.temporary_allocations,
            temporary_bytes: metrics.temporary_bytes,
            inherited_frees: None,
            peak_rss_bytes: None,
            lost_events: scope.lost_events,
            unmatched_frees: scope.unmatched_frees,
            truncated_stacks: scope.truncated_stacks,
            unresolved_frames: scope.unresolved_frames,
        }
    }
}
