//! Two builds of one program that differ by a change put in: `diff` finds it, and nothing else.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{MEMTRACK, read, run, scratch};
use serde_json::Value;

/// Builds and records `victims/shop.c`, compiled with `flags`.
fn record(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let program = folder.join(name);
    common::compile("gcc", "shop.c", &[flags, &["-fno-builtin"]].concat(), &program);
    let capture = folder.join(format!("{name}.mtk"));
    let mut command = Command::new(MEMTRACK);
    let ended = run(command.args(["run", "-q", "-o"]).arg(&capture).arg("--").arg(program));
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    capture
}

fn diff(metric: &str, captures: &[&Path]) -> Value {
    let captures: Vec<&str> = captures.iter().map(|path| path.to_str().expect("plain path")).collect();
    let text = read(&[&["diff", "--json", "--metric", metric], captures.as_slice()].concat());
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["schema"], "memtrack.diff/1");
    let rows = json["rows"].as_array().expect("rows");
    for side in ["before", "after"] {
        let sum: u64 = rows.iter().map(|row| row[side][0].as_u64().expect("a number")).sum();
        let same = json["same"][side][0].as_u64().expect("a number");
        assert_eq!(json["totals"][metric][side][0], sum + same, "{side} adds up");
    }
    json
}

/// Change and functions, leaf first, of each row.
fn rows(json: &Value) -> Vec<(i64, String)> {
    let row = |row: &Value| {
        let frames = row["stack"].as_array().expect("a stack").iter();
        let names: Vec<_> = frames.filter_map(|frame| frame["function"].as_str()).collect();
        let main = names.iter().position(|name| *name == "main").expect("main");
        (row["delta"].as_i64().expect("a number"), names[..main].join(" "))
    };
    json["rows"].as_array().expect("rows").iter().map(row).collect()
}

#[test]
fn one_change_between_two_builds() {
    let folder = scratch("diff");
    let plain = record(&folder, "plain", &["-O0"]);
    // Other code, other addresses, functions inlined: the same allocations.
    let optimised = record(&folder, "optimised", &["-O2", "-DPADDING"]);
    for metric in ["peak", "allocations", "leaked"] {
        assert_eq!(rows(&diff(metric, &[&plain, &optimised])), [], "{metric}");
    }
    let larger = record(&folder, "larger", &["-O0", "-DPADDING", "-DORDER=96"]);
    assert_eq!(rows(&diff("peak", &[&plain, &larger])), [(100 * (96 - 32), "new_order read_order".to_owned())]);
    assert_eq!(rows(&diff("allocations", &[&plain, &larger])), []);
    let cached = record(&folder, "cached", &["-O0", "-DCACHE"]);
    assert_eq!(rows(&diff("leaked-blocks", &[&plain, &cached])), [(7, "keep".to_owned())]);
    let renamed = record(&folder, "renamed", &["-O0", "-Dread_order=parse_order", "-DORDER=40"]);
    let json = diff("peak", &[&plain, &renamed]);
    assert_eq!(rows(&json), [(800, "new_order parse_order".to_owned())]);
    assert_eq!(json["renamed"], serde_json::json!([{"before": "read_order", "after": "parse_order"}]));
    let through = record(&folder, "through", &["-O0", "-DTHROUGH", "-DORDER=40"]);
    assert_eq!(rows(&diff("peak", &[&plain, &through])), [(800, "new_order read_order retry".to_owned())]);
}

#[test]
fn several_captures_of_a_side() {
    let folder = scratch("diff-noise");
    let before = [record(&folder, "a", &["-O0"]), record(&folder, "b", &["-O0", "-DORDER=36"])];
    let after = [record(&folder, "c", &["-O0", "-DORDER=48", "-DCACHE"]), record(&folder, "d", &["-O0", "-DORDER=48"])];
    let path = |path: &'_ PathBuf| path.to_str().expect("plain path").to_owned();
    let [a, b] = before.each_ref().map(path);
    let [c, d] = after.each_ref().map(path);
    let sides = ["--before", &a, "--before", &b, "--after", &c, "--after", &d];
    let json: Value = serde_json::from_str(&read(&[&["diff", "--json"][..], &sides].concat())).expect("JSON");
    let found = |leaf: &str| {
        let rows = json["rows"].as_array().expect("rows");
        let row = rows.iter().find(|row| row["stack"][0]["function"] == leaf).unwrap_or_else(|| panic!("{json:#}"));
        (row["delta"].as_i64(), row["significant"].as_bool())
    };
    assert_eq!(found("new_order"), (Some(1400), Some(true)));
    assert_eq!(found("keep"), (Some(350), Some(false)), "one capture of a side only");
    let text = read(&[&["diff"][..], &sides].concat());
    assert!(text.contains("+1.4 KiB") && text.contains("2 stacks changed within noise"), "{text}");
    assert!(read(&[&["diff", "--noise"][..], &sides].concat()).contains("keep"));
}

#[test]
fn a_page_of_both_sides() {
    let folder = scratch("diff-page");
    let [a, b] = [("a", "-DORDER=32"), ("b", "-DORDER=96")].map(|(name, flag)| record(&folder, name, &["-O0", flag]));
    let run_diff = |more: &[&str]| run(Command::new(MEMTRACK).args(["diff", "--html"]).args(more).args([&a, &b]));
    assert_eq!(run_diff(&[]).status, "exit status: 0");
    let page = std::fs::read_to_string(folder.join("b.diff.html")).expect("beside the capture after");
    assert!(page.contains("import '#diff/main'") && page.contains("id=\"data\""), "a page with its data");
    let again = run_diff(&[]);
    assert_eq!(again.status, "exit status: 2");
    assert!(again.stderr.contains("-f overwrites it"), "{}", again.stderr);
    assert_eq!(run_diff(&["-f"]).status, "exit status: 0");
    assert_eq!(run_diff(&["-o", "-"]).stdout, page);
}

#[test]
fn wrong_usage() {
    for (line, text) in [
        ("diff", "the following required arguments were not provided"),
        ("diff a.mtk", "required arguments were not provided"),
        ("diff --before a.mtk", "required arguments were not provided"),
        ("diff --html --json a.mtk b.mtk", "cannot be used with"),
        ("diff -o x.html a.mtk b.mtk", "--html"),
        ("diff a.mtk b.mtk --before c.mtk --after d.mtk", "cannot be used with"),
    ] {
        let ended = run(Command::new(MEMTRACK).args(line.split(' ')));
        assert_eq!(ended.status, "exit status: 2", "{line}");
        assert!(ended.stderr.contains(text), "{line}: {}", ended.stderr);
    }
    let ended = run(Command::new(MEMTRACK).args(["diff", "/none/a.mtk", "/none/b.mtk"]));
    assert_eq!(ended.status, "exit status: 3", "{ended:?}");
}
