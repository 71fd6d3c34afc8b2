//! However a program ends while its threads allocate: what is recorded is what they counted, but for the one record that
//! each of them was at.

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{MEMTRACK, compile, scratch};
use tracker_core::report::open::{OpenOptions, open};
use tracker_core::report::profile::State;

/// Random moments at which the program is killed. `MEMTRACK_KILLS` asks for more.
const KILLS: u64 = 25;

/// What a thread counted: id, allocations, frees.
type Counter = (u32, u64, u64);

fn counters(page: &Path) -> ([Counter; 4], u32) {
    let bytes = fs::read(page).expect("readable");
    let word = |at: usize| u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().expect("eight bytes"));
    let counter = |thread: usize| (word(8 * thread) as u32, word(8 * thread + 1), word(8 * thread + 2));
    ([0, 1, 2, 3].map(counter), word(32) as u32)
}

/// Runs `churn END`, kills it after `delay` if it does not end by itself, and compares.
fn check(folder: &Path, end: Option<&str>, delay: Duration, expected: i32) {
    let (page, capture) = (folder.join("page"), folder.join("capture.mtk"));
    fs::write(&page, [0; 4096]).expect("ours");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "--wait", "-f", "-o"]).arg(&capture).arg("--").arg(folder.join("churn")).arg(&page);
    let mut child = command.args(end).stdin(Stdio::null()).spawn().expect("memtrack");
    if end.is_none() {
        let mut pid = 0;
        while pid == 0 {
            std::thread::yield_now();
            pid = counters(&page).1;
        }
        std::thread::sleep(delay);
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill").success());
    }
    let status = child.wait().expect("a child");
    assert_eq!(status.code().unwrap_or(-status.signal().unwrap_or(0)), expected, "{end:?}");

    let options = OpenOptions { symbols: false, ..OpenOptions::default() };
    let profile = open(&capture, &options, &mut |_, _| {}).expect("a capture");
    assert_eq!((profile.state, profile.totals.lost_events), (State::Complete, 0), "{:?}", profile.warnings);
    for (tid, allocations, frees) in counters(&page).0 {
        let thread = profile.threads.iter().find(|thread| thread.tid == tid && thread.process == 1);
        let metrics = thread.unwrap_or_else(|| panic!("{tid} of {:?}", profile.threads)).metrics;
        let at_work = format!("{end:?} after {delay:?}: thread {tid} counted {allocations} and {frees}: {metrics:?}");
        assert!((allocations..=allocations + 1).contains(&metrics.allocations), "{at_work}");
        let recorded_frees = metrics.allocations - metrics.leaked_blocks;
        assert!((frees..=frees + 1).contains(&recorded_frees), "{at_work}");
    }
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = scratch(name);
    compile("gcc", "churn.c", &["-O1", "-fno-builtin", "-pthread"], &folder.join("churn"));
    folder
}

#[test]
fn ends_of_its_own() {
    let folder = folder("deaths");
    for (end, status) in [
        ("exit", 3),
        ("_exit", 4),
        ("abort", -6),
        ("exec", 5),
        ("quick_exit", 6),
        ("raise", -15),
        ("fault", -11),
        ("leave", -9),
    ] {
        check(&folder, Some(end), Duration::ZERO, status);
    }
}

#[test]
fn killed_at_any_moment() {
    let folder = folder("kills");
    let kills = std::env::var("MEMTRACK_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos();
    let mut random = u64::from(seed) | 1;
    for _ in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        check(&folder, None, Duration::from_micros(random % 8000), -9);
    }
}
