//! `memtrack report`: the stacks behind a number.

use std::process::ExitCode;

use clap::ValueEnum;
use tracker_core::report::quantity;
use tracker_core::report::rows::{Grouping, Kind, Limits, Order, Report};
use tracker_core::report::suppress::Applied;

use crate::args::{CaptureArg, CountArgs, FilterArgs, FrameArgs, TimeArgs};
use crate::error::Error;
use crate::output::look::Look;
use crate::suppressions::{SuppressionArgs, applied};
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    #[command(flatten)]
    counted: CountArgs,
    /// Blocks that were never freed (the default, but with --at)
    #[arg(long, group = "kind")]
    leaks: bool,
    /// Blocks that were live at the peak; with --at or --to: at that time
    #[arg(long, group = "kind")]
    peak: bool,
    /// Allocations that were freed right after, with at most one other allocation of their thread in between
    #[arg(long, group = "kind")]
    temporary: bool,
    /// All allocations
    #[arg(long, group = "kind")]
    allocations: bool,
    /// Most stacks, 0 for all [default: 10 in text, all in JSON]
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<usize>,
    /// Only stacks with at least so much, for example 64KiB
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0")]
    min_bytes: u64,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Frames of each stack, 0 for all
    #[arg(long, value_name = "FRAMES", default_value_t = 16)]
    depth: usize,
    /// Write JSON (memtrack.leaks/1 and its siblings), one row per stack, process and thread
    #[arg(long)]
    json: bool,
    /// Exit with this code when any leak is left
    #[arg(long, value_name = "CODE", conflicts_with_all = ["peak", "temporary", "allocations"])]
    error_exitcode: Option<u8>,
    /// Say on stderr how much each suppression set apart, and which matched nothing
    #[arg(long, conflicts_with_all = ["peak", "temporary", "allocations"])]
    print_suppressions: bool,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    suppressions: SuppressionArgs,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Sort {
    #[default]
    Bytes,
    Blocks,
}

fn size(text: &str) -> Result<u64, String> {
    quantity::size(text).ok_or_else(|| "write a size like 4096, 64KiB or 1.5MB".to_owned())
}

impl Args {
    fn kind(&self) -> Kind {
        match (self.peak, self.temporary, self.allocations) {
            (true, _, _) => Kind::Peak,
            (_, true, _) => Kind::Temporary,
            (_, _, true) => Kind::Allocations,
            _ if self.time.is_moment() && !self.leaks => Kind::Peak,
            _ => Kind::Leaks,
        }
    }

    fn limits(&self) -> Limits {
        let default = if self.json { 0 } else { 10 };
        let order = match self.sort {
            Sort::Bytes => Order::Bytes,
            Sort::Blocks => Order::Blocks,
        };
        Limits {
            grouping: if self.json { Grouping::Thread } else { Grouping::Stack },
            order,
            count: Some(self.count.unwrap_or(default)).filter(|&count| count > 0),
            min_bytes: self.min_bytes,
        }
    }
}

/// Prints it.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    // A broken file is an error before anything is read.
    args.suppressions.load(&[])?;
    let capture =
        captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?.within(args.time.asked())?;
    let suppressions = args.suppressions.load_for(&capture.profile)?;
    // Elsewhere they shall not keep stacks apart that look the same.
    let applied = match args.kind().is_suppressed() {
        true => applied(&suppressions, &capture.profile)?,
        false => Applied::default(),
    };
    let shown = args.frames.shown(capture.profile, args.json, (&args.filter, applied));
    let selection = args.filter.select_shown(&shown)?;
    let report = Report::new(selection, args.kind(), &args.limits(), &shown.applied);
    if args.json {
        output::print_json(&report)?;
    } else {
        let depth = if args.depth == 0 { usize::MAX } else { args.depth };
        output::print(&output::report::text(look, &report, depth))?;
    }
    if args.print_suppressions {
        let names: Vec<String> = suppressions.names().map(str::to_owned).collect();
        output::print_note(&output::report::suppressions(&report, &names));
    }
    match args.error_exitcode.filter(|_| report.sum.blocks > 0) {
        Some(code) => Ok(ExitCode::from(code)),
        None => Ok(ExitCode::SUCCESS),
    }
}
