//! The command line: its grammar, and the argument groups that several commands share.

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser};
use tracker_core::report::filter::{Filter, Selection};
use tracker_core::report::interpreter::Judged;
use tracker_core::report::metric::Metric;
use tracker_core::report::pattern::Pattern;
use tracker_core::report::profile::{Profile, Pymalloc};
use tracker_core::report::share::redact;
use tracker_core::report::span::{self, Asked, Moment};
use tracker_core::report::suppress::Applied;

use crate::cmd::Command;
use crate::error::Error;
use crate::output::look::Color;

/// Records every heap allocation of a Linux program, with its call stack, and answers what leaks, what made the peak,
/// and what churns.
///
/// `memtrack PROGRAM ARGS…` is short for `memtrack run PROGRAM ARGS…`. Commands that read take the newest capture in
/// this folder when none is named.
#[derive(Debug, Parser)]
#[command(name = "memtrack", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 ok, 1 `check` found a broken budget, 2 usage, 3 unreadable capture.\n\
                        `run` passes on the program's own.")]
pub(crate) struct Cli {
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The capture to read.
#[derive(Debug, clap::Args)]
pub(crate) struct CaptureArg {
    /// Capture file [default: the newest in this folder]
    #[arg(value_name = "CAPTURE")]
    pub(crate) capture: Option<PathBuf>,
}

/// What counts.
#[derive(Debug, clap::Args)]
pub(crate) struct CountArgs {
    /// Of a recording with --python-allocators, count the arenas that Python's small objects lie in, in place of the objects
    #[arg(long)]
    arenas: bool,
}

impl CountArgs {
    /// What counts of memory that is recorded twice.
    pub(crate) fn pymalloc(&self) -> Pymalloc {
        if self.arenas { Pymalloc::Arenas } else { Pymalloc::Objects }
    }
}

/// Which part of a capture is shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only this process row, at its own peak (numbers as in `memtrack summary`)
    #[arg(long, value_name = "N")]
    process: Option<u32>,
    /// Only this thread: its number in `memtrack summary`, or a part of its name
    #[arg(long, value_name = "N|NAME")]
    thread: Option<String>,
    /// Only what happened in the region of this name, which the program marks; `leaked` is what was live when it ended
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Only stacks with such a function: a part of its name; `*` any characters, `^` start, `$` end
    #[arg(long, value_name = "PATTERN")]
    function: Vec<String>,
    /// Only stacks through such a library or program: a part of its path, as above
    #[arg(long, value_name = "PATTERN")]
    module: Vec<String>,
}

impl FilterArgs {
    /// Whether nothing is filtered.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { process, thread, region, function, module } = self;
        process.is_none() && thread.is_none() && region.is_none() && function.is_empty() && module.is_empty()
    }

    /// Applies them.
    ///
    /// # Errors
    /// A process, thread or region that is not in the capture.
    pub(crate) fn select<'p>(&self, profile: &'p Profile) -> Result<Selection<'p>, Error> {
        self.filter().select(profile).map_err(|error| Error::usage(error.to_string()))
    }

    /// Applies them to what [`FrameArgs::shown`] answered with them.
    ///
    /// # Errors
    /// As [`Self::select`].
    pub(crate) fn select_shown<'p>(&self, shown: &'p Judged<'_>) -> Result<Selection<'p>, Error> {
        let selected = self.filter().select_matching(&shown.profile, &shown.matching);
        selected.map_err(|error| Error::usage(error.to_string()))
    }

    fn filter(&self) -> Filter {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        Filter {
            process: self.process,
            thread: self.thread.clone(),
            region: self.region.clone(),
            functions: patterns(&self.function),
            modules: patterns(&self.module),
        }
    }
}

/// What an output says of the machine and the work.
#[derive(Debug, clap::Args)]
pub(crate) struct RedactArg {
    /// For sharing: leave out arguments, host and working folder, and shorten paths, as `memtrack strip` does
    #[arg(long)]
    redact: bool,
}

impl RedactArg {
    /// The profile with the texts that may be shown.
    pub(crate) fn shown(&self, profile: Profile) -> Profile {
        if self.redact { redact(profile) } else { profile }
    }
}

