//! Captures for sharing: what they say, and what they do not say any more.

mod common;

use std::fs;
use std::io::Read as _;
use std::process::Command;

use common::{MEMTRACK, compile, open, read, record, run, scratch, victims};
use serde_json::Value;

/// Copies of the victims below a folder that tells a name, with one argument that nobody should see.
fn recorded(name: &str, mode: &[&str]) -> common::Capture {
    let folder = scratch(&format!("lovelace-{name}"));
    for file in ["known", "libplug_a.so", "libplug_b.so"] {
        fs::copy(victims().join(file), folder.join(file)).expect("writable");
    }
    let program = folder.join("known");
    let plugs = folder.to_str().expect("plain path");
    let mut command = vec![program.to_str().expect("plain path")];
    command.extend(mode.iter().map(|word| if *word == "PLUGS" { plugs } else { word }));
    command.push("--key=hidden-argument");
    record(name, &command)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&read(arguments)).expect("JSON")
}

#[test]
fn a_redacted_capture_has_the_numbers_and_the_names_and_nothing_else() {
    for (name, mode) in
        [("share-threads", &["threads"][..]), ("share-fork", &["fork"]), ("share-dlopen", &["dlopen", "PLUGS"])]
    {
        let capture = recorded(name, mode);
        let path = capture.path.to_str().expect("plain path");
        read(&["strip", "--redact", path]);
        let shared = capture.path.with_extension("redacted.mtk");
        // Wherever it is read, its modules are not found.
        let away = scratch(&format!("{name}-away")).join("got.mtk");
        fs::rename(&shared, &away).expect("same file system");
        let away = away.to_str().expect("plain path");

        let json = ["summary", "report", "table"].map(|command| read(&[command, "--json", away])).concat();
        let texts = read(&["strings", away]) + &read(&["dump", away]) + &json;
        for hidden in ["hidden-argument", "lovelace", env!("CARGO_TARGET_TMPDIR")] {
            assert!(!texts.contains(hidden), "{name}: {hidden} is in the copy");
        }
        assert!(read(&["strings", path]).contains("--key=hidden-argument"));

        let (before, after) = (&capture.summary, open(away.into()).summary);
        for key in ["allocations", "allocated_bytes", "peak_bytes", "leaked_bytes", "frees", "lost_events", "state"] {
            assert_eq!(after[key], before[key], "{name}: {key}");
        }
        assert_eq!(after["threads"], before["threads"], "names of threads stay");
        assert_eq!((&after["redacted"], &before["redacted"]), (&Value::Bool(true), &Value::Bool(false)));
        assert_eq!((&after["host"], &after["cwd"]), (&Value::from(""), &Value::from("")));
        let stacks = |path: &str| read(&["export", "--format", "collapsed", "--metric", "allocations", path]);
        assert_eq!(stacks(away), stacks(path), "{name}");
        let head = read(&["report", "--leaks", away]);
        assert!(head.lines().nth(1).is_some_and(|line| line.ends_with("redacted")), "{head}");
    }
}

/// The index holds the results; the events behind it must say the same.
#[test]
fn the_events_of_a_redacted_capture_replay_to_the_same_numbers() {
    let capture = recorded("share-replay", &["threads"]);
    let path = capture.path.to_str().expect("plain path");
    let shared = capture.path.with_extension("copy.mtk");
    read(&["strip", "--redact", "-o", shared.to_str().expect("plain path"), path]);
    // Without the seal at its end the index is not used.
    let bytes = fs::read(&shared).expect("just written");
    fs::write(&shared, &bytes[..bytes.len() - 1]).expect("writable");
    let (before, after) = (&capture.summary, open(shared).summary);
    for key in ["allocations", "allocated_bytes", "peak_bytes", "leaked_bytes", "frees", "unmatched_frees", "state"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["redacted"], true);
}

/// The data in a page that was written as one file.
fn data_of(page: &str) -> String {
    let (_, data) = page.split_once("\"data\":\"").expect("a page with data");
    let (data, _) = data.split_once('"').expect("its end");
    let path = scratch("share-page").join("data");
    fs::write(&path, data).expect("writable");
    let packed = Command::new("base64").arg("-d").arg(path).output().expect("base64").stdout;
    let mut text = String::new();
    flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("deflate");
    text
}

