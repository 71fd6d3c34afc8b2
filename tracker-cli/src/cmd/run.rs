//! `memtrack run`: records a program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tracker_core::format::lanes::flag;

use crate::error::Error;
use crate::launch::{self, Ended, Plan, Recording, Request};

/// Run a program and record every heap allocation of it and its children
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put the capture; %p process id, %n program, %h host, %t time [default: memtrack.%n.%p.mtk]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace an existing capture
    #[arg(short, long)]
    force: bool,

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

    /// Record mmap and munmap, too
    #[arg(long)]
    mmap: bool,

    /// Fail with the documented exit codes when a budget is broken or the program cannot be recorded
    #[arg(long)]
    check: bool,

    /// A budget for --check, such as peak=256MiB
    #[arg(long, value_name = "KEY=VALUE")]
    max: Vec<String>,

    /// Use this recording library
    #[arg(long, value_name = "FILE", hide = true)]
    preload_lib: Option<PathBuf>,

    /// The program
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

/// Exit code of `--check` for a program that cannot be recorded.
const UNTRACKED: u8 = 3;

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let quiet = args.quiet;
    let check = args.check;
    let name = args.program.clone();
    let plan = Plan::new(request(args))?;
    let untracked = plan.target.untracked;
    if let Some(reason) = untracked
        && !quiet
    {
        let name = name.display();
        eprintln!("memtrack: {name} runs without being recorded: {} (memtrack doctor {name})", reason.text());
    }
    let started = plan.start()?;
    let capture = started.capture.clone();
    let ended = started.watch();
    if !quiet {
        summarize(&capture, &ended);
    }
    let code = launch::end_like(ended.exit);
    Ok(ExitCode::from(if check && untracked.is_some() && code == 0 { UNTRACKED } else { code }))
}

fn request(args: Args) -> Request {
    let mut flags = 0;
    for (wanted, bit) in [
        (args.children == Children::Ignore, flag::IGNORE_CHILDREN),
        (args.order == Order::Exact, flag::ORDER_EXACT),
        (args.mmap, flag::RECORD_MAPS),
    ] {
        flags |= if wanted { bit } else { 0 };
    }
    Request {
        program: args.program,
        arguments: args.arguments,
        output: args.output,
        force: args.force,
        wait: args.wait,
        flags,
        preload: args.preload_lib,
    }
}

/// What the collector's counters know, without reading the capture.
fn summarize(capture: &Path, ended: &Ended) {
    let path = capture.display();
    match &ended.recording {
        Recording::Done(counts) => {
            eprintln!(
                "memtrack: {} allocations, {} frees, {} lost events",
                counts.allocations, counts.frees, counts.lost
            );
            if !counts.stopped.is_empty() {
                eprintln!("memtrack: the capture ends early: {}", counts.stopped);
            }
            eprintln!("memtrack: wrote {path} ({} bytes)", counts.bytes);
        }
        Recording::Running(images) => {
            let others = if *images == 1 { "another process" } else { &format!("{images} other processes") };
            eprintln!("memtrack: the program has ended; {others} of it still recorded into {path}");
        }
        Recording::Lost => {
            eprintln!("memtrack: the collector has died; {path} holds what it had written until then");
        }
    }
}
