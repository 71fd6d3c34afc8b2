//! `memtrack table`: functions, modules, files, threads or processes with what they hold and what passes through them.

use std::process::ExitCode;

use clap::ValueEnum;
use tracker_core::report::TableJson;
use tracker_core::report::metric::Metric;
use tracker_core::report::suppress::Applied;
use tracker_core::report::table::{By, Table};

use crate::args::{CaptureArg, CountArgs, FilterArgs, FrameArgs, TimeArgs, metric};
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
    /// function, module, file, thread or process
    #[arg(long, value_name = "WHAT", value_parser = by, default_value = "function")]
    by: By,
    /// allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary
    #[arg(long, value_name = "NAME", value_parser = metric, default_value = "peak")]
    metric: Metric,
    /// What comes first
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Most rows, 0 for all [default: 20 in text, all in JSON]
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<usize>,
    /// Write JSON (memtrack.table/1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Sort {
    #[default]
    #[value(name = "self")]
    Own,
    Total,
    Name,
}

fn by(name: &str) -> Result<By, String> {
    By::from_name(name).ok_or_else(|| format!("known are {}", By::ALL.map(By::name).join(", ")))
}

/// Prints it.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let capture =
        captures::read(args.capture.capture.as_deref(), args.counted.pymalloc())?.within(args.time.asked())?;
    let shown = args.frames.shown(capture.profile, args.json, (&args.filter, Applied::default()));
    let selection = args.filter.select_shown(&shown)?;
    let mut table = Table::new(&selection, args.by, args.metric);
    match args.sort {
        Sort::Own => {}
        Sort::Total => table.rows.sort_by_key(|row| std::cmp::Reverse(row.total)),
        Sort::Name => table.rows.sort_by(|a, b| a.name.cmp(&b.name)),
    }
    let default = if args.json { 0 } else { 20 };
    let count = Some(args.count.unwrap_or(default)).filter(|&count| count > 0).unwrap_or(usize::MAX);
    if args.json {
        table.rows.truncate(count);
        output::print_json(&TableJson { selection: &selection, table: &table, by: args.by, metric: args.metric })?;
    } else {
        output::print(&output::table::text(look, &selection, &table, (args.by, args.metric), count))?;
    }
    Ok(ExitCode::SUCCESS)
}
