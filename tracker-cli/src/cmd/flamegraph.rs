//! `memtrack flamegraph`: the page as one file that needs no network, or a picture.

use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::export::{self, Request};
use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use web::export_html;

use crate::args::{CaptureArg, CountArgs, RedactArg, TimeArgs, metric};
use crate::captures::{self, Capture};
use crate::error::Error;
use crate::output::file::{Target, wrote};
use crate::output::{head, note};
use crate::suppressions::{SuppressionArgs, applied};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    #[command(flatten)]
    counted: CountArgs,
    /// Where to write; `-` is stdout [default: beside the capture, .html instead of .mtk]. A name that ends in .svg is a
    /// picture of one metric
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(short, long)]
    force: bool,
    /// Of a picture: allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary
    #[arg(long, value_name = "NAME", value_parser = metric, default_value = "peak")]
    metric: Metric,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    suppressions: SuppressionArgs,
    #[command(flatten)]
    redact: RedactArg,
}

/// Writes it and says where.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let output = args.output.clone().unwrap_or_else(|| path.with_extension("html"));
    let target = Target::new(&output, args.force)?;
    let name = captures::name(&path);
    let profile = captures::profile(&path, args.counted.pymalloc())?;
    captures::warn(&path, &profile);
    let Capture { profile, .. } = Capture { profile, path }.within(args.time.asked())?;
    let name = match &profile.span {
        Some(span) => format!("{name}, {} (peak: live at its end)", head::span_text(span)),
        None => name,
    };
    let suppressions = args.suppressions.load_for(&profile)?;
    // By the names as they were.
    let suppressed = applied(&suppressions, &profile)?;
    let profile = args.redact.shown(profile);
    let picture = output.extension().is_some_and(|ending| ending == "svg");
    target.write(|mut out| match export::by_name("svg").filter(|_| picture) {
        Some(svg) => {
            let selection = Selection::whole(&profile);
            svg.export(Request { selection: &selection, metric: args.metric, events: &mut Vec::new() }, &mut out)
        }
        None => export_html(&profile, &name, &suppressed, &mut out),
    })?;
    if output.as_os_str() != "-" {
        note(&wrote(&output, profile.redacted));
    }
    Ok(ExitCode::SUCCESS)
}
