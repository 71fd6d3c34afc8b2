//! One file per subcommand; adding one is a file and two lines here.

use std::process::ExitCode;

use clap::Subcommand;

use crate::args::Cli;
use crate::error::Error;
use crate::output::look::Look;

mod baseline;
pub(crate) mod check;
mod completions;
mod diff;
mod doctor;
mod dump;
mod export;
mod flamegraph;
mod man;
mod repeat;
mod report;
mod run;
mod seal;
mod serve;
mod stats;
mod strings;
mod strip;
mod summary;
mod symbolize;
mod table;
mod timeline;
mod tree;
mod verify;

/// What memtrack can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record a program
    Run(run::Args),
    /// What was recorded, and its numbers on one page
    Summary(summary::Args),
    /// Stacks that leak, made the peak, or churn
    Report(report::Args),
    /// Callers and callees with their bytes
    Tree(tree::Args),
    /// Functions, modules, files, threads or processes with their bytes
    Table(table::Args),
    /// Memory over time as a plot
    Timeline(timeline::Args),
    /// Sizes, allocator functions, and the busiest functions
    Stats(stats::Args),
    /// Timeline and flamegraph as one HTML file
    Flamegraph(flamegraph::Args),
    /// Timeline and flamegraph in the browser, on this machine only
    Serve(serve::Args),
    /// Compare a capture with a memory budget, for CI
    Check(check::Args),
    /// Keep the numbers of a capture for later budgets to be compared with
    Baseline(baseline::Args),
    /// What changed between two runs or builds of a program
    Diff(diff::Args),
    /// Write a capture in another tool's format
    Export(export::Args),
    /// Make a capture open at once, with names and lines on any machine; reading it does, too
    Seal(seal::Args),
    /// Add names and lines from symbol files found later
    Symbolize(symbolize::Args),
    /// Check every block of a capture, and its index against its events
    Verify(verify::Args),
    /// Print every record of a capture
    Dump(dump::Args),
    /// Write a copy of a capture for sharing
    Strip(strip::Args),
    /// List every text that a capture would reveal
    Strings(strings::Args),
    /// Write manual pages into a folder
    Man(man::Args),
    /// Print what a shell needs to complete command lines
    Completions(completions::Args),
    /// Explain whether and how a program can be recorded
    Doctor(doctor::Args),
}

/// Runs the chosen command.
///
/// # Errors
/// Those of the command, each with its exit code.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Error> {
    let look = || Look::of_stdout(cli.color);
    match cli.command {
        Command::Run(args) => run::run(args, &Look::of_stderr(cli.color)),
        Command::Summary(args) => summary::run(&args, &look()),
        Command::Report(args) => report::run(&args, &look()),
        Command::Tree(args) => tree::run(&args, &look()),
        Command::Table(args) => table::run(&args, &look()),
        Command::Timeline(args) => timeline::run(&args, &look()),
        Command::Stats(args) => stats::run(&args, &look()),
        Command::Flamegraph(args) => flamegraph::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args, &look()),
        Command::Baseline(args) => baseline::run(&args),
        Command::Diff(args) => diff::run(&args, &look()),
        Command::Export(args) => export::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Symbolize(args) => symbolize::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Dump(args) => dump::run(&args),
        Command::Strip(args) => strip::run(&args),
        Command::Strings(args) => strings::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Doctor(args) => doctor::run(args),
    }
}
