//! Ranges of time of sealed captures, which begin at checkpoints, against replays of the whole capture that are cut at the
//! range's ends: random traces of everything that a stream can hold, at random ends.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::Random;
use tracker_core::capture::block::Codec;
use tracker_core::capture::index::Index;
use tracker_core::replay::slices::Cuts;
use tracker_core::report::names::NoSymbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::{Metrics, Profile, Pymalloc};
use tracker_core::report::span::{Asked, Moment, Span};
use tracker_core::report::verify::IndexState;
use tracker_core::report::{OpenOptions, narrow_in, open, seal, verify};

use crate::slices::tell_of;
use crate::trace::{Layout, write};

/// One that writes events.
struct Actor {
    image: u32,
    name: String,
    /// What has to come next: the result of a realloc or of an `mremap`.
    owes: Option<&'static str>,
}

/// A program of up to six images and a dozen threads, none of which is careful.
struct Script {
    random: Random,
    actors: Vec<Actor>,
    images: u32,
    time: u64,
    text: String,
}

impl Script {
    fn of(seed: u64, steps: u64) -> String {
        let mut script =
            Self { random: Random::new(seed), actors: Vec::new(), images: 1, time: 0, text: String::new() };
        script.add_threads(1, 3);
        // Few epochs are ones that streams share, or all are.
        let (in_a_row, pause) = (script.random.below(4) + 1, [1, 2000, 300_000][script.random.below(3) as usize]);
        for _ in 0..steps {
            if script.random.below(in_a_row) == 0 {
                script.line("epoch");
            }
            script.time += script.random.below(2) * script.random.below(pause) * 1000;
            let time = script.time;
            script.line(&format!("time {time}"));
            script.step();
        }
        script.text
    }

    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn add_threads(&mut self, image: u32, threads: u64) {
        for thread in 1..=threads {
            let plus = if self.random.one_in(4) { "+" } else { "" };
            for plus in ["", plus] {
                let name = format!("p{image}.t{thread}{plus}");
                if self.actors.iter().all(|actor| actor.name != name) {
                    self.actors.push(Actor { image, name, owes: None });
                }
            }
        }
    }

    fn step(&mut self) {
        if self.random.one_in(150) && self.images < 6 {
            return self.start_image();
        }
        if self.random.one_in(400) && self.images > 1 {
            let image = self.random.below(u64::from(self.images)) as u32 + 1;
            self.line(&format!("p{image} ends"));
            if self.random.one_in(2) && image > 1 {
                self.actors.retain(|actor| actor.image != image);
            }
            return;
        }
        let at = self.random.below(self.actors.len() as u64) as usize;
        let owes = self.actors[at].owes.take();
        let r = &mut self.random;
        let (block, other, size) = (r.below(60), r.below(60), r.below(3000));
        let stack = ["main", "main>a", "main>a>b", "main>c", "loop>c>d", "x>y", "[not-walked]"][r.below(7) as usize];
        let (page, pages) = (r.below(30), r.below(9));
        let range = format!("{page}-{}", page + pages);
        let what = match (owes, r.below(100)) {
            (Some("moved"), ..50) => format!("moved {range} {stack}"),
            (Some("result"), ..60) => format!("result b{other} {size} {stack}"),
            (Some("result"), ..70) => format!("grown b{other} {size} {stack}"),
            (Some("result"), ..80) => "freed".to_owned(),
            (Some(_), ..95) => "failed".to_owned(),
            (_, ..36) => format!("alloc b{block} {size} {stack}"),
            (_, ..43) => format!("object b{block} {size} {stack}"),
            (_, ..45) => format!("arena {range} {stack}"),
            (_, ..78) => format!("free b{block}"),
            (_, ..82) => format!("realloc b{block} b{other} {size} {stack}"),
            (_, ..87) => format!("intent b{block}"),
            (_, ..91) => format!("map {range} {stack}"),
            (_, 91) => format!("file {range} {stack}"),
            (_, ..95) => format!("unmap {range}"),
            (_, ..97) => format!("move {range}"),
            (_, 97) => format!("generation {page}"),
            (_, 98) => ["forget", "gap 3", "raw 7 c 64", "lose"][r.below(4) as usize].to_owned(),
            (_, _) => ["chunk", "part"][r.below(2) as usize].to_owned(),
        };
        let actor = &mut self.actors[at];
        actor.owes = match what.split(' ').next() {
            Some("intent") => Some("result"),
            Some("move") => Some("moved"),
            _ => None,
        };
        let line = format!("{} {what}", actor.name);
        self.line(&line);
    }

    fn start_image(&mut self) {
        let parent = self.actors[self.random.below(self.actors.len() as u64) as usize].image;
        self.images += 1;
        let image = self.images;
        let how = ["fork", "exec", "spawn"][self.random.below(3) as usize];
        if how == "exec" && parent > 1 {
            self.actors.retain(|actor| actor.image != parent);
        }
        self.line(&format!("p{image} {how} p{parent}"));
        let threads = self.random.below(3) + 1;
        self.add_threads(image, threads);
    }
}

/// A sealed capture in a file of its own.
struct Sealed {
    path: PathBuf,
    /// Before it was sealed.
    events: Vec<u8>,
    bytes: Vec<u8>,
    profile: Profile,
    /// With what counts.
    options: OpenOptions,
}

impl Sealed {
    fn new(name: &str, events: Vec<u8>) -> Self {
        Self::counting(Pymalloc::Objects, name, events)
    }

