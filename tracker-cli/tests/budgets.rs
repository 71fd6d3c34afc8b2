//! Memory budgets as a shell sees them: where they are found, what they say, and the exit code.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ended, MEMTRACK, compile, run, scratch, victims};
use serde_json::Value;

/// A folder with `known.mtk` in it: 1000 blocks of 100 bytes, 900 of them freed.
fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    let known = victims().join("known");
    let recorded = memtrack(&folder, &format!("run -q -f -o known.mtk -- {} simple", known.display()));
    assert_eq!(recorded.status, "exit status: 0", "{recorded:?}");
    folder
}

/// Runs a command line in `folder`, as outside of any CI.
fn memtrack(folder: &Path, line: &str) -> Ended {
    let mut command = Command::new(MEMTRACK);
    command.args(line.split_whitespace()).current_dir(folder).env("LANG", "C.UTF-8");
    for variable in ["COLUMNS", "CLICOLOR_FORCE", "MEMTRACK_CONFIG"].into_iter().chain(common::CI) {
        command.env_remove(variable);
    }
    run(&mut command)
}

/// Exit code, and a text that must stand in stdout or stderr.
#[track_caller]
fn check(folder: &Path, line: &str, code: i32, text: &str) {
    let ended = memtrack(folder, line);
    assert_eq!(ended.status, format!("exit status: {code}"), "{line}: {ended:?}");
    assert!(ended.stdout.contains(text) || ended.stderr.contains(text), "{line}: {text:?} in {ended:?}");
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    fs::write(path, text).expect("writable");
}

#[test]
fn the_nearest_budget_file_counts() {
    let top = folder("discovery");
    let inner = top.join("a/b");
    fs::create_dir_all(&inner).expect("writable");
    let judge = |code, text| check(&inner, "check ../../known.mtk", code, text);
    write(&top, "Cargo.toml", "[package]\nname = \"x\"\n[package.metadata.memtrack.budget]\nallocs = 1\n");
    judge(1, "allocs  1,000  of 1  FAILED by 999");
    write(&top, "pyproject.toml", "[tool.memtrack.budget]\nallocs = 2\n");
    judge(1, "allocs  1,000  of 2");
    write(&top, ".config/memtrack.toml", "[budget]\nallocs = 3\n");
    judge(1, "allocs  1,000  of 3");
    write(&top, "memtrack.toml", "[budget]\nallocs = 4\nleaked = \"1MiB\"\n");
    judge(1, "1,000  of 4 ");
    write(&top, "a/pyproject.toml", "[tool.other]\nx = 1\n");
    judge(1, "1,000  of 4 ");
    write(&top, "a/memtrack.toml", "[budget]\nallocs = 1000\n");
    judge(0, "allocs  1,000  of 1,000  ok");
    check(&inner, "check ../../known.mtk --config ../../Cargo.toml", 1, "of 1 ");
    check(&inner, "check ../../known.mtk --config gone.toml", 2, "cannot read the budget file gone.toml");
    let mut named = Command::new(MEMTRACK);
    named.args(["check", "../../known.mtk"]).current_dir(&inner).env("MEMTRACK_CONFIG", "../../pyproject.toml");
    assert!(run(&mut named).stdout.contains("of 2 "));
    // A flag takes the place of the file's limit; the others stay.
    let flagged = memtrack(&top, "check known.mtk --max allocs=1000");
    assert!(flagged.stdout.contains("1,000  of 1,000 ") && flagged.stdout.contains("leaked  9.8 KiB"), "{flagged:?}");
}

