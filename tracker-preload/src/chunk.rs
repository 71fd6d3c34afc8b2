//! Claiming and publishing chunks, and what happens when there is none. No unsafe code: the bytes are `recorder`'s.

use core::sync::atomic::{AtomicBool, Ordering};

use tracker_core::format::lanes::{BITMAP_WORDS, ChunkHeader, OWNER_FULL, SMALL_CHUNKS, owner};

use crate::lanes::{ChunkBytes, Lanes};
use crate::{os, sandbox, session, weak};

/// How long hooks wait without any chunk coming free before they give up, in milliseconds.
const PATIENCE: u32 = 1000;
/// The longest single wait, in milliseconds.
pub(crate) const SLICE: u32 = 50;

/// The collector has kept somebody waiting for [`PATIENCE`]: nobody waits again until a claim succeeds.
static IMPATIENT: AtomicBool = AtomicBool::new(false);

/// A chunk this thread owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claim {
    pub(crate) index: usize,
    pub(crate) header: &'static ChunkHeader,
    pub(crate) bytes: ChunkBytes,
}

/// Claims a chunk for `(image, tid)`: a small one where `small`, else a large one, else any. Waits for the collector
/// within [`PATIENCE`]. `None`: there is none, or recording was stopped.
#[cold]
pub(crate) fn claim(lanes: Lanes, image: u32, tid: u32, small: bool) -> Option<Claim> {
    let talk = &lanes.control().talk.0;
    if talk.stopped.load(Ordering::Relaxed) != 0 {
        session::end();
        return None;
    }
    if tid == 0 {
        // A fork child resumed a hook of its parent, and finds its place wiped.
        return None;
    }
    let mine = owner(image, tid);
    let mut patience = PATIENCE;
    loop {
        let (heartbeat, freed) = (talk.heartbeat.load(Ordering::Acquire), talk.freed.load(Ordering::Acquire));
        if let Some(claim) = find(lanes, mine, small) {
            IMPATIENT.store(false, Ordering::Relaxed);
            return Some(claim);
        }
        if patience == 0 || IMPATIENT.load(Ordering::Relaxed) {
            IMPATIENT.store(true, Ordering::Relaxed);
            return None;
        }
        if sandbox::is_active() {
            spin(|| talk.freed.load(Ordering::Acquire) == freed);
        } else {
            talk.waiters.fetch_add(1, Ordering::AcqRel);
            talk.wake.fetch_add(1, Ordering::AcqRel);
            os::futex_wake(&talk.wake);
            os::futex_wait(&talk.heartbeat, heartbeat, SLICE);
            talk.waiters.fetch_sub(1, Ordering::AcqRel);
        }
        // Only chunks that come free are progress: a living collector cannot help when living threads hold them all.
        let progress = talk.freed.load(Ordering::Acquire) != freed;
        patience = if progress { PATIENCE } else { patience.saturating_sub(SLICE) };
    }
}

/// Spends at most [`SLICE`] while `goes_on`, without a system call. The collector looks by itself every few milliseconds.
fn spin(goes_on: impl Fn() -> bool) {
    let end = weak::coarse_clock().saturating_add(u64::from(SLICE) * 1_000_000);
    while goes_on() && weak::coarse_clock() < end {
        core::hint::spin_loop();
    }
}

fn find(lanes: Lanes, mine: u64, small: bool) -> Option<Claim> {
    const SMALL_WORDS: usize = SMALL_CHUNKS / 64;
    let (first, second) =
        if small { (0..SMALL_WORDS, SMALL_WORDS..BITMAP_WORDS) } else { (SMALL_WORDS..BITMAP_WORDS, 0..SMALL_WORDS) };
    first.chain(second).find_map(|word| find_in_word(lanes, mine, word))
}

/// Lowest free index first: the pages in use stay few and warm.
fn find_in_word(lanes: Lanes, mine: u64, word: usize) -> Option<Claim> {
    let bits = lanes.control().free.get(word)?;
    loop {
        let seen = bits.load(Ordering::Relaxed);
        if seen == 0 {
            return None;
        }
        let index = word * 64 + seen.trailing_zeros() as usize;
        let header = lanes.header(index)?;
        let claimed = header.owner.compare_exchange(0, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        // Whoever sees the bit of an owned chunk clears it: its claimer may have died before.
        bits.fetch_and(!(1 << (index % 64)), Ordering::Relaxed);
        if claimed {
            return Some(Claim { index, header, bytes: lanes.chunk(index)? });
        }
        if header.owner.load(Ordering::Acquire) == 0 {
            // It came free between the two steps, and its new bit may be the one that was cleared.
            bits.fetch_or(1 << (index % 64), Ordering::Relaxed);
        }
    }
}

/// Hands the chunk of `mine` to the collector. `used` bytes of records stand in it. False: it is another's by now, because
/// the collector took its thread for dead; nothing of it is touched.
pub(crate) fn publish(
    lanes: Lanes,
    (header, index): (&ChunkHeader, usize),
    mine: u64,
    used: usize,
    (epoch, time): (u64, u64),
) -> bool {
    if header.owner.load(Ordering::Acquire) != mine {
        return false;
    }
    header.used.store(used as u32, Ordering::Relaxed);
    header.last_epoch.store(epoch, Ordering::Relaxed);
    header.last_time.store(time, Ordering::Relaxed);
    header.owner.fetch_or(OWNER_FULL, Ordering::Release);
    if let Some((word, bit)) = Lanes::bit(&lanes.control().full, index) {
        word.fetch_or(bit, Ordering::Release);
    }
    true
}
