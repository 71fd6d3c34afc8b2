//! `memtrack baseline save`: the numbers of a capture as a small file to commit, for limits such as peak=+5%.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use tracker_core::report::filter::Selection;

use super::check;
use crate::budgets::BudgetArgs;
use crate::error::Error;
use crate::output::clean::clean;
use crate::output::note;

/// Its subcommands.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write what was measured, for the whole program and for each rule of the budget
    Save(Save),
}

#[derive(Debug, clap::Args)]
struct Save {
    /// Captures of the same program, of which the least of each number counts [default: the newest in this folder]
    #[arg(value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    /// Where to write; %n is the program's name [default: where the budget has its baseline, or .memtrack/baseline.json]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take a capture that is cut, running, or of a program that could not be recorded, too
    #[arg(long)]
    allow_partial: bool,
    #[command(flatten)]
    budget: BudgetArgs,
}

/// Writes it and says where.
pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let Action::Save(args) = &args.action;
    let budgets = args.budget.load()?;
    let captures = budgets.read_all(&args.captures)?;
    check::refuse_partial(&captures, args.allow_partial)?;
    check::refuse_strangers(&captures)?;
    let runs: Vec<_> = captures.iter().map(|capture| Selection::whole(&capture.profile)).collect();
    for path in budgets.save(&runs, args.output.as_deref())? {
        note(&format!("wrote {}; commit it", clean(&path.to_string_lossy())));
    }
    Ok(ExitCode::SUCCESS)
}
