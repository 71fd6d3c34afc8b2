//! `memtrack timeline`: memory over time.

use std::process::ExitCode;

use tracker_core::report::TimelineJson;
use tracker_core::report::filter::Selection;
use tracker_core::report::levels::levels;

use crate::args::{CaptureArg, CountArgs};
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
    /// Write comma-separated values, one line per interval
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Write JSON (memtrack.timeline/1)
    #[arg(long)]
    json: bool,
}

/// Prints it.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let capture = captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?;
    let levels = levels(&capture.profile);
    let selection = Selection::whole(&capture.profile);
    if args.csv {
        output::print(&output::timeline::csv(&levels))?;
    } else if args.json {
        output::print_json(&TimelineJson { selection: &selection, levels: &levels })?;
    } else {
        output::print(&output::timeline::text(look, &selection, &levels))?;
    }
    Ok(ExitCode::SUCCESS)
}
