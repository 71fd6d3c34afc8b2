//! `memtrack summary`: the capture on one page.

use std::process::ExitCode;

use tracker_core::report::summary::Summary;

use crate::args::{CaptureArg, FilterArgs, FrameArgs};
use crate::error::Error;
use crate::output::look::Look;
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// Write JSON (memtrack.summary/1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Prints it.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let capture = captures::read(args.capture.capture.as_deref())?;
    let profile = args.frames.shown(capture.profile, args.json);
    let selection = args.filter.select(&profile)?;
    if args.json {
        output::print_json(&Summary::of(&selection))?;
    } else {
        output::print(&output::summary::text(look, &selection))?;
    }
    Ok(ExitCode::SUCCESS)
}
