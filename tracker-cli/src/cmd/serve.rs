//! `memtrack serve`: the page in the browser, for this machine only.

use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::report::profile::Pymalloc;
use web::{ServeOptions, Source};

use crate::args::CountArgs;
use crate::captures;
use crate::error::Error;
use crate::suppressions::SuppressionArgs;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Capture files, also of programs that are still running [default: the newest in this folder]
    #[arg(value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Port on the loopback address, 0 for any free one
    #[arg(short = 'P', long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Listen on a new socket at PATH that only you can open, for `ssh -L 8000:PATH`, instead of on a port
    #[arg(long, value_name = "PATH", conflicts_with_all = ["port", "open"])]
    socket: Option<PathBuf>,
    /// Open the page in the desktop's browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    counted: CountArgs,
    #[command(flatten)]
    suppressions: SuppressionArgs,
}

/// Serves until Ctrl-C.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let parent = Some(parent_id());
    let paths = if args.captures.is_empty() { vec![captures::find(None)?] } else { args.captures.clone() };
    // Read before anything is served, so that a bad capture is this command's error and not the page's.
    let pymalloc = args.counted.pymalloc();
    let mut first = paths.first().map(|path| captures::profile(path, pymalloc)).transpose()?;
    // Those that the first capture's program carries hold for all: they are captures of one program, as a rule.
    let suppressions = match &first {
        Some(profile) => args.suppressions.load_for(profile),
        None => args.suppressions.load(&[]),
    }?;
    // So does what the first one has twice, which the page shows in one way or the other.
    let other = first.as_ref().and_then(|profile| profile.pymalloc).map(Pymalloc::other);
    let mut source = |path: &PathBuf, pymalloc: Pymalloc| -> Box<dyn Source> {
        let (path, mut read) = (path.clone(), first.take());
        Box::new(move || match read.take() {
            Some(profile) => Ok(profile),
            None => captures::profile(&path, pymalloc).map_err(|error| error.to_string()),
        })
    };
    let mut sources = Vec::new();
    for path in &paths {
        let name = captures::name(path);
        sources.push((name.clone(), source(path, pymalloc)));
        if let Some(other) = other {
            sources.push((format!("{name}, {}", other.name()), source(path, other)));
        }
    }
    let options = ServeOptions {
        port: args.port,
        socket: args.socket.clone(),
        open: args.open,
        suppressions,
        parent,
        ..ServeOptions::default()
    };
    web::serve(sources, options).map_err(|error| Error::usage(format!("cannot serve: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
