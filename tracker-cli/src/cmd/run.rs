//! `memtrack run`: records a program.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracker_core::budget::Outcome;
use tracker_core::capture::meta;
use tracker_core::format::lanes::flag;
use tracker_core::report::filter::Selection;
use tracker_core::report::profile::Pymalloc;
use tracker_core::report::quantity;

use super::{check, repeat};
use crate::budgets::results::{self, Terminal};
use crate::budgets::{BudgetArgs, Budgets};
use crate::captures::{self, Capture};
use crate::error::Error;
use crate::launch::output::exposed;
use crate::launch::{self, Ended, Plan, Recording, Request};
use crate::output::look::Look;
use crate::output::run_summary::{next, run_summary};
use crate::output::units::counted;
use crate::output::{note, print_note};

/// Run a program and record every heap allocation of it and its children
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put the capture; %p process id, %n program, %h host, %t time [default: memtrack.%n.%p.mtk]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,

    /// Replace an existing capture
    #[arg(short, long)]
    force: bool,

    /// Stop recording when the capture has this size, such as 2GiB; the program goes on, and an index may come on top
    #[arg(long, value_name = "SIZE", value_parser = max_size)]
    max_size: Option<u64>,

    /// Print nothing, and leave the summary to the first reader
    #[arg(short, long)]
    quiet: bool,

    /// Wait for all processes of the tree, not only for the program itself
    #[arg(long)]
    wait: bool,

    /// Whether processes that the program starts are recorded, too
    #[arg(long, value_enum, default_value_t = Children::Follow)]
    children: Children,

    /// How events of different threads are ordered: fast (the peak may be off by 4 KiB per thread) or exact (slower)
    #[arg(long, value_enum, default_value_t = Order::Fast)]
    order: Order,

    /// Check the stack cache against a full walk at every allocation; differences are counted and reported (slow)
    #[arg(long, value_enum, default_value_t = Unwind::Cached)]
    unwind: Unwind,

    /// PROGRAM is a Python module: run it as `python3 -m` does, with the Python of the active virtual environment or of PATH
    #[arg(short, long)]
    module: bool,

    /// Record no Python frames: the stacks of Python programs are native only
    #[arg(long)]
    no_python: bool,

    /// Record every object of Python's memory and object domains, small ones too, with its own stack (slow); without this,
    /// small objects count as the arenas they lie in
    #[arg(long, conflicts_with = "no_python")]
    python_allocators: bool,

    /// Count anonymous mappings (mmap, mremap, munmap) as blocks, too
    #[arg(long)]
    mmap: bool,

    /// Wait for the whole tree and judge the budgets: fail when one is broken (see --error-exitcode), or with 3 when the
    /// recording cannot tell. The program's own failure comes first
    #[arg(long)]
    check: bool,

    /// Judge a recording of a program that did not end, or lost events, too
    #[arg(long, requires = "check")]
    allow_partial: bool,

    /// Run the program so often; the least of each number counts [default: 1, or what the budget file says]
    #[arg(long, value_name = "TIMES", requires = "check", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: Option<u32>,

    /// Run the program so often before that, without recording it
    #[arg(long, value_name = "TIMES", requires = "check", value_parser = clap::value_parser!(u32).range(..=1000))]
    warmup: Option<u32>,

    #[command(flatten)]
    budget: BudgetArgs,

    /// Exit code of a broken budget
    #[arg(long, value_name = "CODE", requires = "check", default_value_t = 97)]
    error_exitcode: u8,

    /// Use this recording library
    #[arg(long, value_name = "FILE", hide = true)]
    preload_lib: Option<PathBuf>,

    /// The program. A Python script that is no program by itself runs with the interpreter that its first line names, or that
    /// of the active virtual environment, or of PATH
    #[arg(value_name = "PROGRAM")]
    program: OsString,

    /// Its arguments
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Children {
    Follow,
    Ignore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    Fast,
    Exact,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Unwind {
    Cached,
    Check,
}

/// Smallest limit of a capture: with less there may be no room for more than the description of the program.
const MIN_SIZE: u64 = 1 << 20;

/// For `value_parser`: the limit of a capture's size in bytes.
fn max_size(text: &str) -> Result<u64, String> {
    match quantity::size(text) {
        Some(bytes) if bytes >= MIN_SIZE => Ok(bytes),
        Some(_) => Err("a capture needs at least 1MiB".to_owned()),
        None => Err("this is no size; write for example 256MiB, 1.5GB or 2_000_000".to_owned()),
    }
}

/// Exit code of `--check` for a program that cannot be recorded.
const UNTRACKED: u8 = 3;

pub(crate) fn run(args: Args, look: &Look) -> Result<ExitCode, Error> {
    let Args { quiet, check, error_exitcode, allow_partial, .. } = args;
    if args.budget.is_used() && !check {
        return Err(Error::usage("flags about budgets go with --check"));
    }
    let budgets = check.then(|| args.budget.load()).transpose()?;
    let judge = budgets.as_ref().map(|budgets| Judge { budgets, quiet, allow_partial, look });
    if let Some(judge) = &judge {
        let (repeat, warmup) = judge.budgets.runs();
        let (repeat, warmup) = (args.repeat.or(repeat).unwrap_or(1), args.warmup.or(warmup).unwrap_or(0));
        if repeat > 1 || warmup > 0 {
            return match repeat::run(&args, repeat, warmup)? {
                repeat::Ended::Early(code) => Ok(code),
                repeat::Ended::Recorded(captures) => Ok(ExitCode::from(match judge.all(&captures) {
                    Ok(true) => 0,
                    Ok(false) => error_exitcode,
                    Err(error) => {
                        note(&error.to_string());
                        error.code()
                    }
                })),
            };
        }
    }
    let name = args.program.clone();
    let plan = Plan::new(request(args)?)?;
    if let Some(reason) = Plan::obstacle() {
        if check {
            return Err(Error::with_code(UNTRACKED, format!("{} is not run: {reason}", name.display())));
        }
        if !quiet {
            note(&format!("{} runs without being recorded: {reason}", name.display()));
        }
        return Err(plan.run_alone());
    }
    let untracked = plan.target.untracked;
    if let Some(reason) = untracked
        && (check || !quiet)
    {
        let name = name.display();
        note(&format!("{name} runs without being recorded: {} (memtrack doctor {name})", reason.text()));
    }
    let started = plan.start()?;
    let capture = started.capture.clone();
    let ended = started.watch();
    if !quiet {
        tell(&capture, &ended);
        exposed(&capture).iter().for_each(|text| note(text));
    }
    let over = matches!(ended.recording, Recording::Done(_) | Recording::Lost(_));
    let kept = match &judge {
        _ if untracked.is_some() => Ok(true),
        Some(_) if !over => {
            Err(Error::capture(format!("{} is still being recorded: the budgets were not judged", capture.display())))
        }
        Some(judge) if judge.budgets.updates() && ended.exit != meta::ExitStatus::Code(0) => {
            Err(Error::usage("the program failed: no baseline was written, and the budgets were not judged"))
        }
        // A quiet run without a budget never replays: the first reader does.
        None if quiet || !over => Ok(true),
        judge => review(&capture, quiet, judge.as_ref()),
    };
    if let Err(error) = &kept {
        note(&error.to_string());
    }
    let code = launch::end_like(ended.exit);
    let verdict = match (untracked, kept) {
        (Some(_), _) if check => UNTRACKED,
        (_, Ok(false)) => error_exitcode,
        // Nobody knows whether the budgets are kept. Without budgets the program's own status is what counts.
        (_, Err(error)) if check => error.code(),
        _ => 0,
    };
    Ok(ExitCode::from(if code == 0 { verdict } else { code }))
}

/// What `--check` judges by.
struct Judge<'a> {
    budgets: &'a Budgets,
    quiet: bool,
    allow_partial: bool,
    look: &'a Look,
}

