//! `memtrack dump`: every record of a capture, for people who look at bytes.

use std::fs::File;
use std::process::ExitCode;

use tracker_core::capture::dump::{DumpError, dump};

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;
use crate::output::to_stdout;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
}

/// Prints them.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let failed = |error: &dyn std::fmt::Display| Error::capture(format!("{}: {error}", path.display()));
    let file = File::open(&path).map_err(|error| failed(&error))?;
    let mut unreadable = None;
    to_stdout(|out| match dump(&file, out) {
        Ok(()) => Ok(()),
        Err(DumpError::Write(error)) => Err(error),
        Err(error) => {
            unreadable = Some(failed(&error));
            Ok(())
        }
    })?;
    unreadable.map_or(Ok(ExitCode::SUCCESS), Err)
}
