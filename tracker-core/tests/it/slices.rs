//! Windows of time against brute force: random programs whose every block's birth and end is known.

use std::collections::BTreeMap;

use fuzz::{Random, assert_sums};
use tracker_core::capture::meta::Meta;
use tracker_core::format::ImageKind;
use tracker_core::replay::slices::{Cuts, MAX_SLICES};
use tracker_core::report::names::NoSymbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::{Metrics, Profile, Row};
use tracker_core::report::span::{Asked, Moment};
use tracker_core::report::{OpenOptions, narrow};

use crate::recording::Recording;

/// A block's life. Its row: stack and thread.
#[derive(Debug, Clone, Copy)]
struct Life {
    row: (u64, u32),
    image: usize,
    size: u64,
    serial: u64,
    born: u64,
    freed: Option<u64>,
    temporary: bool,
    /// When its image ended.
    ended: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Story {
    lives: Vec<Life>,
    end: u64,
}

/// Two processes of two threads each; the second may end first, and the first may be recorded to its end or not.
pub(crate) fn tell(seed: u64) -> (Vec<u8>, Story) {
    let steps = 300 + Random::new(seed).below(400);
    tell_of(seed, steps)
}

/// The same, of so many steps.
pub(crate) fn tell_of(seed: u64, steps: u64) -> (Vec<u8>, Story) {
    let mut random = Random::new(seed);
    let mut recording = Recording::new();
    recording.chunk_len = 400 + random.below(4000) as usize;
    let threads = [(0, 11), (0, 12), (1, 21), (1, 22)];
    let streams = threads.map(|(image, tid)| recording.stream(image as u32 + 1, tid));
    recording.image(streams[0], ImageKind::First, (100, u32::MAX, 0), "/bin/one");
    recording.image(streams[2], ImageKind::Fork, (101, 1, 0), "/bin/one");
    let mut serials = [0; 4];
    let (mut lives, mut live): (Vec<Life>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut second_ended = false;
    let last_of_second = random.below(steps);
    let pause = [1, 20, 3000, 400_000][random.below(4) as usize];
    let end_image = |recording: &mut Recording, image: usize, lives: &mut Vec<Life>| {
        recording.meta(&Meta::ImageEnd { time: recording.time, image: image as u32 + 1 });
        let left = lives.iter_mut().filter(|life| life.image == image && life.freed.is_none());
        left.for_each(|life| life.ended = Some(recording.time));
    };
    for step in 0..steps {
        let thread = random.below(if step < last_of_second { 4 } else { 2 }) as usize;
        let (image, tid) = threads[thread];
        recording.time += random.below(pause) * 1000 * random.below(2);
        recording.epoch += 1;
        let mine = |at: &usize| lives[live[*at]].image == image;
        let candidates: Vec<usize> = (0..live.len()).filter(mine).collect();
        if candidates.len() > 30 || (!candidates.is_empty() && random.one_in(2)) {
            let newest = random.one_in(3);
            let at =
                candidates[if newest { candidates.len() - 1 } else { random.below(candidates.len() as u64) as usize }];
            let number = live.remove(at);
            let life = &mut lives[number];
            recording.free(streams[thread], 0x10_0000 + number as u64 * 16, false);
            life.freed = Some(recording.time);
            let owner = threads.iter().position(|owner| owner.1 == life.row.1).unwrap();
            life.temporary = serials[owner] - life.serial <= 1;
        } else {
            let (stack, size) = (random.below(5), random.below(3000));
            serials[thread] += 1;
            recording.alloc(streams[thread], (0x10_0000 + lives.len() as u64 * 16, size), &[0x40_0000 + stack], false);
            live.push(lives.len());
            let (serial, born) = (serials[thread], recording.time);
            let life =
                Life { row: (stack, tid), image, size, serial, born, freed: None, temporary: false, ended: None };
            lives.push(life);
        }
        if step + 1 == last_of_second && random.one_in(2) {
            recording.time += random.below(pause) * 1000 + 1000;
            end_image(&mut recording, 1, &mut lives);
            second_ended = true;
            live.retain(|number| lives[*number].image == 0);
            recording.time += 1000;
        }
    }
    recording.time += random.below(pause) * 1000 + 1000;
    let mut end = recording.time;
    if random.one_in(2) {
        if !second_ended {
            end_image(&mut recording, 1, &mut lives);
        }
        end_image(&mut recording, 0, &mut lives);
        recording.time += 5000;
    } else {
        recording.time += 5000;
        end = recording.time;
    }
    (recording.finish(), Story { lives, end })
}

impl Story {
    /// The last moment.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// What a window from `from` to before `to` must show; `None`: to the end.
    fn window(&self, from: u64, to: Option<u64>) -> BTreeMap<(u64, u32), Metrics> {
        let mut rows: BTreeMap<_, Metrics> = BTreeMap::new();
        for life in &self.lives {
            let row = rows.entry(life.row).or_default();
            let before = |time: u64| to.is_none_or(|to| time < to);
            let inside = life.born >= from && before(life.born);
            let freed = life.freed.is_some_and(before);
            let ended = life.ended.is_some_and(|time| before(time) && time < self.end);
            for (applies, blocks, bytes) in [
                (inside, &mut row.allocations, &mut row.allocated_bytes),
                (inside && freed && life.temporary, &mut row.temporary_allocations, &mut row.temporary_bytes),
                (inside && !freed, &mut row.leaked_blocks, &mut row.leaked_bytes),
                (before(life.born) && !freed && !ended, &mut row.peak_blocks, &mut row.peak_bytes),
            ] {
                *blocks += u64::from(applies);
                *bytes += if applies { life.size } else { 0 };
            }
            (row.process_peak_blocks, row.process_peak_bytes) = (row.peak_blocks, row.peak_bytes);
        }
        rows
    }
}

fn open(bytes: &[u8], cuts: Cuts) -> Profile {
    let options = OpenOptions { cuts, ..OpenOptions::default() };
    let profile = read(&bytes, false, &options, &mut NoSymbols, &mut |_, _| {}).unwrap();
    assert_sums(&profile);
    profile
}

fn found(profile: &Profile, range: std::ops::Range<usize>) -> BTreeMap<(u64, u32), Metrics> {
    let window = profile.slices.window(range, profile.rows.len());
    profile.rows.iter().zip(&window.rows).map(|(row, metrics)| (key(profile, row), *metrics)).collect()
}

fn key(profile: &Profile, row: &Row) -> (u64, u32) {
    let leaf = &profile.frames[profile.stacks[row.stack.0 as usize].frames[0].0 as usize];
    (leaf.address - 0x40_0000, profile.threads[row.thread as usize].tid)
}

#[test]
fn any_range_of_slices_is_what_really_happened() {
    for seed in 0..150 {
        let (bytes, story) = tell(seed);
        let profile = open(&bytes, Cuts::Even);
        let slices = &profile.slices;
        assert!(slices.bounds.is_sorted() && slices.len() as u64 <= MAX_SLICES, "seed {seed}");
        assert_eq!((slices.bounds[0], slices.bounds.last()), (0, Some(&story.end)), "seed {seed}");
        let mut random = Random::new(seed + 1000);
        for _ in 0..40 {
            let from = random.below(slices.len() as u64) as usize;
            let to = from + 1 + random.below((slices.len() - from) as u64) as usize;
            let until = (to < slices.len()).then(|| slices.bounds[to]);
            let expected = story.window(slices.bounds[from], until);
            assert_eq!(found(&profile, from..to), expected, "seed {seed}, slices {from}..{to}");
        }
        let whole = slices.window(0..slices.len(), profile.rows.len());
        for (row, window) in profile.rows.iter().zip(&whole.rows) {
            let own =
                Metrics { peak_blocks: 0, peak_bytes: 0, process_peak_blocks: 0, process_peak_bytes: 0, ..*window };
            let all = row.metrics;
            let all = Metrics { peak_blocks: 0, peak_bytes: 0, process_peak_blocks: 0, process_peak_bytes: 0, ..all };
            assert_eq!(own, all, "all slices are the whole capture");
        }
    }
}

#[test]
fn cuts_at_any_times_are_exact() {
    for seed in 0..150 {
        let (bytes, story) = tell(seed);
        let mut random = Random::new(seed + 2000);
        for _ in 0..4 {
            // Sometimes the very time of an event.
            let mut time = || match random.one_in(2) {
                true => story.lives[random.below(story.lives.len() as u64) as usize].born,
                false => random.below(story.end),
            };
            let (a, b) = (time(), time());
            let (from, to) = (a.min(b), a.max(b) + 1);
            let profile = open(&bytes, Cuts::At(vec![from, to]));
            assert_eq!(found(&profile, 1..2), story.window(from, Some(to)), "seed {seed}, {from}..{to}");
            assert_eq!(found(&profile, 1..3), story.window(from, None), "seed {seed}, {from}..");
        }
    }
}

#[test]
fn a_capture_is_narrowed_to_any_span() {
    let path = std::env::temp_dir().join(format!("memtrack-narrow-{}.mtk", std::process::id()));
    let options = OpenOptions { symbols: false, ..OpenOptions::default() };
    for seed in 0..30 {
        let (bytes, story) = tell(seed);
        std::fs::write(&path, &bytes).unwrap();
        let whole = tracker_core::report::open(&path, &options, &mut |_, _| {}).unwrap();
        let mut random = Random::new(seed + 3000);
        for _ in 0..6 {
            let bounds = &whole.slices.bounds;
            let mut time = || match random.one_in(2) {
                true => bounds[random.below(bounds.len() as u64) as usize],
                false => random.below(story.end),
            };
            let (a, b) = (time(), time());
            let (from, to) = (Moment::After(a.min(b)), Moment::After(a.max(b) + 1));
            let span = Asked { from: Some(from), to: Some(to), at: None }.resolve(&whole).unwrap();
            let narrowed = narrow(&path, whole.clone(), span, &options, &mut |_, _| {}).unwrap();
            let expected = story.window(span.from_ns, (!span.open).then_some(span.to_ns));
            let rows = narrowed.rows.iter().map(|row| (key(&narrowed, row), row.metrics));
            assert_eq!(rows.collect::<BTreeMap<_, _>>(), expected, "seed {seed}, {span:?}");
            let sum = narrowed.processes.iter().map(|process| process.totals.metrics.peak_bytes).sum::<u64>();
            assert_eq!(narrowed.totals.metrics.peak_bytes, sum);
        }
        let peak = Asked { at: Some(Moment::Peak), ..Asked::default() }.resolve(&whole).unwrap();
        let at_peak = narrow(&path, whole.clone(), peak, &options, &mut |_, _| {}).unwrap();
        assert_eq!(at_peak.totals.metrics.peak_bytes, whole.totals.metrics.peak_bytes);
    }
    std::fs::remove_file(&path).unwrap();
}
