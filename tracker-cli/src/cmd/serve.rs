//! `memtrack serve`: the page in the browser, for this machine only.

use std::process::ExitCode;

use web::ServeOptions;

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// Port on the loopback address, 0 for any free one
    #[arg(short = 'P', long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Open the page in the desktop's browser
    #[arg(long)]
    open: bool,
}

/// Serves until Ctrl-C.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    // Read before anything is served, so that a bad capture is this command's error and not the page's.
    let mut first = Some(captures::profile(&path)?);
    let options =
        ServeOptions { port: args.port, open: args.open, name: captures::name(&path), ..ServeOptions::default() };
    let source = move || match first.take() {
        Some(profile) => Ok(profile),
        None => captures::profile(&path).map_err(|error| error.to_string()),
    };
    web::serve(source, options).map_err(|error| Error::usage(format!("cannot serve: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
