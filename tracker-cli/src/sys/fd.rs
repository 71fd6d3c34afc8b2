//! Descriptors: copies, closing what was inherited, polling. Everything made here is closed on exec unless it says
//! otherwise, and above 2 because Rust's runtime keeps 0 to 2 open.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use super::{check, retry};

/// A copy that survives exec, with a number out of the way of the program's own, as far as its limit allows.
pub(crate) fn inheritable_copy(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut refused = io::Error::from(io::ErrorKind::InvalidInput);
    for lowest in [900, 200, 50, 10] {
        // SAFETY: F_DUPFD makes a new descriptor and touches no memory.
        match check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, lowest) }) {
            // SAFETY: the descriptor is new and nobody else's.
            Ok(copy) => return Ok(unsafe { OwnedFd::from_raw_fd(copy) }),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Points the first `count` standard descriptors at /dev/null, or, in a root folder that has none, at that folder, where
/// nothing can be read or written either.
pub(crate) fn null_stdio(count: RawFd) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.or_else(|_| File::options().read(true).custom_flags(libc::O_PATH).open("/"))?;
    for standard in 0..count.min(3) {
        // SAFETY: replaces a standard descriptor; Rust's handles to them hold no state that this could break.
        check(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
    }
    Ok(())
}

/// Closes every descriptor above 2 except `keep`. For a freshly forked child that owns nothing else: the Rust values
/// of its parent must not be dropped here any more.
pub(super) fn close_others(keep: &[RawFd]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut first = 3;
    for kept in keep {
        if kept > first {
            close_range(first, kept - 1);
        }
        first = first.max(kept + 1);
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: see `close_others`: the caller owns the descriptors that remain.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // Before Linux 5.9, or forbidden by a sandbox.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<u32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| (first..=last).contains(fd)) {
        // SAFETY: as above.
        unsafe { libc::close(fd as libc::c_int) };
    }
}

/// Waits until one of `fds` can be read or has hung up; answers which. `None` waits for ever; none are ready when the
/// time is over or a signal came.
pub(crate) fn poll<const N: usize>(fds: [BorrowedFd<'_>; N], timeout: Option<Duration>) -> [bool; N] {
    poll_many(fds.iter().map(BorrowedFd::as_fd), timeout).try_into().unwrap_or([false; N])
}

/// [`poll`] over any number of descriptors.
pub(crate) fn poll_many<'a>(fds: impl Iterator<Item = BorrowedFd<'a>>, timeout: Option<Duration>) -> Vec<bool> {
    let mut polled: Vec<libc::pollfd> =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    // Rounded up, so that a wait for the rest of a millisecond does not spin.
    let timeout = timeout.map_or(-1, |t| t.as_micros().div_ceil(1000).min(i32::MAX as u128) as libc::c_int);
    // SAFETY: pointer and length are those of a live vector.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    polled.iter().map(|entry| ready > 0 && entry.revents != 0).collect()
}

/// A counter in the kernel that makes [`poll`] return.
#[derive(Debug)]
pub(crate) struct Event(OwnedFd);

impl Event {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: makes a new descriptor.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable.
    pub(crate) fn notify(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes from a live array of the length it names. Fails only when the counter is full: readable.
        let _ = retry(|| check(unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), 8) } as libc::c_int));
    }

    /// Makes it unreadable again.
    pub(crate) fn clear(&self) {
        let mut value = [0u8; 8];
        // SAFETY: reads into a live array of the length it names. Fails only when nothing was there.
        let _ = unsafe { libc::read(self.0.as_raw_fd(), value.as_mut_ptr().cast(), 8) };
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
