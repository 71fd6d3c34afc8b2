//! Which addresses lie in arenas whose objects are recorded, too. An arena is entered when it is mapped, before anything lies
//! in it, and taken out before it is unmapped, when nothing does any more: so whoever asks about an object finds its arena
//! as it was entered, whatever other threads do meanwhile.
//!
//! No unsafe code, no lock: a piece of an arena is one word in one of a few places. Where they are taken, the arena is not
//! entered, and its objects are not told apart from it.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Arenas are a multiple of this long, and begin anywhere; so at most one piece begins in each such part of the addresses.
const PIECE_BITS: u32 = 18;
const PIECE: usize = 1 << PIECE_BITS;
const SET_BITS: u32 = 13;
const WAYS: usize = 8;

type Set = [AtomicUsize; WAYS];

/// Where pieces begin. 0: free.
static PIECES: [Set; 1 << SET_BITS] = [const { [const { AtomicUsize::new(0) }; WAYS] }; 1 << SET_BITS];
/// How many there are.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn set(part: usize) -> &'static [AtomicUsize] {
    let index = (part ^ part >> SET_BITS) & ((1 << SET_BITS) - 1);
    PIECES.get(index).map_or(&[], |set| set)
}

/// Where the piece begins that begins in this part of the addresses.
#[inline(always)]
fn beginning(part: usize) -> Option<(&'static AtomicUsize, usize)> {
    let found = set(part).iter().map(|place| (place, place.load(Ordering::Acquire)));
    found.into_iter().find(|(_, start)| start >> PIECE_BITS == part && *start != 0)
}

/// Enters an arena. False: there is no room.
#[cold]
pub(super) fn enter(arena: Range<usize>) -> bool {
    for start in arena.clone().step_by(PIECE) {
        let free = |place: &AtomicUsize| place.compare_exchange(0, start, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !set(start >> PIECE_BITS).iter().any(free) {
            leave(arena.start..start);
            return false;
        }
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    true
}

/// Takes out all that begins in `range`.
#[cold]
pub(super) fn leave(range: Range<usize>) {
    if range.is_empty() || COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    let free = |(place, start): (&AtomicUsize, usize)| {
        if range.contains(&start) && place.compare_exchange(start, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            COUNT.fetch_sub(1, Ordering::Relaxed);
        }
    };
    let parts = range.start >> PIECE_BITS..=(range.end - 1) >> PIECE_BITS;
    if parts.end() - parts.start() < PIECES.len() {
        parts.filter_map(beginning).for_each(free);
    } else {
        let places = PIECES.iter().flatten().map(|place| (place, place.load(Ordering::Acquire)));
        places.filter(|(_, start)| *start != 0).for_each(free);
    }
}

/// Whether `address` lies in an arena that was entered.
#[inline]
pub(super) fn hold(address: usize) -> bool {
    let part = address >> PIECE_BITS;
    beginning(part).is_some_and(|(_, start)| start <= address)
        || beginning(part.wrapping_sub(1)).is_some_and(|(_, start)| address - start < PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_by_the_arena_they_lie_in() {
        const SMALL: usize = 256 << 10;
        const LARGE: usize = 1 << 20;
        let (first, second) = (0x7f00_0000_1000, 0x7f00_0000_1000 + LARGE);
        let lone = 0x7f10_0004_0000;
        assert!(enter(first..first + LARGE) && enter(second..second + SMALL) && enter(lone..lone + SMALL));
        let held = [first, first + SMALL, first + LARGE - 1, second, second + SMALL - 1, lone, lone + SMALL - 1];
        assert_eq!(held.map(hold), [true; 7]);
        assert_eq!([0, first - 1, second + SMALL, lone - 1, lone + SMALL, usize::MAX].map(hold), [false; 6]);
        leave(first..first + LARGE);
        assert_eq!([first, second - 1, second, lone].map(hold), [false, false, true, true]);
        leave(first..lone + SMALL);
        assert_eq!([second, lone].map(hold), [false; 2]);
    }

    #[test]
    fn without_room_an_arena_is_not_entered_at_all() {
        let part = |index: usize| (0x6000_0000_0000 >> PIECE_BITS) + index;
        let same = |part: &usize| core::ptr::eq(set(*part), set(0x6000_0000_0000 >> PIECE_BITS));
        let starts = (0..).map(part).filter(same).map(|part| part << PIECE_BITS);
        let starts: Vec<usize> = starts.take(WAYS + 1).collect();
        assert!(starts[..WAYS].iter().all(|start| enter(*start..start + PIECE)));
        let last = starts[WAYS];
        assert!(!enter(last - PIECE..last + PIECE));
        assert!(!hold(last) && !hold(last - PIECE), "a part of an arena would be worse than none");
        assert!(hold(starts[0]));
        starts.iter().for_each(|start| leave(*start..start + PIECE));
    }
}
