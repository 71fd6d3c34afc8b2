//! What interpreters map for themselves: the arenas that pymalloc cuts small objects from, and the stacks of frames. Mappings
//! are recorded on request only, but these are the program's heap as much as what `malloc` gives out, so they always are.
//! They are known by who asks for them, not by their address: nothing of the interpreter's is read or called.
//!
//! Where the objects in arenas are recorded as well, both are marked as recorded twice, so that a reader can count the one
//! or the other.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracker_core::format::record::{Called, Function};

use super::ranges;

/// Where the code of an interpreter is, and how large its arenas are. All zero: nobody's.
struct Home {
    start: AtomicUsize,
    end: AtomicUsize,
    arena: AtomicUsize,
    /// The objects in its arenas are recorded.
    objects: AtomicBool,
}

impl Home {
    const fn nobodys() -> Self {
        let [start, end, arena] = [const { AtomicUsize::new(0) }; 3];
        Self { start, end, arena, objects: AtomicBool::new(false) }
    }

    fn holds(&self, code: usize) -> bool {
        let start = self.start.load(Ordering::Acquire);
        start != 0 && (start..self.end.load(Ordering::Relaxed)).contains(&code)
    }
}

/// As many as are told apart.
const HOMES: usize = 4;

static ALL: [Home; HOMES] = [const { Home::nobodys() }; HOMES];

/// The first version whose arenas are larger: 3.10.
const LARGE_ARENAS: u32 = 0x030a_0000;

/// A module turned out to be an interpreter of this version (`PY_VERSION_HEX`). One thread at a time calls this.
#[cold]
pub(super) fn meet((start, end): (usize, usize), version: u32) {
    let is_free = |home: &&Home| matches!(home.start.load(Ordering::Relaxed), known if known == 0 || known == start);
    let Some(home) = ALL.iter().find(is_free) else { return };
    home.arena.store(if version < LARGE_ARENAS { 256 << 10 } else { 1 << 20 }, Ordering::Relaxed);
    home.end.store(end, Ordering::Relaxed);
    home.start.store(start, Ordering::Release);
}

/// The objects in arenas that will be mapped by this code, the interpreter's, are recorded, too.
#[cold]
pub(super) fn objects_are_recorded(code: usize) {
    if let Some(home) = ALL.iter().find(|home| home.holds(code)) {
        home.objects.store(true, Ordering::Release);
    }
}

/// Whether there is an interpreter that may map something.
pub(crate) fn may_map() -> bool {
    ALL.first().is_some_and(|home| home.start.load(Ordering::Acquire) != 0)
}

/// What an interpreter has mapped, by the code that asked for `len` bytes of private memory, and got them at `address`;
/// `None`: it was none.
pub(crate) fn mapped(caller: usize, (address, len): (usize, usize)) -> Option<Called> {
    let home = ALL.iter().find(|home| home.holds(caller))?;
    if len != home.arena.load(Ordering::Relaxed) {
        return Some(Function::Mmap.into());
    }
    let twice = home.objects.load(Ordering::Acquire) && ranges::enter(address..address + len);
    Some(Called { function: Function::PythonArena, twice })
}

/// `len` bytes at `address` are about to be unmapped.
pub(crate) fn unmapped((address, len): (usize, usize)) {
    ranges::leave(address..address.saturating_add(len));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_told_by_who_asks() {
        assert!(!may_map());
        meet((0x1000, 0x2000), 0x0309_0000);
        meet((0x8000, 0x9000), 0x030e_00f0);
        assert!(may_map());
        objects_are_recorded(0x8800);
        let (small, large) = (256 << 10, 1 << 20);
        let once = |function| Some(Called { function, twice: false });
        let twice = |function| Some(Called { function, twice: true });
        for (caller, len, expected) in [
            (0x1800, small, once(Function::PythonArena)),
            (0x1800, large, once(Function::Mmap)),
            (0x8000, large, twice(Function::PythonArena)),
            (0x8fff, 16 << 10, once(Function::Mmap)),
            (0x2000, small, None),
            (0, large, None),
        ] {
            let arena = 0x5000_0000_0000;
            assert_eq!(mapped(caller, (arena, len)), expected, "{caller:x} {len}");
            assert_eq!(ranges::hold(arena + 16), expected.is_some_and(|called| called.twice));
            unmapped((arena, len));
            assert!(!ranges::hold(arena + 16));
        }
    }
}
