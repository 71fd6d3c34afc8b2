//! `memtrack strip`: a copy of a capture for people who should not know whose machine and work it was.

use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::report::share::Shareable;

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;
use crate::output::clean::clean;
use crate::output::file::Target;
use crate::output::note;
use crate::output::progress::Progress;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// Leave out arguments, host, working folder and embedded files, and shorten paths: those below the working folder become
    /// relative, of others outside the system's folders the file's name stays. Names of functions and threads stay
    #[arg(long, required = true)]
    redact: bool,
    /// Where to write; `-` is stdout [default: beside the capture, .redacted.mtk instead of .mtk]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(short, long)]
    force: bool,
}

/// Writes it and says where.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let output = args.output.clone().unwrap_or_else(|| path.with_extension("redacted.mtk"));
    let target = Target::new(&output, args.force)?;
    let mut progress = Progress::new("reading");
    let shareable = Shareable::open(&path, &mut |done, all| progress.step(done, all))
        .map_err(|error| Error::capture(error.to_string()))?;
    drop(progress);
    let Some(shareable) = shareable else {
        let path = path.display();
        return Err(Error::capture(format!("{path} is still being recorded; strip it when the program has ended")));
    };
    target.write(|out| shareable.write(out))?;
    if output.as_os_str() != "-" {
        let output = output.to_string_lossy();
        note(&format!("wrote {}; `memtrack strings` lists every text in it", clean(&output)));
    }
    Ok(ExitCode::SUCCESS)
}
