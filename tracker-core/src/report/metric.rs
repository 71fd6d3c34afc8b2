//! The numbers a view can be about, by the names that the command line, the exports and the page share.

use super::profile::Metrics;

/// Whose peak the peak metrics mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PeakOf {
    /// The moment at which the whole tree held most.
    #[default]
    Capture,
    /// The moment at which the row's own process held most.
    Process,
}

/// What a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Requested bytes.
    Bytes,
    /// Blocks, or allocations.
    Count,
}

/// One number of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Events that returned a block.
    Allocations,
    /// Bytes they asked for.
    Allocated,
    /// Bytes live when their image ended.
    Leaked,
    /// Blocks live when their image ended.
    LeakedBlocks,
    /// Bytes live at the peak.
    Peak,
    /// Blocks live at the peak.
    PeakBlocks,
    /// Allocations freed right after.
    Temporary,
}

impl Metric {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [Self; 7] = [
        Self::Allocations,
        Self::Allocated,
        Self::Leaked,
        Self::LeakedBlocks,
        Self::Peak,
        Self::PeakBlocks,
        Self::Temporary,
    ];

    /// The name a user types and a file shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allocations => "allocations",
            Self::Allocated => "allocated",
            Self::Leaked => "leaked",
            Self::LeakedBlocks => "leaked-blocks",
            Self::Peak => "peak",
            Self::PeakBlocks => "peak-blocks",
            Self::Temporary => "temporary",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// What it counts.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Allocated | Self::Leaked | Self::Peak => Unit::Bytes,
            Self::Allocations | Self::LeakedBlocks | Self::PeakBlocks | Self::Temporary => Unit::Count,
        }
    }

    /// Its value in `metrics`.
    pub const fn of(self, metrics: &Metrics, peak: PeakOf) -> u64 {
        match (self, peak) {
            (Self::Allocations, _) => metrics.allocations,
            (Self::Allocated, _) => metrics.allocated_bytes,
            (Self::Leaked, _) => metrics.leaked_bytes,
            (Self::LeakedBlocks, _) => metrics.leaked_blocks,
            (Self::Peak, PeakOf::Capture) => metrics.peak_bytes,
            (Self::Peak, PeakOf::Process) => metrics.process_peak_bytes,
            (Self::PeakBlocks, PeakOf::Capture) => metrics.peak_blocks,
            (Self::PeakBlocks, PeakOf::Process) => metrics.process_peak_blocks,
            (Self::Temporary, _) => metrics.temporary_allocations,
        }
    }
}

impl Metrics {
    /// Adds another scope's sums. Saturates: a damaged capture must not stop a report.
    pub fn add(&mut self, other: &Self) {
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        add(&mut self.allocations, other.allocations);
        add(&mut self.allocated_bytes, other.allocated_bytes);
        add(&mut self.leaked_blocks, other.leaked_blocks);
        add(&mut self.leaked_bytes, other.leaked_bytes);
        add(&mut self.peak_blocks, other.peak_blocks);
        add(&mut self.peak_bytes, other.peak_bytes);
        add(&mut self.process_peak_blocks, other.process_peak_blocks);
        add(&mut self.process_peak_bytes, other.process_peak_bytes);
        add(&mut self.temporary_allocations, other.temporary_allocations);
        add(&mut self.temporary_bytes, other.temporary_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(Metric::from_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::from_name("Peak"), None);
    }

    #[test]
    fn the_peak_is_the_captures_or_the_processs() {
        let metrics = Metrics { peak_bytes: 7, process_peak_bytes: 9, ..Metrics::default() };
        assert_eq!(Metric::Peak.of(&metrics, PeakOf::Capture), 7);
        assert_eq!(Metric::Peak.of(&metrics, PeakOf::Process), 9);
    }
}
