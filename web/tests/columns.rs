//! The columns of a profile whose every number is known. The golden file is also what the scripts' tests read.

#[path = "../examples/synthetic/mod.rs"]
#[allow(dead_code, reason = "the example's other profiles are not needed here")]
mod synthetic;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tracker_core::report::profile::{FrameId, Profile, StackId};
use tracker_core::report::suppress::{Applied, Suppressions};
use web::columns::columns;

fn json(profile: &Profile) -> Value {
    serde_json::to_value(columns(profile, "small.mtk", &Applied::builtin(profile))).unwrap()
}

/// Suppressions reach the page: each leak is listed by the rule that sets it apart.
#[test]
fn listed_leaks_are_marked() {
    let mut listed = Suppressions::none();
    listed.add_file("x.supp", "leak:*").unwrap();
    let profile = synthetic::small();
    let rules = |suppressed: &Applied<'_>| {
        let value = serde_json::to_value(columns(&profile, "small.mtk", suppressed)).unwrap();
        let name = |rule: &Value| value["strings"][rule.as_u64().unwrap() as usize].as_str().unwrap().to_owned();
        value["rows"]["leaked_rule"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    let found = rules(&listed.apply(&profile).unwrap());
    assert!(!found.is_empty() && found.iter().all(|rule| rule == "*"), "{found:?}");
    assert!(rules(&Applied::default()).iter().all(String::is_empty));
}

/// One line per column, so that a change is seen where it is.
fn lines(value: &Value) -> String {
    let mut out = String::from("{\n");
    for (i, (part, columns)) in value.as_object().unwrap().iter().enumerate() {
        let comma = if i == 0 { "" } else { ",\n" };
        write!(out, "{comma}\"{part}\": ").unwrap();
        match columns {
            Value::Object(columns) => {
                let rows: Vec<String> =
                    columns.iter().map(|(name, column)| format!("  \"{name}\": {column}")).collect();
                write!(out, "{{\n{}\n}}", rows.join(",\n")).unwrap();
            }
            other => write!(out, "{other}").unwrap(),
        }
    }
    out + "\n}\n"
}

#[test]
fn small_profile_is_as_the_golden_file_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/small.json");
    let now = lines(&json(&synthetic::small()));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(now, golden, "UPDATE_GOLDEN=1 cargo test -p web --test columns writes the file anew");
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

/// Every metric of the rows adds up to the summary's number.
fn assert_adds_up(profile: &Profile) {
    let all = json(profile);
    let (rows, totals) = (&all["rows"], &all["summary"]["totals"]);
    for (column, total) in [
        (&rows["allocations"], "allocations"),
        (&rows["allocated_bytes"], "allocated_bytes"),
        (&rows["temporary"]["blocks"], "temporary_allocations"),
        (&rows["peak"]["bytes"], "peak_bytes"),
        (&rows["peak"]["blocks"], "peak_blocks"),
        (&rows["leaked"]["bytes"], "leaked_bytes"),
        (&rows["leaked"]["blocks"], "leaked_blocks"),
    ] {
        assert_eq!(numbers(column).iter().sum::<u64>(), totals[total].as_u64().unwrap(), "{total}");
    }
}

/// Parents come first, subtrees are contiguous, rows ascend.
fn assert_preorder(profile: &Profile) {
    let all = json(profile);
    let up = numbers(&all["nodes"]["up"]);
    let mut open: Vec<u64> = Vec::new();
    for (node, &up) in up.iter().enumerate() {
        if up == 0 {
            open.clear();
        } else {
            let parent = node as u64 - up;
            while open.last().is_some_and(|&last| last != parent) {
                open.pop();
            }
            assert!(!open.is_empty(), "node {node}: its parent {parent} is not on the path to its predecessor");
        }
        open.push(node as u64);
    }
    let count = up.len() as u64;
    assert_eq!(numbers(&all["nodes"]["frame"]).len() as u64, count);
    assert!(numbers(&all["rows"]["node"]).iter().sum::<u64>() < count.max(1));
}

#[test]
fn views_add_up_and_trees_are_in_preorder() {
    for profile in [synthetic::small(), synthetic::several_processes(), synthetic::hostile()] {
        assert_adds_up(&profile);
        assert_preorder(&profile);
    }
}

#[test]
fn order_of_rows_and_stacks_does_not_matter() {
    let mut profile = synthetic::small();
    let before = json(&profile);
    profile.rows.reverse();
    let last = profile.rows.len() as u32 - 1;
    for change in &mut profile.slices.changes {
        change.row = last - change.row;
    }
    profile.slices.changes.sort_by_key(|change| (change.row, change.slice, change.what, change.birth));
    assert_eq!(json(&profile), before);
}

#[test]
fn odd_profiles_do_not_panic() {
    let mut nothing = synthetic::empty("true", 0);
    json(&nothing);
    nothing.processes = synthetic::small().processes;
    json(&nothing);

    // Numbers that lead nowhere.
    let mut wild = synthetic::small();
    wild.stacks[0].frames.push(FrameId(u32::MAX));
    wild.rows[0].stack = StackId(u32::MAX);
    wild.rows[1].process = u32::MAX;
    wild.rows[2].thread = u32::MAX;
    wild.rows[3].metrics.peak_bytes = u64::MAX;
    wild.frames[1].module = Some(u32::MAX);
    wild.threads[0].process = u32::MAX;
    wild.timeline.process_live.push(vec![1; 99]);
    wild.timeline.points.reverse();
    wild.timeline.rss[0].process = u32::MAX;
    let all = json(&wild);
    assert_eq!(
        all["rows"]["peak"]["bytes"].as_array().unwrap().iter().max_by_key(|n| n.as_u64()).unwrap(),
        &Value::from((1u64 << 53) - 1)
    );
    assert_preorder(&wild);

    wild.modules.clear();
    wild.processes.clear();
    wild.frames.clear();
    json(&wild);
    wild.stacks.clear();
    json(&wild);
}
