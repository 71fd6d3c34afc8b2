//! Facts about the machine and the clocks.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt as _;

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes into a live value. This clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

/// Host name and kernel release.
pub(crate) fn names() -> (String, String) {
    let mut answer = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: all-zero is a valid utsname (empty strings), and uname fills it in.
    let answer = unsafe {
        libc::uname(answer.as_mut_ptr());
        answer.assume_init()
    };
    let text = |field: &[libc::c_char]| {
        let bytes: Vec<u8> = field.iter().map(|c| *c as u8).collect();
        CStr::from_bytes_until_nul(&bytes).map(|c| c.to_string_lossy().into_owned()).unwrap_or_default()
    };
    (text(&answer.nodename), text(&answer.release))
}

/// Bytes of a page.
pub(crate) fn page_size() -> u32 {
    // SAFETY: only asks.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.try_into().unwrap_or(4096)
}

/// Processors of the machine that are online.
pub(crate) fn cpus() -> u32 {
    // SAFETY: only asks.
    unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }.try_into().unwrap_or(1)
}

/// Local time, broken down: year, month, day, hour, minute, second.
pub(crate) fn local_time(unix_seconds: u64) -> [u32; 6] {
    let seconds = unix_seconds as libc::time_t;
    let mut answer = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: all-zero is a valid tm, and localtime_r fills it in or leaves it.
    let t = unsafe {
        libc::localtime_r(&seconds, answer.as_mut_ptr());
        answer.assume_init()
    };
    [t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec].map(|field| field.max(0) as u32)
}

/// Inode number of this process's network namespace, 0 when it cannot be seen.
pub(crate) fn network() -> u64 {
    std::fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino())
}

/// 128 random bits.
pub(crate) fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // SAFETY: fills a live array of the length it names. The kernel never answers short below 256 bytes.
    let got =
        super::retry(|| super::check(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0) } as libc::c_int))?;
    if got == 16 { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Real user and group.
pub(crate) fn user() -> (u32, u32) {
    // SAFETY: only asks.
    unsafe { (libc::getuid(), libc::getgid()) }
}

/// Effective user.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: only asks.
    unsafe { libc::geteuid() }
}
