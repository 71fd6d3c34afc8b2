//! Memory of Python's small objects: the arenas they lie in, and on request each object by itself. The script knows how many
//! objects it makes, and pymalloc how many arenas it has.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use common::python::{profile, pythons, script, with_each};
use common::{Ended, MEMTRACK, run, scratch};
use tracker_core::format::record::Function;
use tracker_core::report::profile::{Metrics, Profile, Pymalloc, Row};
use tracker_core::report::{self, OpenOptions};

/// Records the script; its capture and what it says.
fn recorded(name: &str, python: &Path, flags: &[&str], (variable, options): (&str, &[&str])) -> (Profile, Ended) {
    let capture = scratch(name).join("capture.mtk");
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f"]).args(flags).arg("-o").arg(&capture).arg("--");
    command.arg(python).args(options).arg(script("objects.py"));
    if let Some((name, value)) = variable.split_once('=') {
        command.env(name, value);
    }
    let ended = run(&mut command);
    assert_eq!(ended.status, "exit status: 0", "{}", ended.stderr);
    let profile = profile(&capture);
    assert_eq!(
        (profile.totals.lost_events, profile.totals.unmatched_frees),
        (0, 0),
        "{flags:?} {variable} {options:?}"
    );
    (profile, ended)
}

/// Sums over the rows of a function of the allocator.
fn sum(profile: &Profile, function: Function) -> Metrics {
    let rows = profile.rows.iter().filter(|row| profile.stacks[row.stack.0 as usize].function == Some(function));
    rows.fold(Metrics::default(), |sum, row| Metrics {
        allocations: sum.allocations + row.metrics.allocations,
        allocated_bytes: sum.allocated_bytes + row.metrics.allocated_bytes,
        leaked_blocks: sum.leaked_blocks + row.metrics.leaked_blocks,
        leaked_bytes: sum.leaked_bytes + row.metrics.leaked_bytes,
        ..sum
    })
}

/// The rows of stacks that run through a function of the script.
fn under<'p>(profile: &'p Profile, function: &'p str) -> impl Iterator<Item = &'p Row> {
    profile.rows.iter().filter(move |row| {
        let frames = &profile.stacks[row.stack.0 as usize].frames;
        frames.iter().any(|id| profile.frames[id.0 as usize].function.as_deref() == Some(function))
    })
}

/// What pymalloc says of its arenas, all there ever were and those there are.
fn arenas(stderr: &str) -> (u64, u64) {
    let number = |what: &str| {
        let line = stderr.lines().find(|line| line.starts_with(what)).unwrap_or_else(|| panic!("{what}: {stderr}"));
        line.rsplit(' ').next().and_then(|number| number.replace(',', "").parse().ok()).expect("a number")
    };
    (number("# arenas allocated total"), number("# arenas allocated current"))
}

#[track_caller]
fn check_objects(name: &str, python: &Path, mode: (&str, &[&str])) {
    let (profile, _) = recorded(name, python, &["--python-allocators"], mode);
    for (function, size, count, leaked) in
        [("small", 133, 1000, 1000), ("large", 5033, 100, 100), ("gone", 233, 300, 0), ("many", 433, 20_000, 0)]
    {
        // An interpreter that specializes a call makes the first object by another path.
        let same = |row: &&Row| row.metrics.allocated_bytes == size * row.metrics.allocations;
        let found = under(&profile, function)
            .filter(same)
            .fold((0, 0), |sum, row| (sum.0 + row.metrics.allocations, sum.1 + row.metrics.leaked_blocks));
        assert_eq!(found, (count, leaked), "{name} {mode:?} {function}");
    }
    let large: u64 = under(&profile, "large").map(|row| row.metrics.allocated_bytes).sum();
    assert!(large < 520_000, "{name} {mode:?}: {large}, so that no object is counted twice");
    assert_eq!(sum(&profile, Function::PythonArena), Metrics::default(), "{name} {mode:?}: objects, not arenas");
}

#[test]
fn every_object_is_recorded_once_on_request() {
    with_each(|number, python| check_objects(&format!("objects-{number}"), python, ("", &[])));
}

#[test]
fn every_object_is_recorded_whatever_allocates_it() {
    let (_, python) = pythons().pop_last().expect("python3 (apt-get install python3)");
    let modes: [(&str, &[&str]); 5] = [
        ("PYTHONMALLOC=pymalloc", &[]),
        ("PYTHONMALLOC=malloc", &[]),
        ("PYTHONMALLOC=pymalloc_debug", &[]),
        ("PYTHONMALLOC=malloc_debug", &[]),
        ("", &["-X", "dev"]),
    ];
    for (number, mode) in modes.into_iter().enumerate() {
        check_objects(&format!("modes-{number}"), &python, mode);
    }
}

