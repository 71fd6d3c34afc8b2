//! The reading commands as a shell sees them: what goes to stdout, what to stderr, and the exit code.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{Ended, MEMTRACK, read, record, run, scratch, victims};
use serde_json::Value;

/// A folder with one capture in it: 1000 blocks of 100 bytes, 900 of them freed.
fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    let known = victims().join("known");
    let capture = record(name, &[known.to_str().expect("plain path"), "simple"]);
    fs::rename(capture.path, folder.join("memtrack.known.1.mtk")).expect("same folder");
    folder
}

/// Runs a command line in `folder`.
fn memtrack(folder: &Path, line: &str) -> Ended {
    let mut command = Command::new(MEMTRACK);
    command.args(line.split_whitespace()).current_dir(folder);
    run(command.env_remove("COLUMNS").env_remove("CLICOLOR_FORCE").env("LANG", "C.UTF-8"))
}

/// Exit code, and texts that must stand in stdout and stderr.
#[track_caller]
fn check(folder: &Path, line: &str, code: i32, stdout: &str, stderr: &str) {
    let ended = memtrack(folder, line);
    assert_eq!(ended.status, format!("exit status: {code}"), "{line}: {ended:?}");
    let start: String = ended.stdout.chars().take(2000).collect();
    assert!(ended.stdout.contains(stdout), "{line}: {stdout:?} in {start}");
    assert!(ended.stderr.contains(stderr), "{line}: {stderr:?} in {ended:?}");
    assert!(!ended.stdout.contains('\x1b'), "{line}: no colours in a pipe");
}

#[test]
fn every_command_reads_the_newest_capture_and_says_which() {
    let folder = folder("newest");
    fs::write(folder.join("notes.mtk"), "not a capture").expect("writable");
    for (line, stdout) in [
        ("summary", "leaked      9.8 KiB"),
        ("report --leaks", "Leaked 9.8 KiB in 100 blocks"),
        ("report --peak", "Peak 97.7 KiB in 1,000 blocks"),
        ("report --temporary", "Temporary: "),
        ("report --allocations", "Allocated 97.7 KiB in 1,000 allocations"),
        ("tree --metric leaked", "leaked 9.8 KiB"),
        ("stats", "1,000 allocations of 97.7 KiB"),
        ("table", "peak 97.7 KiB by function"),
        ("table --by module --metric leaked", "leaked 9.8 KiB by module"),
        ("timeline", "peak 97.7 KiB"),
        ("timeline --csv", "time_ns,live_max_bytes,live_bytes,allocations,"),
        ("export --format svg", "<svg xmlns="),
        ("check --max peak=1MiB", "ok"),
        ("export --format collapsed --metric allocations", " 1000\n"),
        ("dump", "capture format"),
        ("flamegraph -o -", "<!doctype html>"),
    ] {
        check(&folder, line, 0, stdout, "memtrack: reading memtrack.known.1.mtk (newest here");
    }
    check(&folder, "summary memtrack.known.1.mtk", 0, "leaked", "");
    assert_eq!(memtrack(&folder, "summary memtrack.known.1.mtk").stderr, "", "a named capture needs no words");
}

#[test]
fn views_of_a_part_of_the_time() {
    let folder = folder("time");
    for (line, stdout) in [
        ("report --at peak", "Live at its end: 97.7 KiB in 1,000 blocks"),
        ("report --at end", "Live at its end: 9.8 KiB in 100 blocks"),
        ("report --from 0 --to end --allocations", "Allocated 97.7 KiB in 1,000 allocations"),
        ("report --leaks --to -0s", "Allocated and not freed by then: 9.8 KiB in 100 blocks"),
        // The program allocates nothing while it ends, whatever the clock says of its short life.
        ("report --from 99.99% --to end --allocations", "Allocated 0 B in 0 allocations"),
        ("tree --at peak", "peak 97.7 KiB"),
        ("export --format collapsed --metric allocations --to 100%", " 1000\n"),
        ("export --format collapsed --metric leaked-blocks --to end", " 100\n"),
        ("flamegraph -o - --from 0 --to 50%", "<!doctype html>"),
    ] {
        check(&folder, line, 0, stdout, "");
    }
    let json = memtrack(&folder, "report --json --from 10% --to 90%").stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["from_ns"].as_u64() < json["to_ns"].as_u64() && json["frees"].is_null(), "{json}");
    check(&folder, "report --at soon", 2, "", "write a time like 1.5s");
    check(&folder, "report --from peak --to peak", 2, "", "the time range is empty");
    check(&folder, "report --at +5s", 2, "", "only --to takes a time like +9s");
}

