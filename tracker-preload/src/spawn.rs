//! \[unsafe\] Following `posix_spawn`, whose exec happens inside the C library: only the environment is replaced.

use core::ffi::{c_char, c_int, c_void};

use crate::exec::{self, Program, Who};
use crate::real::{self, Strings};

pub(crate) unsafe fn posix_spawn(
    pid: *mut c_int,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    exec::follow(Program::Path(path), environment, Who::Child(pid), |environment| {
        // SAFETY: forwarded with the caller's arguments and an environment of the same shape.
        unsafe { real::posix_spawn(pid, path, actions, attributes, arguments, environment) }
    })
}

pub(crate) unsafe fn posix_spawnp(
    pid: *mut c_int,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    let start = |path| {
        exec::follow(Program::Path(path), environment, Who::Child(pid), |environment| {
            // SAFETY: forwarded with the caller's arguments and an environment of the same shape.
            unsafe { real::posix_spawnp(pid, file, actions, attributes, arguments, environment) }
        })
    };
    // SAFETY: the caller's file name is a C string.
    unsafe { exec::with_found(file, start) }
}
