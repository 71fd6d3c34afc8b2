//! The capture over time as one row per interval: what was live, what was allocated, what was resident.

use serde::Serialize;

use super::profile::Profile;

/// One interval. Bytes; counts of the interval alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Level {
    /// Its end, nanoseconds since the start.
    pub time_ns: u64,
    /// Most bytes live in it.
    pub live_max_bytes: u64,
    /// Bytes live at its end.
    pub live_bytes: u64,
    pub allocations: u64,
    pub allocated_bytes: u64,
    /// Resident at its end, all processes together, each by its latest sample.
    pub rss_anon_bytes: u64,
    pub rss_file_bytes: u64,
}

/// All intervals. Resident memory lasts until the next sample, or until its process ends.
pub fn levels(profile: &Profile) -> Vec<Level> {
    let mut samples: Vec<(u64, u32, u64, u64)> =
        profile.timeline.rss.iter().map(|s| (s.time_ns, s.process, s.anon_bytes, s.file_bytes)).collect();
    let ends = profile.processes.iter().zip(0..).filter_map(|(process, at)| Some((process.end_ns?, at, 0, 0)));
    samples.extend(ends);
    // At one moment the end counts, which is the smallest.
    samples.sort_unstable_by_key(|&(time, process, anon, file)| (time, process, std::cmp::Reverse((anon, file))));
    let mut latest = vec![(0, 0); profile.processes.len()];
    let mut samples = samples.into_iter().peekable();
    let step = |point: &super::profile::TimePoint| {
        while let Some((_, process, anon, file)) = samples.next_if(|sample| sample.0 <= point.time_ns) {
            if let Some(slot) = latest.get_mut(process as usize) {
                *slot = (anon, file);
            }
        }
        let sum = |part: fn(&(u64, u64)) -> u64| latest.iter().map(part).fold(0, u64::saturating_add);
        Level {
            time_ns: point.time_ns,
            live_max_bytes: point.live_max_bytes,
            live_bytes: point.live_bytes,
            allocations: point.allocations,
            allocated_bytes: point.allocated_bytes,
            rss_anon_bytes: sum(|&(anon, _)| anon),
            rss_file_bytes: sum(|&(_, file)| file),
        }
    };
    profile.timeline.points.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::profile::{RssPoint, TimePoint};
    use crate::report::sketch::Sketch;

    #[test]
    fn resident_memory_lasts_until_its_process_ends() {
        let mut profile = Sketch::new("./app").process("/bin/child", Vec::new()).build();
        profile.processes[1].end_ns = Some(25);
        let rss = |time_ns, process, anon_bytes| RssPoint { time_ns, process, anon_bytes, file_bytes: 1 };
        profile.timeline.rss = vec![rss(5, 0, 100), rss(15, 1, 40), rss(20, 0, 110), rss(25, 1, 60), rss(5, 9, 7)];
        let point = |time_ns| TimePoint { time_ns, live_bytes: time_ns, ..TimePoint::default() };
        profile.timeline.points = [4, 10, 20, 30].map(point).to_vec();
        let seen: Vec<_> =
            levels(&profile).iter().map(|l| (l.live_bytes, l.rss_anon_bytes, l.rss_file_bytes)).collect();
        assert_eq!(seen, [(4, 0, 0), (10, 100, 1), (20, 150, 2), (30, 110, 1)]);
    }
}
