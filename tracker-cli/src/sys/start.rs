//! The state this process was started in, before Rust's runtime changed it: the runtime ignores SIGPIPE and opens
//! /dev/null on closed standard descriptors. The program must get what we got.

use std::sync::atomic::{AtomicU8, Ordering};

const SIGPIPE_IGNORED: u8 = 1 << 3;

static STATE: AtomicU8 = AtomicU8::new(0);

/// Runs with the other constructors, before `main` and so before Rust's runtime.
#[used]
// SAFETY: an entry of .init_array is a function pointer with the C calling convention; glibc calls it with three
// arguments, which the callee may ignore.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let mut state = 0;
    for fd in 0..3 {
        // SAFETY: F_GETFD only asks.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            state |= 1 << fd;
        }
    }
    // SAFETY: all-zero is a valid sigaction; the call only writes the old one into it.
    let ignored = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    };
    if ignored {
        state |= SIGPIPE_IGNORED;
    }
    STATE.store(state, Ordering::Relaxed);
}

/// Whether SIGPIPE was ignored when we were started.
pub(super) fn sigpipe_ignored() -> bool {
    STATE.load(Ordering::Relaxed) & SIGPIPE_IGNORED != 0
}

/// Those of the descriptors 0 to 2 that were closed when we were started.
pub(super) fn closed() -> impl Iterator<Item = libc::c_int> {
    let state = STATE.load(Ordering::Relaxed);
    (0..3).filter(move |fd| state & 1 << fd != 0)
}