impl Judge<'_> {
    /// Judges the captures of repeated runs, and tells the result. Whether the budgets are kept.
    fn all(&self, paths: &[PathBuf]) -> Result<bool, Error> {
        self.captures(&self.budgets.read_all(paths)?)
    }

    fn captures(&self, captures: &[Capture]) -> Result<bool, Error> {
        check::refuse_partial(captures, self.allow_partial)?;
        let runs: Vec<_> = captures.iter().map(|capture| Selection::whole(&capture.profile)).collect();
        let budget = self.budgets.complete(captures)?;
        if budget.rules.is_empty() {
            note("there is no budget, so nothing was judged: give --max KEY=VALUE, or write memtrack.toml");
        }
        let verdict = self.budgets.judge(&runs, &budget)?;
        let loud = !self.quiet || !verdict.outcomes.iter().all(Outcome::kept);
        if let Some(first) = captures.first() {
            let wanted = self.budgets.wanted();
            results::tell(self.look, &verdict, &first.path, wanted, Terminal::Stderr { loud })?;
        }
        Ok(verdict.passed())
    }
}

/// Replays the capture: the summary unless `quiet`, the budgets if there are any. Whether they are kept.
fn review(capture: &Path, quiet: bool, judge: Option<&Judge<'_>>) -> Result<bool, Error> {
    if !capture.exists() {
        return Err(Error::capture(format!("{} is gone: somebody removed it during the run", capture.display())));
    }
    let profile = match judge {
        Some(judge) => judge.budgets.read(capture),
        None => captures::profile(capture, Pymalloc::default()),
    }?;
    let capture = Capture { path: capture.to_owned(), profile };
    if !quiet {
        print_note(&run_summary(&capture.profile, &capture.path));
    }
    let Some(judge) = judge else { return Ok(true) };
    let captures = [capture];
    let kept = judge.captures(&captures)?;
    if let [Capture { path, profile }] = &captures
        && !quiet
    {
        captures::warn(path, profile);
    }
    Ok(kept)
}

