//! `memtrack doctor`: explains whether and how a program can be recorded.

use std::process::ExitCode;

use crate::error::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Result<ExitCode, Error> {
    Err(Error::usage("not there yet"))
}