#[test]
fn what_is_wrong_in_a_budget_file_is_named_with_its_line() {
    let folder = folder("wrong");
    for (text, message) in [
        ("[budget]\npeek = 1\n", "memtrack.toml:2: unknown key \"peek\" in [budget]; did you mean \"peak\"?"),
        ("[budget]\n\npeak = \"1 parsec\"\n", "memtrack.toml:3: budget peak: \"1 parsec\" is no size"),
        ("[[budget.rule]]\nunder = \"re:(\"\npeak = 1\n", "memtrack.toml:2: under = \"re:(\" is no regular expression"),
        ("[[budget.rule]]\nunder = \"*\"\npeak = 1\n", "memtrack.toml:2: under = \"*\" matches every name"),
        (
            "[[budget.rule]]\nfile = \"src/?.c\"\npeak = 1\n",
            "memtrack.toml:2: file = \"src/?.c\" has signs that stand for nothing",
        ),
        ("[[budget.rule]]\nafter = \"5 parsecs\"\ngrowth = 0\n", "memtrack.toml:2: after = \"5 parsecs\" is no time"),
        ("[budget]\npeak = \"+5%\"\n", "memtrack.toml:1: peak = \"+5%\" needs a baseline"),
        ("[budget\n", "memtrack.toml:1: "),
        ("[budget]\npeak = 1\nsuppressions = [\"no.supp\"]\n", "memtrack.toml:3: suppression file no.supp: "),
    ] {
        write(&folder, "memtrack.toml", text);
        check(&folder, "check known.mtk", 2, message);
        // Nothing is run for a budget that cannot be judged.
        check(&folder, "run --check -o never.mtk -- true", 2, message);
        assert!(!folder.join("never.mtk").exists());
    }
    fs::write(folder.join("memtrack.toml"), b"\xff").expect("writable");
    check(&folder, "check known.mtk", 2, "memtrack.toml: it is not UTF-8 text");
}

#[test]
fn rules_of_all_kinds() {
    let folder = folder("kinds");
    let judge = |rules: &str, code, text: &str| {
        write(&folder, "memtrack.toml", rules);
        check(&folder, "check known.mtk", code, text);
    };
    judge("[[budget.rule]]\nunder = \"^take$\"\nallocs = 1000\n", 0, "under ^take$: allocs  1,000  of 1,000  ok");
    judge("[[budget.rule]]\nfile = \"known.c\"\nallocs = 999\n", 1, "file known.c: allocs  1,000  of 999  FAILED by 1");
    judge(
        "[[budget.rule]]\nname = \"one stack\"\nper = \"stack\"\nleaked = \"9KiB\"\n",
        1,
        "one stack: leaked  9.8 KiB",
    );
    judge("[[budget.rule]]\nexe = \"re:^known$\"\npeak = \"97KiB\"\n", 1, "in process 1 (known)");
    judge("[[budget.rule]]\nexe = \"other\"\npeak = 0\n", 0, "nothing to judge");
    judge("[budget]\nallocs = 1\nlevel = \"warn\"\n", 0, "WARNING by 999");
    judge("[budget]\ngrowth = 0\n", 1, "too short to tell");
    fs::remove_file(folder.join("memtrack.toml")).expect("there");
    check(&folder, "check known.mtk --warn allocs=1 --max leaked=1MiB", 0, "WARNING by 999");
    check(&folder, "check known.mtk", 2, "there is no budget: give --max KEY=VALUE");
}

/// What a program takes while it warms up is no growth; what it keeps taking from then on is.
#[test]
fn growth_after_a_warm_up() {
    let folder = scratch("growth");
    compile("gcc", "growth.c", &["-O1", "-fno-builtin", "-ldl"], &folder.join("growth"));
    let rule = |after: &str| {
        let rule = format!("[[budget.rule]]\nexe = \"^growth$\"\nafter = \"{after}\"\ngrowth = 0\n");
        write(&folder, "memtrack.toml", &rule);
    };
    rule("warmup");
    check(&folder, "run --check -f -o steady.mtk ./growth", 0, "growth  0 B/min  of 0 B/min  ok");
    check(&folder, "run --check -f -o climbing.mtk ./growth keep", 97, "in process 1 (growth)");
    rule("cooldown");
    check(&folder, "check steady.mtk", 1, "the capture has no region of that name");
}

#[test]
fn a_failure_is_told_by_its_line() {
    let folder = folder("line");
    let json = memtrack(&folder, "check known.mtk --max leaked=0 --json");
    assert_eq!(json.status, "exit status: 1");
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let frames = json["budgets"][0]["worst"][0]["stack"].as_array().expect("frames");
    let take = frames.iter().find(|frame| frame["function"] == "take").expect("the allocating function");
    assert!(take["file"].as_str().expect("a file").ends_with("known.c") && take["line"].is_u64(), "{take}");
    assert_eq!(json["budgets"][0]["origin"], "the command line");
}

