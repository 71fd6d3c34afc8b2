//! What interpreters map for themselves: the arenas that pymalloc cuts small objects from, and the stacks of frames. Mappings
//! are recorded on request only, but these are the program's heap as much as what `malloc` gives out, so they always are.
//! They are known by who asks for them, not by their address: nothing of the interpreter's is read or called.

use core::sync::atomic::{AtomicUsize, Ordering};

use tracker_core::format::record::Function;

/// Where the code of an interpreter is, and how large its arenas are. All zero: nobody's.
struct Home {
    start: AtomicUsize,
    end: AtomicUsize,
    arena: AtomicUsize,
}

/// As many as are told apart.
const HOMES: usize = 4;

static ALL: [Home; HOMES] =
    [const { Home { start: AtomicUsize::new(0), end: AtomicUsize::new(0), arena: AtomicUsize::new(0) } }; HOMES];

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

/// Whether there is an interpreter that may map something.
pub(crate) fn may_map() -> bool {
    ALL.first().is_some_and(|home| home.start.load(Ordering::Acquire) != 0)
}

/// What an interpreter has mapped, by the code that asked for `len` bytes of private memory; `None`: it was none.
pub(crate) fn mapped(caller: usize, len: usize) -> Option<Function> {
    let ours = |home: &&Home| {
        let start = home.start.load(Ordering::Acquire);
        start != 0 && (start..home.end.load(Ordering::Relaxed)).contains(&caller)
    };
    let home = ALL.iter().find(ours)?;
    Some(if len == home.arena.load(Ordering::Relaxed) { Function::PythonArena } else { Function::Mmap })
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
        let (small, large) = (256 << 10, 1 << 20);
        for (caller, len, expected) in [
            (0x1800, small, Some(Function::PythonArena)),
            (0x1800, large, Some(Function::Mmap)),
            (0x8000, large, Some(Function::PythonArena)),
            (0x8fff, 16 << 10, Some(Function::Mmap)),
            (0x2000, small, None),
            (0, large, None),
        ] {
            assert_eq!(mapped(caller, len), expected, "{caller:x} {len}");
        }
    }
}
