//! `memtrack diff`: what changed between two runs, or two builds, of a program.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracker_core::report::diff::Diff;
use tracker_core::report::filter::Selection;
use tracker_core::report::interpreter::Judged;
use tracker_core::report::metric::Metric;
use tracker_core::report::suppress::Applied;

use web::{SideNames, export_diff_html};

use crate::args::{CountArgs, FilterArgs, FrameArgs, RedactArg, metric};
use crate::error::Error;
use crate::output::diff::Shown;
use crate::output::file::{Target, wrote};
use crate::output::look::Look;
use crate::output::note;
use crate::{captures, output};

/// Its flags.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "With several captures on each side a change counts as significant when all values after lie beyond \
                        all\nvalues before, by more than those of either side lie apart."
)]
pub(crate) struct Args {
    /// The capture before
    #[arg(value_name = "BEFORE", required_unless_present = "befores", conflicts_with = "befores", requires = "new")]
    old: Option<PathBuf>,
    /// The capture after
    #[arg(value_name = "AFTER")]
    new: Option<PathBuf>,
    /// A capture before; give it and --after several times to tell changes from noise
    #[arg(id = "befores", long = "before", value_name = "CAPTURE", requires = "afters")]
    befores: Vec<PathBuf>,
    /// A capture after
    #[arg(id = "afters", long = "after", value_name = "CAPTURE", requires = "befores")]
    afters: Vec<PathBuf>,
    /// allocations, allocated, leaked, leaked-blocks, peak, peak-blocks or temporary
    #[arg(long, value_name = "NAME", value_parser = metric, default_value = "peak")]
    metric: Metric,
    /// Most stacks, 0 for all [default: 10 in text, all in JSON]
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<usize>,
    /// Frames of each stack, 0 for all
    #[arg(long, value_name = "FRAMES", default_value_t = 16)]
    depth: usize,
    /// Show stacks that changed no more than captures of one side differ among themselves, too (JSON always has them)
    #[arg(long)]
    noise: bool,
    /// Write JSON (memtrack.diff/1)
    #[arg(long)]
    json: bool,
    /// Write a page with one flamegraph of both sides, coloured by what grew: a file that needs no network
    #[arg(long, conflicts_with_all = ["json", "count", "depth", "noise"])]
    html: bool,
    /// Where to write the page; `-` is stdout [default: beside the capture after, .diff.html instead of .mtk]
    #[arg(short, long, value_name = "FILE", requires = "html")]
    output: Option<PathBuf>,
    /// Overwrite the file
    #[arg(short, long, requires = "html")]
    force: bool,
    #[command(flatten)]
    counted: CountArgs,
    #[command(flatten)]
    frames: FrameArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    redact: RedactArg,
}

/// Prints it, or writes the page.
pub(crate) fn run(args: &Args, look: &Look) -> Result<ExitCode, Error> {
    let target = if args.html { Some(args.target()?) } else { None };
    let (before, after) = (args.side(&args.befores, &args.old)?, args.side(&args.afters, &args.new)?);
    let diff = Diff::new(select(&args.filter, &before)?, select(&args.filter, &after)?, args.metric);
    match target {
        Some((path, target)) => args.write_page(&diff, &path, target),
        None => args.print(diff, look),
    }?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The page's file.
    fn target(&self) -> Result<(PathBuf, Target), Error> {
        let beside = || self.afters.iter().chain(&self.new).next().map(|path| path.with_extension("diff.html"));
        let path = self.output.clone().or_else(beside).unwrap_or_else(|| "-".into());
        let target = Target::new(&path, self.force)?;
        Ok((path, target))
    }

    fn side(&self, several: &[PathBuf], one: &Option<PathBuf>) -> Result<Vec<Judged<'static>>, Error> {
        let profile = |path: &PathBuf| {
            let profile = self.redact.shown(captures::summed(path, self.counted.pymalloc())?);
            Ok(self.frames.shown(profile, self.json, (&self.filter, Applied::default())))
        };
        several.iter().chain(one).map(profile).collect()
    }

    fn write_page(&self, diff: &Diff<'_>, path: &Path, target: Target) -> Result<(), Error> {
        let names = |several: &[PathBuf], one: &Option<PathBuf>| {
            several.iter().chain(one).map(|path| captures::name(path)).collect()
        };
        let names = SideNames { before: names(&self.befores, &self.old), after: names(&self.afters, &self.new) };
        target.write(|mut out| export_diff_html(diff, &names, &mut out))?;
        if path.as_os_str() != "-" {
            note(&wrote(path, diff.is_redacted()));
        }
        Ok(())
    }

    fn print(&self, mut diff: Diff<'_>, look: &Look) -> Result<(), Error> {
        let default = if self.json { 0 } else { 10 };
        let count = Some(self.count.unwrap_or(default)).filter(|&count| count > 0).unwrap_or(usize::MAX);
        if self.json {
            diff.shorten(count);
            return output::print_json(&diff);
        }
        let depth = if self.depth == 0 { usize::MAX } else { self.depth };
        output::print(&output::diff::text(look, &diff, Shown { count, depth, noise: self.noise }))
    }
}

fn select<'p>(filter: &FilterArgs, side: &'p [Judged<'_>]) -> Result<Vec<Selection<'p>>, Error> {
    side.iter().map(|shown| filter.select_shown(shown)).collect()
}
