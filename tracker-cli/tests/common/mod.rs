//! What the end-to-end tests share: victims built once, recordings, and the numbers of a capture.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod python;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The program under test.
pub(crate) const MEMTRACK: &str = env!("CARGO_BIN_EXE_memtrack");

/// By what a CI system changes what a judgement tells, and where.
pub(crate) const CI: [&str; 4] = ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CI_PROJECT_DIR"];

/// A folder of this test run, removed by nobody: it lies in cargo's own target folder.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("target folder is writable");
    folder
}

/// Compiles a victim of this folder. Needs gcc, as the README says.
pub(crate) fn compile(compiler: &str, source: &str, flags: &[&str], output: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/victims").join(source);
    let result = Command::new(compiler).args(["-g", "-w", "-o"]).arg(output).arg(&source).args(flags).output();
    let packages = "apt-get install gcc g++ gcc-multilib musl-tools";
    let result = result.unwrap_or_else(|error| panic!("{compiler} is needed ({packages}): {error}"));
    assert!(result.status.success(), "({packages}) {}", String::from_utf8_lossy(&result.stderr));
}

/// The folder with the victims that most tests use: `known`, `libplug_a.so`, `libplug_b.so`.
pub(crate) fn victims() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = scratch("victims");
        compile("gcc", "known.c", &["-O1", "-fno-builtin", "-lpthread", "-ldl"], &folder.join("known"));
        for (plug, size) in [("a", "1000"), ("b", "500")] {
            let flags = ["-O1", "-fPIC", "-shared", &format!("-DPLUG={plug}"), &format!("-DSIZE={size}")];
            compile("gcc", "plug.c", &flags, &folder.join(format!("libplug_{plug}.so")));
        }
        folder
    })
}

/// How a command ended and what it printed, for comparison.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command without input.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { status: status.to_string(), stdout: text(stdout), stderr: text(stderr) }
}

/// A finished recording.
pub(crate) struct Capture {
    pub(crate) path: PathBuf,
    pub(crate) summary: Value,
}

/// Records `program` quietly after running it plain: both must end and print alike.
pub(crate) fn record(name: &str, program: &[&str]) -> Capture {
    record_with(name, &[], program)
}

/// The same with further flags of `run`.
pub(crate) fn record_with(name: &str, flags: &[&str], program: &[&str]) -> Capture {
    let folder = scratch(name);
    let path = folder.join("capture.mtk");
    let _ = std::fs::remove_file(&path);
    let plain = run(Command::new(program[0]).args(&program[1..]).current_dir(&folder));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "--wait"]).args(flags).arg("-o").arg(&path).arg("--").args(program).current_dir(&folder);
    let recorded = run(&mut command);
    assert_eq!(recorded, plain, "{program:?} must not notice that it is recorded");
    open(path)
}

/// Reads the summary of a capture.
pub(crate) fn open(path: PathBuf) -> Capture {
    let text = read(&["summary", "--json", path.to_str().expect("plain path")]);
    let summary = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    Capture { path, summary }
}

/// What a reading command prints.
pub(crate) fn read(arguments: &[&str]) -> String {
    let ended = run(Command::new(MEMTRACK).args(arguments));
    assert_eq!(ended.status, "exit status: 0", "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

impl Capture {
    /// A number of the summary, of the whole capture or of one process row.
    pub(crate) fn number(&self, process: Option<usize>, key: &str) -> u64 {
        let scope = match process {
            None => &self.summary,
            Some(index) => &self.summary["processes"][index - 1],
        };
        scope[key].as_u64().unwrap_or_else(|| panic!("{key} in {scope:#}"))
    }

    /// Collapsed stacks of a metric.
    pub(crate) fn stacks(&self, metric: &str) -> BTreeMap<String, u64> {
        let path = self.path.to_str().expect("plain path");
        let text = read(&["export", "--format", "collapsed", "--metric", metric, path]);
        let mut stacks = BTreeMap::new();
        for line in text.lines() {
            let (stack, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            *stacks.entry(stack.to_owned()).or_default() += value.parse::<u64>().expect("a number");
        }
        stacks
    }

    /// Sum of a metric over the stacks in which `function` appears.
    pub(crate) fn under(&self, function: &str, metric: &str) -> u64 {
        let has = |stack: &str| stack.split(';').any(|frame| frame == function);
        self.stacks(metric).iter().filter(|(stack, _)| has(stack)).map(|(_, value)| value).sum()
    }

    /// Rows of `report --leaks --json`.
    pub(crate) fn leaks(&self) -> Vec<Value> {
        let text = read(&["report", "--leaks", "--json", self.path.to_str().expect("plain path")]);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        report["leaks"].as_array().expect("rows").clone()
    }
}