#[test]
fn a_sealed_capture_needs_nothing_but_itself() {
    let folder = folder("portable");
    // A copy of the program that is gone when its capture is read.
    let program = folder.join("gone");
    fs::copy(victims().join("known"), &program).expect("copied");
    let capture = folder.join("memtrack.gone.1.mtk");
    let recorded = record("portable-gone", &[program.to_str().expect("plain path"), "simple"]);
    fs::rename(recorded.path, &capture).expect("same folder");
    let sealed = memtrack(&folder, "seal memtrack.gone.1.mtk");
    assert_eq!(sealed.status, "exit status: 0", "{sealed:?}");
    let commands = ["summary", "report --json", "report --peak", "report --at 50%", "tree --full", "stats --json"];
    let read =
        |folder: &Path| commands.map(|command| memtrack(folder, &format!("{command} memtrack.gone.1.mtk")).stdout);
    let here = read(&folder);
    assert!(here[1].contains("known.c"), "{}", here[1]);
    fs::remove_file(&program).expect("removed");
    let elsewhere = scratch("portable-elsewhere");
    fs::rename(&capture, elsewhere.join("memtrack.gone.1.mtk")).expect("same disk");
    assert_eq!(read(&elsewhere), here);
    check(&elsewhere, "seal", 0, "", "was sealed already, with an index of");
    check(&elsewhere, "verify", 0, "the index says what the events say", "");
}

#[test]
fn names_can_be_added_later() {
    let folder = folder("symbolize");
    let program = folder.join("late");
    fs::copy(victims().join("known"), &program).expect("copied");
    let program = program.to_str().expect("plain path");
    let recorded =
        run(Command::new(MEMTRACK).args(["run", "-q", "-o", "late.mtk", program, "simple"]).current_dir(&folder));
    assert_eq!(recorded.status, "exit status: 0", "{recorded:?}");
    // Its capture is read and sealed when it is not there.
    let root = folder.join("root");
    let aside = root.join(program.trim_start_matches('/'));
    fs::create_dir_all(aside.parent().expect("a folder")).expect("writable");
    fs::rename(program, &aside).expect("same disk");
    let lines = || memtrack(&folder, "report --json late.mtk").stdout.matches("known.c").count();
    assert_eq!(lines(), 0);
    check(&folder, "symbolize late.mtk", 0, "", "nothing new for late.mtk");
    check(&folder, "symbolize --sysroot root late.mtk", 0, "", "new names are in late.mtk");
    let named = lines();
    assert_ne!(named, 0);
    fs::remove_dir_all(&root).expect("removed");
    check(&folder, "symbolize late.mtk", 0, "", "nothing new for late.mtk");
    assert_eq!(lines(), named);
    check(&folder, "verify late.mtk", 0, "the index says what the events say", "");
}

#[test]
fn every_view_adds_up() {
    let folder = folder("sums");
    let path = folder.join("memtrack.known.1.mtk");
    let path = path.to_str().expect("plain path");
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&read(arguments)).expect("JSON") };
    let summary = json(&["summary", "--json", path]);
    assert_eq!(summary["schema"], "memtrack.summary/1");
    for (kind, rows, bytes, blocks) in [
        ("leaks", "leaks", "leaked_bytes", "leaked_blocks"),
        ("peak", "rows", "peak_bytes", "peak_blocks"),
        ("temporary", "rows", "temporary_bytes", "temporary_allocations"),
        ("allocations", "rows", "allocated_bytes", "allocations"),
    ] {
        let report = json(&["report", &format!("--{kind}"), "--json", path]);
        assert_eq!(report["schema"], format!("memtrack.{kind}/1"));
        let sum = |key: &str| -> u64 {
            let rows = report[rows].as_array().expect("rows").iter();
            rows.map(|row| row[key].as_u64().expect("a number")).sum()
        };
        let apart = |key: &str| report[key].as_u64().expect("a number");
        assert_eq!(sum("bytes") + apart("suppressed_bytes"), summary[bytes].as_u64().expect("a number"), "{kind}");
        assert_eq!(sum("blocks") + apart("suppressed_blocks"), summary[blocks].as_u64().expect("a number"), "{kind}");
    }
    for (metric, key) in [
        ("allocations", "allocations"),
        ("allocated", "allocated_bytes"),
        ("leaked", "leaked_bytes"),
        ("leaked-blocks", "leaked_blocks"),
        ("peak", "peak_bytes"),
        ("peak-blocks", "peak_blocks"),
        ("temporary", "temporary_allocations"),
    ] {
        let text = read(&["export", "--format", "collapsed", "--metric", metric, "--process", "1", path]);
        let values = text.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        assert_eq!(values.sum::<u64>(), summary["processes"][0][key].as_u64().expect("a number"), "{metric}");
    }
    let tree = json(&["tree", "--json", "--metric", "leaked", path]);
    assert_eq!(tree["total"], summary["leaked_bytes"]);
}

