//! What `std::fs` cannot do with files.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::{check, retry};

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// Reserves the bytes from `from` to `to` on the disk without changing the file's size.
pub(crate) fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    let (offset, len) = (from as libc::off_t, to.saturating_sub(from) as libc::off_t);
    // SAFETY: touches no memory of ours.
    retry(|| check(unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, offset, len) })).map(drop)
}

/// Whether the real user may execute the file at `path`, by its mode and its file system.
pub(crate) fn executable(path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: reads a C string.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) }).map(drop)
}

/// Whether programs and libraries can be loaded from the file system of `path`.
pub(crate) fn allows_execution(path: &Path) -> bool {
    let Ok(path) = c_path(path) else { return false };
    let mut answer = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: reads a C string and fills in the answer, which is looked at only after success.
    unsafe {
        libc::statvfs(path.as_ptr(), answer.as_mut_ptr()) == 0 && answer.assume_init().f_flag & libc::ST_NOEXEC == 0
    }
}

/// Whether the file carries the extended attribute `name`.
pub(crate) fn has_attribute(file: &File, name: &OsStr) -> bool {
    let Ok(name) = CString::new(name.as_bytes()) else { return false };
    // SAFETY: with length 0 the kernel only answers the attribute's size.
    unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}
