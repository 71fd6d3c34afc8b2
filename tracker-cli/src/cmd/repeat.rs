//! `run --check --repeat`: the program several times, each time recorded into a capture of its own.
//!
//! Each of these runs is a `memtrack run` of its own, so that a program is recorded, stopped and ended in the same way
//! whether it is one of several or not.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::{SystemTime, UNIX_EPOCH};

use tracker_core::capture::meta;

use super::run::Args;
use crate::error::Error;
use crate::launch;
use crate::launch::output::{Names, numbered, program_name};
use crate::sys::host;

/// How it went.
pub(super) enum Ended {
    /// A run of the program failed, in this way.
    Early(ExitCode),
    /// All captures are there.
    Recorded(Vec<PathBuf>),
}

/// Runs the program `warmup` times without and `repeat` times with a recording.
///
/// # Errors
/// It cannot be started.
pub(super) fn run(args: &Args, repeat: u32, warmup: u32) -> Result<Ended, Error> {
    let (name, program, arguments) = args.command()?;
    let names = Names {
        pid: std::process::id(),
        program: program_name(name),
        host: host::names().0,
        unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let captures = numbered(args.output.as_deref(), &names, repeat)?;
    for _ in 0..warmup {
        // Also for its message about a program that is not there.
        let (file, _) = launch::inspect(&program)?;
        let status = Command::new(file).arg0(&program).args(&arguments).status();
        let status = status.map_err(|error| Error::with_code(126, format!("cannot run the program: {error}")))?;
        if !status.success() {
            return Ok(Ended::Early(end_like(status)));
        }
    }
    let own = std::env::current_exe().map_err(|error| Error::usage(format!("cannot find memtrack itself: {error}")))?;
    for capture in &captures {
        let mut command = Command::new(&own);
        // Whatever stood for something in the name has been replaced already.
        let capture = capture.to_string_lossy().replace('%', "%%");
        command.args(args.of_one()).arg("--output").arg(capture).arg("--").arg(&program).args(&arguments);
        let status = command.status().map_err(|error| Error::usage(format!("cannot run memtrack again: {error}")))?;
        if !status.success() {
            return Ok(Ended::Early(end_like(status)));
        }
    }
    Ok(Ended::Recorded(captures))
}

fn end_like(status: ExitStatus) -> ExitCode {
    let exit = match (status.code(), status.signal()) {
        (Some(code), _) => meta::ExitStatus::Code(code),
        (None, signal) => meta::ExitStatus::Signal(signal.unwrap_or_default()),
    };
    ExitCode::from(launch::end_like(exit))
}
