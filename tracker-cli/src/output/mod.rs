//! Everything the commands print: how text looks, how numbers read, one file per view.
//!
//! Views turn plain data into a `String`; only [`print()`], [`print_json`] and [`note`] touch the terminal. Names from a
//! capture pass through [`clean::clean`] before they become text.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use tracker_core::report::escaping;

use crate::error::Error;

pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod columns;
pub(crate) mod diff;
pub(crate) mod file;
pub(crate) mod head;
mod leaked;
pub(crate) mod look;
pub(crate) mod places;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod run_summary;
pub(crate) mod stack;
pub(crate) mod stats;
pub(crate) mod summary;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timeline;
pub(crate) mod tree;
pub(crate) mod trust;
pub(crate) mod units;
pub(crate) mod wrap;

/// Writes `text` to stdout.
///
/// # Errors
/// stdout cannot be written. A reader that went away (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    to_stdout(|out| out.write_all(text.as_bytes()))
}

/// Writes `value` and a newline to stdout, indented where a person looks.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Error> {
    to_stdout(|out| {
        if io::stdout().is_terminal() {
            escaping::to_writer_pretty(&mut *out, value)?;
        } else {
            escaping::to_writer(&mut *out, value)?;
        }
        out.write_all(b"\n")
    })
}

/// Lets `write` fill stdout.
///
/// # Errors
/// As [`print()`].
pub(crate) fn to_stdout(write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), Error> {
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    // What could not be written is dropped, not tried again.
    let _ = out.into_parts();
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::usage(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes finished lines to stderr, if there is one.
pub(crate) fn print_note(text: &str) {
    // Nobody is left to be told that stderr is gone.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Writes a line to stderr, if there is one. File names in it are safe to print.
pub(crate) fn note(text: &str) {
    // Nobody is left to be told that stderr is gone.
    let lines: Vec<_> = text.split('\n').map(clean::clean).collect();
    let _ = writeln!(io::stderr(), "memtrack: {}", lines.join("\n"));
}
