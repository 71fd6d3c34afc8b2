//! Python frames: each script knows its own stacks, and what is recorded must be the same, on every CPython that is found.

mod common;

use std::path::Path;
use std::process::Command;

use common::python::{profile, pythons, recorded, script, told, with_each};
use common::{MEMTRACK, compile, read, record, run, scratch};
use tracker_core::report::profile::FrameKind;

/// Records parts of the script of truth; every allocation it tells of must have been recorded with the stack it tells.
#[track_caller]
fn check_truth(name: &str, python: &Path, parts: &[&str], least: u64) {
    let folder = scratch(name);
    let (capture, out) = (folder.join("capture.mtk"), folder.join("told"));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "--wait", "-o"]).arg(&capture).arg("--").arg(python);
    command.arg(script("truth.py")).args(parts).arg(&out).current_dir(&folder);
    let ended = run(&mut command);
    assert_eq!((ended.status.as_str(), ended.stdout.as_str(), ended.stderr.as_str()), ("exit status: 0", "", ""));
    let profile = profile(&capture);
    assert_eq!(profile.totals.lost_events, 0);
    let (told, recorded) = (told(&out), recorded(&profile));
    let marks: u64 = told.values().map(|sum| sum.0).sum();
    assert!(marks >= least, "the script tells of {marks} allocations only");
    for (stack, sum) in &told {
        assert_eq!(recorded.get(stack), Some(sum), "{name}: {stack:#?}");
    }
}

#[test]
fn every_stack_is_the_one_the_interpreter_tells() {
    with_each(|number, python| {
        check_truth(&format!("truth-{number}"), python, &["language", "fork", "spawn"], 1350);
    });
}

#[test]
fn without_python_frames_the_stacks_are_native() {
    let folder = scratch("no-python");
    let capture = folder.join("capture.mtk");
    let (_, python) = pythons().pop_first().expect("python3 (apt-get install python3)");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "--no-python", "-o"]).arg(&capture).arg("--").arg(python).args(["-c", "pass"]);
    assert_eq!(run(&mut command).status, "exit status: 0");
    let profile = profile(&capture);
    assert!(profile.frames.iter().all(|frame| frame.kind != FrameKind::Python));
    assert!(profile.totals.metrics.allocations > 0);
}

#[test]
fn a_layout_that_is_wrong_ends_in_native_stacks() {
    let folder = scratch("impostor");
    let wrong = "its memory is not laid out as its version promises";
    let mut cases = vec![(0x0310_00f0u32, 9, "Python 3.16.0", "the version is not supported")];
    cases.push((0x0200_0000, 9, "Python 2.0.0", "the version is not supported"));
    // Of the versions that describe themselves this one has no description.
    cases.push((0x030d_01f0, 9, "Python 3.13.1", wrong));
    cases.extend((0..=9).map(|depth| (0x030b_02f0, depth, "Python 3.11.2", wrong)));
    for (version, depth, name, why) in cases {
        let program = folder.join(format!("impostor-{version:x}-{depth}"));
        let (version, depth) = (format!("-DVERSION={version:#x}"), format!("-DDEPTH={depth}"));
        compile("gcc", "python/impostor.c", &["-O1", "-fno-builtin", "-rdynamic", &version, &depth], &program);
        let program = program.to_str().expect("plain path");
        let capture = record(&format!("impostor{version}{depth}"), &[program]);
        let stacks = capture.stacks("allocations");
        let from_main: u64 = stacks.iter().filter(|(stack, _)| stack.ends_with(";main")).map(|(_, count)| count).sum();
        assert_eq!(from_main, 100, "{version} {depth}: {stacks:#?}");
        let text = read(&["summary", capture.path.to_str().expect("plain path")]);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&format!("the stacks of {name} are native only: {why}")), "{version} {depth}: {text}");
    }
}