#[test]
fn baselines() {
    let folder = folder("baseline");
    write(&folder, "memtrack.toml", "[budget]\nbaseline = \"base/%n.json\"\npeak = \"+0%\"\nallocs = \"+0%\"\n");
    check(&folder, "check known.mtk", 2, "there is no baseline base/known.json; `memtrack baseline save` writes it");
    check(&folder, "baseline save known.mtk", 0, "wrote base/known.json; commit it");
    let saved = fs::read_to_string(folder.join("base/known.json")).expect("written");
    assert!(saved.contains("\"program\": \"known\"") && saved.contains("\"function\":\"take\""), "{saved}");
    check(&folder, "check known.mtk", 0, "allocs     1,000  of 1,000 (1,000 +0%)");
    // One block more: an exact limit sees it, and its stack.
    let less = saved.replace("\"allocs\":1000", "\"allocs\":999");
    write(&folder, "base/known.json", &less);
    let broken = memtrack(&folder, "check known.mtk");
    assert_eq!(broken.status, "exit status: 1");
    for part in ["FAILED by 1\n", "since the baseline:", "+1         was 999  take "] {
        assert!(broken.stdout.contains(part), "{part} in {}", broken.stdout);
    }
    check(&folder, "check known.mtk --update-baseline", 0, "ok");
    assert_eq!(fs::read_to_string(folder.join("base/known.json")).expect("there"), saved);
    // A capture is as good as the file made of it.
    check(&folder, "check known.mtk --baseline known.mtk", 0, "(1,000 +0%)");
    check(&folder, "check known.mtk --baseline known.mtk --update-baseline", 2, "it is a capture");
    for (text, message) in [
        ("{}", "base/known.json: has schema \"\", not \"memtrack.baseline/1\""),
        ("{\"schema\": \"memtrack.summary/1\"}", "has schema \"memtrack.summary/1\""),
        ("nonsense", "base/known.json: line 1: this is no baseline"),
        (&saved.replace("\"known\"", "\"other\""), "base/known.json is a baseline of \"other\", and this is \"known\""),
        (&saved.replace("\"peak\":", "\"peek\":"), "baseline"),
    ] {
        write(&folder, "base/known.json", text);
        check(&folder, "check known.mtk", 2, message);
    }
    check(&folder, "check known.mtk --function take", 2, "use rules of a budget file in place of filters");
    // What is written anew is the whole program's, of a run that went well, and no other program's.
    let base = || fs::read_to_string(folder.join("base/known.json")).expect("there");
    write(&folder, "base/known.json", &saved);
    let filtered = "check known.mtk --update-baseline --max allocs=1 --function take";
    check(&folder, filtered, 2, "use rules of a budget file in place of filters");
    write(&folder, "memtrack.toml", "[budget]\nbaseline = \"base/known.json\"\nallocs = \"+0%\"\n");
    check(&folder, "run --check -q -f -o run.mtk --update-baseline -- sh -c false", 1, "no baseline was written");
    check(&folder, "run --check -q -f -o run.mtk --update-baseline -- true", 2, "is a baseline of \"known\"");
    assert_eq!(base(), saved);
    let rule = "[[budget.rule]]\nname = \"new\"\nunder = \"take\"\nbaseline = \"base/known.json\"\nallocs = \"+0%\"\n";
    write(&folder, "memtrack.toml", rule);
    check(
        &folder,
        "check known.mtk",
        2,
        "memtrack.toml:1: the baseline base/known.json has no allocs of the rule \"new\"",
    );
}

