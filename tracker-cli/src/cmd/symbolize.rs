//! `memtrack symbolize`: names and lines from files that are there now, kept in the capture.

use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::symbol::SymbolOptions;

use crate::args::CaptureArg;
use crate::captures;
use crate::error::Error;
use crate::output::note;
use crate::output::units::counted;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// Folder with separate debug files, by build-id or path; may be given several times. /usr/lib/debug is one, too
    #[arg(long, value_name = "DIR")]
    debug_dir: Vec<PathBuf>,
    /// Copy of the recorded machine's file system, to look programs and libraries up in
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
}

/// Names what can be named and says what is left.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let path = captures::find(args.capture.capture.as_deref())?;
    let mut files = SymbolOptions { sysroot: args.sysroot.clone(), ..SymbolOptions::default() };
    files.debug_dirs.splice(0..0, args.debug_dir.iter().cloned());
    let (profile, appended) = captures::symbolize(&path, files)?;
    let left = match profile.totals.unresolved_frames {
        0 => "all frames have names".to_owned(),
        number => format!("{} without a name left", counted(number, "frame")),
    };
    let news = if appended > 0 { "new names are in" } else { "nothing new for" };
    note(&format!("{news} {}: {left}", path.display()));
    Ok(ExitCode::SUCCESS)
}