impl Args {
    /// The flags of one of several recordings, whose budgets are judged elsewhere.
    pub(super) fn of_one(&self) -> Vec<OsString> {
        // Each flag is named, so that a new one has to be decided about here.
        let Self {
            force,
            max_size,
            children,
            order,
            unwind,
            no_python,
            python_allocators,
            mmap,
            preload_lib,
            // Decided by what repeats: one capture each, told about and judged together.
            output: _,
            quiet: _,
            wait: _,
            check: _,
            allow_partial: _,
            repeat: _,
            warmup: _,
            budget: _,
            error_exitcode: _,
            // Given as `command` finds them.
            module: _,
            program: _,
            arguments: _,
        } = self;
        let mut words: Vec<OsString> = ["run", "--quiet", "--wait"].map(OsString::from).to_vec();
        for (wanted, flag) in [
            (*force, "--force"),
            (*no_python, "--no-python"),
            (*python_allocators, "--python-allocators"),
            (*mmap, "--mmap"),
            (*children == Children::Ignore, "--children=ignore"),
            (*order == Order::Exact, "--order=exact"),
            (*unwind == Unwind::Check, "--unwind=check"),
        ] {
            words.extend(wanted.then(|| flag.into()));
        }
        if let Some(bytes) = max_size {
            words.extend(["--max-size".into(), bytes.to_string().into()]);
        }
        if let Some(library) = preload_lib {
            words.extend(["--preload-lib".into(), library.clone().into_os_string()]);
        }
        words
    }

    /// What is run: as its user calls it, and the program with its arguments.
    ///
    /// # Errors
    /// There is no such program.
    pub(super) fn command(&self) -> Result<(&OsStr, OsString, Vec<OsString>), Error> {
        let (program, arguments) = launch::command(&self.program, self.module, self.arguments.clone())?;
        Ok((&self.program, program, arguments))
    }
}

fn request(args: Args) -> Result<Request, Error> {
    let mut flags = 0;
    for (wanted, bit) in [
        (args.children == Children::Ignore, flag::IGNORE_CHILDREN),
        (args.order == Order::Exact, flag::ORDER_EXACT),
        (args.mmap, flag::RECORD_MAPS),
        (args.no_python, flag::NO_PYTHON),
        (args.python_allocators, flag::PYTHON_OBJECTS),
        (args.unwind == Unwind::Check, flag::UNWIND_CHECK),
    ] {
        flags |= if wanted { bit } else { 0 };
    }
    let (program, arguments) = launch::command(&args.program, args.module, args.arguments)?;
    Ok(Request {
        name: args.program,
        program,
        arguments,
        output: args.output,
        force: args.force,
        max_size: args.max_size.unwrap_or(u64::MAX),
        // A budget is one of the whole tree.
        wait: args.wait || args.check,
        silent: args.quiet && !args.check,
        flags,
        preload: args.preload_lib,
    })
}

/// What is known without reading the capture, where that is not the whole story.
fn tell(capture: &Path, ended: &Ended) {
    let path = capture.display();
    match &ended.recording {
        Recording::Done(counts) if counts.stopped.is_empty() => {}
        Recording::Done(counts) => note(&format!("the capture ends early: {}", counts.stopped)),
        Recording::Running(images) => {
            let others = match images {
                // A fork child that has not allocated yet is no image.
                0 | 1 => "another process of it is".to_owned(),
                _ => format!("{images} other processes of it are"),
            };
            note(&format!("the program has ended; {others} still recorded into {path}"));
            print_note(&next("summary", capture));
        }
        Recording::Unfinished => note(&format!("not waiting: the collector is still writing {path}")),
        Recording::Lost(None) => {
            note(&format!("the collector has died; {path} holds what it had written until then"));
        }
        Recording::Lost(Some(counts)) => {
            let lost = counted(counts.lost, "event");
            note(&format!("the collector has died; {path} holds what was there until then; {lost} missing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Words {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn repeats_record_what_was_asked_for() {
        let flags = [
            "--force",
            "--no-python",
            "--mmap",
            "--children=ignore",
            "--order=exact",
            "--unwind=check",
            "--max-size=2MiB",
            "--preload-lib=/x.so",
        ];
        let objects = ["--python-allocators"];
        for flags in [&flags[..], &objects] {
            let words = ["run"].iter().chain(flags).chain(&["--check", "--repeat=3", "--max=peak=1KiB", "./app"]);
            let args = Words::try_parse_from(words).expect("flags").args;
            let again = args.of_one().into_iter().chain(["./app".into()]).skip(1);
            let one = Words::try_parse_from(["run".into()].into_iter().chain(again)).expect("the same flags").args;
            assert!(one.quiet && one.wait && !one.check && one.repeat.is_none());
            let Args { force, max_size, children, order, unwind, no_python, python_allocators, mmap, .. } = &args;
            assert_eq!((force, max_size, children), (&one.force, &one.max_size, &one.children));
            assert_eq!((order, unwind, mmap), (&one.order, &one.unwind, &one.mmap));
            assert_eq!((no_python, python_allocators), (&one.no_python, &one.python_allocators));
            assert_eq!(args.preload_lib, one.preload_lib);
        }
    }
}
