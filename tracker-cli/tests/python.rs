//! Python frames: each script knows its own stacks, and what is recorded must be the same, on every CPython that is found.

mod common;

use std::process::Command;

use common::python::{check_truth, profile, pythons, with_each, with_each_from};
use common::{MEMTRACK, compile, read, record, run, scratch};
use tracker_core::report::profile::FrameKind;

#[test]
fn every_stack_is_the_one_the_interpreter_tells() {
    with_each(|number, python| {
        let parts = ["language", "fork:50", "spawn:6"];
        let profile = check_truth(&format!("truth-{number}"), python, "truth.py", &parts, 1390);
        let labels = profile.process_labels();
        let workers = labels.iter().filter(|label| label.is_worker && label.text.starts_with("truth.py worker "));
        assert_eq!((labels[0].text.as_str(), workers.count()), ("truth.py", 56), "{labels:?}");
        // From 3.14 on the interpreter names its threads for the system, too.
        let known =
            |name: &str| ["worker", "reader"].contains(&name) || name.contains("(work") || name.contains("(read");
        let named = profile.threads.iter().filter(|thread| known(&thread.name)).count();
        assert_eq!(named, 26, "{:#?}", profile.threads);
    });
}

#[test]
fn fifty_processes_are_spawned_at_once() {
    let (_, python) = pythons().pop_last().expect("python3 (apt-get install python3)");
    let profile = check_truth("spawn", &python, "truth.py", &["spawn:50"], 250);
    assert_eq!(profile.process_labels().iter().filter(|label| label.is_worker).count(), 50);
}

#[test]
fn subinterpreters_have_stacks_of_their_own() {
    // Before, a subinterpreter cannot load the modules that the script needs.
    with_each_from(10, |number, python| {
        check_truth(&format!("interpreters-{number}"), python, "interpreters.py", &[], 800);
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