/// Whose frames are shown.
#[derive(Debug, clap::Args)]
pub(crate) struct FrameArgs {
    /// Show the frames that the Python interpreter needs to run Python functions, too (JSON always has them)
    #[arg(long)]
    interpreter: bool,
}

impl FrameArgs {
    /// The profile with the frames that are shown: text shows fewer than `json`. What suppressions set apart and what filters
    /// select does not depend on that.
    pub(crate) fn shown<'s>(
        &self,
        profile: Profile,
        json: bool,
        (filter, applied): (&FilterArgs, Applied<'s>),
    ) -> Judged<'s> {
        let matching = filter.filter().matching(&profile);
        let judged = Judged { profile, applied, matching };
        if self.interpreter || json { judged } else { judged.without_interpreter() }
    }
}

/// Which part of a capture's time is shown.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Time")]
pub(crate) struct TimeArgs {
    /// What is live at one moment: 1.5s, 250ms, 10%, -2s (before the end), peak, end
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true, conflicts_with_all = ["from", "to"])]
    at: Option<Moment>,
    /// Only what was allocated from this time on; leaks are blocks that were not freed before --to
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    from: Option<Moment>,
    /// Only what was allocated before this time; +2s counts from --from
    #[arg(long, value_name = "TIME", value_parser = moment, allow_hyphen_values = true)]
    to: Option<Moment>,
}

fn moment(text: &str) -> Result<Moment, String> {
    span::parse(text).ok_or_else(|| "write a time like 1.5s, 250ms, 10%, -2s, peak or end".to_owned())
}

impl TimeArgs {
    /// Whether one moment is asked for.
    pub(crate) fn is_moment(&self) -> bool {
        self.at.is_some()
    }

    /// What is asked for.
    pub(crate) fn asked(&self) -> Asked {
        Asked { at: self.at, from: self.from, to: self.to }
    }
}

/// For `value_parser`: a metric by its name.
pub(crate) fn metric(name: &str) -> Result<Metric, String> {
    Metric::from_name(name).ok_or_else(|| {
        let known = Metric::ALL.map(Metric::name).join(", ");
        format!("known metrics are {known}")
    })
}

/// Reads the command line; prints help and usage errors itself and exits.
pub(crate) fn parse() -> Cli {
    Cli::parse_from(with_run(env::args_os().collect()))
}

/// `memtrack ./prog args` is `memtrack run ./prog args`: the first word that is neither an option nor a command is a
/// program, if there is one. Else it stays, and the parser suggests a command.
fn with_run(mut words: Vec<OsString>) -> Vec<OsString> {
    let Some(first) = words.get(1) else { return words };
    let is_command = |word: &str| {
        word == "help"
            || Cli::command()
                .get_subcommands()
                .any(|known| known.get_name() == word || known.get_all_aliases().any(|a| a == word))
    };
    let runs = match first.to_str() {
        Some("--") => true,
        Some(word) if word.starts_with('-') || is_command(word) => false,
        _ => is_program(Path::new(first)),
    };
    if runs {
        words.insert(1, "run".into());
    }
    words
}

fn is_program(word: &Path) -> bool {
    if word.as_os_str().as_encoded_bytes().contains(&b'/') {
        // Whatever is wrong with it, `run` says so better.
        return true;
    }
    let executable =
        |path: PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| executable(folder.join(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expected: &str) {
        let words = std::iter::once("memtrack").chain(words.split_whitespace());
        let words = with_run(words.map(OsString::from).collect());
        let words: Vec<_> = words.iter().skip(1).map(|word| word.to_string_lossy()).collect();
        assert_eq!(words.join(" "), expected);
    }

    #[test]
    fn a_program_needs_no_run() {
        check("./prog -x", "run ./prog -x");
        check("sh -c true", "run sh -c true");
        check("-- prog", "run -- prog");
        check("report --leaks", "report --leaks");
        check("help run", "help run");
        check("--version", "--version");
        check("sumary", "sumary");
        check("", "");
    }

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
