//! \[unsafe\] Words that an unwind read, and whether they are what they were.

use super::load;

/// A word that an unwind read.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Cell {
    pub(super) address: usize,
    pub(super) value: usize,
}

/// Compares the first `count` cells, the last of them first; how many are left when one differs, 0 for none.
///
/// # Safety
/// There are `count` cells, and they are what an unwind reads, the last of them first: the state it starts from is
/// proven, so that each cell's address is proven once all behind it are equal.
#[inline(always)]
pub(super) unsafe fn first_difference(cells: *const Cell, count: u32) -> usize {
    let mut left = count as usize;
    // SAFETY: the caller's promise; nothing is read past the first difference.
    unsafe {
        let differs = |index: usize| {
            let cell = &*cells.add(index);
            load(cell.address) != cell.value
        };
        while left >= 4 {
            if differs(left - 1) {
                return left;
            }
            if differs(left - 2) {
                return left - 1;
            }
            if differs(left - 3) {
                return left - 2;
            }
            if differs(left - 4) {
                return left - 3;
            }
            left -= 4;
        }
        while left != 0 && !differs(left - 1) {
            left -= 1;
        }
    }
    left
}
