//! \[unsafe\] What each hook does: forward exactly, and record what happened.
//!
//! A free is recorded before it happens and an allocation after it has, so that in the stream no block is live twice
//! at one address (see the order rules in `docs/format.md`). `reallocarray` is answered here, because the C library's
//! own calls the `realloc` we interpose, and would count twice.

use core::ffi::{c_int, c_void};

use tracker_core::format::lanes::flag;
use tracker_core::format::record::{self, Called, Function, MapKind};

use crate::lanes::Lanes;
use crate::recorder::{Again, Captured, Recorder};
use crate::thread::{Hook, Own, unserved, with_recorder};
use crate::unwind::{self, Start, Walk};
use crate::{python, real, session, weak};

/// A block that a call returned, and how it was called.
#[derive(Clone, Copy)]
struct Allocated {
    called: Called,
    block: *mut c_void,
    size: usize,
    start: Start,
    /// It replaces the block whose end was recorded last.
    realloc: bool,
}

impl Allocated {
    /// Records the block with its stack.
    #[inline(always)]
    fn record(self, hook: &Hook) {
        match hook.own() {
            Some(own) => self.record_own(hook, own),
            None => self.record_nested(hook),
        }
    }

    /// Records the block, at little cost if its stack is one that was recorded before, and is still known.
    #[inline(always)]
    fn record_own(self, hook: &Hook, own: Own<'_>) {
        let Own { recorder, frames, python } = own;
        let Some(path) = frames.recall(self.start, hook.bounds()) else {
            return self.record_new(hook, (recorder, frames), Some(python));
        };
        let python = python::capture(Some(python), |write| recorder.try_note(write));
        let stack = Again { called: self.called, path, python: python.hash() };
        if !recorder.alloc_again(self.block as u64, self.size as u64, stack, self.realloc) {
            self.record_recalled(hook, (recorder, frames), python);
        }
    }

    #[cold]
    #[inline(never)]
    fn record_nested(self, hook: &Hook) {
        with_recorder!(hook, |recorder, frames| self.record_new(hook, (recorder, frames), None));
    }

    /// Records the block with a new stack, whose Python frames are captured already.
    #[cold]
    #[inline(never)]
    fn record_recalled<const D: usize>(
        self,
        hook: &Hook,
        (recorder, mut frames): (&mut Recorder<D>, impl Walk),
        python: python::Path<'_>,
    ) {
        let path = walked(self.start, hook, (recorder, &mut frames));
        let stack = Captured { called: self.called, path, python };
        recorder.alloc(self.block as u64, self.size as u64, stack, self.realloc);
    }

    #[inline(never)]
    fn record_new<const D: usize>(
        self,
        hook: &Hook,
        (recorder, mut frames): (&mut Recorder<D>, impl Walk),
        python: Option<&mut python::Frames>,
    ) {
        let stack = captured(self.called, self.start, hook, (recorder, &mut frames), python);
        recorder.alloc(self.block as u64, self.size as u64, stack, self.realloc);
    }
}

/// The stack that called the hook at `start`.
#[inline(always)]
fn captured<'f, const D: usize>(
    called: Called,
    start: Start,
    hook: &Hook,
    (recorder, frames): (&mut Recorder<D>, &'f mut impl Walk),
    python: Option<&'f mut python::Frames>,
) -> Captured<'f> {
    let path = walked(start, hook, (recorder, frames));
    // Behind the walk, which may meet an interpreter.
    Captured { called, path, python: python::capture(python, |write| recorder.try_note(write)) }
}

/// Its native part.
#[inline(always)]
fn walked<'f, const D: usize>(
    start: Start,
    hook: &Hook,
    (recorder, frames): (&mut Recorder<D>, &'f mut impl Walk),
) -> unwind::Path<'f> {
    let path = frames.walk(start, hook.bounds(), &mut |module| {
        recorder.note(|buffer| record::write_module(buffer, module));
        session::call_attention();
    });
    #[cfg(feature = "oracle")]
    if hook.is_outermost() {
        crate::oracle::compare(&path);
    }
    path
}

/// Records the end of a block, before it happens.
#[inline(always)]
fn record_free(hook: &Hook, block: *mut c_void, realloc: bool) {
    match hook.own() {
        Some(own) => own.recorder.free(block as u64, realloc),
        None => record_nested_free(hook, block, realloc),
    }
}

#[cold]
#[inline(never)]
fn record_nested_free(hook: &Hook, block: *mut c_void, realloc: bool) {
    with_recorder!(hook, |recorder, _frames| recorder.free(block as u64, realloc));
}

