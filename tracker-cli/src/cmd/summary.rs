//! `memtrack summary`: the capture on one page.

use std::process::ExitCode;

use tracker_core::report::summary::Summary;
use tracker_core::report::suppress::Applied;

use crate::args::{CaptureArg, CountArgs, FilterArgs, FrameArgs};
use crate::error::Error;
use crate::output::look::Look;
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    #[command(flatten)]
    counted: CountArgs,
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
    let capture = captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?;
    if args.json {
        output::print_json(&Summary::of(&args.filter.select(&capture.profile)?))?;
    } else {
        let builtin = Applied::builtin(&capture.profile);
        let shown = args.frames.shown(capture.profile, args.json, (&args.filter, builtin));
        output::print(&output::summary::text(look, &args.filter.select_shown(&shown)?, &shown.applied))?;
    }
    Ok(ExitCode::SUCCESS)
}
