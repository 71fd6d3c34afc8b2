//! What can be limited, and how each of these numbers is written and shown.

use crate::report::metric::Metric;
use crate::report::quantity;
use crate::report::rows::Kind;

/// A number that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    Peak,
    PeakBlocks,
    Rss,
    Leaked,
    LeakedBlocks,
    Allocs,
    AllocBytes,
    Temporary,
    TemporaryRatio,
    /// Bytes of the largest single allocation.
    Largest,
    Growth,
}

/// What a measure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    Count,
    /// Millionths of a whole.
    Share,
    /// Bytes per minute.
    Rate,
}

impl Measure {
    /// All of them, in the order in which help texts list them.
    pub const ALL: [Self; 11] = [
        Self::Peak,
        Self::PeakBlocks,
        Self::Rss,
        Self::Leaked,
        Self::LeakedBlocks,
        Self::Allocs,
        Self::AllocBytes,
        Self::Temporary,
        Self::TemporaryRatio,
        Self::Largest,
        Self::Growth,
    ];

    /// Those that a baseline keeps of the whole process: they are the same from run to run of a deterministic program.
    pub const KEPT: [Self; 8] = [
        Self::Peak,
        Self::PeakBlocks,
        Self::Leaked,
        Self::LeakedBlocks,
        Self::Allocs,
        Self::AllocBytes,
        Self::Temporary,
        Self::Largest,
    ];

    /// The key a user types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peak => "peak",
            Self::PeakBlocks => "peak_blocks",
            Self::Rss => "rss",
            Self::Leaked => "leaked",
            Self::LeakedBlocks => "leaked_blocks",
            Self::Allocs => "allocs",
            Self::AllocBytes => "alloc_bytes",
            Self::Temporary => "temporary",
            Self::TemporaryRatio => "temporary_ratio",
            Self::Largest => "largest",
            Self::Growth => "growth",
        }
    }

    /// From the key.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// What it counts.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Peak | Self::Rss | Self::Leaked | Self::AllocBytes | Self::Largest => Unit::Bytes,
            Self::PeakBlocks | Self::LeakedBlocks | Self::Allocs | Self::Temporary => Unit::Count,
            Self::TemporaryRatio => Unit::Share,
            Self::Growth => Unit::Rate,
        }
    }

    /// What a percentage of it is of.
    pub const fn whole(self) -> Option<Metric> {
        match self {
            Self::Leaked => Some(Metric::Allocated),
            Self::LeakedBlocks | Self::Temporary => Some(Metric::Allocations),
            _ => None,
        }
    }

    /// The report that shows what it is made of.
    pub const fn kind(self) -> Option<Kind> {
        match self {
            Self::Peak | Self::PeakBlocks => Some(Kind::Peak),
            Self::Leaked | Self::LeakedBlocks => Some(Kind::Leaks),
            Self::Allocs | Self::AllocBytes | Self::Largest => Some(Kind::Allocations),
            Self::Temporary | Self::TemporaryRatio => Some(Kind::Temporary),
            // What has grown is most likely what is left.
            Self::Growth => Some(Kind::Leaks),
            Self::Rss => None,
        }
    }

    /// Its value for people.
    pub fn show(self, value: u64) -> String {
        self.unit().show(value)
    }
}

impl Measure {
    /// What a baseline keeps of a stack for it, for people: bytes where it is about bytes that are live, else a count.
    pub fn show_of_stack(self, value: u64) -> String {
        match self {
            Self::Peak | Self::PeakBlocks | Self::Leaked | Self::LeakedBlocks => Unit::Bytes.show(value),
            _ => Unit::Count.show(value),
        }
    }
}

impl Unit {
    /// A value for people.
    pub fn show(self, value: u64) -> String {
        match self {
            Self::Bytes => quantity::bytes(value),
            Self::Count => quantity::count(value),
            Self::Share => format!("{}.{:02}%", value / 10_000, value % 10_000 / 100),
            Self::Rate => format!("{}/min", quantity::bytes(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for measure in Measure::ALL {
            assert_eq!(Measure::from_name(measure.name()), Some(measure));
        }
        assert_eq!(Measure::from_name("Peak"), None);
    }

    #[test]
    fn values_are_shown() {
        for (measure, value, text) in [
            (Measure::Peak, 1536, "1.5 KiB"),
            (Measure::Allocs, 1_234_567, "1,234,567"),
            (Measure::TemporaryRatio, 305_000, "30.50%"),
            (Measure::Growth, 1 << 20, "1.0 MiB/min"),
        ] {
            assert_eq!(measure.show(value), text);
        }
    }
}
