//! `memtrack strings`: every text that a capture would reveal to whoever gets it.

use std::process::ExitCode;

use serde::Serialize;
use tracker_core::capture::strip::TextKind;
use tracker_core::report::share::texts;

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;
use crate::output::clean::clean;
use crate::output::{print, print_json};

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// Write JSON (memtrack.strings/1)
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json<'t> {
    schema: &'static str,
    strings: Vec<Row<'t>>,
}

#[derive(Serialize)]
struct Row<'t> {
    kind: &'static str,
    text: &'t str,
}

/// Prints them: one a line, its kind before it.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let texts = texts(&path).map_err(|error| Error::capture(error.to_string()))?;
    if args.json {
        let strings = texts.iter().map(|(kind, text)| Row { kind: kind.name(), text }).collect();
        print_json(&Json { schema: "memtrack.strings/1", strings })?;
    } else {
        let line = |(kind, text): &(TextKind, String)| format!("{:<16}{}\n", kind.name(), clean(text));
        print(&texts.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}
