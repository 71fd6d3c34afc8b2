//! The only place of the command line with `unsafe`: thin, safe wrappers over the system calls that the standard
//! library does not offer. Every function here does one thing and decides nothing.
//!
//! Who upholds what: a wrapper checks its arguments itself, or takes types that cannot be wrong (`OwnedFd`,
//! references). [`process`] alone has a rule for its callers: fork only while the process has one thread, which it
//! checks.

pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod heap;
pub(crate) mod host;
pub(crate) mod lanes;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod start;

use std::io;

/// The usual convention of libc: -1 is an error in `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
