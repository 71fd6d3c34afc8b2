//! Programs whose numbers are known by construction: totals exact, attribution right, behaviour unchanged.

mod common;

use std::process::Command;

use common::{Capture, MEMTRACK, compile, record, record_with, scratch, victims};
use serde_json::Value;

/// What `known MODE` must have: (scope, key, value), scope 0 for the whole capture, else a process row.
type Facts = &'static [(usize, &'static str, u64)];

const SIMPLE: Facts = &[
    (0, "allocations", 1000),
    (0, "frees", 900),
    (0, "allocated_bytes", 100_000),
    (0, "peak_bytes", 100_000),
    (0, "leaked_bytes", 10_000),
    (0, "leaked_blocks", 100),
    (0, "lost_events", 0),
    (0, "unmatched_frees", 0),
];

fn check(mode: &str, facts: Facts) -> Capture {
    let known = victims().join("known");
    let capture = record(mode, &[known.to_str().expect("plain path"), mode, victims().to_str().expect("plain path")]);
    let mut wrong = Vec::new();
    for &(scope, key, value) in facts {
        let got = capture.number((scope > 0).then_some(scope), key);
        if got != value {
            wrong.push(format!("row {scope}: {key} is {got}, not {value}"));
        }
    }
    assert!(wrong.is_empty(), "{mode}: {wrong:#?}\n{:#}", capture.summary);
    assert_eq!(capture.number(None, "lost_events"), 0);
    assert_eq!(capture.summary["state"], "complete");
    capture
}

#[test]
fn simple() {
    check("simple", SIMPLE);
}

/// However it ends, nothing is lost.
#[test]
fn every_death() {
    for mode in ["_exit", "quick_exit", "abort", "segv", "fault", "kill"] {
        check(mode, SIMPLE);
    }
}

#[test]
fn entry_points() {
    check(
        "entry_points",
        &[
            (0, "allocations", 20),
            (0, "allocated_bytes", 2 * 939),
            (0, "peak_bytes", 2 * 939),
            (0, "leaked_bytes", 939),
            (0, "leaked_blocks", 10),
            (0, "unmatched_frees", 0),
        ],
    );
}

#[test]
fn realloc_edges() {
    check(
        "realloc",
        &[
            (0, "allocations", 102),
            (0, "allocated_bytes", 50_500 + 5 + 50),
            (0, "peak_bytes", 1000),
            (0, "leaked_bytes", 5),
            (0, "leaked_blocks", 1),
            (0, "unmatched_frees", 0),
        ],
    );
}

/// Resident memory of a program that is gone before anybody has looked at it.
#[test]
fn resident_memory_at_its_highest() {
    let capture = check("resident", &[(0, "allocations", 1)]);
    for scope in [None, Some(1)] {
        let highest = capture.number(scope, "peak_rss_bytes");
        assert!((64 << 20..96 << 20).contains(&highest), "{highest}");
    }
}

/// Mappings are blocks where they are recorded; otherwise nobody sees them.
#[test]
fn mappings() {
    let page = 4096;
    let recorded = record_with("maps", &["--mmap"], &[victims().join("known").to_str().expect("plain path"), "maps"]);
    let facts =
        [("allocations", 3), ("frees", 2), ("peak_bytes", 16 * page), ("leaked_bytes", 8 * page), ("leaked_blocks", 1)];
    for (key, value) in facts {
        assert_eq!(recorded.number(None, key), value, "{key}: {:#}", recorded.summary);
    }
    assert_eq!(recorded.under("maps", "leaked"), 8 * page);
    check("maps", &[(0, "allocations", 0), (0, "leaked_bytes", 0)]);
}

#[test]
fn sizes_of_zero_count() {
    check("zero", &[(0, "allocations", 11), (0, "peak_bytes", 0), (0, "leaked_bytes", 0), (0, "leaked_blocks", 2)]);
}

#[test]
fn after_atexit() {
    let capture = check("atexit", &[(0, "allocations", 12), (0, "peak_bytes", 10_000), (0, "leaked_bytes", 155)]);
    assert_eq!((capture.under("late", "leaked"), capture.under("later", "leaked")), (77, 78));
}

/// Frees across threads. The C library itself allocates for new threads, so the numbers are those under `take`.
#[test]
fn threads() {
    let capture = check("threads", &[(0, "unmatched_frees", 0)]);
    assert_eq!(capture.under("take", "allocations"), 40_000);
    assert_eq!(capture.under("take", "peak"), 40_000 * 32);
    assert_eq!(capture.under("take", "leaked"), 40 * 32);
    assert_eq!(capture.under("worker", "leaked-blocks"), 40);
    let mut own: Vec<u64> = capture.summary["threads"]
        .as_array()
        .expect("threads")
        .iter()
        .map(|thread| thread["tid"].as_u64().expect("tid"))
        .collect();
    own.dedup();
    assert_eq!(own.len(), 5, "{:#}", capture.summary["threads"]);
}

