//! What this process knows of itself, once its session has started: plain words, read by every hook.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::lanes::Lanes;
use crate::weak;

/// Counts unloaded modules: return addresses mean nothing across a change.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Upper end of the main thread's stack.
static STACK_END: AtomicUsize = AtomicUsize::new(0);
/// The image that this memory was last registered as; in a fork child, until it registers, its parent.
static LAST_IMAGE: AtomicU32 = AtomicU32::new(0);
/// Code of an allocator that is not the C library's: `start` and length (0: it is).
static ALLOCATOR_START: AtomicUsize = AtomicUsize::new(0);
static ALLOCATOR_LEN: AtomicUsize = AtomicUsize::new(0);
/// The program's own program headers in memory, as the kernel told: address and number.
static HEADERS: AtomicUsize = AtomicUsize::new(0);
static HEADER_COUNT: AtomicUsize = AtomicUsize::new(0);
/// Walks are checked (`--unwind=check`).
static CHECKS: AtomicBool = AtomicBool::new(false);
/// `CLOCK_MONOTONIC` at the session's start.
static START: AtomicU64 = AtomicU64::new(0);

/// The code generation in force.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// A module was unloaded.
pub(crate) fn next_generation() {
    GENERATION.fetch_add(1, Ordering::AcqRel);
}

/// Upper end of the main thread's stack; 0 when unknown.
#[inline]
pub(crate) fn stack_end() -> usize {
    STACK_END.load(Ordering::Relaxed)
}

pub(crate) fn set_stack_end(address: usize) {
    STACK_END.store(address, Ordering::Relaxed);
}

/// The image this memory belongs to, or was copied from.
pub(crate) fn last_image() -> u32 {
    LAST_IMAGE.load(Ordering::Relaxed)
}

pub(crate) fn set_last_image(image: u32) {
    LAST_IMAGE.store(image, Ordering::Relaxed);
}

/// Whether the call from `pc` is made by the allocator itself.
#[inline(always)]
pub(crate) fn is_allocator(pc: usize) -> bool {
    pc.wrapping_sub(ALLOCATOR_START.load(Ordering::Relaxed)) < ALLOCATOR_LEN.load(Ordering::Relaxed)
}

pub(crate) fn set_allocator(start: usize, len: usize) {
    ALLOCATOR_START.store(start, Ordering::Relaxed);
    ALLOCATOR_LEN.store(len, Ordering::Relaxed);
}

/// Address and number of the program's own program headers; 0 when unknown.
pub(crate) fn headers() -> (usize, usize) {
    (HEADERS.load(Ordering::Relaxed), HEADER_COUNT.load(Ordering::Relaxed))
}

pub(crate) fn set_headers((address, count): (usize, usize)) {
    HEADERS.store(address, Ordering::Relaxed);
    HEADER_COUNT.store(count, Ordering::Relaxed);
}

pub(crate) fn set_start(monotonic: u64) {
    START.store(monotonic, Ordering::Relaxed);
}

/// Whether every walk is made twice, with and without the cache.
#[inline(always)]
pub(crate) fn checks_unwinding() -> bool {
    CHECKS.load(Ordering::Relaxed)
}

pub(crate) fn set_checks_unwinding(checks: bool) {
    CHECKS.store(checks, Ordering::Relaxed);
}

/// The two walks differed.
#[cold]
pub(crate) fn count_difference() {
    if let Some(lanes) = Lanes::get() {
        lanes.control().talk.0.unwind_differences.fetch_add(1, Ordering::Relaxed);
    }
}

/// Nanoseconds since the session's start, to the kernel's tick.
#[inline]
pub(crate) fn session_time(_: Lanes) -> u64 {
    weak::coarse_clock().saturating_sub(START.load(Ordering::Relaxed))
}
