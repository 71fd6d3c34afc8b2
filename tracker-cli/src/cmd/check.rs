//! `memtrack check`: does the program still fit its memory budget?

use std::process::ExitCode;

use tracker_core::report::budget::{self, Limit, Verdict};
use tracker_core::report::filter::Selection;
use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::Suppressions;

use crate::args::{CaptureArg, FilterArgs, SuppressionArgs};
use crate::error::Error;
use crate::output::look::Look;
use crate::{captures, output};

/// Stacks named below a broken budget.
const WORST: usize = 5;

/// Its flags.
#[derive(Debug, clap::Args)]
#[command(after_help = "Budgets: peak, rss, leaked, alloc_bytes take sizes (256MiB, 1.5GB, 2_000_000); peak_blocks, \
                        leaked_blocks,\nallocs, temporary take counts. leaked (of the allocated bytes), leaked_blocks and \
                        temporary (of the\nallocations) also take percentages.")]
pub(crate) struct Args {
    #[command(flatten)]
    capture: CaptureArg,
    /// A limit, for example peak=256MiB or leaked=0; may be given several times
    #[arg(long, value_name = "KEY=VALUE", required = true, value_parser = limit)]
    max: Vec<Limit>,
    /// Judge a capture that is cut, running, or of a program that could not be recorded, too
    #[arg(long)]
    allow_partial: bool,
    /// Write JSON (memtrack.check/1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    suppressions: SuppressionArgs,
}

/// For `value_parser`: one limit.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    budget::parse(text).map_err(|error| error.to_string())
}

/// Judges and prints. Exit code 0 when every limit is kept, 1 when one is broken, 3 when the capture cannot tell.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let suppressions = args.suppressions.load()?;
    let capture = captures::read(args.capture.capture.as_deref())?;
    let selection = args.filter.select(&capture.profile)?;
    let verdict = budget::evaluate(selection, &args.max, &suppressions, WORST);
    if !args.allow_partial
        && let Some(reason) = output::check::partial(&capture.profile)
    {
        // No verdict, lest a script or a person takes it for one.
        let path = capture.path.display();
        return Err(Error::capture(format!("{path} {reason}: this proves nothing (--allow-partial judges it anyway)")));
    }
    if args.json {
        output::print_json(&verdict)?;
    } else {
        output::print(&output::check::text(look, &verdict))?;
    }
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// For `run --check`: the lines to print about `limits`, and whether all of them are kept.
pub(crate) fn after_run(
    look: &Look,
    profile: &Profile,
    limits: &[Limit],
    suppressions: &Suppressions,
) -> (String, bool) {
    let whole = Selection::whole(profile);
    let verdict: Verdict<'_, '_> = budget::evaluate(whole, limits, suppressions, WORST);
    (output::check::budgets(look, &verdict), verdict.passed())
}
