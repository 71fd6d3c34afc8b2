//! Names that were chosen to harm their readers reach no terminal, table or page as they are.

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Command;

use common::{Capture, MEMTRACK, compile, open, read, scratch};

/// Repaints a terminal, in both ways to begin with that, turns text around, and is calculated by spreadsheets. A thread's
/// name has room for its start.
const HOSTILE: &str = "\t=1+1\u{1b}[31m\u{7}\u{9b}31m\u{202e}\r\"<b>,;";

/// A recording in which a function, its thread, the program, its file and its argument have that name.
fn recorded() -> Capture {
    let folder = scratch("names");
    let program = folder.join(format!("jit{HOSTILE}").replace('/', "_"));
    compile("gcc", "jit.c", &["-O1", "-fno-builtin"], &program);
    let path = folder.join("capture.mtk");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "--wait", "-f", "-o"]).arg(&path).arg(&program).args([HOSTILE, HOSTILE]);
    let ended = common::run(&mut command);
    assert_eq!((ended.status.as_str(), ended.stderr.as_str()), ("exit status: 0", ""));
    let capture = open(path);
    // The names are in the index now.
    fs::remove_file(format!("/tmp/perf-{}.map", capture.number(Some(1), "pid"))).expect("the program wrote it");
    capture
}

#[track_caller]
fn check(line: &str, text: &str, allowed: &[char]) {
    let is_raw = |c: char| (c.is_control() || c == '\u{202e}') && !allowed.contains(&c);
    if let Some(at) = text.find(is_raw) {
        let around = text.chars().skip(text[..at].chars().count().saturating_sub(40)).take(80).collect::<String>();
        panic!("{line}: {around:?}");
    }
    assert!(text.contains("=1+1"), "{line} does not have the name");
}

#[test]
fn no_output_has_a_control_character_of_a_name() {
    let capture = recorded();
    let path = capture.path.to_str().expect("plain path");
    for line in [
        "summary",
        "summary --json",
        "report --leaks",
        "report --leaks --json",
        "report --leaks --print-suppressions",
        "report --allocations",
        "tree",
        "tree --inverted --json",
        "table",
        "table --by module",
        "table --by thread",
        "table --by process --json",
        "stats",
        "stats --json",
        "dump",
        "strings",
        "strings --json",
        "diff --json",
        "diff",
    ] {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.extend(std::iter::repeat_n(path, 1 + usize::from(arguments[0] == "diff")));
        check(line, &read(&arguments), &['\n']);
    }
    let export = |format: &str| read(&["export", "--format", format, "-o", "-", path]);
    for format in ["collapsed", "speedscope", "firefox", "heaptrack", "ndjson", "svg"] {
        check(format, &export(format), &['\n']);
    }
    // Its numbers are bytes of all values; its texts have those of the names.
    let pprof =
        Command::new(MEMTRACK).args(["export", "--format", "pprof", "-o", "-", path]).output().expect("memtrack");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(pprof.stdout.as_slice()).read_to_end(&mut bytes).expect("gzip");
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("=1+1") && !["\u{1b}[31m", "\u{9b}31m", "\u{202e}"].into_iter().any(has));
    // Its lines end so.
    check("csv", &export("csv").replace("\r\n", "\n"), &['\n']);
}
