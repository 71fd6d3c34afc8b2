//! The capture over time.

use serde::Serialize;
use tracker_core::report::profile::{self, Profile};

use super::{Deltas, number};

/// One value per interval, and the samples of resident memory.
#[derive(Debug, Default, Serialize)]
pub struct Timeline {
    /// End of each interval.
    pub time_ns: Deltas,
    /// Highest sum of live bytes within the interval.
    pub live_max_bytes: Vec<u64>,
    /// Live bytes at its end.
    pub live_bytes: Vec<u64>,
    pub allocations: Vec<u64>,
    pub allocated_bytes: Vec<u64>,
    pub processes: Vec<ProcessLive>,
    pub rss: Rss,
}

/// Live bytes of one process at the end of the intervals, zeros at both ends left out.
#[derive(Debug, Serialize)]
pub struct ProcessLive {
    /// Position among the processes.
    pub process: usize,
    /// The first interval with a value.
    pub from: usize,
    pub live_bytes: Vec<u64>,
}

/// Samples of resident memory, oldest first.
#[derive(Debug, Default, Serialize)]
pub struct Rss {
    pub time_ns: Deltas,
    /// Position among the processes.
    pub process: Vec<u32>,
    pub anon_bytes: Vec<u64>,
    pub file_bytes: Vec<u64>,
}

impl Timeline {
    pub(super) fn new(profile: &Profile) -> Self {
        let timeline = &profile.timeline;
        let mut columns = Self::default();
        for point in &timeline.points {
            columns.time_ns.push(number(point.time_ns));
            columns.live_max_bytes.push(number(point.live_max_bytes));
            columns.live_bytes.push(number(point.live_bytes));
            columns.allocations.push(number(point.allocations));
            columns.allocated_bytes.push(number(point.allocated_bytes));
        }
        for (process, live) in timeline.process_live.iter().enumerate() {
            let Some(from) = live.iter().position(|&bytes| bytes != 0) else { continue };
            let until = live.iter().rposition(|&bytes| bytes != 0).map_or(from, |last| last + 1);
            let live_bytes = live.iter().take(until).skip(from).map(|&bytes| number(bytes)).collect();
            columns.processes.push(ProcessLive { process, from, live_bytes });
        }
        columns.rss = Rss::new(&timeline.rss, profile.processes.len());
        columns
    }
}

impl Rss {
    fn new(samples: &[profile::RssPoint], processes: usize) -> Self {
        let mut samples: Vec<_> = samples.iter().filter(|sample| (sample.process as usize) < processes).collect();
        samples.sort_by_key(|sample| sample.time_ns);
        let mut columns = Self::default();
        for sample in samples {
            columns.time_ns.push(number(sample.time_ns));
            columns.process.push(sample.process);
            columns.anon_bytes.push(number(sample.anon_bytes));
            columns.file_bytes.push(number(sample.file_bytes));
        }
        columns
    }
}
