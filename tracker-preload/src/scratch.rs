//! \[unsafe\] Memory for what a call has to build: a little of the stack, which may be a small thread's or a signal
//! handler's, else pages that the thread keeps.
//!
//! A vfork child that executes never returns from the call, and its memory is its parent's: were the pages mapped anew by
//! each call, a program that starts many others would grow. Who took the thread's pages is noted; its vfork children
//! are gone once it runs itself.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::os::{self, PAGE};
use crate::{sandbox, thread};

/// More than this is not taken from the stack.
const STACK_LIMIT: usize = 1 << 10;

/// Pages that a thread keeps: a call that builds something may start another that does. All zero: none.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Scratch([Pages; 2]);

#[derive(Debug, Default)]
#[repr(C)]
struct Pages {
    memory: AtomicUsize,
    len: AtomicUsize,
    /// Id of the thread, or vfork child of it, that builds something in them; 0 for nobody.
    taker: AtomicU32,
}

impl Scratch {
    /// Zeroed pages. `tid` is the caller, `owner` the thread itself. `None`: all are in use, or there is no memory.
    fn take(&self, size: usize, tid: u32, owner: u32) -> Option<&Pages> {
        self.0.iter().find(|pages| pages.take(size, tid, owner))
    }
}

impl Pages {
    /// A signal handler may come at any time, and take what is not taken yet.
    fn take(&self, size: usize, tid: u32, owner: u32) -> bool {
        let before = self.taker.load(Ordering::Relaxed);
        if before == tid
            || before == owner
            || self.taker.compare_exchange(before, tid, Ordering::AcqRel, Ordering::Relaxed).is_err()
        {
            return false;
        }
        let len = self.len.load(Ordering::Relaxed);
        if len < size {
            let room = size.next_multiple_of(PAGE);
            let new = os::map_private(room);
            if new.is_null() {
                self.give_back();
                return false;
            }
            let old = self.memory.load(Ordering::Relaxed) as *mut u8;
            // Ended in between, a vfork child leaves no pages rather than some that are gone.
            self.len.store(0, Ordering::Release);
            self.memory.store(new as usize, Ordering::Release);
            if len > 0 {
                // SAFETY: this thread's alone, and nobody builds in it.
                unsafe { os::unmap(old, len) };
            }
            self.len.store(room, Ordering::Release);
            return true;
        }
        // SAFETY: so many bytes of a mapping, and nobody else builds in it.
        unsafe { core::slice::from_raw_parts_mut(self.memory(), size) }.fill(0);
        true
    }

    fn memory(&self) -> *mut u8 {
        self.memory.load(Ordering::Relaxed) as *mut u8
    }

    fn give_back(&self) {
        self.taker.store(0, Ordering::Release);
    }
}

/// Calls `f` with `size` bytes of zeroed, 16-aligned memory. `None`: there is no memory.
pub(crate) fn with_room<F: FnOnce(&mut [u8]) -> c_int>(size: usize, f: F) -> Option<c_int> {
    if size <= STACK_LIMIT {
        return Some(on_stack(size, f));
    }
    // Who we are may not be asked in a sandbox, and a vfork child is not its parent.
    let of_thread = || thread::scratch().filter(|_| !sandbox::is_active());
    let kept = of_thread().and_then(|(scratch, owner)| scratch.take(size, os::gettid(), owner));
    let memory = kept.map_or_else(|| os::map_private(size), Pages::memory);
    if memory.is_null() {
        return None;
    }
    // SAFETY: so many bytes of a mapping, this call's alone until it is given back.
    unsafe {
        let result = f(core::slice::from_raw_parts_mut(memory, size));
        match kept {
            Some(pages) => pages.give_back(),
            None => os::unmap(memory, size),
        }
        Some(result)
    }
}

fn on_stack<F: FnOnce(&mut [u8]) -> c_int>(size: usize, f: F) -> c_int {
    struct Call<F> {
        f: Option<F>,
        size: usize,
        result: c_int,
    }
    unsafe extern "C" fn run<F: FnOnce(&mut [u8]) -> c_int>(call: *mut c_void, buffer: *mut u8) {
        // SAFETY: `on_stack` passes its own Call, and a buffer of the size it asked for.
        let call = unsafe { &mut *call.cast::<Call<F>>() };
        // SAFETY: as above.
        let buffer = unsafe { core::slice::from_raw_parts_mut(buffer, call.size) };
        buffer.fill(0);
        if let Some(f) = call.f.take() {
            call.result = f(buffer);
        }
    }
    let mut call = Call { f: Some(f), size, result: -1 };
    // SAFETY: the callee gets a pointer to `call`, which outlives it, and `size` bytes below the stack pointer.
    unsafe { call_with_stack((&raw mut call).cast(), size, run::<F>) };
    call.result
}

/// # Safety
/// `f` must be safe to call with `context` and `size` bytes of stack.
#[unsafe(naked)]
unsafe extern "C" fn call_with_stack(context: *mut c_void, size: usize, f: unsafe extern "C" fn(*mut c_void, *mut u8)) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "sub rsp, rsi",
        "and rsp, -16",
        "mov rsi, rsp",
        "call rdx",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::Ordering;

    use super::{PAGE, Pages, Scratch};

    #[test]
    fn pages_are_the_threads_again_when_its_vfork_child_is_gone() {
        let (thread, child) = (10, 11);
        let pages = Pages::default();
        assert!(pages.take(2000, child, thread));
        let first = pages.memory();
        assert!(!pages.take(100, child, thread), "its own signal handler");
        assert!(pages.take(PAGE, thread, thread), "the child has executed");
        assert_eq!(pages.memory(), first);
        assert!(!pages.take(100, child, thread), "the handler that interrupted the thread has a child");
        pages.give_back();
        assert!(pages.take(PAGE + 1, child, thread));
        assert_eq!(pages.len.load(Ordering::Relaxed), 2 * PAGE);
    }

    #[test]
    fn what_was_built_before_is_gone() {
        let scratch = Scratch::default();
        let pages = scratch.take(2000, 10, 10).expect("memory");
        // SAFETY: so many bytes were taken.
        unsafe { pages.memory().write_bytes(7, 2000) };
        let other = scratch.take(3000, 10, 10).expect("more memory");
        assert_ne!(pages.memory(), other.memory());
        pages.give_back();
        let again = scratch.take(1500, 10, 10).expect("memory");
        assert_eq!(pages.memory(), again.memory());
        // SAFETY: so many bytes were taken.
        assert!(unsafe { core::slice::from_raw_parts(again.memory(), 1500) }.iter().all(|&byte| byte == 0));
    }
}
