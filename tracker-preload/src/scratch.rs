//! \[unsafe\] Memory for what a call has to build: a little of the stack, which may be a small thread's or a signal
//! handler's, else pages that the thread keeps.
//!
//! A vfork child that executes never returns from the call, and its memory is its parent's: were the pages mapped anew by
//! each call, a program that starts many others would grow. Who took the thread's pages is noted; its vfork children
//! are gone once it runs itself.

use core::arch::naked_asm;
use core::ffi::{c_int, c_void};

use crate::{os, thread};

/// More than this is not taken from the stack.
const STACK_LIMIT: usize = 1 << 10;
const PAGE: usize = 4096;

/// Pages that a thread keeps. Zero: none.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Scratch {
    memory: usize,
    len: usize,
    /// Id of the thread, or vfork child of it, that builds something in them; 0 for nobody.
    taker: u32,
}

impl Scratch {
    /// `tid` is the caller, `owner` the thread itself. `None`: the pages are in use (the caller is a signal handler), or
    /// there is no memory.
    fn take(&mut self, size: usize, tid: u32, owner: u32) -> Option<*mut u8> {
        if self.taker == tid || self.taker == owner {
            return None;
        }
        if self.len < size {
            let len = size.next_multiple_of(PAGE);
            let memory = os::map_private(len);
            if memory.is_null() {
                return None;
            }
            if self.len > 0 {
                // SAFETY: this thread's alone, and nobody builds in it.
                unsafe { os::unmap(self.memory as *mut u8, self.len) };
            }
            (self.memory, self.len) = (memory as usize, len);
        }
        self.taker = tid;
        Some(self.memory as *mut u8)
    }
}

/// Calls `f` with `size` bytes of memory, 16-aligned. `None`: there is no memory.
pub(crate) fn with_room<F: FnOnce(&mut [u8]) -> c_int>(size: usize, f: F) -> Option<c_int> {
    if size <= STACK_LIMIT {
        return Some(on_stack(size, f));
    }
    let kept = thread::scratch();
    // SAFETY: the thread's own, borrowed for this statement alone.
    let taken = kept.and_then(|(scratch, owner)| unsafe { (*scratch).take(size, os::gettid(), owner) });
    let memory = taken.unwrap_or_else(|| os::map_private(size));
    if memory.is_null() {
        return None;
    }
    // SAFETY: so many bytes of a mapping, this call's alone until it is given back.
    unsafe {
        let result = f(core::slice::from_raw_parts_mut(memory, size));
        match kept.filter(|_| taken.is_some()) {
            Some((scratch, _)) => (*scratch).taker = 0,
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
    use super::{PAGE, Scratch};

    #[test]
    fn pages_are_the_threads_again_when_its_vfork_child_is_gone() {
        let (thread, child) = (10, 11);
        let mut scratch = Scratch { memory: 0, len: 0, taker: 0 };
        let first = scratch.take(2000, child, thread).expect("memory");
        assert_eq!(scratch.take(100, child, thread), None, "its own signal handler");
        assert_eq!(scratch.take(PAGE, thread, thread), Some(first), "the child has executed");
        assert_eq!(scratch.take(100, child, thread), None, "the handler that interrupted the thread has a child");
        scratch.taker = 0;
        assert!(scratch.take(PAGE + 1, child, thread).is_some());
        assert_eq!(scratch.len, 2 * PAGE);
    }
}
