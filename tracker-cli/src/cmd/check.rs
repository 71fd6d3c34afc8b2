//! `memtrack check`: does the program still fit its memory budget?

use std::path::PathBuf;
use std::process::ExitCode;

use tracker_core::budget::baseline::program_name;

use crate::args::FilterArgs;
use crate::budgets::BudgetArgs;
use crate::budgets::results::{self, Terminal, Wanted};
use crate::captures::Capture;
use crate::error::Error;
use crate::output::check::partial;
use crate::output::look::Look;

/// Its flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Budgets: peak, rss, leaked, largest, alloc_bytes take sizes (256MiB, 1.5GB, 2_000_000); peak_blocks, \
                        leaked_blocks,\nallocs, temporary take counts; growth takes rates (1MiB/min); temporary_ratio takes \
                        percentages, and so do leaked\n(of the allocated bytes), leaked_blocks and temporary (of the \
                        allocations). +5% or +64KiB is so much more than\nthe baseline. Budget files: docs/ci.md."
)]
pub(crate) struct Args {
    /// Captures of the same program, of which the least of each number counts [default: the newest in this folder]
    #[arg(value_name = "CAPTURE")]
    captures: Vec<PathBuf>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Judge a capture that is cut, running, or of a program that could not be recorded, too
    #[arg(long)]
    allow_partial: bool,
    /// Write JSON (memtrack.check/1); short for --format json
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Judges and prints. Exit code 0 when every limit is kept, 1 when one is broken, 3 when the capture cannot tell.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let budgets = args.budget.load()?;
    if (budgets.is_relative() || budgets.updates()) && !args.filter.is_empty() {
        return Err(Error::usage("a baseline is of the whole program: use rules of a budget file in place of filters"));
    }
    let captures = budgets.read_all(&args.captures)?;
    refuse_strangers(&captures)?;
    let runs = captures.iter().map(|capture| args.filter.select(&capture.profile));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    refuse_partial(&captures, args.allow_partial)?;
    let budget = budgets.complete(&captures)?;
    if budget.rules.is_empty() {
        return Err(Error::usage(
            "there is no budget: give --max KEY=VALUE, or write memtrack.toml with a [budget] (memtrack check --help)",
        ));
    }
    let verdict = budgets.judge(&runs, &budget)?;
    let mut wanted = budgets.wanted().to_vec();
    if args.json {
        wanted.push(Wanted::here("json"));
    }
    if let Some(first) = captures.first() {
        results::tell(look, &verdict, &first.path, &wanted, Terminal::Stdout)?;
    }
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// No verdict where a capture is not the whole story, lest a script or a person takes it for one.
///
/// # Errors
/// There is such a capture, and it is not allowed.
pub(crate) fn refuse_partial(captures: &[Capture], allowed: bool) -> Result<(), Error> {
    let reason = captures.iter().find_map(|capture| Some((capture.path.display(), partial(&capture.profile)?)));
    match reason.filter(|_| !allowed) {
        Some((path, reason)) => {
            Err(Error::capture(format!("{path} {reason}: this proves nothing (--allow-partial judges it anyway)")))
        }
        None => Ok(()),
    }
}

/// Several captures are several runs of one program.
///
/// # Errors
/// They are not.
pub(crate) fn refuse_strangers(captures: &[Capture]) -> Result<(), Error> {
    let mut names = captures.iter().map(|capture| (program_name(&capture.profile), capture.path.display()));
    let Some((first, _)) = names.next() else { return Ok(()) };
    match names.find(|(name, _)| *name != first) {
        Some((name, path)) => Err(Error::usage(format!(
            "{path} is a capture of {name:?}, the first one is of {first:?}; judge them apart"
        ))),
        None => Ok(()),
    }
}