#[test]
fn arenas_count_in_place_of_the_objects_in_them() {
    with_each(|number, python| {
        let name = format!("choice-{number}");
        let (objects, _) = recorded(&name, python, &["--python-allocators"], ("", &[]));
        let capture = scratch(&name).join("capture.mtk");
        let options = OpenOptions { pymalloc: Pymalloc::Arenas, symbols: false, ..OpenOptions::default() };
        let profile = report::open(&capture, &options, &mut |_, _| ()).expect("a capture");
        assert_eq!((objects.pymalloc, profile.pymalloc), (Some(Pymalloc::Objects), Some(Pymalloc::Arenas)));
        assert_eq!(profile.totals.unmatched_frees, 0);
        // What does not lie in an arena is what it is in either case.
        for (function, size, counts) in [("small", 133, false), ("large", 5033, true), ("gone", 233, false)] {
            let of = |profile| -> u64 {
                let rows = under(profile, function)
                    .filter(|row| row.metrics.allocated_bytes == size * row.metrics.allocations);
                rows.map(|row| row.metrics.allocations).sum()
            };
            assert!(of(&objects) > 0);
            assert_eq!(of(&profile), if counts { of(&objects) } else { 0 }, "{python:?} {function}");
        }
        // And it is what a recording without objects has, but for pymalloc's own tables.
        let (plain, ended) = recorded(&format!("{name}-plain"), python, &[], ("", &[]));
        let rest = |profile: &Profile| {
            let (all, arenas) = (profile.totals.metrics, sum(profile, Function::PythonArena));
            (all.allocations - arenas.allocations, all.allocated_bytes - arenas.allocated_bytes)
        };
        let (without, with) = (rest(&plain), rest(&profile));
        let tables = (without.0.checked_sub(with.0), without.1.checked_sub(with.1));
        assert!(matches!(tables, (Some(0..16), Some(0..2_000_000))), "{python:?}: {without:?} {with:?}");
        // Where an arena begins decides how much fits, and pymalloc says nothing with others in front of it.
        let (found, (all, left)) = (sum(&profile, Function::PythonArena), arenas(&ended.stderr));
        assert!(found.allocations.abs_diff(all) <= 1 && found.leaked_blocks.abs_diff(left) <= 1, "{python:?}");
    });
}

#[test]
fn the_page_has_a_capture_with_objects_twice() {
    let (_, python) = pythons().pop_first().expect("python3 (apt-get install python3)");
    recorded("served", &python, &["--python-allocators"], ("", &[]));
    let mut server = Command::new(MEMTRACK);
    server.args(["serve", "capture.mtk"]).current_dir(scratch("served"));
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("memtrack");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).expect("an address");
    let (host, token) = address.split_once("/#token=").expect("with a key");
    let ask = |request: &str, header: &str| {
        let mut stream = TcpStream::connect(host).expect("it listens");
        let text = format!("{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{header}\r\n\r\n");
        stream.write_all(text.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    let session = ask("POST /api/session", &format!("Memtrack-Token: {token}"));
    let session = session.split("\"session\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a session");
    let get = |path: &str| ask(&format!("GET {path}"), &format!("Memtrack-Session: {session}"));
    let names = get("/api/captures");
    let counted: Vec<_> = [Pymalloc::Objects, Pymalloc::Arenas]
        .map(Pymalloc::sentence)
        .into_iter()
        .zip(0..)
        .map(|(sentence, capture)| get(&format!("/api/profile/{capture}")).contains(sentence))
        .collect();
    server.kill().expect("it runs");
    server.wait().expect("it ends");
    assert!(names.ends_with(r#"["capture.mtk","capture.mtk, arenas"]"#), "{names}");
    assert_eq!(counted, [true, true]);
}

#[test]
fn arenas_are_as_many_as_pymalloc_says() {
    with_each(|number, python| {
        for (index, flags) in [&[][..], &["--no-python"], &["--mmap"]].into_iter().enumerate() {
            let (profile, ended) = recorded(&format!("arenas-{number}-{index}"), python, flags, ("", &[]));
            let found = sum(&profile, Function::PythonArena);
            assert_eq!((found.allocations, found.leaked_blocks), arenas(&ended.stderr), "{python:?} {flags:?}");
            let size = found.allocated_bytes / found.allocations;
            assert!([256 << 10, 1 << 20].contains(&size), "{size}");
            // Whose stack it is says nothing of who fills it.
            let stacks = profile.stacks.iter().filter(|stack| stack.function == Some(Function::PythonArena));
            for stack in stacks {
                let blamed = profile.blamed(stack).and_then(|frame| frame.function.as_deref());
                assert_eq!(blamed, Some("[pymalloc arena]"));
            }
        }
        let (profile, _) = recorded(&format!("arenas-{number}-none"), python, &[], ("PYTHONMALLOC=malloc", &[]));
        assert_eq!(sum(&profile, Function::PythonArena), Metrics::default());
    });
}