#[test]
fn short_lived_threads_have_names() {
    let capture = check("names", &[]);
    let threads = capture.summary["threads"].as_array().expect("threads");
    let names: Vec<&str> = threads.iter().map(|thread| thread["name"].as_str().expect("text")).collect();
    assert_eq!(names, ["known", "by itself", "by prctl", "known", "by another"]);
}

/// The inner one records its program, and the outer one says so.
#[test]
fn a_memtrack_inside_a_memtrack() {
    let folder = common::scratch("nested");
    let (inner, outer, known) = (folder.join("inner.mtk"), folder.join("outer.mtk"), victims().join("known"));
    let run_inner = [MEMTRACK.as_ref(), "run".as_ref(), "-q".as_ref(), "-f".as_ref(), "-o".as_ref(), inner.as_os_str()];
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "--wait", "-f", "-o"]).arg(&outer).arg("--").args(run_inner).arg("--");
    let ended = common::run(command.arg(&known).arg("_exit"));
    assert_eq!((ended.status.as_str(), ended.stdout.as_str(), ended.stderr.as_str()), ("exit status: 3", "", ""));
    let (inner, outer) = (common::open(inner), common::open(outer));
    for &(_, key, value) in SIMPLE {
        assert_eq!(inner.number(None, key), value, "{key}");
    }
    assert_eq!((&inner.summary["state"], &outer.summary["state"]), (&"complete".into(), &"complete".into()));
    assert_eq!(inner.summary["untracked"], serde_json::json!([]));
    let untracked = &outer.summary["untracked"][0];
    assert!(untracked["exe"].as_str().expect("text").ends_with("/known"), "{untracked}");
    assert_eq!(untracked["reason"], "recorded by a memtrack of its own");
    let rows = outer.summary["processes"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["exe"].as_str().expect("text").ends_with("/memtrack")), "{rows:#?}");
}

/// Also when it is named by a relative path: the collector works elsewhere.
#[test]
fn an_allocator_inside_the_program_is_warned_of() {
    let folder = common::scratch("own");
    common::compile("gcc", "hazard_malloc.c", &["-O1", "-fno-builtin"], &folder.join("own"));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-f", "-o", "own.mtk", "./own"]).current_dir(&folder);
    let ended = common::run(&mut command);
    assert_eq!((ended.status.as_str(), ended.stdout.as_str()), ("exit status: 0", "owned\n"), "{ended:?}");
    let text = common::read(&["summary", folder.join("own.mtk").to_str().expect("plain path")]);
    assert!(text.contains("the program defines malloc itself"), "{text}");
}

#[test]
fn temporary_allocations() {
    // 500 freed at once; of the later 500, the last with no and the last but one with one allocation in between.
    let capture = check("churn", &[(0, "allocations", 1000), (0, "temporary_allocations", 502)]);
    assert_eq!(capture.under("churn", "temporary"), 502);
}

#[test]
fn fork_children_own_only_what_they_allocate() {
    let capture = check(
        "fork",
        &[
            (0, "allocations", 300),
            (0, "leaked_bytes", 12_000),
            (0, "peak_bytes", 17_000),
            (0, "inherited_frees", 40),
            (0, "unmatched_frees", 0),
            (1, "allocations", 100),
            (1, "peak_bytes", 5000),
            (1, "leaked_bytes", 0),
            (2, "allocations", 200),
            (2, "peak_bytes", 12_000),
            (2, "leaked_bytes", 12_000),
            (2, "inherited_frees", 40),
        ],
    );
    // They run their parent's program.
    let [parent, child] = [0, 1].map(|row| &capture.summary["processes"][row]);
    assert_eq!((&child["exe"], &child["command"]), (&parent["exe"], &parent["command"]));
    assert!(child["exe"].as_str().expect("text").ends_with("/known"), "{child:#}");
}

#[test]
fn a_raw_clone_is_a_fork() {
    check("raw_clone", &[(0, "allocations", 1000), (0, "leaked_bytes", 10_000)]);
}

#[test]
fn exec_ends_an_image() {
    let facts: Facts = &[
        (0, "allocations", 1010),
        (0, "peak_bytes", 100_000),
        (0, "leaked_bytes", 10_100),
        (1, "allocations", 10),
        (1, "leaked_bytes", 100),
        (2, "allocations", 1000),
        (2, "leaked_bytes", 10_000),
    ];
    check("exec", facts);
}

