//! `memtrack seal`: appends the index that makes a capture open at once, on any machine.

use std::process::ExitCode;

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;
use crate::output::{note, units};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
}

/// Seals and says so.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let (bytes, already) = captures::seal(&path)?;
    let how = if already { "was sealed already" } else { "is sealed" };
    note(&format!("{} {how}, with an index of {}", path.display(), units::bytes(bytes)));
    Ok(ExitCode::SUCCESS)
}