#[test]
fn budgets_decide_the_exit_code() {
    let folder = folder("budgets");
    check(&folder, "check --max leaked=10000 --max allocs=1_000 --max leaked_blocks=10%", 0, "ok", "");
    check(&folder, "check --max leaked=9999", 1, "FAILED by 1 B", "");
    check(&folder, "check --json --max peak=97KiB", 1, "\"passed\":false", "");
    check(&folder, "check --max peak=5%", 2, "", "cannot be a percentage");
    check(&folder, "check", 2, "", "--max");
    check(&folder, "report --leaks --error-exitcode 42", 42, "Leaked", "");
    fs::write(folder.join("all.supp"), "# all of it\nleak:main\n").expect("writable");
    check(
        &folder,
        "report --leaks --error-exitcode 42 --suppressions all.supp",
        0,
        "all of it suppressed (listed below)",
        "",
    );
    check(&folder, "check --max leaked=0 --suppressions all.supp", 0, "9.8 KiB suppressed", "");
    fs::write(folder.join("bad.supp"), "leak:a\nfun:b\n").expect("writable");
    check(&folder, "report --suppressions bad.supp", 2, "", "bad.supp: line 2: expected `leak:PATTERN`");
}

#[test]
fn a_cut_capture_is_read_and_proves_nothing() {
    let folder = folder("cut");
    let whole = fs::read(folder.join("memtrack.known.1.mtk")).expect("the capture");
    // The last number of a sealed capture: bytes before its index.
    let (_, events) = whole.split_last_chunk().expect("a seal");
    let events = u64::from_le_bytes(*events) as usize;
    fs::write(folder.join("cut.mtk"), &whole[..events - 50]).expect("writable");
    check(&folder, "summary cut.mtk", 0, "the capture is cut", "");
    check(&folder, "check cut.mtk --max peak=1MiB", 3, "", "--allow-partial");
    assert_eq!(memtrack(&folder, "check cut.mtk --max peak=1MiB").stdout, "", "no verdict");
    check(&folder, "check cut.mtk --max peak=1MiB --allow-partial", 0, "ok", "");
    check(&folder, "check cut.mtk --max allocs=0 --allow-partial", 1, "FAILED", "");
    for line in ["flamegraph cut.mtk", "export --format collapsed cut.mtk"] {
        check(&folder, line, 0, "", "cut.mtk: the capture is cut or damaged");
    }
}

#[test]
fn bad_input_has_a_message_and_its_exit_code() {
    let folder = scratch("bad");
    check(&folder, "summary", 3, "", "no capture (*.mtk) in this folder; record one with `memtrack run PROGRAM`");
    fs::write(folder.join("empty.mtk"), "").expect("writable");
    fs::write(folder.join("text.mtk"), "hello, this is no capture at all\n").expect("writable");
    fs::write(folder.join("hole.mtk"), [0; 5000]).expect("writable");
    check(&folder, "summary", 3, "", "no readable capture in this folder");
    for command in
        ["summary", "report", "tree", "stats", "check --max peak=1", "export --format collapsed", "dump", "flamegraph"]
    {
        check(&folder, &format!("{command} empty.mtk"), 3, "", "empty.mtk");
        check(&folder, &format!("{command} text.mtk"), 3, "", "is not a memtrack capture");
        check(&folder, &format!("{command} hole.mtk"), 3, "", "has zeros in place of its header");
        check(&folder, &format!("{command} gone.mtk"), 3, "", "gone.mtk");
        check(&folder, &format!("{command} --no-such-flag"), 2, "", "--no-such-flag");
    }
    assert!(!folder.join("text.html").exists(), "a page that could not be made leaves no file");
    check(&folder, "sumary", 2, "", "similar subcommand exists: 'summary'");
    check(&folder, "", 2, "", "Usage: memtrack");
}

