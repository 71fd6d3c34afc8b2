//! \[unsafe\] Reading an interpreter's memory: a word is read only on a page that the kernel has found readable for this
//! thread before, so that a layout which is wrong, or an object in the making, ends in "not there" and never in a fault.

use super::describe;
use crate::unwind::load;
use crate::{os, sandbox};

const PAGE_BITS: u32 = 12;
/// Pages remembered; a power of two.
const PAGES: usize = 512;
/// Addresses of user space on x86-64.
const LIMIT: usize = 1 << 47;

/// Pages found readable, direct-mapped. Zero is its valid initial state: none.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Pages {
    seen: [usize; PAGES],
}

impl Pages {
    /// The word at `address`, or `None` where there is none.
    #[inline(always)]
    pub(super) fn word(&mut self, address: usize) -> Option<usize> {
        if address & 7 != 0 || !self.holds(address) {
            return None;
        }
        // SAFETY: aligned, so it does not leave the page, which is readable.
        Some(unsafe { load(address) })
    }

    /// The 32 bits at `address`.
    #[inline(always)]
    pub(super) fn half(&mut self, address: usize) -> Option<u32> {
        let word = self.word(address & !7)?;
        (address & 3 == 0).then_some((word >> (8 * (address & 4))) as u32)
    }

    /// The byte at `address`.
    #[inline(always)]
    pub(super) fn byte(&mut self, address: usize) -> Option<u8> {
        let word = self.word(address & !7)?;
        Some((word >> (8 * (address & 7))) as u8)
    }

    /// `len` bytes from `address` on. They must not change while the slice is in use: the contents of an immutable object
    /// that something on this thread's stack keeps alive.
    #[cold]
    pub(super) fn bytes(&mut self, address: usize, len: usize) -> Option<&'static [u8]> {
        let end = address.checked_add(len).filter(|end| *end < LIMIT)?;
        let mut page = address;
        while page < end {
            if !self.holds(page) {
                return None;
            }
            page = ((page >> PAGE_BITS) + 1) << PAGE_BITS;
        }
        // SAFETY: all its pages are readable, and the caller keeps the object.
        (address != 0).then(|| unsafe { core::slice::from_raw_parts(address as *const u8, len) })
    }

    #[inline(always)]
    fn holds(&mut self, address: usize) -> bool {
        let page = address >> PAGE_BITS;
        match self.seen.get(page & (PAGES - 1)) {
            Some(seen) if *seen == page && page != 0 => true,
            _ => self.ask(page),
        }
    }

    #[cold]
    #[inline(never)]
    fn ask(&mut self, page: usize) -> bool {
        let address = page << PAGE_BITS;
        let readable = page != 0 && address < LIMIT && is_readable(address);
        if readable && let Some(seen) = self.seen.get_mut(page & (PAGES - 1)) {
            *seen = page;
        }
        readable
    }
}

/// Whether a word can be read where an interpreter's objects lead. In a sandbox nobody can be asked: there the objects are
/// believed, once enough of them have proven right.
#[cold]
pub(super) fn is_readable(address: usize) -> bool {
    if sandbox::is_active() { describe::is_proven() } else { os::is_readable(address) }
}
