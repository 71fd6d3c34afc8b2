//! \[unsafe\] Regions: parts of a program's run that memtrack counts on their own.
//!
//! ```
//! let import = memtrack_region::region("import");
//! // …
//! drop(import);
//! ```
//!
//! In a program that memtrack does not record, the first call looks for a symbol once, and all others do nothing.

use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::sync::OnceLock;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

#[repr(C)]
struct Text {
    bytes: *const u8,
    len: usize,
}

impl Text {
    const fn new(text: &str) -> Self {
        Self { bytes: text.as_ptr(), len: text.len() }
    }
}

type Begin = unsafe extern "C" fn(*const [Text; 2], u32) -> u64;
type End = unsafe extern "C" fn(u64);

/// The two functions of the recording library, if it is there.
fn functions() -> Option<(Begin, End)> {
    static FOUND: OnceLock<Option<(Begin, End)>> = OnceLock::new();
    let find = |name: &CStr| {
        // SAFETY: the name is a C string, and a null handle means the symbols of the whole program.
        let found = unsafe { dlsym(null_mut(), name.as_ptr()) };
        (!found.is_null()).then_some(found)
    };
    *FOUND.get_or_init(|| {
        let (begin, end) = (find(c"memtrack_region_begin")?, find(c"memtrack_region_end")?);
        // SAFETY: these names are memtrack's, whose functions have these types.
        Some(unsafe {
            (std::mem::transmute::<*mut c_void, Begin>(begin), std::mem::transmute::<*mut c_void, End>(end))
        })
    })
}

/// Whether the program is being recorded.
pub fn is_recorded() -> bool {
    functions().is_some()
}

/// A region of a thread; ends when it is dropped.
#[derive(Debug)]
#[must_use = "a region ends where it is dropped"]
pub struct Region {
    id: u64,
    /// It is about the thread that began it.
    of_thread: PhantomData<*const ()>,
}

/// A region of the whole process; ends when it is dropped.
#[derive(Debug)]
#[must_use = "a region ends where it is dropped"]
pub struct ProcessRegion {
    id: u64,
}

/// A region in which this thread's allocations count.
pub fn region(name: &str) -> Region {
    region_with(name, "")
}

/// The same with limits, such as `peak=1MiB,allocs=100`, which `memtrack check` judges; `stack.` in front of a key means each
/// stack on its own.
pub fn region_with(name: &str, limits: &str) -> Region {
    Region { id: begin(name, limits, false), of_thread: PhantomData }
}

/// A region in which all allocations of the process count; `limits` as for [`region_with`], or empty.
pub fn process_region(name: &str, limits: &str) -> ProcessRegion {
    ProcessRegion { id: begin(name, limits, true) }
}

/// Runs `work` in a region of this thread.
pub fn within<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let _region = region(name);
    work()
}

impl Drop for Region {
    fn drop(&mut self) {
        end(self.id);
    }
}

impl Drop for ProcessRegion {
    fn drop(&mut self) {
        end(self.id);
    }
}

fn begin(name: &str, limits: &str, whole_process: bool) -> u64 {
    let texts = [Text::new(name), Text::new(limits)];
    // SAFETY: both texts are there until the call returns.
    functions().map_or(0, |(begin, _)| unsafe { begin(&raw const texts, u32::from(whole_process)) })
}

fn end(id: u64) {
    if let Some((_, end)) = functions().filter(|_| id != 0) {
        // SAFETY: takes any number.
        unsafe { end(id) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_happens_without_a_recording() {
        assert!(!super::is_recorded());
        assert_eq!(super::within("work", || super::region_with("inner", "peak=1").id), 0);
        assert_eq!(super::process_region("all", "").id, 0);
    }
}
