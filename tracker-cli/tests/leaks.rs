//! Leaks that are set apart, from outside: what the program itself carries, files in both formats, and what is said of
//! the rest.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::{Ended, MEMTRACK, run, scratch};
use serde_json::Value;

/// `victims/leaky.c`, compiled with `flags` and recorded.
fn record(name: &str, flags: &[&str]) -> PathBuf {
    let folder = scratch(name);
    common::compile("gcc", "leaky.c", &[flags, &["-fno-builtin"]].concat(), &folder.join("leaky"));
    let ended =
        run(Command::new(MEMTRACK).args(["run", "-q", "-f", "-o", "leaky.mtk", "./leaky"]).current_dir(&folder));
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    folder
}

fn memtrack(folder: &PathBuf, line: &str) -> Ended {
    run(Command::new(MEMTRACK).args(line.split(' ')).current_dir(folder))
}

/// Names and blocks.
type List = BTreeMap<String, u64>;

/// Blocks by the function that leaks them, and by the suppression that sets them apart.
fn leaks(folder: &PathBuf, flags: &str) -> (List, List) {
    let ended = memtrack(folder, format!("report --json --no-builtin-suppressions leaky.mtk {flags}").trim());
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let list = |rows: &Value, name: &dyn Fn(&Value) -> String| {
        let mut list = List::new();
        for row in rows.as_array().expect("rows") {
            *list.entry(name(row)).or_default() += row["blocks"].as_u64().expect("a number");
        }
        list
    };
    let leaf = |row: &Value| row["stack"][0]["function"].as_str().expect("a name").to_owned();
    let rule = |row: &Value| row["suppression"].as_str().expect("a name").to_owned();
    (list(&json["leaks"], &leaf), list(&json["suppressed"], &rule))
}

fn list(rows: &[(&str, u64)]) -> List {
    rows.iter().map(|(name, blocks)| ((*name).to_owned(), *blocks)).collect()
}

/// However the compiler writes the function down.
#[test]
fn what_the_program_carries() {
    for (name, flags) in [
        ("leaks-O0", &["-O0"][..]),
        ("leaks-O2", &["-O2", "-fcf-protection"]),
        ("leaks-static-address", &["-O1", "-no-pie", "-fno-pie"]),
    ] {
        let folder = record(name, flags);
        let all = list(&[("lose", 3), ("cache", 2)]);
        assert_eq!(leaks(&folder, ""), (all, list(&[("carried_by_program", 5)])), "{name}");
        // A budget does not count it either, and neither does the baseline.
        let check = "check --no-builtin-suppressions leaky.mtk --max leaked_blocks=";
        let judged = memtrack(&folder, &format!("{check}5"));
        assert_eq!(judged.status, "exit status: 0", "{judged:?}");
        assert!(judged.stdout.contains("5  of 5") && judged.stdout.contains("5 suppressed"), "{judged:?}");
        assert_eq!(memtrack(&folder, &format!("{check}4")).status, "exit status: 1", "{name}");
        let saved = memtrack(&folder, "baseline save --no-builtin-suppressions -o base.json leaky.mtk");
        assert_eq!(saved.status, "exit status: 0", "{saved:?}");
        let baseline = fs::read_to_string(folder.join("base.json")).expect("written");
        assert!(baseline.contains("\"leaked_blocks\":5,"), "{baseline}");
        // Its file is another one now: nothing it carries holds.
        fs::copy("/bin/true", folder.join("leaky")).expect("writable");
        assert_eq!(leaks(&folder, "").1, List::new(), "{name}");
    }
}

#[test]
fn files_of_both_kinds() {
    let folder = record("leaks-files", &["-O0"]);
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("writable");
    write("lsan.supp", "# known\nleak:^cache$\nleak:nobody\n");
    write(
        "valgrind.supp",
        "{\n   losses\n   Memcheck:Leak\n   match-leak-kinds: all\n   fun:malloc\n   fun:lose\n   fun:main\n}\n",
    );
    let apart = list(&[("losses", 3), ("carried_by_program", 5), ("^cache$", 2)]);
    let found = leaks(&folder, "--suppressions lsan.supp --suppressions valgrind.supp");
    assert_eq!(found, (List::new(), apart));
    let both = "report --suppressions lsan.supp --suppressions valgrind.supp leaky.mtk";
    let used = memtrack(&folder, &format!("{both} --print-suppressions")).stderr;
    for line in ["      3        300 losses", "      2         64 ^cache$", "      0          0 nobody"] {
        assert!(used.lines().any(|found| found == line), "{line:?} in {used}");
    }
    assert_eq!(memtrack(&folder, &format!("{both} --error-exitcode 7")).status, "exit status: 0");
    assert_eq!(memtrack(&folder, "report leaky.mtk --error-exitcode 7").status, "exit status: 7");
    write("broken.supp", "leak:a\n\nrace:b\n");
    for command in ["report", "flamegraph -o -", "serve", "check --max leaked=0"] {
        let ended = memtrack(&folder, &format!("{command} --suppressions broken.supp leaky.mtk"));
        assert_eq!(ended.status, "exit status: 2", "{command}");
        assert!(ended.stderr.contains("suppression file broken.supp: line 3: expected `leak:PATTERN`"), "{ended:?}");
    }
}

#[test]
fn what_became_of_the_others() {
    let folder = record("leaks-fate", &["-O0"]);
    let ended = memtrack(&folder, "report --json leaky.mtk");
    let json: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let fate = |leaf: &str| {
        let rows = json["leaks"].as_array().expect("rows");
        rows.iter().find(|row| row["stack"][0]["function"] == leaf).unwrap_or_else(|| panic!("{json:#}"))["freed"]
            .clone()
    };
    assert_eq!((fate("cache"), fate("lose")), ("never".into(), "usually".into()));
    let text = memtrack(&folder, "report leaky.mtk").stdout;
    assert!(text.contains("never freed") && text.contains("usually freed (97.0% of 100 allocations)"), "{text}");
}

#[test]
fn manual_pages_and_completions() {
    let folder = scratch("man");
    let ended = memtrack(&folder, "man pages");
    assert_eq!(ended.status, "exit status: 0", "{ended:?}");
    let page = fs::read_to_string(folder.join("pages/memtrack-diff.1")).expect("a page");
    assert!(page.contains(".TH memtrack-diff 1") && page.contains("BEFORE"), "{page}");
    assert!(folder.join("pages/memtrack.1").is_file());
    for shell in ["bash", "zsh", "fish"] {
        let script = memtrack(&folder, &format!("completions {shell}")).stdout;
        assert!(script.contains("flamegraph"), "{shell}");
    }
    let script = folder.join("memtrack.bash");
    fs::write(&script, memtrack(&folder, "completions bash").stdout).expect("writable");
    let asked = "source ./memtrack.bash; COMP_WORDS=(memtrack dif); COMP_CWORD=1; _memtrack memtrack dif memtrack; \
                 echo \"${COMPREPLY[@]}\"";
    let ended = run(Command::new("bash").args(["-c", asked]).current_dir(&folder));
    assert_eq!(ended.stdout, "diff\n", "{ended:?}");
}
