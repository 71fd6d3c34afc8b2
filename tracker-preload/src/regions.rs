//! \[unsafe\] Regions: what a program says about its own run, by the two functions that `regions/` looks up at run time. They are
//! the library's only symbols that nobody else has; a program that is not recorded finds none and does nothing.

use core::sync::atomic::{AtomicU64, Ordering};

use tracker_core::format::record::{self, RegionScope};

use crate::thread::{Hook, with_recorder};
use crate::unwind::Start;

/// Regions of this process so far.
static REGIONS: AtomicU64 = AtomicU64::new(0);

/// What `memtrack_region_begin` takes. Texts are bytes and their number, none with a zero at its end.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Text {
    bytes: *const u8,
    len: usize,
}

impl Text {
    /// # Safety
    /// The caller of the C function vouches for the bytes until it returns.
    unsafe fn get(&self) -> &[u8] {
        if self.bytes.is_null() || self.len > isize::MAX as usize {
            return &[];
        }
        // SAFETY: see above.
        unsafe { core::slice::from_raw_parts(self.bytes, self.len) }
    }
}

/// `uint64_t memtrack_region_begin(const struct memtrack_text texts[2], uint32_t whole_process)`: name and limits. Answers the
/// region's id, 0 when nothing is recorded.
pub(crate) unsafe extern "C" fn begin(texts: *const [Text; 2], whole_process: u32, slot: usize, rbp: usize) -> u64 {
    let Some(hook) = &Hook::enter(Start { slot, rbp }) else { return 0 };
    // SAFETY: the caller of the C function vouches for both texts.
    let Some([name, limits]) = (unsafe { texts.as_ref() }) else { return 0 };
    let scope = if whole_process == 0 { RegionScope::Thread } else { RegionScope::Process };
    let id = REGIONS.fetch_add(1, Ordering::Relaxed) + 1;
    // SAFETY: as above.
    let (name, limits) = unsafe { (name.get(), limits.get()) };
    with_recorder!(hook, |recorder, _frames| {
        recorder.mark(|buffer| record::write_region_begin(buffer, id, scope, name, limits))
    });
    id
}

/// `void memtrack_region_end(uint64_t id)`: 0 is no region.
pub(crate) unsafe extern "C" fn end(id: u64, slot: usize, rbp: usize) {
    let hook = if id == 0 { None } else { Hook::enter(Start { slot, rbp }) };
    let Some(hook) = &hook else { return };
    with_recorder!(hook, |recorder, _frames| recorder.mark(|buffer| record::write_region_end(buffer, id)));
}
