//! \[unsafe\] Symbols of the C library that may be missing: referenced weakly, so that the library loads everywhere and
//! has no DT_NEEDED.

use core::arch::{asm, global_asm};
use core::ffi::{c_char, c_int, c_void};

macro_rules! weak {
    ($($(#[$doc:meta])* $name:ident = $symbol:literal: $type:ty;)*) => {$(
        global_asm!(concat!(".weak ", $symbol));
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name() -> Option<$type> {
            let address: usize;
            // SAFETY: reads this library's own GOT entry, which the loader set to the symbol's address or zero.
            unsafe {
                asm!(
                    concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                    out(reg) address,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            // SAFETY: a nonzero address is that of a symbol whose C type is the one declared here; Option of a
            // function pointer or reference has the layout of the nullable pointer.
            unsafe { core::mem::transmute::<usize, Option<$type>>(address) }
        }
    )*};
}

/// glibc's `struct _pthread_cleanup_buffer`: routine, argument, type, previous.
pub(crate) type Cleanup = [usize; 4];

weak! {
    /// `dlsym`; called once, while the library starts.
    dlsym = "dlsym": unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
    /// `clock_gettime`, which reads the vDSO.
    clock_gettime = "clock_gettime": unsafe extern "C" fn(c_int, *mut libc::timespec) -> c_int;
    /// Where the kernel put `argc`; the upper end of the main thread's stack.
    libc_stack_end = "__libc_stack_end": &'static usize;
    /// Lock-free module lookup, glibc 2.35 and later.
    dl_find_object = "_dl_find_object": unsafe extern "C" fn(*mut c_void, *mut crate::module::DlFindObject) -> c_int;
    /// The loader's list of modules, for debuggers.
    r_debug = "_r_debug": &'static crate::module::RDebug;
    /// Where `errno` is.
    errno_location = "__errno_location": unsafe extern "C" fn() -> *mut c_int;
    /// A clean-up for the case that the thread is cancelled; glibc has had both for ever.
    cleanup_push = "_pthread_cleanup_push": unsafe extern "C" fn(*mut Cleanup, unsafe extern "C" fn(*mut c_void), *mut c_void);
    /// Takes it back; runs it if the second argument is not 0.
    cleanup_pop = "_pthread_cleanup_pop": unsafe extern "C" fn(*mut Cleanup, c_int);
    /// glibc's version, as in 2.36.
    libc_version = "gnu_get_libc_version": unsafe extern "C" fn() -> *const c_char;
    /// The program's environment.
    environ = "environ": &'static *const *const c_char;
}

/// Runs `f` and puts `errno` back to what it was.
pub(crate) fn keeping_errno<T>(f: impl FnOnce() -> T) -> T {
    let Some(location) = errno_location() else { return f() };
    // SAFETY: errno's location is valid for the thread's whole life.
    let saved = unsafe { *location() };
    let result = f();
    // SAFETY: as above.
    unsafe { *location() = saved };
    result
}

/// Sets `errno` for a call that we answer ourselves.
pub(crate) fn set_errno(value: c_int) {
    if let Some(location) = errno_location() {
        // SAFETY: errno's location is valid for the thread's whole life.
        unsafe { *location() = value };
    }
}

/// The last error of a C library call.
pub(crate) fn errno() -> c_int {
    // SAFETY: errno's location is valid for the thread's whole life.
    errno_location().map_or(0, |location| unsafe { *location() })
}

/// `CLOCK_MONOTONIC_COARSE` in nanoseconds; 0 without a clock.
pub(crate) fn coarse_clock() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let Some(clock_gettime) = clock_gettime() else { return 0 };
    // SAFETY: one timespec to fill. For this clock the function cannot fail, so errno stays.
    unsafe { clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}
