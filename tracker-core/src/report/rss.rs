//! Resident memory: the samples of each process, and the highest sum over the tree.

use crate::capture::facts::{Facts, RssSample};
use crate::replay::census::Census;
use crate::report::profile::RssPoint;

/// The samples of all processes by time; the highest sum of each process; the highest of the tree.
pub(super) fn rss(facts: &Facts, census: &Census) -> (Vec<RssPoint>, Vec<u64>, u64) {
    let mut points = Vec::new();
    let mut peaks = vec![0; census.processes.len()];
    // Time, process, bytes from then on. A process that has ended holds none.
    let mut steps = Vec::new();
    for (process, image) in (0u32..).zip(&census.processes) {
        let Some(image) = census.images.get(*image as usize) else { continue };
        let Some(history) = facts.rss.get(&image.number) else { continue };
        for sample in history.samples() {
            let &RssSample { time, anon, file, .. } = sample;
            points.push(RssPoint { time_ns: time, process, anon_bytes: anon, file_bytes: file });
            steps.push((time, process, sample.total()));
        }
        if let Some(peak) = peaks.get_mut(process as usize) {
            *peak = history.high();
        }
        steps.extend(image.end.map(|end| (end, process, 0)));
    }
    points.sort_by_key(|point| point.time_ns);
    steps.sort_by_key(|step| step.0);
    let mut now = vec![0u64; census.processes.len()];
    let (mut sum, mut peak) = (0u64, 0);
    for (_, process, bytes) in steps {
        if let Some(now) = now.get_mut(process as usize) {
            sum = sum.saturating_sub(*now).saturating_add(bytes);
            *now = bytes;
        }
        peak = peak.max(sum);
    }
    root(facts, census, &mut peaks);
    // Between samples a process may have been larger.
    peak = peaks.iter().fold(peak, |peak, own| peak.max(*own));
    (points, peaks, peak)
}

/// What the kernel says of the root process, whose last image it is taken for. It says nothing new where the process was
/// larger before it became the program, except that it was not larger later.
fn root(facts: &Facts, census: &Census, peaks: &mut [u64]) {
    let (max, before) = facts.root_rss;
    let pid = facts.session.as_ref().map(|session| session.pid);
    let is_root = |image: &&u32| {
        let found = census.images.get(**image as usize);
        found.is_some_and(|image| image.number == 1 || image.about.as_ref().is_some_and(|about| Some(about.pid) == pid))
    };
    let last = census.processes.iter().rposition(|image| is_root(&image));
    if let Some(peak) = last.and_then(|last| peaks.get_mut(last))
        && (max > before || *peak == 0)
    {
        *peak = max.max(*peak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::meta::{ExitStatus, Meta};

    #[test]
    fn sums_what_lives_at_the_same_time() {
        let (mut facts, mut census) = (Facts::default(), Census::default());
        for number in 1..=3 {
            let (image, _) = census.image(number);
            census.admit(image);
        }
        census.images[1].end = Some(25);
        for (time, image, anon) in [(10, 1, 100), (10, 2, 50), (20, 2, 70), (30, 3, 60), (30, 1, 90), (40, 9, 1000)] {
            facts.add(Meta::Rss { time, image, anon, file: 0, shmem: 1, high: 0 });
        }
        let (points, peaks, peak) = rss(&facts, &census);
        assert_eq!((peaks, peak), (vec![101, 71, 61], 101 + 71));
        facts.add(Meta::Rss { time: 40, image: 3, anon: 10, file: 0, shmem: 0, high: 65 });
        assert_eq!(rss(&facts, &census).1, [101, 71, 65]);
        let ends = |max_rss, before| Meta::RootExit { time: 50, status: ExitStatus::Code(0), max_rss, before };
        facts.add(ends(300, 200));
        let (_, peaks, peak) = rss(&facts, &census);
        assert_eq!((peaks, peak), (vec![300, 71, 65], 300));
        facts.add(ends(200, 200));
        assert_eq!(rss(&facts, &census).1, [101, 71, 65], "that was before it was the program");
        let times: Vec<_> = points.iter().map(|point| (point.time_ns, point.process)).collect();
        assert_eq!(times, [(10, 0), (10, 1), (20, 1), (30, 0), (30, 2)]);
    }
}
