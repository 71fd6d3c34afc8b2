//! \[unsafe\] What the program does to itself that concerns us: it builds a seccomp sandbox, in which a system call of ours
//! may be its death, or it names a thread. Both pass `prctl` and `syscall`, which are looked at in passing.

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, Ordering};

use tracker_core::format::record;

use crate::thread::{self, Hook, with_recorder};
use crate::unwind::Start;
use crate::{os, real};

/// Numbers that the entry points look for.
pub(crate) const SET_NAME: c_int = libc::PR_SET_NAME;
pub(crate) const SET_SECCOMP: c_int = libc::PR_SET_SECCOMP;
pub(crate) const SYS_PRCTL: i64 = 157;
pub(crate) const SYS_SECCOMP: i64 = 317;

/// `seccomp` operations that restrict the caller.
const RESTRICTING: usize = libc::SECCOMP_SET_MODE_FILTER as usize;

/// Never unset: nobody leaves a sandbox. Fork children inherit it with the memory.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Whether this process has built a sandbox since its image started. From then on nothing here makes a system call that
/// the program did not ask for, but for memory. (One that it was started in counts no more than the machine does:
/// containers are such.)
pub(crate) fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Whether the page of an address can be read, as far as that may be asked: in a sandbox nothing can.
pub(crate) fn is_readable(address: usize) -> bool {
    !is_active() && os::is_readable(address)
}

/// Runs `build`, which answers 0 when the sandbox stands. Believed in from before, for the sake of other threads.
fn building<T: PartialEq + From<i8>>(build: impl FnOnce() -> T) -> T {
    let before = ACTIVE.swap(true, Ordering::AcqRel);
    let result = build();
    if result != T::from(0) {
        ACTIVE.store(before, Ordering::Release);
    }
    result
}

pub(crate) unsafe extern "C" fn prctl(option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int {
    // SAFETY: forwarding is exact: no option has more arguments.
    let call = || unsafe { real::prctl(option, a, b, c, d) };
    match option {
        SET_SECCOMP => building(call),
        SET_NAME => named(call),
        _ => call(),
    }
}

pub(crate) unsafe extern "C" fn syscall(
    number: i64,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> i64 {
    // SAFETY: forwarding is exact: the two calls that come here have fewer arguments.
    let call = || unsafe { real::syscall(number, a, b, c, d, e, f) };
    match (number, a as c_int) {
        (SYS_SECCOMP, _) if a <= RESTRICTING => building(call),
        (SYS_PRCTL, SET_SECCOMP) => building(call),
        (SYS_PRCTL, SET_NAME) => named(call),
        _ => call(),
    }
}

/// Runs `call`, which names the calling thread, and records what it is called then.
fn named<T: PartialEq + From<i8>>(call: impl FnOnce() -> T) -> T {
    let result = call();
    if result == T::from(0) && !is_active() {
        let mut buffer = [0; 16];
        record_name(thread::id_of(thread::control_block()), os::thread_name(&mut buffer));
    }
    result
}

pub(crate) unsafe fn pthread_setname_np(thread: usize, name: *const c_char) -> c_int {
    // SAFETY: forwarding is exact.
    let result = unsafe { real::pthread_setname(thread, name) };
    if result == 0 {
        // SAFETY: the C library has read the name.
        record_name(thread::id_of(thread), unsafe { CStr::from_ptr(name) }.to_bytes());
    }
    result
}

/// Where ids are unknown, the collector's looks at names have to do.
fn record_name(tid: u32, name: &[u8]) {
    if tid != 0
        && let Some(hook) = &Hook::enter(Start::NOWHERE)
    {
        with_recorder!(hook, |recorder, _frames| {
            recorder.note(|buffer| record::write_thread_name(buffer, tid, true, name));
        });
    }
}
