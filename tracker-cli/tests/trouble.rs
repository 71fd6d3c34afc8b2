//! What happens to the collector must not happen to the program: it runs to its end as ever, what was written opens, and
//! what is missing is counted and said.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{Ended, MEMTRACK, compile, open, run, scratch};

/// Pairs of events in one phase. Several phases fill all of the shared memory.
const PAIRS: u64 = 900_000;

/// The program, and the allocator it uses.
fn build(folder: &Path) {
    let library = folder.join("libodd_malloc.so");
    compile("gcc", "odd_malloc.c", &["-O1", "-fno-builtin", "-fPIC", "-shared"], &library);
    let library = library.to_str().expect("plain path");
    compile("gcc", "phases.c", &["-O1", "-fno-builtin", library], &folder.join("phases"));
}

/// A recorded program that works when it is told to.
struct Phases {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Phases {
    fn start(folder: &Path, pairs: u64, more: &[&str]) -> Self {
        build(folder);
        Self::of(folder, &["./phases", &pairs.to_string()], more)
    }

    /// One that says the same.
    fn of(folder: &Path, program: &[&str], more: &[&str]) -> Self {
        fs::create_dir_all(folder.join("out")).expect("ours");
        let _ = fs::remove_file(folder.join("out/capture.mtk"));
        let mut command = Command::new(MEMTRACK);
        command.args(["run", "-o", "out/capture.mtk"]).args(more).arg("--").args(program);
        command.current_dir(folder).env("LD_LIBRARY_PATH", folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("memtrack");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut this = Self { child, input, output: BufReader::new(output) };
        this.hear("ready\n");
        this
    }

    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("readable");
        assert_eq!(line, expected);
    }

    /// Lets it work, and waits until it has.
    fn phase(&mut self) {
        self.input.write_all(b"\n").expect("it reads");
        self.hear("phase\n");
    }

    /// The collector's process: the child that leads a session of its own, as it does once it has begun.
    fn collector(&self) -> String {
        let id = self.child.id();
        let leads = |pid: &&str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(3)) == Some(*pid)
        };
        loop {
            let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("readable");
            if let Some(pid) = children.split_whitespace().find(leads) {
                return pid.to_owned();
            }
            std::thread::yield_now();
        }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.collector()]).status().expect("kill").success());
    }

    /// Ends the input; the program must leave in its own way. Answers what memtrack said.
    fn end(mut self) -> String {
        drop(self.input);
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("readable");
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("readable");
        let status = self.child.wait().expect("a child");
        assert_eq!((status.code(), rest.as_str()), (Some(7), ""), "{said}");
        said
    }
}

#[test]
fn killed_half_way() {
    let folder = scratch("killed");
    let mut program = Phases::start(&folder, PAIRS, &[]);
    program.phase();
    program.signal("-KILL");
    for _ in 0..4 {
        program.phase();
    }
    let said = program.end();
    assert!(said.contains("the collector has died; out/capture.mtk holds what was there until then; "), "{said}");
    let capture = open(folder.join("out/capture.mtk"));
    let number = |key| capture.number(None, key);
    let (lost, events) = (number("lost_events"), 2 * 5 * PAIRS);
    assert!(lost > 0, "the shared memory holds fewer than {events} events");
    // A free whose allocation is lost is counted as unmatched, as is an allocation where a block was whose free is lost.
    let known = number("allocations") + number("frees") + lost;
    assert!((known..=known + number("unmatched_frees")).contains(&events), "{}", capture.summary);
}

/// What is in the shared memory when the program ends goes into the capture, whoever writes it there.
#[test]
fn killed_before_it_is_behind() {
    let folder = scratch("killed-early");
    let mut program = Phases::start(&folder, 10_000, &["-q"]);
    program.signal("-STOP");
    program.phase();
    program.phase();
    program.signal("-KILL");
    program.phase();
    program.end();
    let capture = open(folder.join("out/capture.mtk"));
    let number = |key| capture.number(None, key);
    assert_eq!((number("allocations"), number("frees"), number("lost_events")), (30_000, 30_000, 0));
    assert_eq!(capture.summary["state"], "complete", "{}", capture.summary);
    assert_eq!(capture.summary["exit"]["code"], 7);
    let warnings = capture.summary["warnings"].to_string();
    assert!(warnings.contains("the collector died before the program's end: 0 events are missing"), "{warnings}");
}

