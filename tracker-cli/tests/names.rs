//! Names that were chosen to harm their readers reach no terminal, table or page as they are.

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Command;

use common::{Capture, MEMTRACK, compile, open, read, run, scratch};

/// Repaints a terminal, begun in either of the two ways, turns text around, and is calculated by spreadsheets. A thread's name has
/// room for its start.
const HOSTILE: &str = "\t=1+1\u{1b}[31m\u{7}\u{9b}31m\u{202e}\r\"<b>,;";

/// A recording in which a function, its thread, the program, its file and its argument have that name.
fn recorded() -> Capture {
    let folder = scratch("names");
    let program = folder.join(format!("jit{HOSTILE}"));
    compile("gcc", "jit.c", &["-O1", "-fno-builtin"], &program);
    let path = folder.join("capture.mtk");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "--wait", "-f", "-o"]).arg(&path).arg(&program).args([HOSTILE, HOSTILE]);
    let ended = run(&mut command);
    assert_eq!(ended.status, "exit status: 0", "{}", ended.stderr);
    harmless("run", &ended.stderr, &['\n']);
    check("doctor", &read(&["doctor", program.to_str().expect("text")]), &['\n']);
    let capture = open(path);
    // The names are in the index now.
    fs::remove_file(format!("/tmp/perf-{}.map", capture.number(Some(1), "pid"))).expect("the program wrote it");
    capture
}

#[track_caller]
fn harmless(line: &str, text: &str, allowed: &[char]) {
    let is_raw = |c: char| (c.is_control() || c == '\u{202e}') && !allowed.contains(&c);
    if let Some(at) = text.find(is_raw) {
        let around = text.chars().skip(text[..at].chars().count().saturating_sub(40)).take(80).collect::<String>();
        panic!("{line}: {around:?}");
    }
}

#[track_caller]
fn check(line: &str, text: &str, allowed: &[char]) {
    harmless(line, text, allowed);
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
        "table --by file",
        "diff --json",
        "diff --metric leaked",
    ] {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        arguments.extend(std::iter::repeat_n(path, 1 + usize::from(arguments[0] == "diff")));
        check(line, &read(&arguments), &['\n']);
    }
    for format in ["text", "json", "markdown", "github", "gitlab", "junit", "sarif"] {
        let mut command = Command::new(MEMTRACK);
        let ended = run(command.args(["check", "--max", "leaked=1", "--format", format, path]));
        assert_eq!(ended.status, "exit status: 1", "{}", ended.stderr);
        let (line, text) = (format!("check --format {format}"), ended.stdout + &ended.stderr);
        // Some escape more than control characters.
        if ["text", "json"].contains(&format) { check(&line, &text, &['\n']) } else { harmless(&line, &text, &['\n']) }
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
