//! `memtrack tree`: callers and callees with their bytes.

use std::process::ExitCode;

use tracker_core::report::TreeJson;
use tracker_core::report::metric::Metric;
use tracker_core::report::suppress::Applied;
use tracker_core::report::tree::Tree;

use crate::args::{CaptureArg, CountArgs, FilterArgs, FrameArgs, TimeArgs, metric};
use crate::error::Error;
use crate::output::look::Look;
use crate::output::tree::Cut;
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    #[command(flatten)]
    counted: CountArgs,
    /// allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary; of a part of the time, peak is what was
    /// live at its end
    #[arg(long, value_name = "NAME", value_parser = metric, default_value = "peak")]
    metric: Metric,
    /// From the allocating functions to their callers
    #[arg(long)]
    inverted: bool,
    /// Smallest share shown, in per cent
    #[arg(long, value_name = "PERCENT", value_parser = percent, default_value = "1")]
    threshold: f64,
    /// Deepest call shown [default: all]
    #[arg(long, value_name = "CALLS")]
    depth: Option<u32>,
    /// Show the middle of long call chains, too
    #[arg(long)]
    full: bool,
    /// Write JSON (memtrack.tree/1): the whole tree as a flat list, callers first
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>();
    number.ok().filter(|p| (0.0..=100.0).contains(p)).ok_or_else(|| "write 0 to 100".to_owned())
}

/// Prints it.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let capture =
        captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?.within(args.time.asked())?;
    let shown = args.frames.shown(capture.profile, args.json, (&args.filter, Applied::default()));
    let selection = args.filter.select_shown(&shown)?;
    let tree = Tree::new(&selection, args.metric, args.inverted);
    let (metric, inverted) = (args.metric, args.inverted);
    if args.json {
        output::print_json(&TreeJson { selection: &selection, tree: &tree, metric, inverted })?;
    } else {
        let depth = args.depth.unwrap_or(u32::MAX);
        let cut = Cut { threshold: args.threshold, depth, full: args.full };
        output::print(&output::tree::text(look, &selection, &tree, (metric, inverted), cut))?;
    }
    Ok(ExitCode::SUCCESS)
}
