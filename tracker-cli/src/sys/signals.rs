//! Signals as the parent and the collector need them: all blocked and read as messages, ignored, or passed on.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::check;

pub(crate) use libc::{SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGKILL};

/// Signals by which somebody asks a process to end.
pub(crate) const ENDINGS: [libc::c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// More that end or stop a process that does nothing about them, and that may be sent to a whole session or control
/// group.
const OTHERS: [libc::c_int; 7] =
    [libc::SIGPIPE, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU, libc::SIGXFSZ];

/// A set of blocked signals.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

/// Blocks every signal; answers what was blocked before.
pub(crate) fn block_all() -> io::Result<Mask> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills the first in; sigprocmask reads it and fills the second in.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        check(libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr()))?;
        Ok(Mask(old.assume_init()))
    }
}

/// Puts a set back.
pub(crate) fn restore(mask: &Mask) {
    // SAFETY: reads a live value.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &mask.0, std::ptr::null_mut()) };
}

fn set_disposition(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: the handler is SIG_DFL or SIG_IGN, no code of ours.
    unsafe { libc::signal(signal, handler) };
}

/// Gives a signal its default meaning.
pub(crate) fn set_default(signal: i32) {
    set_disposition(signal, libc::SIG_DFL);
}

/// Ignores a signal.
pub(super) fn ignore(signal: i32) {
    set_disposition(signal, libc::SIG_IGN);
}

/// Whether a signal is ignored now.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all-zero is a valid sigaction; the call only writes the old one into it.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores what is sent to a program for reasons of its own, and asks nobody to end: messages and timers.
pub(crate) fn ignore_messages() {
    let named = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF, libc::SIGIO];
    named.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).for_each(ignore);
}

/// Ignores everything that could end or stop us, short of SIGKILL and SIGSTOP.
pub(crate) fn ignore_endings() {
    ENDINGS.into_iter().chain(OTHERS).for_each(ignore);
}

/// One signal that came.
#[derive(Clone, Copy)]
pub(crate) struct Signal(libc::signalfd_siginfo);

impl Signal {
    /// Its number.
    pub(crate) fn number(&self) -> i32 {
        self.0.ssi_signo as i32
    }

    /// The process that sent it; `None` when the kernel did (a key on the terminal, a hangup, a timer).
    pub(crate) fn sender(&self) -> Option<u32> {
        matches!(self.0.ssi_code, libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL).then_some(self.0.ssi_pid)
    }

    /// Sends the same signal to `pid`, with its value if it has one.
    pub(crate) fn forward(&self, pid: u32) {
        let (pid, number) = (pid as libc::pid_t, self.number());
        if self.0.ssi_code != libc::SI_QUEUE {
            // SAFETY: touches no memory of ours.
            unsafe { libc::kill(pid, number) };
            return;
        }
        /// The front of the kernel's siginfo_t as SI_QUEUE uses it, padded to its size.
        #[repr(C)]
        struct Queued {
            number: libc::c_int,
            errno: libc::c_int,
            code: libc::c_int,
            _align: libc::c_int,
            pid: libc::pid_t,
            uid: libc::uid_t,
            value: u64,
            _rest: [u64; 12],
        }
        const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());
        let info = Queued {
            number,
            errno: 0,
            code: libc::SI_QUEUE,
            _align: 0,
            pid: self.0.ssi_pid as libc::pid_t,
            uid: self.0.ssi_uid,
            value: self.0.ssi_ptr,
            _rest: [0; 12],
        };
        // SAFETY: reads a live value of the size of siginfo_t.
        unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, pid, number, &raw const info) };
    }
}

/// The blocked signals of this process, as messages.
#[derive(Debug)]
pub(crate) struct Signals(OwnedFd);

impl Signals {
    /// All signals that are blocked when this is called with [`block_all`] before.
    pub(crate) fn new() -> io::Result<Self> {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset fills the set in; a new descriptor is made.
        let fd = check(unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::signalfd(-1, all.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        })?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next one, if one is there.
    pub(crate) fn next(&self) -> Option<Signal> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let len = size_of::<libc::signalfd_siginfo>();
        // SAFETY: reads at most `len` bytes into a place of that size.
        let got = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), len) };
        // SAFETY: all-zero is a valid value, and the kernel writes whole ones.
        (got == len as isize).then(|| Signal(unsafe { info.assume_init() }))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal to a process.
pub(crate) fn send(pid: u32, signal: i32) {
    // SAFETY: touches no memory of ours. A process that is gone is no error here.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Raises `signal` against ourselves with its default meaning, all others staying blocked. Returns when it did not
/// end us: after a stop, or where the kernel spares us (pid 1 of a container, an orphaned process group).
pub(crate) fn suffer(signal: i32) {
    set_default(signal);
    let mut only = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled in before it is read; kill and sigprocmask touch no other memory.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), signal);
        libc::kill(libc::getpid(), signal);
        libc::sigprocmask(libc::SIG_UNBLOCK, only.as_ptr(), std::ptr::null_mut());
        libc::sigprocmask(libc::SIG_BLOCK, only.as_ptr(), std::ptr::null_mut());
    }
}
