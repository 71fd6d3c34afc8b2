//! The heap of memtrack itself: the system's, and a message instead of a signal when it has no more.
//!
//! How much memory a capture takes to read depends on what is in it. Where that is more than there is (a limit of the
//! shell's, or a capture made to exhaust its reader), the standard library would abort.

use std::alloc::{GlobalAlloc, Layout, System};

/// Install with `#[global_allocator]`.
#[derive(Debug)]
pub(crate) struct Heap;

/// The exit code for captures that cannot be read.
const CODE: libc::c_int = 3;

const MESSAGE: &[u8] =
    b"memtrack: out of memory: the capture needs more than there is or than a limit (ulimit -v) allows\n";

/// `pointer`, or the end of this process.
fn checked(pointer: *mut u8) -> *mut u8 {
    if pointer.is_null() {
        // SAFETY: writes live bytes to a descriptor, then ends the process without running anything of it.
        unsafe {
            libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
            libc::_exit(CODE);
        }
    }
    pointer
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are the ones that `System` wants.
        checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        checked(unsafe { System.realloc(pointer, layout, size) })
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}
