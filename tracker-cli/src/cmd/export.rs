//! `memtrack export`: a capture in another tool's format.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use tracker_core::export::{self, Exporter, Request};
use tracker_core::report::events::Recorded;
use tracker_core::report::metric::Metric;

use crate::args::{CaptureArg, CountArgs, FilterArgs, RedactArg, TimeArgs, metric};
use crate::captures::{self, Capture};
use crate::error::Error;
use crate::output::file;
use crate::output::progress::Progress;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    #[command(flatten)]
    counted: CountArgs,
    /// What to write
    #[arg(long, value_name = "NAME", value_parser = Formats)]
    format: &'static dyn Exporter,
    /// allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary; of a part of the time, peak is what was
    /// live at its end [default: peak]
    #[arg(long, value_name = "NAME", value_parser = metric)]
    metric: Option<Metric>,
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
    #[command(flatten)]
    redact: RedactArg,
}

/// Every format by its name.
#[derive(Clone)]
struct Formats;

impl TypedValueParser for Formats {
    type Value = &'static dyn Exporter;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        let names = PossibleValuesParser::new(export::ALL.map(|exporter| exporter.name()));
        let name = names.parse_ref(command, argument, value)?;
        export::by_name(&name).ok_or_else(|| clap::Error::new(clap::error::ErrorKind::InvalidValue))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |exporter: &dyn Exporter| PossibleValue::new(exporter.name()).help(exporter.about());
        Some(Box::new(export::ALL.into_iter().map(value)))
    }
}

/// Writes it.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let out = file::Target::new(&args.output, args.force)?;
    let path = captures::find(args.capture.capture.as_deref())?;
    let profile = if args.format.needs_time() {
        captures::profile(&path, args.counted.pymalloc())
    } else {
        captures::summed(&path, args.counted.pymalloc())
    }?;
    captures::warn(&path, &profile);
    let Capture { path, profile } = Capture { path, profile }.within(args.time.asked())?;
    let profile = args.redact.shown(profile);
    let selection = args.filter.select(&profile)?;
    export::check(args.format, &selection, args.metric).map_err(|refusal| Error::usage(refusal.to_string()))?;
    let mut progress = Progress::new("reading");
    let mut step = |done, all| progress.step(done, all);
    let events = Recorded::open(&path, &profile, &mut step);
    let mut events = events.map_err(|error| Error::capture(error.to_string()))?;
    let metric = args.metric.unwrap_or(Metric::Peak);
    let request = Request { selection: &selection, metric, events: &mut events };
    let written = out.write(|out| args.format.export(request, out));
    match events.failure() {
        Some(failure) => Err(Error::capture(format!("{} {failure}", path.display()))),
        None => written.map(|()| ExitCode::SUCCESS),
    }
}
