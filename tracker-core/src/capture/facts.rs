//! What the metadata frames of a capture say, gathered. Bounded by images, threads and modules, never by time.

use rustc_hash::FxHashMap;

use super::meta::{ExitStatus, Meta, ModuleFile, Session};

/// Everything a capture says beside its events.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What was recorded; `None` when that block is damaged.
    pub session: Option<Session>,
    /// Last known name of each (image, thread).
    pub thread_names: FxHashMap<(u32, u32), Vec<u8>>,
    /// Resident memory per image, in order of time.
    pub rss: FxHashMap<u32, RssHistory>,
    /// When images ended, as the collector saw it.
    pub image_ends: Vec<(u64, u32)>,
    /// Files of modules, by their number. A later frame replaces an earlier one.
    pub module_files: FxHashMap<u32, ModuleFile>,
    /// How the root program ended.
    pub exit: Option<ExitStatus>,
    /// The most resident bytes of the root process, and of what it was before it became the program; 0: not known.
    pub root_rss: (u64, u64),
    /// Programs that never ran our code: pid, path, reason.
    pub untracked: Vec<(u32, Vec<u8>, String)>,
    /// Remarks of the recording side.
    pub warnings: Vec<String>,
    /// Recording stopped before the program: when, why, bytes of records that were not written.
    pub stopped: Option<(u64, String, u64)>,
    /// The capture's end: when, events lost, differences found by the unwinder's self-check.
    pub end: Option<(u64, u64, u64)>,
    /// What says whose machine and work this was has been taken out.
    pub redacted: bool,
    /// Latest time any frame mentions.
    pub last_time: u64,
}

impl Facts {
    /// Adds one frame.
    pub fn add(&mut self, meta: Meta) {
        match meta {
            Meta::Session(session) => self.session = Some(session),
            Meta::ThreadName { image, tid, name } => {
                self.thread_names.insert((image, tid), name);
            }
            Meta::Rss { time, image, anon, file, shmem, high } => {
                self.last_time = self.last_time.max(time);
                let history = self.rss.entry(image).or_default();
                history.push(RssSample { time, anon, file, shmem });
                history.high = history.high.max(high);
            }
            Meta::ImageEnd { time, image } => {
                self.last_time = self.last_time.max(time);
                self.image_ends.push((time, image));
            }
            Meta::ModuleFile(file) => {
                self.module_files.insert(file.number, file);
            }
            Meta::RootExit { time, status, max_rss, before } => {
                self.last_time = self.last_time.max(time);
                self.exit = Some(status);
                self.root_rss = (max_rss, before);
            }
            Meta::Untracked { pid, exe, reason } => self.untracked.push((pid, exe, reason)),
            Meta::Warning { text } => self.warnings.push(text),
            Meta::Stopped { time, reason, lost_bytes } => {
                self.last_time = self.last_time.max(time);
                self.stopped = Some((time, reason, lost_bytes));
            }
            Meta::End { time, lost_events, unwind_differences } => {
                self.last_time = self.last_time.max(time);
                self.end = Some((time, lost_events, unwind_differences));
            }
            Meta::Redacted => self.redacted = true,
        }
    }
}

/// Resident memory at one time, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RssSample {
    /// Nanoseconds since the session's start.
    pub time: u64,
    pub anon: u64,
    pub file: u64,
    pub shmem: u64,
}

impl RssSample {
    /// All resident bytes.
    pub const fn total(&self) -> u64 {
        self.anon.saturating_add(self.file).saturating_add(self.shmem)
    }
}

/// Samples of one image, thinned so that there are never many: of neighbours that come too close, the larger stays.
#[derive(Debug, Clone, Default)]
pub struct RssHistory {
    samples: Vec<RssSample>,
    spacing: u64,
    high: u64,
}

/// Most samples kept for one image.
const MAX_SAMPLES: usize = 2048;

impl RssHistory {
    /// The most it has been, bytes; 0 when it was never seen.
    pub fn high(&self) -> u64 {
        self.samples.iter().map(RssSample::total).fold(self.high, u64::max)
    }

    /// The samples, in order of time.
    pub fn samples(&self) -> &[RssSample] {
        &self.samples
    }

    fn push(&mut self, sample: RssSample) {
        let spacing = self.spacing;
        match self.samples.last_mut() {
            // Also clamps a time that goes backwards.
            Some(last) if sample.time < last.time.saturating_add(spacing) => {
                if sample.total() > last.total() {
                    *last = RssSample { time: last.time, ..sample };
                }
            }
            _ => self.samples.push(sample),
        }
        if self.samples.len() > MAX_SAMPLES {
            let span = sample.time.saturating_sub(self.samples.first().map_or(0, |first| first.time));
            self.spacing = (span / (MAX_SAMPLES as u64 / 2)).max(spacing.saturating_mul(2)).max(1);
            for sample in std::mem::take(&mut self.samples) {
                self.push(sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_thinned_and_the_peak_stays() {
        let mut history = RssHistory::default();
        for time in 0..1_000_000 {
            let anon = if time == 123_457 { 5000 } else { time % 1000 };
            history.push(RssSample { time, anon, ..RssSample::default() });
        }
        assert!(history.samples().len() <= MAX_SAMPLES);
        assert!(history.samples().len() >= MAX_SAMPLES / 4);
        assert_eq!(history.samples().iter().map(RssSample::total).max(), Some(5000));
        assert!(history.samples().is_sorted_by_key(|sample| sample.time));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_does_no_harm() {
        let mut history = RssHistory::default();
        for n in 0..10_000u64 {
            history.push(RssSample { time: 10_000 - n, anon: n, ..RssSample::default() });
        }
        assert_eq!(history.samples(), [RssSample { time: 10_000, anon: 9999, ..RssSample::default() }]);
        let mut still = RssHistory::default();
        for n in 0..10_000u64 {
            still.push(RssSample { time: 7, anon: n, ..RssSample::default() });
        }
        assert!(still.samples().len() <= MAX_SAMPLES);
    }
}
