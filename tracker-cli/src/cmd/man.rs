//! `memtrack man`: manual pages, one for each command, for packages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::error::Error;

/// Its flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder to write into; made if it is not there
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Writes them.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let failed = |error| Error::usage(format!("cannot write into {}: {error}", args.folder.display()));
    fs::create_dir_all(&args.folder).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}