#[test]
fn several_runs_of_one_program() {
    let folder = folder("repeat");
    let known = victims().join("known");
    let line = format!("--max allocs=1000 -- {} simple", known.display());
    check(&folder, &format!("run --check --repeat 3 --warmup 1 -o r.mtk {line}"), 0, "allocs  1,000  of 1,000  ok");
    for name in ["r.1.mtk", "r.2.mtk", "r.3.mtk"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    check(&folder, "check r.1.mtk r.2.mtk r.3.mtk --max allocs=999", 1, "the least of 3 runs");
    let other = memtrack(&folder, "run -q -o true.mtk -- true");
    assert_eq!(other.status, "exit status: 0");
    check(
        &folder,
        "check r.1.mtk true.mtk --max allocs=1",
        2,
        "true.mtk is a capture of \"true\", the first one is of",
    );
    check(
        &folder,
        &format!("run --check --repeat 2 -q -f -o r.mtk {}", line.replace("1000", "1")),
        97,
        "FAILED by 999",
    );
    // The first failure is the last run.
    check(&folder, "run --check --repeat 2 -o f.mtk --max allocs=1 -- false", 1, "");
    assert!(folder.join("f.1.mtk").exists() && !folder.join("f.2.mtk").exists());
}

/// Each format through a parser of its own, with the rules that its consumers insist on.
#[test]
fn formats() {
    let folder = folder("formats");
    write(
        &folder,
        "memtrack.toml",
        "[budget]\nleaked = 0\nrss = 1\nallocs = 2000\n[[budget.rule]]\ntest = \"none\"\npeak = 1\n",
    );
    let names = ["json", "markdown", "github", "gitlab", "junit", "sarif"];
    let flags: Vec<String> = names.iter().map(|name| format!("--format {name}=out.{name}")).collect();
    check(&folder, &format!("check known.mtk --format text {}", flags.join(" ")), 1, "leaked");
    let validator = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats.py");
    let judged = run(Command::new("python3").arg(validator).current_dir(&folder));
    assert_eq!(judged.status, "exit status: 0", "{judged:?}");

    let mut github = Command::new(MEMTRACK);
    github.args(["check", "known.mtk"]).current_dir(&folder);
    let summary = folder.join("summary.md");
    fs::write(&summary, "before\n").expect("writable");
    let told = run(github.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary));
    assert!(told.stdout.starts_with("::error "), "{told:?}");
    let summary = fs::read_to_string(summary).expect("there");
    assert!(summary.starts_with("before\n### Memory: "), "{summary}");
}

/// A CI system's paths are relative to the folder that it checked out, wherever in it the program is judged.
#[test]
fn lines_are_those_of_the_checkout() {
    let folder = folder("checkout");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (variable, format, path) in [
        ("GITHUB_WORKSPACE", "github", "::error file=tests/victims/known.c,line="),
        ("CI_PROJECT_DIR", "gitlab", "\"path\": \"tests/victims/known.c\""),
    ] {
        let mut command = Command::new(MEMTRACK);
        command.args(["check", "known.mtk", "--max", "leaked=0", "--format", format]).current_dir(&folder);
        for other in common::CI {
            command.env_remove(other);
        }
        let told = run(command.env(variable, root));
        assert!(told.stdout.contains(path), "{path} in {told:?}");
    }
    // What has no line in the project is where its limit was written.
    write(&folder, "sub/memtrack.toml", "[budget]\nrss = 1\n");
    let mut command = Command::new(MEMTRACK);
    command.args(["check", "../known.mtk", "--format", "gitlab"]).current_dir(folder.join("sub"));
    let told = run(command.env("CI_PROJECT_DIR", &folder));
    assert!(told.stdout.contains("\"path\": \"sub/memtrack.toml\""), "{told:?}");
}

/// The program's own end comes first, then the budget; results go into files, for stdout is the program's.
#[test]
fn a_judged_run() {
    let folder = folder("run");
    let known = victims().join("known");
    let run = |flags: &str| format!("run --check -q -f -o run.mtk {flags} -- {} simple", known.display());
    check(&folder, &run("--max allocs=1000"), 0, "");
    check(&folder, &run("--max allocs=999"), 97, "allocs  1,000  of 999  FAILED by 1");
    check(&folder, &run("--max allocs=999 --error-exitcode 9"), 9, "FAILED");
    check(&folder, &run("--warn allocs=999"), 0, "WARNING by 1");
    let quiet = memtrack(&folder, &run("--max allocs=1000 --format json=result.json"));
    assert_eq!((quiet.stderr.as_str(), quiet.status.as_str()), ("", "exit status: 0"));
    let json: Value = serde_json::from_slice(&fs::read(folder.join("result.json")).expect("written")).expect("JSON");
    assert_eq!((&json["schema"], &json["passed"]), (&"memtrack.check/1".into(), &true.into()));
    check(&folder, "run --check -f -o run.mtk --max allocs=0 -- sh -c false", 1, "FAILED");
    check(&folder, "run --check -q -f -o run.mtk -- true", 0, "there is no budget, so nothing was judged");
    compile("gcc", "hello.c", &["-static"], &folder.join("static"));
    check(&folder, "run --check -q -f -o run.mtk --max peak=1GiB ./static", 3, "runs without being recorded");
    check(&folder, "run --max allocs=0 -- true", 2, "flags about budgets go with --check");
    check(&folder, "run --config gone.toml -- true", 2, "flags about budgets go with --check");
    check(&folder, "run --suppressions gone.supp -- true", 2, "flags about budgets go with --check");
    check(&folder, "run --check --format xml -- true", 2, "known formats are text, json");
}