/// For hooks whose blocks are all asked for in the same way.
#[inline(always)]
fn always(function: Function) -> impl FnOnce(*mut c_void) -> Called {
    move |_| function.into()
}

/// The common shape: forward, then record the block if there is one. `called`: how it was asked for.
///
/// # Safety
/// `start` describes the hook's own frame.
#[inline(always)]
pub(crate) unsafe fn allocate(
    called: impl FnOnce(*mut c_void) -> Called,
    size: usize,
    start: Start,
    call: impl FnOnce() -> *mut c_void,
) -> *mut c_void {
    let hook = Hook::enter(start);
    let block = call();
    if let Some(hook) = &hook
        && !block.is_null()
        && !real::is_bootstrap(block)
    {
        Allocated { called: called(block), block, size, start, realloc: false }.record(hook);
    }
    block
}

pub(crate) unsafe extern "C" fn malloc(size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: the entry point passes its own frame; forwarding is exact.
    unsafe { allocate(always(Function::Malloc), size, Start { slot, rbp }, || real::malloc(size)) }
}

pub(crate) unsafe extern "C" fn calloc(count: usize, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    let bytes = count.saturating_mul(size);
    // SAFETY: as malloc.
    unsafe { allocate(always(Function::Calloc), bytes, Start { slot, rbp }, || real::calloc(count, size)) }
}

pub(crate) unsafe extern "C" fn aligned_alloc(align: usize, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: as malloc.
    unsafe { allocate(always(Function::AlignedAlloc), size, Start { slot, rbp }, || real::aligned_alloc(align, size)) }
}

pub(crate) unsafe extern "C" fn memalign(align: usize, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: as malloc.
    unsafe { allocate(always(Function::Memalign), size, Start { slot, rbp }, || real::memalign(align, size)) }
}

pub(crate) unsafe extern "C" fn valloc(size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: as malloc.
    unsafe { allocate(always(Function::Valloc), size, Start { slot, rbp }, || real::valloc(size)) }
}

pub(crate) unsafe extern "C" fn pvalloc(size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: as malloc.
    unsafe { allocate(always(Function::Pvalloc), size, Start { slot, rbp }, || real::pvalloc(size)) }
}

pub(crate) unsafe extern "C" fn posix_memalign(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
    slot: usize,
    rbp: usize,
) -> c_int {
    let start = Start { slot, rbp };
    let hook = Hook::enter(start);
    // SAFETY: forwarding is exact.
    let result = unsafe { real::posix_memalign(out, align, size) };
    if let Some(hook) = &hook
        && result == 0
    {
        // SAFETY: on success the function has stored the block there.
        let block = unsafe { *out };
        if !block.is_null() {
            Allocated { called: Function::PosixMemalign.into(), block, size, start, realloc: false }.record(hook);
        }
    }
    result
}

pub(crate) unsafe extern "C" fn free(block: *mut c_void, slot: usize, rbp: usize) {
    // SAFETY: forwarding is exact.
    release(block, Start { slot, rbp }, || unsafe { real::free(block) });
}

/// Records the end of a block, then lets `call` end it.
#[inline(always)]
pub(crate) fn release(block: *mut c_void, start: Start, call: impl FnOnce()) {
    let hook = if block.is_null() { None } else { Hook::enter(start) };
    if let Some(hook) = &hook
        && !real::is_bootstrap(block)
    {
        record_free(hook, block, false);
    }
    // The hook is held meanwhile: an allocator's calls to itself are not the program's.
    call();
}

pub(crate) unsafe extern "C" fn realloc(block: *mut c_void, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: as malloc; glibc frees on size 0.
    unsafe {
        resize(always(Function::Realloc), (block, size), Start { slot, rbp }, || real::realloc(block, size), true)
    }
}

pub(crate) unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
    slot: usize,
    rbp: usize,
) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        weak::set_errno(libc::ENOMEM);
        return core::ptr::null_mut();
    };
    // SAFETY: as realloc.
    unsafe {
        resize(
            always(Function::Reallocarray),
            (block, bytes),
            Start { slot, rbp },
            || real::realloc(block, bytes),
            true,
        )
    }
}

/// Forwards, and records that a block was replaced. `called`: how the new one was asked for; `zero_frees`: whether a null
/// result for size 0 means that it is gone.
///
/// # Safety
/// `start` describes the hook's own frame.
#[inline(always)]
pub(crate) unsafe fn resize(
    called: impl FnOnce(*mut c_void) -> Called,
    (block, size): (*mut c_void, usize),
    start: Start,
    call: impl FnOnce() -> *mut c_void,
    zero_frees: bool,
) -> *mut c_void {
    let hook = Hook::enter(start);
    let Some(hook) = &hook else { return call() };
    let replaces = !block.is_null() && !real::is_bootstrap(block);
    if replaces {
        record_free(hook, block, true);
    }
    let new = call();
    if !new.is_null() {
        Allocated { called: called(new), block: new, size, start, realloc: replaces }.record(hook);
    } else if replaces {
        // Any other null result leaves the block alone.
        with_recorder!(hook, |recorder, _frames| recorder.end_realloc(zero_frees && size == 0));
    }
    new
}