/// Ways into a child's new image. A shell in between has a row and numbers of its own.
#[test]
fn children_are_followed() {
    for mode in ["spawn", "vfork", "system"] {
        let capture = check(mode, &[]);
        let rows = capture.summary["processes"].as_array().expect("rows");
        let is_child =
            |row: &&Value| row["command"].as_array().is_some_and(|c| c.last() == Some(&Value::from("simple")));
        let row = rows.iter().find(is_child).unwrap_or_else(|| panic!("{mode}: no row for the child in {rows:#?}"));
        assert_eq!(row["allocations"], 1000, "{mode}");
        assert_eq!(row["leaked_bytes"], 10_000, "{mode}");
        assert!(row["parent"].as_u64().is_some(), "{mode}: {row:#}");
    }
}

#[test]
fn libraries_at_one_address_stay_apart() {
    let capture = check("dlopen", &[]);
    assert_eq!(capture.under("plug_a", "leaked"), 10 * 1000);
    assert_eq!(capture.under("plug_b", "leaked"), 10 * 500);
}

#[test]
fn five_hundred_frames() {
    let capture = check("deep", &[(0, "allocations", 10), (0, "leaked_bytes", 70), (0, "truncated_stacks", 0)]);
    let stacks = capture.stacks("leaked");
    assert_eq!(stacks.len(), 1, "{stacks:#?}");
    let stack = stacks.keys().next().expect("one");
    assert_eq!(stack.split(';').filter(|frame| *frame == "deep").count(), 500);
}

#[test]
fn signal_handlers() {
    let capture = check("signals", &[(0, "allocations", 100), (0, "leaked_bytes", 1600)]);
    let stacks = capture.stacks("allocations");
    assert!(
        stacks.keys().all(|stack| stack.contains("main;signals;") && stack.ends_with("handler;take")),
        "{stacks:#?}"
    );
}

#[test]
fn swapped_stacks() {
    let capture = check("coroutines", &[(0, "allocations", 10), (0, "leaked_bytes", 240)]);
    assert_eq!(capture.under("coroutine", "allocations"), 10);
}

/// Function, file and line of every frame, inlined ones included.
#[test]
fn places() {
    let capture = check("places", &[(0, "allocations", 2)]);
    let source = include_str!("victims/known.c");
    let line = |text: &str| source.lines().position(|line| line.contains(text)).map(|at| at as u64 + 1);
    let leak = |bytes: u64| {
        let leaks = capture.leaks();
        let row = leaks.iter().find(|row| row["bytes"] == bytes).unwrap_or_else(|| panic!("{bytes}: {leaks:#?}"));
        row["stack"].as_array().expect("frames").clone()
    };
    let at = |frame: &Value| {
        (frame["function"].as_str().map(str::to_owned), frame["line"].as_u64(), frame["inlined"] == true)
    };
    let expect = |name: &str, text: &str, inlined: bool| (Some(name.to_owned()), line(text), inlined);
    let through_inlined = leak(11);
    assert_eq!(at(&through_inlined[0]), expect("take", "line: take", false));
    assert_eq!(at(&through_inlined[1]), expect("inlined", "return take(11)", true));
    assert_eq!(at(&through_inlined[2]), expect("places", "block[0] = inlined()", false));
    let direct = leak(22);
    assert_eq!(at(&direct[1]), expect("places", "block[1] = take(22)", false));
    let file = direct[0]["file"].as_str().expect("a file");
    assert!(file.ends_with("victims/known.c"), "{file}");
}

/// Records twenty threads, while their process may not map more than `limit` bytes at once: the numbers, and how often it
/// was asked for more.
fn little_memory(name: &str, limit: &str) -> (Capture, u64) {
    let folder = scratch(name);
    let (program, refused) = (folder.join("places"), folder.join("refused"));
    compile("gcc", "places.c", &["-O1", "-fno-builtin", "-lpthread"], &program);
    let text = |path: &std::path::Path| path.to_str().expect("plain path").to_owned();
    let capture = record(name, &[&text(&program), limit, "20000", &text(&refused)]);
    (capture, std::fs::read_to_string(&refused).expect("written").parse().expect("a number"))
}

/// Where there is no address space for eight places at once, they come one by one.
#[test]
fn places_one_by_one() {
    let (capture, refused) = little_memory("places.few", "33554432");
    assert!(refused > 0);
    assert_eq!(capture.number(None, "lost_events"), 0);
    assert_eq!(capture.under("work", "allocations"), 20 * 20_000);
}

/// Where there is none at all, what the threads do that came too late is lost, and counted; they do not ask for more at
/// every event.
#[test]
fn no_more_places() {
    let (capture, refused) = little_memory("places.none", "1048576");
    let lost = capture.number(None, "lost_events");
    assert!(lost > 0);
    assert_eq!(2 * capture.under("work", "allocations") + lost, 2 * 20 * 20_000);
    assert!(refused > 0 && refused < lost / 50, "{refused} times for {lost} events");
}