/// What `export` writes, unpacked.
fn exported(capture: &common::Capture, format: &str, more: &[&str]) -> String {
    let output = capture.path.with_extension(format);
    let (output, path) = (output.to_str().expect("plain path"), capture.path.to_str().expect("plain path"));
    read(&[&["export", "--format", format, "-f", "-o", output, path], more].concat());
    let bytes = fs::read(output).expect("written");
    let mut text = Vec::new();
    let unpacked = flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut text);
    let bytes = if unpacked.is_ok() { text } else { bytes };
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runtimes put the paths of scripts into the names of the code that they make.
#[test]
fn names_of_code_made_at_run_time_say_nothing_of_folders() {
    let folder = scratch("share-jit");
    compile("gcc", "jit.c", &["-O1", "-fno-builtin"], &folder.join("jit"));
    let path = folder.join("capture.mtk");
    let mut command = Command::new(MEMTRACK);
    command
        .args(["run", "-q", "--wait", "-f", "-o"])
        .arg(&path)
        .args(["./jit", "JS:*hot file:///home/lovelace/her secret/hot.mjs:1:13"]);
    let ended = run(command.current_dir(&folder));
    assert_eq!(ended.status, "exit status: 0", "{}", ended.stderr);
    let capture = open(path);
    let map = format!("/tmp/perf-{}.map", capture.number(Some(1), "pid"));
    let written = |more: &[&str]| {
        let formats = ["collapsed", "pprof", "speedscope", "firefox", "heaptrack", "csv", "ndjson", "svg"];
        formats.map(|format| (format, exported(&capture, format, more)))
    };
    let (whole, redacted) = (written(&[]), written(&["--redact"]));
    let copy = capture.path.with_extension("copy.mtk");
    let copy = copy.to_str().expect("plain path");
    read(&["strip", "--redact", "-f", "-o", copy, capture.path.to_str().expect("plain path")]);
    fs::remove_file(map).expect("the program wrote it");
    assert!(whole.iter().all(|(_, text)| text.contains("her secret/hot.mjs")), "{whole:?}");
    for (what, text) in redacted.into_iter().chain([("strings", read(&["strings", copy]))]) {
        assert!(!text.contains("lovelace") && !text.contains("her secret"), "{what}: {text}");
        assert!(text.contains("JS:*hot file://…/hot.mjs:1:13"), "{what}: {text}");
    }
}

#[test]
fn every_output_for_others_can_be_redacted() {
    let capture = recorded("share-outputs", &["dlopen", "PLUGS"]);
    let path = capture.path.to_str().expect("plain path");
    let hidden = ["hidden-argument", "lovelace", env!("CARGO_TARGET_TMPDIR")];
    let check = |what: &str, open: &str, redacted: &str| {
        for hidden in hidden {
            assert!(!redacted.contains(hidden), "{hidden} is in {what}");
        }
        assert!(hidden.iter().any(|hidden| open.contains(hidden)), "{what} says nothing anyway");
    };
    // The others name functions alone here.
    for format in ["pprof", "speedscope", "firefox", "heaptrack", "csv", "ndjson"] {
        check(format, &exported(&capture, format, &[]), &exported(&capture, format, &["--redact"]));
    }
    let page = |more: &[&str]| data_of(&read(&[&["flamegraph", "-o", "-", path], more].concat()));
    check("flamegraph", &page(&[]), &page(&["--redact"]));
    assert!(page(&["--redact"]).contains("\"redacted\":true") && page(&[]).contains("\"redacted\":false"));
    let page = |more: &[&str]| data_of(&read(&[&["diff", "--html", "-o", "-", path, path], more].concat()));
    check("diff --html", &page(&[]), &page(&["--redact"]));
    assert!(page(&["--redact"]).contains("\"redacted\":true") && page(&[]).contains("\"redacted\":false"));
    let diff = |more: &[&str]| read(&[&["diff", "--json", path, path], more].concat());
    check("diff", &diff(&[]), &diff(&["--redact"]));
}

#[test]
fn damage_stays_visible() {
    let capture = recorded("share-damage", &["simple"]);
    let mut bytes = fs::read(&capture.path).expect("just recorded");
    // In the second block; and without the seal, or the index would answer.
    bytes[700] ^= 1;
    bytes.pop();
    let damaged = capture.path.with_extension("damaged.mtk");
    fs::write(&damaged, bytes).expect("writable");
    let copy = capture.path.with_extension("copy.mtk");
    read(&["strip", "--redact", "-o", copy.to_str().expect("plain path"), damaged.to_str().expect("plain path")]);
    assert_eq!(open(copy).summary["state"], "cut");
}

#[test]
fn usage() {
    let capture = recorded("share-usage", &["simple"]);
    let status = |arguments: &[&str]| {
        let ended = run(Command::new(MEMTRACK).args(arguments).arg(&capture.path));
        (ended.status, ended.stderr)
    };
    let (code, message) = status(&["strip"]);
    assert!(code.ends_with(": 2") && message.contains("--redact"), "{code} {message}");
    assert!(status(&["strip", "--redact"]).0.ends_with(": 0"));
    let (code, message) = status(&["strip", "--redact"]);
    assert!(code.ends_with(": 2") && message.contains("exists (-f overwrites it)"), "{code} {message}");
    let strings = json(&["strings", "--json", capture.path.to_str().expect("plain path")]);
    assert_eq!(strings["schema"], "memtrack.strings/1");
    let has = |kind: &str, text: &str| {
        let rows = strings["strings"].as_array().expect("rows").iter();
        rows.clone().any(|row| row["kind"] == kind && row["text"].as_str().is_some_and(|found| found.ends_with(text)))
    };
    assert!(has("argument", "hidden-argument") && has("program", "/known") && has("module", "/libc.so.6"));
    assert!(has("function", "main"), "open() has sealed it");
}
