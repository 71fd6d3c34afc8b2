//! What the tests of Python programs share: the interpreters of this machine, and stacks as Python has them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tracker_core::format::record::Function;
use tracker_core::report::profile::{Frame, FrameKind, Profile};
use tracker_core::report::{self, OpenOptions};

use super::{MEMTRACK, run, scratch};

/// Versions whose frames can be read.
const MINORS: std::ops::RangeInclusive<u32> = 8..=15;

pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/victims/python").join(name)
}

/// CPythons on this machine, by minor version and path: Debian's, those in PATH, and pyenv's.
pub(crate) fn pythons() -> BTreeSet<(u32, PathBuf)> {
    let names = || std::iter::once("python3".to_owned()).chain(MINORS.map(|minor| format!("python3.{minor}")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/bin".into());
    let pyenv = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv/versions"));
    for version in pyenv.and_then(|versions| versions.read_dir().ok()).into_iter().flatten().flatten() {
        folders.push(version.path().join("bin"));
    }
    let candidates = folders.iter().flat_map(|folder| names().map(|name| folder.join(name)));
    candidates.filter_map(|path| Some((minor(&path)?, path.canonicalize().ok()?))).collect()
}

/// The minor version of a CPython with a global lock; `None` for anything else.
fn minor(python: &Path) -> Option<u32> {
    // A shim that chooses a version is no interpreter.
    let program = std::fs::read(python.canonicalize().ok()?).ok()?;
    if !program.starts_with(b"\x7fELF") {
        return None;
    }
    let ask = "import sys, sysconfig; print(sys.implementation.name, sys.version_info.major, sys.version_info.minor, \
               sysconfig.get_config_var('Py_GIL_DISABLED') or 0)";
    let said = run(Command::new(python).args(["-I", "-c", ask])).stdout;
    let words: Vec<_> = said.split_whitespace().collect();
    match words.as_slice() {
        ["cpython", "3", minor, "0"] => minor.parse().ok().filter(|minor| MINORS.contains(minor)),
        _ => None,
    }
}

/// Runs `check` with each interpreter, numbered, and says which there are.
pub(crate) fn with_each(check: impl Fn(usize, &Path)) {
    with_each_from(*MINORS.start(), check);
}

/// The same from version 3.`first` on.
pub(crate) fn with_each_from(first: u32, check: impl Fn(usize, &Path)) {
    let pythons = pythons();
    let absent: Vec<_> = MINORS.filter(|minor| pythons.iter().all(|found| found.0 != *minor)).collect();
    // Past the test harness, which keeps what passing tests print to itself.
    let say = |text: String| writeln!(std::io::stderr(), "{text}").expect("stderr is there");
    say(format!("absent CPythons: {}", absent.iter().map(|minor| format!("3.{minor} ")).collect::<String>()));
    assert!(!pythons.is_empty(), "no CPython is found (apt-get install python3)");
    for (number, (minor, python)) in pythons.iter().enumerate().filter(|(_, (minor, _))| *minor >= first) {
        say(format!("CPython 3.{minor}: {}", python.display()));
        check(number, python);
    }
}

/// A Python stack, innermost frame first: file, function, line; of a task only its name.
pub(crate) type Stack = Vec<(String, String, u32)>;

/// Allocations and bytes per Python stack.
pub(crate) type Sums = BTreeMap<Stack, (u64, u64)>;

pub(crate) fn recorded(profile: &Profile) -> Sums {
    let mut sums = Sums::new();
    for row in &profile.rows {
        let stack = &profile.stacks[row.stack.0 as usize];
        // The interpreter may need an arena anywhere.
        if matches!(stack.function, Some(Function::PythonArena | Function::Mmap)) {
            continue;
        }
        let frames = stack.frames.iter().map(|id| &profile.frames[id.0 as usize]);
        let python = frames.filter(|frame| matches!(frame.kind, FrameKind::Python | FrameKind::Task));
        let name = |frame: &Frame| frame.function.clone().expect("Python frames have names");
        let stack = python.map(|f| (f.file.clone().unwrap_or_default(), name(f), f.line.unwrap_or(0))).collect();
        let sum = sums.entry(stack).or_default();
        *sum = (sum.0 + row.metrics.allocations, sum.1 + row.metrics.allocated_bytes);
    }
    sums
}

/// What the processes of a script wrote to the files that begin with `out`.
pub(crate) fn told(out: &Path) -> Sums {
    let mut sums = Sums::new();
    let folder = out.parent().expect("a file in a folder");
    for file in folder.read_dir().expect("readable").map(|file| file.expect("readable").path()) {
        if file.file_stem() != out.file_name() {
            continue;
        }
        for line in std::fs::read_to_string(&file).expect("text").lines() {
            let line: Value = serde_json::from_str(line).expect("one object a line");
            let stack = serde_json::from_value(line["stack"].clone()).expect("file, function, line");
            let number = |key: &str| line[key].as_u64().expect("a number");
            let sum = sums.entry(stack).or_insert((0, 0));
            *sum = (sum.0 + number("count"), sum.1 + number("bytes"));
        }
    }
    sums
}

pub(crate) fn profile(capture: &Path) -> Profile {
    let options = OpenOptions { symbols: false, ..OpenOptions::default() };
    report::open(capture, &options, &mut |_, _| ()).expect("a capture")
}

/// Records a script of truth; every allocation it tells of must have been recorded with the stack it tells. Answers the
/// capture, read.
#[track_caller]
pub(crate) fn check_truth(name: &str, python: &Path, victim: &str, parts: &[&str], least: u64) -> Profile {
    let folder = scratch(name);
    let (capture, out) = (folder.join("capture.mtk"), folder.join("told"));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "--wait", "-o"]).arg(&capture).arg("--").arg(python);
    command.arg(script(victim)).args(parts).arg(&out).current_dir(&folder);
    // The scripts' folder is not for caches.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let ended = run(&mut command);
    assert_eq!((ended.status.as_str(), ended.stdout.as_str(), ended.stderr.as_str()), ("exit status: 0", "", ""));
    let profile = profile(&capture);
    assert_eq!(profile.totals.lost_events, 0);
    let (told, recorded) = (told(&out), recorded(&profile));
    let marks: u64 = told.values().map(|sum| sum.0).sum();
    assert!(marks >= least, "{name} tells of {marks} allocations only");
    for (stack, sum) in &told {
        assert_eq!(recorded.get(stack), Some(sum), "{name}: {stack:#?}");
    }
    profile
}
