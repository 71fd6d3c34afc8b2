//! Sealed captures against the same ones replayed: equal in everything, whatever happens to the index.

use std::fs::{self, File};
use std::path::PathBuf;

use tracker_core::capture::index::Index;
use tracker_core::capture::writer::Writer;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::verify::IndexState;
use tracker_core::report::{OpenOptions, Unsealed, open, seal, verify};

use crate::slices::tell;
use crate::trace::{Layout, write};

/// A capture in a file of its own.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("memtrack-seal-{}-{name}.mtk", std::process::id()));
        fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn open(&self) -> Profile {
        open(&self.0, &OpenOptions::default(), &mut |_, _| {}).unwrap()
    }

    fn seal(&self) -> Result<(u64, bool), Unsealed> {
        seal(&self.0, &OpenOptions::default(), &mut |_, _| {}).unwrap()
    }

    /// Opens it and counts the events' bytes that were read for it.
    fn open_and_watch(&self) -> (Profile, bool) {
        let mut replayed = false;
        let profile = open(&self.0, &OpenOptions::default(), &mut |_, _| replayed = true).unwrap();
        (profile, replayed)
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap()
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_sealed_capture_opens_without_its_events_and_is_the_same() {
    for seed in 0..40 {
        let (bytes, _) = tell(seed);
        let capture = OnDisk::new("same", &bytes);
        let fresh = capture.open();
        assert_eq!(capture.bytes(), bytes, "only who asks for it seals");
        let (len, already) = capture.seal().unwrap();
        assert!(!already);
        assert_eq!(capture.bytes().len() as u64, bytes.len() as u64 + len);
        assert!(capture.bytes().starts_with(&bytes));
        let (sealed, replayed) = capture.open_and_watch();
        assert!(sealed == fresh && !replayed, "seed {seed}");
        assert_eq!(capture.seal().unwrap(), (len, true));
        // What only a replay can tell comes from the events.
        let other = OpenOptions { temporary_distance: 3, ..OpenOptions::default() };
        let wider = open(&capture.0, &other, &mut |_, _| {}).unwrap().totals.metrics.temporary_allocations;
        assert!(wider >= fresh.totals.metrics.temporary_allocations);
        let without = OpenOptions { slices: false, ..OpenOptions::default() };
        let short = open(&capture.0, &without, &mut |_, _| {}).unwrap();
        assert!(short.slices.is_empty() && short == Profile { slices: short.slices.clone(), ..fresh });
    }
}

#[test]
fn a_first_reader_seals() {
    let (bytes, _) = tell(1);
    let capture = OnDisk::new("reader", &bytes);
    let options = OpenOptions { seal: true, ..OpenOptions::default() };
    let first = open(&capture.0, &options, &mut |_, _| {}).unwrap();
    let (second, replayed) = capture.open_and_watch();
    assert!(first == second && !replayed);
    let sealed = capture.bytes();
    open(&capture.0, &options, &mut |_, _| {}).unwrap();
    assert!(capture.bytes() == sealed, "once is enough");
}

/// Somebody else is about to seal: the index that he appends is used.
#[test]
fn a_second_first_reader_waits_for_the_seal() {
    let (bytes, _) = tell(1);
    let sealed = OnDisk::new("first", &bytes);
    sealed.seal().unwrap();
    let capture = OnDisk::new("second", &bytes);
    let first = File::options().append(true).open(&capture.0).unwrap();
    first.lock().unwrap();
    let (tell, met) = std::sync::mpsc::channel();
    let path = capture.0.clone();
    let second = std::thread::spawn(move || {
        let options = OpenOptions { seal: true, ..OpenOptions::default() };
        let mut replayed = false;
        let profile = open(&path, &options, &mut |done, _| {
            replayed |= done > 0;
            let _ = tell.send(());
        });
        (profile.unwrap(), replayed)
    });
    // It has found no index.
    met.recv().unwrap();
    std::io::Write::write_all(&mut &first, &sealed.bytes()[bytes.len()..]).unwrap();
    first.unlock().unwrap();
    let (profile, replayed) = second.join().unwrap();
    assert!(profile == sealed.open() && !replayed);
    assert!(capture.bytes() == sealed.bytes());
}

#[test]
fn an_index_cut_or_damaged_anywhere_costs_nothing() {
    let (bytes, _) = tell(2);
    let capture = OnDisk::new("cut", &bytes);
    let fresh = capture.open();
    capture.seal().unwrap();
    let sealed = capture.bytes();
    assert_eq!(fresh.state, State::Complete);
    let step = (sealed.len() - bytes.len()) / 60 + 1;
    for len in (bytes.len()..sealed.len()).step_by(step) {
        fs::write(&capture.0, &sealed[..len]).unwrap();
        assert!(capture.open() == fresh, "cut at {len}");
        // As after a crash while sealing: the next one seals.
        assert!(!capture.seal().unwrap().1);
        let (again, replayed) = capture.open_and_watch();
        assert!(again == fresh && !replayed, "sealed again behind a cut at {len}");
        let mut flipped = sealed.clone();
        flipped[len] ^= 0x20;
        fs::write(&capture.0, &flipped).unwrap();
        assert!(capture.open() == fresh, "flipped at {len}");
    }
}

#[test]
fn damaged_captures_are_sealed_as_they_are() {
    let (bytes, _) = tell(3);
    let mut damaged = bytes.clone();
    let at = bytes.len() * 2 / 3;
    damaged[at..at + 40].fill(0);
    for (name, bytes) in [("hole", damaged), ("end", bytes[..bytes.len() * 3 / 4].to_vec())] {
        let capture = OnDisk::new(name, &bytes);
        let fresh = capture.open();
        assert_eq!(fresh.state, State::Cut);
        capture.seal().unwrap();
        assert!(capture.open() == fresh, "{name}");
    }
}

#[test]
fn what_cannot_be_sealed_is_read_all_the_same() {
    let running = write("t1 alloc a 64 main>parse", Layout::PLAIN).0.cut();
    let capture = OnDisk::new("running", &running);
    let collector = File::open(&capture.0).unwrap();
    collector.lock().unwrap();
    assert!(matches!(capture.seal(), Err(Unsealed::Busy)));
    assert_eq!((capture.open().state, capture.bytes()), (State::Running, running));
    drop(collector);
    assert!(capture.seal().is_ok());
    assert_eq!(capture.open().state, State::Cut);
}

#[test]
fn verify_finds_what_is_wrong() {
    let verify = |capture: &OnDisk| verify(&capture.0, &OpenOptions::default(), &mut |_, _| {}).unwrap();
    let sealed = |seed: u64| {
        let capture = OnDisk::new(&format!("verify-{seed}"), &tell(seed).0);
        assert_eq!(verify(&capture).index, IndexState::None);
        capture.seal().unwrap();
        capture
    };
    for seed in 0..10 {
        let good = verify(&sealed(seed));
        assert!(good.is_good() && good.blocks > 6 && good.index == IndexState::Equal, "{good:?}");
    }
    // The index of another capture, all check sums right.
    let other = sealed(11).bytes();
    let index = Index::open(&other[..]).unwrap().unwrap();
    let sections: Vec<Vec<u8>> = (0..6).map(|number| index.section(number).unwrap().unwrap()).collect();
    let (events, _) = tell(12);
    let mut writer = Writer::behind(events.clone(), events.len() as u64).unwrap();
    writer.index(&sections).unwrap();
    let swapped = OnDisk::new("verify-swapped", writer.get_mut());
    let found = verify(&swapped);
    let IndexState::Differs(parts) = &found.index else { panic!("{found:?}") };
    assert!(!found.is_good() && parts.contains(&"rows") && parts.contains(&"slices"), "{parts:?}");
    // A damaged block of events.
    let capture = sealed(13);
    let mut bytes = capture.bytes();
    let at = tell(13).0.len() / 2;
    bytes[at] ^= 1;
    fs::write(&capture.0, &bytes).unwrap();
    let found = verify(&capture);
    assert!(!found.is_good() && found.damaged.len() == 1 && found.index != IndexState::Equal, "{found:?}");
}

/// A capture that an earlier build sealed opens from its index, and this build writes the same. `BLESS=1` writes it anew:
/// only together with another version of what has changed.
#[test]
fn the_golden_capture_is_still_what_is_written() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/sealed.mtk"));
    // Long enough for a checkpoint.
    let loops: String =
        (0..700).map(|n| format!("time {}\nt2 alloc c 24 main>loop\nt2 free c\n", 10_000 + n * 9000)).collect();
    let text = "t1 alloc a 64 main>parse
         time 5000
         t2 alloc b 10 main>thread/inlined>work
         p2 fork p1
         p2.t1 alloc c 100 main>child
         epoch
         time 9000
         t1 free b
         p2 ends
         t1 realloc a d 80 main
        ";
    let bytes = write(&(text.to_owned() + &loops), Layout { chunk_len: 4096, ..Layout::PLAIN });
    let capture = OnDisk::new("golden", &bytes.0.finish());
    let fresh = capture.open();
    capture.seal().unwrap();
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&capture.0, &path).unwrap();
    }
    assert!(fs::read(&path).unwrap() == capture.bytes(), "the bytes of a sealed capture have changed");
    let index = Index::open(File::open(&path).unwrap()).unwrap().unwrap();
    assert!(!index.section(7).unwrap().unwrap().is_empty(), "it has a checkpoint");
    let golden = OnDisk::new("old", &fs::read(&path).unwrap());
    let (opened, replayed) = golden.open_and_watch();
    assert!(opened == fresh && !replayed);
}