#[test]
fn filters_that_name_nothing_are_errors() {
    let folder = folder("filters");
    check(&folder, "report --process 7", 2, "", "no process 7: the capture has only process 1");
    check(&folder, "report --thread nobody", 2, "", "no thread \"nobody\"");
    check(&folder, "report --function ^no_such_function$", 0, "No leaks", "");
    check(&folder, "report --function ^take$", 0, "Leaked 9.8 KiB", "");
    check(&folder, "report --module libnone", 0, "No leaks", "");
}

#[test]
fn files_are_not_overwritten_unasked() {
    let folder = folder("files");
    let capture = "memtrack.known.1";
    check(&folder, "flamegraph", 0, "", &format!("wrote {capture}.html; to share it, leave out"));
    check(&folder, "flamegraph", 2, "", "exists (-f overwrites it)");
    check(&folder, "flamegraph -f", 0, "", "wrote");
    check(&folder, "export --format collapsed -o out.txt", 0, "", "");
    check(&folder, "export --format collapsed -o out.txt", 2, "", "out.txt exists");
    check(&folder, "export --format collapsed -o none/out.txt", 2, "", "cannot write none/out.txt");
    check(&folder, "export --format collapsed -o /dev/full", 2, "", "cannot write /dev/full");
    check(&folder, "export --format collapsed -o /dev/null", 0, "", "");
}

#[test]
fn doctor_names_what_is_missing() {
    let folder = scratch("doctor");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).expect("writable");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).expect("ours");
    };
    write("script", b"#!/no/such/interpreter\n");
    check(&folder, "doctor ./script", 2, "", "its interpreter /no/such/interpreter does not exist");
    write("cut", &fs::read("/bin/true").expect("readable")[..100]);
    check(&folder, "doctor ./cut", 1, "its file cannot be read as a program", "");
    check(&folder, "doctor true", 0, "true: can be recorded", "");
}

/// `| head` closes the pipe: no message, no failure.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = folder("pipe");
    let mut child = Command::new(MEMTRACK)
        .args(["dump", "memtrack.known.1.mtk"])
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("memtrack runs");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

/// The key of the printed address opens the report to whoever reads it.
#[test]
fn a_servers_key_stays_out_of_files_that_others_read() {
    let folder = folder("reading-key");
    for (mode, has_key) in [(0o644, false), (0o640, false), (0o600, true)] {
        let path = folder.join("log");
        let log = fs::File::create(&path).expect("writable");
        log.set_permissions(fs::Permissions::from_mode(mode)).expect("ours");
        let mut command = Command::new(MEMTRACK);
        command.arg("serve").current_dir(&folder).stdout(log).stderr(Stdio::piped());
        let mut server = command.spawn().expect("memtrack");
        let text = loop {
            let text = fs::read_to_string(&path).expect("readable");
            if text.ends_with('\n') || server.try_wait().expect("a child").is_some() {
                break text;
            }
            thread::sleep(Duration::from_millis(10));
        };
        server.kill().expect("it runs");
        let said = server.wait_with_output().expect("it ends").stderr;
        assert!(text.starts_with("Open http://127.0.0.1:"), "{text}");
        assert_eq!(text.contains("token="), has_key, "{mode:o}: {text}");
        assert_eq!(String::from_utf8_lossy(&said).contains("chmod 600"), !has_key, "{mode:o}");
    }
}

#[test]
fn a_server_that_is_told_to_end_takes_its_socket_with_it() {
    let folder = folder("reading-socket");
    let socket = folder.join("s");
    let _ = fs::remove_file(&socket);
    let mut command = Command::new(MEMTRACK);
    command.args(["serve", "--socket", "s"]).current_dir(&folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = command.spawn().expect("memtrack");
    let mut line = String::new();
    let mut output = BufReader::new(server.stdout.take().expect("a pipe"));
    output.read_line(&mut line).expect("a line");
    assert!(line.contains("Listening at "), "{line}");
    // Once it has answered, it hears signals, too.
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost:8000\r\nConnection: close\r\n\r\n").expect("it reads");
    stream.read_to_string(&mut String::new()).expect("it answers");
    assert!(Command::new("kill").arg(server.id().to_string()).status().expect("kill").success());
    assert!(server.wait().expect("it ends").success());
    assert!(!socket.exists());
}
