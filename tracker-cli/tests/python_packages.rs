//! Python programs that stand on packages which switch stacks, fork workers or allocate for themselves: gevent, Celery,
//! numpy. Each package is installed into an environment of the test's own, or absent; that none is found is a failure.

mod common;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use common::python::{check_truth, pythons};
use common::{run, scratch};
use tracker_core::report::profile::Profile;

/// A package, the script that uses it, least marks, and what else there is to check.
type Package = (&'static str, &'static str, u64, fn(&Profile));

const PACKAGES: [Package; 3] =
    [("gevent", "greenlets.py", 500, |_| ()), ("numpy", "arrays.py", 9, |_| ()), ("celery", "tasks.py", 300, workers)];

/// The four workers that Celery forks have names of their own.
fn workers(profile: &Profile) {
    let labels = profile.process_labels();
    for number in 1..=4 {
        let name = format!("celery worker {number}");
        assert!(labels.iter().any(|label| label.text == name), "{name}: {labels:?}");
    }
}

/// The interpreter of an environment with the package in it.
fn installed(python: &Path, package: &str) -> Option<PathBuf> {
    let folder = scratch(&format!("venv-{package}"));
    let made = run(Command::new(python).args(["-m", "venv"]).arg(&folder));
    let python = folder.join("bin/python");
    let pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:", package];
    let had = made.status == "exit status: 0" && run(Command::new(&python).args(pip)).status == "exit status: 0";
    had.then_some(python)
}

fn main() -> ExitCode {
    let pythons = pythons();
    let (mut found, mut failed) = (0, 0);
    for (package, script, least, check) in PACKAGES {
        // The newest interpreter for which there is a package.
        let installed = pythons.iter().rev().find_map(|(minor, python)| Some((minor, installed(python, package)?)));
        let Some((minor, python)) = installed else {
            println!("absent  {package} (python3 with venv, and pip install {package})");
            continue;
        };
        found += 1;
        let checked = catch_unwind(|| check(&check_truth(package, &python, script, &[], least)));
        println!("{}  {package} on CPython 3.{minor}", if checked.is_ok() { "found " } else { "FAILED" });
        failed += i32::from(checked.is_err());
    }
    if found == 0 {
        println!("none of the packages could be installed");
    }
    ExitCode::from(u8::from(failed > 0 || found == 0))
}
