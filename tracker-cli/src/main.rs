//! `memtrack`: records every heap allocation of a program and answers what leaks, what made the peak, what churns.
//!
//! Parses, dispatches, and maps errors to exit codes. `unsafe` lives in [`sys`] only.

use std::process::ExitCode;

mod args;
mod budgets;
mod captures;
mod cmd;
mod collect;
mod crash;
mod elf;
mod error;
mod launch;
mod output;
mod preload;
mod suppressions;
mod sys;

#[global_allocator]
static HEAP: sys::heap::Heap = sys::heap::Heap;

fn main() -> ExitCode {
    crash::install();
    match cmd::run(args::parse()) {
        Ok(code) => code,
        Err(error) => {
            output::note(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}