/// Whether mappings are recorded.
fn records_maps() -> bool {
    Lanes::get().is_some_and(|lanes| lanes.has(flag::RECORD_MAPS))
}

/// Whether the kernel would take this for a range to unmap.
fn is_range(address: *mut c_void, len: usize) -> bool {
    len != 0 && (address as usize).is_multiple_of(4096)
}

#[cold]
fn record_map(called: Called, (address, len): (*mut c_void, usize), kind: MapKind, start: Start) {
    let Some(hook) = &Hook::enter(start) else { return };
    let range = (address as u64, len as u64);
    if let Some(own) = hook.own() {
        let mut frames = own.frames;
        let stack = captured(called, start, hook, (own.recorder, &mut frames), Some(own.python));
        own.recorder.map(range, stack, kind);
        return;
    }
    with_recorder!(hook, |recorder, frames| {
        let mut frames = frames;
        let stack = captured(called, start, hook, (recorder, &mut frames), None);
        recorder.map(range, stack, kind);
    });
}

#[cold]
fn record_unmap((address, len): (*mut c_void, usize), moves: bool, start: Start) {
    let Some(hook) = &Hook::enter(start) else { return };
    with_recorder!(hook, |recorder, _frames| recorder.unmap((address as u64, len as u64), moves));
}

/// The six arguments of `mmap`, as a value so that they can be passed on with two more.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct MmapArguments {
    address: *mut c_void,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
}

pub(crate) unsafe extern "C" fn mmap(a: &MmapArguments, slot: usize, rbp: usize) -> *mut c_void {
    // SAFETY: forwarding is exact.
    let result = unsafe { real::mmap(a.address, a.len, a.prot, a.flags, a.fd, a.offset) };
    let start = Start { slot, rbp };
    let plain = (a.flags, a.prot) == (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
    if result == libc::MAP_FAILED {
        return result;
    }
    let of_python = if plain { python::mapped(start.caller(), (result as usize, a.len)) } else { None };
    if let Some(called) = of_python.or_else(|| records_maps().then_some(Function::Mmap.into())) {
        let kind = match (a.flags & libc::MAP_ANONYMOUS, a.prot) {
            (0, _) => MapKind::File,
            (_, libc::PROT_NONE) => MapKind::Reserved,
            _ => MapKind::Memory,
        };
        // An object may have needed an arena.
        unserved(start, |start| record_map(called, (result, a.len), kind, start));
    }
    result
}

pub(crate) unsafe extern "C" fn munmap(address: *mut c_void, len: usize, slot: usize, rbp: usize) -> c_int {
    if (records_maps() || python::may_map()) && is_range(address, len) {
        python::unmapped((address as usize, len));
        unserved(Start { slot, rbp }, |start| record_unmap((address, len), false, start));
    }
    // SAFETY: forwarding is exact.
    unsafe { real::munmap(address, len) }
}

/// The five arguments of `mremap`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct MremapArguments {
    address: *mut c_void,
    old: usize,
    new: usize,
    flags: c_int,
    to: *mut c_void,
}

pub(crate) unsafe extern "C" fn mremap(a: &MremapArguments, slot: usize, rbp: usize) -> *mut c_void {
    let start = Start { slot, rbp };
    // An old length of zero duplicates a shared mapping, and removes nothing.
    let moves = records_maps() && is_range(a.address, a.old);
    if moves {
        record_unmap((a.address, a.old), true, start);
    }
    // SAFETY: forwarding is exact.
    let result = unsafe { real::mremap(a.address, a.old, a.new, a.flags, a.to) };
    if moves {
        if result != libc::MAP_FAILED {
            record_map(Function::Mremap.into(), (result, a.new), MapKind::Moved, start);
        } else if let Some(hook) = &Hook::enter(start) {
            with_recorder!(hook, |recorder, _frames| recorder.end_realloc(false));
        }
    }
    result
}

pub(crate) unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    // Before, so that a library which another thread loads in the gap at once is announced; and after, so that no rule
    // learned of the one that goes is kept.
    session::modules_changed();
    // SAFETY: forwarding is exact. `dlopen` is not hooked: it looks at its caller.
    let result = unsafe { real::dlclose(handle) };
    session::modules_changed();
    result
}
