//! `memtrack export`: a capture in another tool's format.

use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::export::{self, Exporter};
use tracker_core::report::metric::Metric;

use crate::args::{CaptureArg, FilterArgs, TimeArgs, metric};
use crate::captures;
use crate::error::Error;
use crate::output::file;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// collapsed: one line per stack, `root;…;leaf VALUE`; svg: a flamegraph as a picture
    #[arg(long, value_name = "NAME", value_parser = format)]
    format: &'static dyn Exporter,
    /// allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary; of a part of the time, peak is what was
    /// live at its end
    #[arg(long, value_name = "NAME", value_parser = metric, default_value = "peak")]
    metric: Metric,
    /// Where to write; `-` is stdout
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Overwrite the file
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

fn format(name: &str) -> Result<&'static dyn Exporter, String> {
    let known = || export::ALL.map(|exporter| exporter.name()).join(", ");
    let found = export::ALL.into_iter().find(|exporter| exporter.name() == name);
    found.ok_or_else(|| format!("known formats are {}", known()))
}

/// Writes it.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let out = file::Target::new(&args.output, args.force)?;
    let capture = captures::read(args.capture.capture.as_deref())?;
    captures::warn(&capture.path, &capture.profile);
    let capture = capture.within(args.time.asked())?;
    let selection = args.filter.select(&capture.profile)?;
    out.write(|out| args.format.export(&selection, args.metric, out))?;
    Ok(ExitCode::SUCCESS)
}
