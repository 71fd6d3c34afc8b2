//! `memtrack stats`: how a program allocates.

use std::process::ExitCode;

use tracker_core::report::StatsJson;
use tracker_core::report::stats::Stats;
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
    /// Functions in each list
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    count: usize,
    /// Write JSON (memtrack.stats/1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Prints them.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let capture = captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?;
    let shown = args.frames.shown(capture.profile, args.json, (&args.filter, Applied::default()));
    let selection = args.filter.select_shown(&shown)?;
    let stats = Stats::of(&selection, args.count);
    if args.json {
        output::print_json(&StatsJson { selection: &selection, stats: &stats })?;
    } else {
        output::print(&output::stats::text(look, &selection, &stats))?;
    }
    Ok(ExitCode::SUCCESS)
}
