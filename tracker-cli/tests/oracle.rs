//! Every stack of real programs against an independent unwinder (libgcc, through the `backtrace` crate), in a build of
//! the library that only this test makes.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::{MEMTRACK, compile, run, scratch, victims};

/// Builds the library with std and the oracle inside.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../tracker-preload/Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "rustc",
            "--release",
            "--lib",
            "--crate-type",
            "cdylib",
            "--features",
            "oracle",
            "--manifest-path",
            manifest,
        ]);
        cargo.arg("--target-dir").arg(&target).env("CARGO_BUILD_BUILD_DIR", &target);
        for variable in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            cargo.env_remove(variable);
        }
        let ended = run(&mut cargo);
        assert_eq!(ended.status, "exit status: 0", "{}", ended.stderr);
        target.join("release/libtracker_preload.so")
    })
}

/// Runs a program under the oracle: no stack may differ, and at least `least` must have been compared.
fn check(name: &str, least: u64, program: &[&str]) {
    let folder = scratch(&format!("oracle.{name}"));
    let (counts, capture) = (folder.join("counts"), folder.join("capture.mtk"));
    let mut command = Command::new(MEMTRACK);
    command.args(["run", "-q", "-f", "--wait", "--preload-lib"]).arg(library()).arg("-o").arg(&capture);
    let ended = run(command.arg("--").args(program).env("MEMTRACK_ORACLE", &counts).current_dir(&folder));
    let bytes = std::fs::read(&counts).unwrap_or_else(|error| panic!("{name}: no counts: {error}; {ended:?}"));
    let count = |index: usize| u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().expect("eight bytes"));
    let (equal, early, different) = (count(0), count(1), count(2));
    let text = std::fs::read_to_string(folder.join("counts.txt")).unwrap_or_default();
    assert_eq!(different, 0, "{name}: {equal} equal, {early} where the oracle ended early, and:\n{text}");
    assert!(equal >= least, "{name}: only {equal} stacks compared; {ended:?}");
    println!("{name}: {equal} equal, {early} where the oracle ended early, 0 different");
}

#[test]
fn known_programs() {
    let known = victims().join("known");
    for mode in
        ["entry_points", "realloc", "threads", "fork", "deep", "signals", "coroutines", "churn", "exec", "atexit"]
    {
        check(mode, 9, &[known.to_str().expect("plain path"), mode]);
    }
}

/// Frames that compilers make rarely: alloca, variable arrays, realigned stacks, exceptions, longjmp, lambdas.
#[test]
fn odd_frames() {
    let program = scratch("oracle.frames").join("frames");
    compile("g++", "frames.cpp", &["-O2"], &program);
    check("frames", 2000, &[program.to_str().expect("plain path")]);
}

#[test]
fn real_programs() {
    check("python", 3000, &["python3", "-c", "import json; print(len(json.dumps([list(range(99))] * 99)))"]);
    check("perl", 1000, &["perl", "-e", "my %h = map { $_ => [1..9] } 1..999; print scalar keys %h"]);
    check("git", 30, &["git", "--version"]);
    check(
        "gcc",
        3000,
        &[
            "gcc",
            "-O1",
            "-xc",
            "-c",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/victims/plug.c"),
            "-DPLUG=a",
            "-DSIZE=1",
            "-o",
            "plug.o",
        ],
    );
    check("sh", 100, &["sh", "-c", "for i in 1 2 3; do echo $i | cat; done"]);
}