    fn counting(pymalloc: Pymalloc, name: &str, events: Vec<u8>) -> Self {
        let path = std::env::temp_dir().join(format!("memtrack-ranges-{}-{name}.mtk", std::process::id()));
        fs::write(&path, &events).unwrap();
        seal(&path, &OpenOptions::default(), &mut |_, _| {}).unwrap().unwrap();
        let bytes = fs::read(&path).unwrap();
        let options = OpenOptions { pymalloc, ..OpenOptions::default() };
        let profile = open(&path, &options, &mut |_, _| {}).unwrap();
        Self { path, events, bytes, profile, options }
    }

    /// The section of the index that says when the checkpoints were taken.
    fn has_checkpoints(&self) -> bool {
        let index = Index::open(&self.bytes[..]).unwrap().unwrap();
        !index.section(6).unwrap().unwrap().is_empty()
    }

    fn span(&self, from: u64, to: u64) -> Option<Span> {
        let (from, to) = (Some(Moment::After(from)), Some(Moment::After(to)));
        Asked { from, to, at: None }.resolve(&self.profile).ok()
    }

    /// What the sealed capture says of a span, and bytes of blocks that were read for it.
    fn narrowed(&self, span: Span) -> (Vec<Metrics>, u64) {
        let mut read = 0;
        let mut progress = |done, _| read = done;
        let profile = self.profile.clone();
        let narrowed = narrow_in(&self.bytes[..], profile, span, &self.options, &mut progress).unwrap();
        (narrowed.rows.into_iter().map(|row| row.metrics).collect(), read)
    }

    /// What a replay of everything says of it.
    fn replayed(&self, span: Span) -> Vec<Metrics> {
        let cuts = Cuts::At(std::iter::once(span.from_ns).chain((!span.open).then_some(span.to_ns)).collect());
        let options = OpenOptions { cuts, ..self.options.clone() };
        let profile = read(&&self.events[..], false, &options, &mut NoSymbols, &mut |_, _| {}).unwrap();
        profile.slices.window(1..2, profile.rows.len()).rows
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn layout(seed: u64) -> Layout {
    let codec = [Codec::Raw, Codec::Zstd, Codec::Columns][seed as usize % 3];
    Layout { codec, chunk_len: [256, 400, 1500][seed as usize / 3 % 3], parts: false }
}

#[test]
fn any_range_is_what_a_replay_of_everything_says() {
    let mut with_checkpoints = 0;
    for seed in 0..24 {
        let pymalloc = if seed % 4 == 3 { Pymalloc::Arenas } else { Pymalloc::Objects };
        let sealed = Sealed::counting(pymalloc, "any", write(&Script::of(seed, 3000), layout(seed)).0.finish());
        with_checkpoints += u32::from(sealed.has_checkpoints());
        let end = *sealed.profile.slices.bounds.last().unwrap();
        let mut random = Random::new(seed + 100);
        for number in 0..12 {
            let mut time = || match random.one_in(3) {
                true => sealed.profile.slices.bounds[random.below(sealed.profile.slices.bounds.len() as u64) as usize],
                false => random.below(end + 1),
            };
            let (a, b) = (time(), time());
            // From the start, to the end, and any.
            let (from, to) = match number % 4 {
                0 => (0, a),
                1 => (a, end),
                _ => (a.min(b), a.max(b)),
            };
            let Some(span) = sealed.span(from, to) else { continue };
            assert!(sealed.narrowed(span).0 == sealed.replayed(span), "seed {seed}: {span:?}");
        }
    }
    assert!(with_checkpoints > 20, "{with_checkpoints}");
}

#[test]
fn verify_compares_the_checkpoints() {
    let verified = |path: &Path| verify(path, &OpenOptions::default(), &mut |_, _| {}).unwrap().index;
    for seed in 0..6 {
        let sealed = Sealed::new("verify", write(&Script::of(seed, 3000), layout(seed)).0.finish());
        assert!(sealed.has_checkpoints());
        assert_eq!(verified(&sealed.path), IndexState::Equal, "seed {seed}");
    }
}

/// A range near the end takes the events from the checkpoint before it to its own end, and no others.
#[test]
fn a_range_reads_what_is_in_it() {
    let (events, story) = tell_of(7, 12_000);
    let sealed = Sealed::new("reads", events);
    let read_for = |from: u64, to: u64| sealed.narrowed(sealed.span(from, to).unwrap()).1;
    let all = read_for(1, story.end());
    let percent = story.end() / 100;
    for from in [20, 40, 60, 80, 95] {
        let range = read_for(from * percent + 1, (from + 1) * percent);
        assert!(range * 4 < all, "{range} of {all} bytes from {from} % on");
        let moment = read_for(0, from * percent + 1);
        assert!(moment * 4 < all, "{moment} of {all} bytes for {from} %");
    }
}

/// A block that is young at a checkpoint and freed long after it is temporary all the same.
#[test]
fn what_is_young_at_a_checkpoint_may_be_temporary() {
    let churn = |from: u64, to: u64| -> String {
        let turn = |n: u64| format!("time {}\nepoch\nt1 alloc b 8 main>churn\nt1 free b\n", n * 10_000);
        (from..to).map(turn).collect()
    };
    let text = format!(
        "t2 alloc w 64 main>old\nt2 alloc v 64 main>old\nt2 alloc x 64 main>idle\n{}t1 free x\nt1 free w\n{}",
        churn(0, 3000),
        churn(3000, 4000)
    );
    let sealed = Sealed::new("young", write(&text, Layout { chunk_len: 400, ..Layout::PLAIN }).0.finish());
    let span = sealed.span(0, 3000 * 10_000).unwrap();
    let (rows, read) = sealed.narrowed(span);
    assert!(rows == sealed.replayed(span) && read * 2 < sealed.events.len() as u64);
    let of_idle = rows.iter().find(|row| row.allocations == 1).unwrap();
    assert_eq!((of_idle.temporary_allocations, of_idle.peak_blocks), (1, 0));
}
