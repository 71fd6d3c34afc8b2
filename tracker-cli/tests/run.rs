//! `memtrack run` stands in for the program: whoever starts it, and the program itself, notice nothing.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const MEMTRACK: &str = env!("CARGO_BIN_EXE_memtrack");

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("memtrack-run-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(MEMTRACK, arguments).output().unwrap()
    }

    /// The folder's captures.
    fn captures(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".mtk")).collect()
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A program of two instructions: exit(7). Statically linked in the strictest sense.
#[cfg(target_arch = "x86_64")]
fn static_program() -> Vec<u8> {
    // mov edi, 7; mov eax, 60; syscall
    let code = [0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    let (base, start): (u64, u64) = (0x40_0000, 64 + 56);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend_from_slice(&value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend_from_slice(&value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend_from_slice(&value.to_le_bytes());
    [2, 62].into_iter().for_each(|value| half(&mut file, value));
    word(&mut file, 1);
    [base + start, 64, 0].into_iter().for_each(|value| long(&mut file, value));
    word(&mut file, 0);
    [64, 56, 1, 0, 0, 0].into_iter().for_each(|value| half(&mut file, value));
    [1, 5].into_iter().for_each(|value| word(&mut file, value));
    let len = start + code.len() as u64;
    [0, base, base, len, len, 4096].into_iter().for_each(|value| long(&mut file, value));
    file.extend_from_slice(&code);
    file
}

/// Others can replace what lies there: the recording is made all the same, and whoever makes it is told.
#[test]
fn a_folder_that_all_may_write_in_is_told_of() {
    let folder = Folder::new("open");
    for (mode, flag, is_told) in
        [(0o777, "-f", true), (0o777, "-qf", false), (0o1777, "-f", false), (0o755, "-f", false)]
    {
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).unwrap();
        let recorded = folder.output(&["run", flag, "-o", "x.mtk", "true"]);
        let told = stderr(&recorded).contains("others can put another file in the place of x.mtk: all may write in /");
        assert!(recorded.status.success() && told == is_told, "{mode:o} {flag}: {recorded:?}");
    }
}

#[test]
fn python_scripts_and_modules_find_their_interpreter() {
    let folder = Folder::new("python");
    let say = "import sys; print(sys.argv[0].rsplit('/', 1)[-1], *sys.argv[1:])";
    folder.write("plain.py", say.as_bytes(), 0o644);
    // A shell would be asked to run it.
    folder.write("executable.py", say.as_bytes(), 0o755);
    let with_line = |line: &str| format!("#!{line}\n{}", say.replace("[1:]", "[1:], sys.flags.optimize"));
    folder.write("lined.py", with_line("/usr/bin/env -S python3 -O").as_bytes(), 0o644);
    folder.write("gone.py", with_line("/no/such/python3").as_bytes(), 0o644);
    folder.write("program.py", b"#!/bin/echo", 0o755);
    let cases: [(&[&str], &str); 6] = [
        (&["plain.py", "-x", "--help"], "plain.py -x --help"),
        (&["./executable.py"], "executable.py"),
        (&["lined.py", "y"], "lined.py y"),
        (&["gone.py"], "gone.py 0"),
        (&["./program.py"], "./program.py"),
        (&["-m", "plain", "-x"], "plain.py -x"),
    ];
    for (arguments, expected) in cases {
        let output = folder.output(&[&["run", "-q"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.starts_with(expected), "{arguments:?}: {said} {}", stderr(&output));
        let name = Path::new(arguments[usize::from(arguments[0] == "-m")]).file_name().unwrap().to_str().unwrap();
        let captures = folder.captures();
        assert!(captures.iter().any(|file| file.starts_with(&format!("memtrack.{name}."))), "{captures:?}");
    }
    assert_eq!(folder.output(&["run", "-q", "lined.py"]).stdout, b"lined.py 1\n", "the line's arguments hold");

    let missing = folder.output(&["run", "-q", "no-such.py"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(127), 0));
    let environment = folder.0.join("venv/bin");
    fs::create_dir_all(&environment).unwrap();
    std::os::unix::fs::symlink("/bin/echo", environment.join("python")).unwrap();
    let mut command = folder.command(MEMTRACK, &["run", "-q", "-m", "mod", "a"]);
    let output = command.env("VIRTUAL_ENV", folder.0.join("venv")).output().unwrap();
    assert_eq!(output.stdout, b"-m mod a\n", "the active environment comes before PATH");
    let output = folder.command(MEMTRACK, &["run", "-q", "plain.py"]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{}", stderr(&output));
    assert!(folder.output(&["doctor", "plain.py"]).status.success());
}

#[test]
fn exit_status_passes_through() {
    let folder = Folder::new("status");
    for code in [0, 1, 77, 255] {
        let output = folder.output(&["run", "-q", "sh", "-c", &format!("exit {code}")]);
        assert_eq!(output.status.code(), Some(code));
        assert_eq!((output.stdout.len(), stderr(&output)), (0, String::new()));
    }
    for (name, signal) in [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("USR1", 10)] {
        let output = folder.output(&["run", "-q", "sh", "-c", &format!("ulimit -c 0; kill -{name} $$")]);
        assert_eq!(output.status.signal(), Some(signal), "{name}");
    }
    assert_eq!(folder.captures().len(), 8);
}

#[test]
fn the_program_finds_everything_as_it_would_without_us() {
    let folder = Folder::new("same");
    let scripts = [
        "echo out; echo err >&2",
        "env | sort | grep -v '^_='",
        "ulimit -a",
        "umask; pwd; echo $0 $#",
        "grep -E 'Sig(Blk|Ign|Cgt)|Threads|Seccomp|NoNewPrivs' /proc/self/status",
        "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done",
        "cat; echo end",
    ];
    // What the one who starts us did before.
    let preparations = [
        "",
        "umask 027;",
        "trap '' PIPE HUP;",
        "ulimit -S -f 2000; ulimit -S -n 64;",
        "exec <&-;",
        "exec 7</dev/null;",
        "MEMTRACK_X=1; export MEMTRACK_X;",
    ];
    for preparation in preparations {
        for script in scripts {
            let run = |through: &str| {
                let whole = format!("{preparation} exec {through} sh -c \"$0\" name a b");
                let mut child = folder.command("sh", &["-c", &whole, script]);
                let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = child.spawn().unwrap();
                // A script that does not read may be gone already.
                let _ = child.stdin.take().unwrap().write_all(b"input\n");
                child.wait_with_output().unwrap()
            };
            let (plain, tracked) = (run(""), run(&format!("{MEMTRACK} run -q -f -o capture --")));
            assert_eq!(plain, tracked, "{preparation} {script}");
        }
    }
}

#[test]
fn what_cannot_be_started_leaves_nothing_behind() {
    let folder = Folder::new("start");
    folder.write("plain", b"text", 0o644);
    folder.write("lost", b"#!/no/such/interpreter\n", 0o755);
    for (program, code, message) in [
        ("no-such-program-at-all", 127, "not found in PATH"),
        ("./missing", 127, "no such file"),
        ("./plain", 126, "not executable"),
        (".", 127, "not found in PATH"),
        ("./", 126, "is a folder"),
        ("./lost", 127, "its interpreter /no/such/interpreter does not exist"),
    ] {
        let output = folder.output(&["run", program]);
        assert_eq!(output.status.code(), Some(code), "{program}");
        assert!(stderr(&output).contains(message), "{program}: {}", stderr(&output));
    }
    assert!(folder.captures().is_empty());
}

#[test]
fn a_file_without_a_first_line_is_run_by_the_shell() {
    let folder = Folder::new("shell");
    folder.write("script", b"echo $0 $1; exit 4\n", 0o755);
    let output = folder.output(&["run", "-q", "./script", "-x"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), &b"./script -x\n"[..]));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_static_program_runs_unrecorded() {
    let folder = Folder::new("static");
    folder.write("static", &static_program(), 0o755);
    let output = folder.output(&["run", "./static"]);
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("./static runs without being recorded: statically linked"), "{}", stderr(&output));
    let quiet = folder.output(&["run", "-q", "./static"]);
    assert_eq!((quiet.status.code(), stderr(&quiet)), (Some(7), String::new()));

    let doctor = folder.output(&["doctor", "./static"]);
    assert_eq!(doctor.status.code(), Some(1));
    assert!(doctor.stdout.starts_with(b"./static: cannot be recorded: statically linked\n"));
}

#[test]
fn captures_are_private_and_never_overwritten_unasked() {
    let folder = Folder::new("output");
    assert!(folder.output(&["run", "-q", "-o", "%n.%%.mtk", "true"]).status.success());
    let path = folder.0.join("true.%.mtk");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let first = fs::metadata(&path).unwrap().ino();
    let refused = folder.output(&["run", "-q", "-o", "true.%%.mtk", "touch", "started"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("-f replaces it"), "{}", stderr(&refused));
    assert_eq!(fs::metadata(&path).unwrap().ino(), first);
    assert!(folder.output(&["run", "-q", "-f", "-o", "true.%%.mtk", "true"]).status.success());
    let nowhere = folder.output(&["run", "-o", "no/such/folder/x", "touch", "started"]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(!folder.0.join("started").exists());
}

/// Starts a program in a process group of its own and reads its first line.
fn start(folder: &Folder, script: &str) -> (Child, String) {
    let mut command = folder.command(MEMTRACK, &["run", "-q", "-f", "-o", "capture", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn kill(arguments: &[&str]) {
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}

#[test]
fn signals_that_reach_only_us_are_passed_on() {
    let folder = Folder::new("signals");
    for signal in ["USR1", "TERM", "HUP", "INT", "WINCH"] {
        let script = format!("trap 'exit 9' {signal}; echo ready; while :; do sleep 0.01; done");
        let (mut child, line) = start(&folder, &script);
        assert_eq!(line, "ready\n");
        kill(&["-s", signal, &child.id().to_string()]);
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal}");
    }
}

/// Supervisors end whole process groups: the program gets what is sent to all once, not again from us.
#[test]
fn signals_that_reach_all_are_not_passed_on() {
    let folder = Folder::new("group");
    for signal in ["TERM", "INT", "USR1"] {
        // A second one, which comes while it sleeps, counts, too.
        let script = format!(
            "n=0; trap 'n=$((n+1))' {signal}; echo ready; while [ $n = 0 ]; do sleep 0.01; done; sleep 0.3; exit $n"
        );
        let (mut child, _) = start(&folder, &script);
        kill(&["-s", signal, "--", &format!("-{}", child.id())]);
        assert_eq!(child.wait().unwrap().code(), Some(1), "{signal}");
    }
}

/// However many come, the program's end is noticed.
#[test]
fn a_stream_of_signals_ends_with_the_program() {
    let folder = Folder::new("stream");
    let (mut child, _) = start(&folder, "trap '' USR1; echo ready; sleep 0.2; exit 7");
    let pid = child.id().to_string();
    let status = (0..10_000).find_map(|_| {
        kill(&["-s", "USR1", &pid]);
        child.try_wait().unwrap()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(7));
}

/// Whoever ends all processes of our name means the program, which has another.
#[test]
fn signals_sent_by_name_are_passed_on() {
    let folder = Folder::new("name");
    let (mut child, _) = start(&folder, "echo ready; while :; do sleep 0.01; done");
    let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let children = of(child.id());
    let is_named = |pid: &&str| {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("comm") == "memtrack\n" || read("cmdline").contains("memtrack")
    };
    let own = child.id().to_string();
    let named: Vec<&str> = children.split_whitespace().chain([own.as_str()]).filter(is_named).collect();
    assert!(named.len() >= 2 && named.contains(&own.as_str()), "{named:?} of {children}");
    kill(&[&["-s", "TERM"][..], &named].concat());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

fn state(pid: u32) -> Option<char> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()?.rsplit(") ").next()?.chars().next()
}

#[test]
fn we_stop_and_continue_with_the_program() {
    let folder = Folder::new("stop");
    let (mut child, line) = start(&folder, "echo $$; kill -STOP $$; exit 5");
    let program: u32 = line.trim().parse().unwrap();
    while state(child.id()) != Some('T') {
        std::thread::yield_now();
    }
    assert_eq!(state(program), Some('T'));
    // To us alone; a shell would continue the whole group.
    kill(&["-s", "CONT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Stopped with all others, and continued alone: the program is not among those.
#[test]
fn the_program_goes_on_when_we_alone_are_told_to() {
    let folder = Folder::new("go-on");
    let (mut child, line) = start(&folder, "echo $$; exec sleep 0.2");
    let program: u32 = line.trim().parse().unwrap();
    kill(&["-s", "STOP", "--", &format!("-{}", child.id())]);
    while state(child.id()) != Some('T') || state(program) != Some('T') {
        std::thread::yield_now();
    }
    kill(&["-s", "CONT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn processes_that_outlive_the_program_are_recorded_to_their_end() {
    let folder = Folder::new("daemon");
    let gate = folder.0.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    // Returns although the daemon lives and holds nothing of ours open: neither we nor the collector keep the pipe.
    let script = "echo out; (read line <gate) >/dev/null 2>&1 & exit 3";
    let output = folder.output(&["run", "-o", "capture", "sh", "-c", script]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"out\n"[..]));
    assert!(stderr(&output).contains("another process of it is still recorded into capture"), "{}", stderr(&output));

    let capture = File::open(folder.0.join("capture")).unwrap();
    assert!(matches!(capture.try_lock_shared(), Err(TryLockError::WouldBlock)));
    let refused = folder.output(&["run", "-f", "-o", "capture", "true"]);
    assert!(stderr(&refused).contains("is still being recorded"), "{}", stderr(&refused));
    fs::write(&gate, "go\n").unwrap();
    capture.lock_shared().unwrap();
}

#[test]
fn streams_that_the_program_closes_are_closed() {
    let folder = Folder::new("close");
    let gate = folder.0.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let script = "echo out; echo err >&2; exec >&- 2>&-; read line <gate; exit 6";
    let mut command = folder.command(MEMTRACK, &["run", "-q", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    // Both end although program, parent and collector live.
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    fs::write(&gate, "go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn the_collector_survives_its_parent() {
    let folder = Folder::new("orphan");
    let gate = folder.0.join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let (mut child, _) = start(&folder, "echo ready; read line <gate; : >done");
    child.kill().unwrap();
    child.wait().unwrap();
    let capture = File::open(folder.0.join("capture")).unwrap();
    assert!(matches!(capture.try_lock_shared(), Err(TryLockError::WouldBlock)));
    fs::write(&gate, "go\n").unwrap();
    capture.lock_shared().unwrap();
    assert!(Path::new(&folder.0.join("done")).exists());
}

/// A budget is one of the whole tree: what outlives the program is waited for, and counts.
#[test]
fn a_budget_waits_for_the_tree() {
    let folder = Folder::new("tree");
    let script = "(sleep 0.3; exec perl -e 'my @a = (1) x 100000') & exit 0";
    let run = |limit: &str| folder.output(&["run", "--check", "--max", limit, "--", "sh", "-c", script]);
    let broken = run("peak=100KiB");
    assert_eq!(broken.status.code(), Some(97), "{}", stderr(&broken));
    assert!(stderr(&broken).contains("FAILED"), "{}", stderr(&broken));
    assert_eq!(run("peak=1GiB").status.code(), Some(0));
}

/// Allocators that are linked in are named, whichever way the program was called.
#[test]
fn an_allocator_of_its_own_is_pointed_out() {
    let folder = Folder::new("own");
    folder.write(
        "own.c",
        b"#include <stdlib.h>\nvoid *mi_malloc(size_t n) { return malloc(n); }\nint main(void) { return 0; }\n",
        0o644,
    );
    let compiled = folder.command("gcc", &["-o", "own", "own.c"]).status().expect("gcc");
    assert!(compiled.success());
    let direct = folder.output(&["run", "-o", "a.mtk", "./own"]);
    assert!(stderr(&direct).contains("own: mimalloc is linked into the program"), "{}", stderr(&direct));
    folder.write(
        "own2.c",
        b"void *mi_malloc(void) { return 0; }\nint sleep(int);\nint main(void) { return sleep(1); }\n",
        0o644,
    );
    assert!(folder.command("gcc", &["-o", "child", "own2.c"]).status().expect("gcc").success());
    let child = folder.output(&["run", "-o", "b.mtk", "sh", "-c", "./child; true"]);
    assert!(stderr(&child).contains("child: mimalloc is linked"), "{}", stderr(&child));
}

/// Limits that leave no room for a recording do not keep the program from running, under those very limits.
#[test]
fn tight_limits_stop_no_program() {
    let folder = Folder::new("limits");
    for limit in ["-v 60000", "-v 160000", "-v 300000", "-n 4", "-n 10", "-f 50"] {
        let script =
            format!("ulimit {limit} && exec {MEMTRACK} run -f -o a.mtk -- sh -c 'ulimit {}; exit 7'", &limit[..2]);
        let ended = folder.command("sh", &["-c", &script]).output().unwrap();
        assert_eq!(ended.status.code(), Some(7), "{limit}: {}", stderr(&ended));
        assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), &limit[3..], "the program sees its own limit");
    }
}
