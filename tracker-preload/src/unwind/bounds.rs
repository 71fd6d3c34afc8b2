//! Where a thread's own stack begins and ends, found without a system call.

use core::sync::atomic::Ordering;

use super::load;
use crate::os::PAGE;
use crate::program;

/// `[low, high)`; empty when unknown.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Bounds {
    pub(crate) low: usize,
    pub(crate) high: usize,
}

/// The kernel keeps at least this much free below the main stack.
const MAIN_STACK: usize = 128 << 20;
/// Bytes of glibc's thread descriptor that are searched; it is larger than that in every version since 2.17.
const DESCRIPTOR: usize = 0x800;

impl Bounds {
    /// Bounds of the calling thread's stack; `main`: it is the process's first. `control_block` is its thread control
    /// block.
    pub(crate) fn of_this_thread(main: bool, control_block: usize) -> Self {
        let marker = 0u8;
        let sp = &raw const marker as usize;
        let end = program::stack_end();
        if main {
            let low = end.saturating_sub(MAIN_STACK);
            return if low < sp && sp < end { Self { low, high: end } } else { Self::default() };
        }
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
        Self::of_pthread(control_block, sp)
    }

    /// glibc puts a thread's descriptor at the upper end of its stack, and the stack's start and size into the
    /// descriptor. Where exactly differs from version to version, so the pair is recognised by what it must be: page
    /// aligned, and a block that holds both the stack pointer and the descriptor, near its end.
    fn of_pthread(control_block: usize, sp: usize) -> Self {
        if sp >= control_block || control_block & 7 != 0 {
            return Self::default();
        }
        // SAFETY: the descriptor starts at the control block and is at least DESCRIPTOR long.
        let word = |index: usize| unsafe { load(control_block + 8 * index) };
        for index in 0..DESCRIPTOR / 8 - 2 {
            let (start, size) = (word(index), word(index + 1));
            let end = start.wrapping_add(size);
            let aligned = start & (PAGE - 1) == 0 && size & (PAGE - 1) == 0;
            if aligned && start != 0 && start < sp && end > control_block && end - control_block <= 16 * PAGE {
                let guard = word(index + 2);
                let guard = if guard & (PAGE - 1) == 0 && start + guard < sp { guard } else { 0 };
                return Self { low: start + guard, high: control_block };
            }
        }
        Self::default()
    }

    /// Whether `address` lies in this stack.
    #[inline(always)]
    pub(crate) fn contain(self, address: usize) -> bool {
        address >= self.low && address < self.high
    }
}
