//! Whether live memory climbs: the difference between what is usually live in the last third of a time and in its first.
//!
//! Medians do not see single spikes, nor the memory that is given back while a program ends.

use crate::report::profile::Profile;

/// A shorter time says nothing about a minute.
const LEAST_NS: u64 = 100_000_000;
/// Points in a third, at least.
const LEAST_POINTS: usize = 3;

/// Bytes per minute by which live memory of the tree, or of one process (an index), grew after `after_ns`. Less than
/// nothing is nothing.
///
/// # Errors
/// The time is too short to tell.
pub(super) fn growth(profile: &Profile, process: Option<u32>, after_ns: u64) -> Result<u64, &'static str> {
    const TOO_SHORT: &str = "the time after the warm-up is too short to tell";
    let about = process.and_then(|at| profile.processes.get(at as usize));
    let start = about.map_or(0, |process| process.start_ns).max(after_ns);
    let end = about.and_then(|process| process.end_ns).unwrap_or(profile.duration_ns);
    let lives = process.and_then(|at| profile.timeline.process_live.get(at as usize));
    let points = profile.timeline.points.iter().enumerate();
    let inside = points.filter(|(_, point)| point.time_ns > start && point.time_ns <= end);
    let mut last = 0;
    let mut first = None;
    let live: Vec<u64> = inside
        .map(|(at, point)| {
            first.get_or_insert(point.time_ns);
            last = point.time_ns;
            lives.map_or(point.live_bytes, |lives| lives.get(at).copied().unwrap_or_default())
        })
        .collect();
    let third = live.len() / 3;
    let duration = last.saturating_sub(first.unwrap_or(last));
    if third < LEAST_POINTS || end.saturating_sub(start) < LEAST_NS || duration == 0 {
        return Err(TOO_SHORT);
    }
    let before = median(live.get(..third).unwrap_or_default());
    let after = median(live.get(live.len() - third..).unwrap_or_default());
    // Between the middles of two thirds lie as many points as in one third and the rest.
    let steps = (live.len() - third) as u128;
    let time = u128::from(duration) * steps / (live.len() - 1) as u128;
    let bytes = u128::from(after.saturating_sub(before)) * 60_000_000_000;
    Ok(u64::try_from(bytes / time.max(1)).unwrap_or(u64::MAX))
}

fn median(values: &[u64]) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::profile::TimePoint;
    use crate::report::sketch::Sketch;

    /// Live bytes at each of 60 points, a second apart, as a function of the second.
    #[track_caller]
    fn check(live: impl Fn(u64) -> u64, after_s: u64, expected: Result<u64, &str>) {
        let profile = Sketch::new("./server")
            .with(|profile| {
                profile.duration_ns = 60_000_000_000;
                profile.processes[0].end_ns = Some(60_000_000_000);
                let point = |s| TimePoint { time_ns: s * 1_000_000_000, live_bytes: live(s), ..TimePoint::default() };
                profile.timeline.points = (1..=60).map(point).collect();
                profile.timeline.process_live = vec![(1..=60).map(|s| live(s) / 2).collect()];
            })
            .build();
        let found = growth(&profile, None, after_s * 1_000_000_000);
        assert_eq!(found, expected.map_err(|_| "the time after the warm-up is too short to tell"));
        if let Ok(whole) = found {
            assert_eq!(growth(&profile, Some(0), after_s * 1_000_000_000), Ok(whole / 2));
        }
    }

    #[test]
    fn a_steady_climb_is_its_slope() {
        check(|s| 5000 + 100 * s, 0, Ok(6000));
        check(|s| 5000 + 100 * s, 30, Ok(6000));
    }

    #[test]
    fn spikes_warm_ups_and_the_end_are_no_growth() {
        check(|s| if s % 10 == 0 { 1 << 30 } else { 5000 }, 0, Ok(0));
        check(|s| if s < 20 { 100 * s } else { 2000 }, 20, Ok(0));
        // Two of twenty points at the end move the median by one.
        check(|s| if s > 58 { 0 } else { 5000 + 100 * s }, 0, Ok(5700));
        check(|s| 9000 - 100 * s, 0, Ok(0));
    }

    #[test]
    fn a_short_time_says_nothing() {
        check(|s| s, 59, Err(""));
        check(|s| s, 100, Err(""));
    }
}