#[test]
fn stopped_for_a_while() {
    let folder = scratch("stopped");
    let mut program = Phases::start(&folder, PAIRS, &["-q"]);
    program.signal("-STOP");
    let phases = 5;
    for _ in 0..phases {
        program.phase();
    }
    program.signal("-CONT");
    program.end();
    let capture = open(folder.join("out/capture.mtk"));
    let number = |key| capture.number(None, key);
    let (lost, events) = (number("lost_events"), 2 * phases * PAIRS);
    assert!(lost > 0, "the shared memory holds fewer than {events} events");
    assert_eq!(number("allocations") + number("frees") + lost, events);
    assert_eq!(capture.summary["state"], "complete");
}

/// What a program has recorded is there, though nobody was about to take it when it was killed.
#[test]
fn stopped_when_the_program_is_killed() {
    let folder = scratch("stopped-at-the-kill");
    let mut program = Phases::start(&folder, 10_000, &["-q", "--wait"]);
    program.signal("-STOP");
    let id = program.child.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("readable");
    let phases = folder.join("phases");
    let runs = |pid: &&str| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == phases);
    let victim = children.split_whitespace().find(runs).expect("the program").to_owned();
    program.phase();
    program.phase();
    assert!(Command::new("kill").args(["-KILL", &victim]).status().expect("kill").success());
    program.signal("-CONT");
    let status = program.child.wait().expect("a child");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    let capture = open(folder.join("out/capture.mtk"));
    let number = |key| capture.number(None, key);
    assert_eq!((number("allocations"), number("frees"), number("lost_events")), (20_000, 20_000, 0));
    assert_eq!(capture.summary["state"], "complete", "{}", capture.summary);
}

/// One program waits for an answer. Those that are started behind it do not: they are told of instead.
#[test]
fn stopped_while_programs_are_started() {
    let script = "echo ready; while read x; do for i in 1 2 3 4 5 6; do /bin/true; done; echo phase; done; exit 7";
    let folder = scratch("stopped-at-exec");
    let mut program = Phases::of(&folder, &["/bin/sh", "-c", script], &["-q"]);
    program.phase();
    program.signal("-STOP");
    program.phase();
    program.signal("-CONT");
    program.end();
    let capture = open(folder.join("out/capture.mtk"));
    let rows = capture.summary["untracked"].as_array().expect("a list");
    let told = rows.iter().filter(|row| row["reason"].as_str().is_some_and(|text| text.contains("did not answer")));
    assert_eq!(told.filter(|row| row["exe"] == "/bin/true").count(), 5, "{rows:?}");
    assert_eq!(rows.len(), 6, "{rows:?}");
}

#[test]
fn stopped_when_the_program_ends() {
    let folder = scratch("stopped-at-the-end");
    let mut program = Phases::start(&folder, 1000, &[]);
    program.phase();
    program.signal("-STOP");
    let collector = program.collector();
    let said = program.end();
    assert!(said.contains("not waiting: the collector is still writing out/capture.mtk"), "{said}");
    assert!(Command::new("kill").args(["-CONT", &collector]).status().expect("kill").success());
}

/// The library is loaded there, and finds no room for the shared memory.
#[test]
fn programs_without_room_for_a_recording_are_told_of() {
    let script = "ulimit -v 60000; /bin/ls / >/dev/null; /bin/true";
    let capture = common::record("no-room", &["/bin/sh", "-c", script]);
    let rows = capture.summary["untracked"].as_array().expect("a list");
    assert_eq!(rows.len(), 2, "{rows:?}");
    for row in rows {
        assert_eq!((row["pid"].as_u64(), row["exe"].as_str()), (Some(0), Some("(unknown)")));
        assert!(row["reason"].as_str().expect("text").contains("had no room for it"), "{row}");
    }
}

#[test]
fn its_folder_is_removed() {
    let folder = scratch("removed");
    let mut program = Phases::start(&folder, 100_000, &[]);
    program.phase();
    fs::remove_dir_all(folder.join("out")).expect("ours");
    program.phase();
    let said = program.end();
    assert!(said.contains("is gone: somebody removed it"), "{said}");
}

/// Somebody empties the file while it is written: what came before is lost, which every report says, and what came behind opens.
#[test]
fn its_file_is_emptied() {
    let folder = scratch("emptied");
    let mut program = Phases::start(&folder, 100_000, &["-q"]);
    let path = folder.join("out/capture.mtk");
    program.phase();
    let file = fs::File::options().write(true).open(&path).expect("it is ours");
    file.set_len(0).expect("it is ours");
    for _ in 0..4 {
        program.phase();
    }
    assert_eq!(program.end(), "");
    let capture = open(path);
    assert_eq!(capture.summary["state"], "cut");
    let remarks = capture.summary["warnings"].to_string();
    assert!(remarks.contains("bytes in 1 place of the file are damaged"), "{remarks}");
    assert!(capture.number(None, "allocations") > 0 && capture.summary["exit"]["code"] == 7, "{}", capture.summary);
}

