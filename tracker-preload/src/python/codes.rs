//! Which number a code object has. Numbers are never used twice in a session; addresses are, all the time: so a code
//! object's death, of which the interpreter tells, voids its entry here.
//!
//! No unsafe code, no lock: an entry is one word, and a thread only looks up code objects that its own frames keep
//! alive, so that nobody else can be ending them meanwhile. The table is a cache. A code object that fell out of it is
//! described again, under a new number, when it is met again; readers merge.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

const SET_BITS: u32 = 13;
const WAYS: usize = 8;
/// Code objects lie at multiples of 16, below 2^47.
const ALIGN_BITS: u32 = 4;
const ADDRESS_BITS: u32 = 47;

static TABLE: [[AtomicU64; WAYS]; 1 << SET_BITS] = [const { [const { AtomicU64::new(0) }; WAYS] }; 1 << SET_BITS];

/// Counts deaths of code objects: what a thread remembers of addresses is void after one.
static DEATHS: AtomicU32 = AtomicU32::new(0);
/// Some entry was dropped for want of room: a code object that is not in the table may be remembered by a thread.
static CROWDED: AtomicBool = AtomicBool::new(false);

/// A number that stands for code that is never shown.
pub(super) const HIDDEN: u32 = u32::MAX;

/// Its set, and what tells it from other addresses in the set. The index is invertible given the tag.
fn place(code: usize) -> Option<(&'static [AtomicU64; WAYS], u64)> {
    let misplaced = code & ((1 << ALIGN_BITS) - 1) != 0 || code >> ADDRESS_BITS != 0;
    let address = code >> ALIGN_BITS;
    let tag = address >> SET_BITS;
    let index = (address ^ tag.wrapping_mul(0x9E37)) & ((1 << SET_BITS) - 1);
    TABLE.get(index).filter(|_| !misplaced).map(|set| (set, (tag as u64) << 32))
}

/// The number of the code object at `code`, if it has one.
#[inline]
pub(super) fn number(code: usize) -> Option<u32> {
    let (set, tag) = place(code)?;
    let entries = set.iter().map(|entry| entry.load(Ordering::Acquire));
    entries.into_iter().find(|entry| *entry != 0 && entry & !0xffff_ffff == tag).map(|entry| entry as u32)
}

/// Remembers the number, not 0, of the code object at `code`.
#[cold]
pub(super) fn remember(code: usize, number: u32) {
    let Some((set, tag)) = place(code) else { return };
    let entry = tag | u64::from(number);
    let free = |slot: &AtomicU64| slot.compare_exchange(0, entry, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if set.iter().any(free) {
        return;
    }
    CROWDED.store(true, Ordering::Release);
    if let Some(victim) = set.get(number as usize % WAYS) {
        victim.store(entry, Ordering::Release);
    }
}

/// The code object at `code` is about to end.
pub(super) fn forget(code: usize) {
    let Some((set, tag)) = place(code) else { return };
    let mut known = CROWDED.load(Ordering::Acquire);
    for slot in set {
        let entry = slot.load(Ordering::Acquire);
        if entry != 0 && entry & !0xffff_ffff == tag {
            // A failure means that somebody needed the room: the entry is gone either way.
            let _ = slot.compare_exchange(entry, 0, Ordering::AcqRel, Ordering::Relaxed);
            known = true;
        }
    }
    if known {
        DEATHS.fetch_add(1, Ordering::AcqRel);
    }
}

/// Changes whenever an address may have changed its meaning.
#[inline(always)]
pub(super) fn deaths() -> u32 {
    DEATHS.load(Ordering::Acquire)
}

#[cfg(test)]
mod tests {
    use super::{WAYS, deaths, forget, number, place, remember};

    #[test]
    fn addresses_are_told_apart_and_can_be_used_again() {
        let code = 0x7f12_3456_7890;
        assert_eq!(number(code), None);
        remember(code, 7);
        assert_eq!(number(code), Some(7));
        for other in [code + 16, code ^ 1 << 46, code ^ 1 << 17, code + 8, code | 1 << 50] {
            assert_eq!(number(other), None, "{other:x}");
        }
        let before = deaths();
        forget(code + 16);
        assert_eq!(number(code), Some(7));
        forget(code);
        assert_eq!(number(code), None);
        assert_ne!(deaths(), before);
        remember(code, 9);
        assert_eq!(number(code), Some(9));
    }

    #[test]
    fn a_full_set_drops_one_and_tells_of_every_death_from_then_on() {
        let first = 0x10_0000usize;
        let (set, _) = place(first).expect("a place");
        let same_set = |code: &usize| place(*code).is_some_and(|(other, _)| core::ptr::eq(other, set));
        let codes: Vec<usize> = (first..).step_by(16).filter(same_set).take(WAYS + 1).collect();
        for (code, id) in codes.iter().zip(1..) {
            remember(*code, id);
        }
        let known = codes.iter().filter(|code| number(**code).is_some()).count();
        assert_eq!(known, WAYS);
        assert_eq!(number(codes[WAYS]), Some(WAYS as u32 + 1));
        let before = deaths();
        forget(first + 16);
        assert_ne!(deaths(), before, "nobody can know what a thread remembers");
    }
}