/// What recording at most a megabyte answers: the program does what it always does, and the capture says that it ended early.
#[test]
fn its_size_is_limited() {
    let folder = scratch("limited");
    let mut program = Phases::start(&folder, PAIRS, &["-q", "--max-size", "1MiB"]);
    let phases = 5;
    for _ in 0..phases {
        program.phase();
    }
    assert_eq!(program.end(), "");
    let path = folder.join("out/capture.mtk");
    let size = fs::metadata(&path).expect("it exists").len();
    assert!((1 << 19..=1 << 20).contains(&size), "{size}");
    let capture = open(path);
    assert_eq!(capture.summary["state"], "cut");
    let allocations = capture.number(None, "allocations");
    assert!((1..phases * PAIRS).contains(&allocations), "{allocations}");
    // What the hooks forward after the stop is not lost: it is behind the capture's end.
    assert_eq!(capture.number(None, "lost_events"), 0);
    let remarks = capture.summary["warnings"].to_string();
    assert!(remarks.contains("(the limit of --max-size is reached)"), "{remarks}");
}

#[test]
fn a_budget_is_not_judged_by_a_limited_capture() {
    let folder = scratch("limited-check");
    build(&folder);
    let script = r#"yes "" | head -n 5 | "$0" run --check --max leaked=1GiB --max-size 1MiB -o capture.mtk \
        sh -c './phases 900000 >/dev/null; exit 0'"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, MEMTRACK]).current_dir(&folder).env("LD_LIBRARY_PATH", &folder);
    let ended = run(&mut command);
    assert_eq!(ended.status, "exit status: 3", "{ended:?}");
    assert!(ended.stderr.contains("the capture ends early: the limit of --max-size is reached"), "{ended:?}");
    assert!(ended.stderr.contains("is cut or damaged: this proves nothing"), "{ended:?}");
}

/// Runs a shell script that may mount file systems.
fn mounting(folder: &Path, script: &str) -> Ended {
    let root = run(Command::new("unshare").args(["-m", "true"])).status == "exit status: 0";
    let namespace = if root { "-m" } else { "-rm" };
    let mut command = Command::new("unshare");
    command.args([namespace, "sh", "-c", script, "sh", MEMTRACK]).current_dir(folder);
    run(&mut command)
}

fn with_mount_point(name: &str) -> PathBuf {
    let folder = scratch(name);
    build(&folder);
    fs::create_dir_all(folder.join("small")).expect("ours");
    folder
}

#[test]
fn its_disk_is_full() {
    let folder = with_mount_point("full");
    let script = r#"mount -t tmpfs -o size=64k none small || exit 50
        printf '\n\n\n\n' | "$1" run -o small/capture.mtk ./phases 100000
        echo "status $?"
        "$1" summary --json small/capture.mtk"#;
    let ended = mounting(&folder, script);
    let (output, summary) = ended.stdout.split_once('{').unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(output, "ready\nphase\nphase\nphase\nphase\nstatus 7\n", "{ended:?}");
    assert!(ended.stderr.contains("the capture ends early: "), "{ended:?}");
    let summary: serde_json::Value = serde_json::from_str(&format!("{{{summary}")).expect("JSON");
    assert_eq!(summary["state"], "cut");
    assert!(summary["allocations"].as_u64().expect("a number") < 400_000);
}

/// Where nothing can be written, nothing is started: nobody would find out at the end.
#[test]
fn its_file_system_is_read_only() {
    let folder = with_mount_point("read-only");
    let script = r#"mount -t tmpfs -o ro none small || exit 50
        "$1" run -o small/capture.mtk ./phases 1; echo "status $?""#;
    let ended = mounting(&folder, script);
    assert_eq!(ended.stdout, "status 2\n", "{ended:?}");
    assert!(ended.stderr.contains("its file system is read-only; -o names another place"), "{ended:?}");
}

/// As in a root folder that somebody has made by hand.
#[test]
fn there_are_no_devices() {
    let folder = scratch("no-devices");
    let script = r#"mount -t tmpfs none /dev || exit 50
        "$1" run -f -o capture.mtk ls capture.mtk; echo "status $?""#;
    let ended = mounting(&folder, script);
    assert_eq!(ended.stdout, "capture.mtk\nstatus 0\n", "{ended:?}");
    assert!(ended.stderr.contains("lost events  0") && !ended.stderr.contains("collector"), "{ended:?}");
}
