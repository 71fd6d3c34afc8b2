//! \[unsafe\] Which recorder a hook may use: per-thread places, found through one thread-local word.
//!
//! A place is memory that a fork wipes: in the child, even of a raw clone, it reads "not live", and the first hook
//! there starts a new image. Places of dead threads are found again by the address of their thread control block,
//! which the C library reuses with the stack, or by asking the kernel when all are taken.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::lanes::Lanes;
use crate::os;
use crate::recorder::Recorder;
use crate::session;
use crate::unwind::{Bounds, Frames};

// One word of initial-exec TLS: stable Rust has no other way to ask for that model, and the general one may allocate.
global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".p2align 3",
    ".globl memtrack_place",
    ".hidden memtrack_place",
    ".type memtrack_place,@object",
    ".size memtrack_place,8",
    "memtrack_place:",
    ".zero 8",
    ".text",
);

/// Slots of a thread's own dictionary, and of the one for signal handlers.
const DICTIONARY: usize = 16 << 10;
const NESTED_DICTIONARY: usize = 1 << 10;
/// Frames kept of one stack, and of one in a signal handler inside a hook.
const FRAMES: usize = 65_536;
const NESTED_FRAMES: usize = 4096;

/// Places made at once. Few: address space may be limited.
const BATCH: usize = 8;
const BATCHES: usize = 4096;

/// What one thread records with. Zero is the state of a free place.
#[repr(C)]
pub(crate) struct Place {
    /// 1: this thread's hooks may use the place. 0 in fresh memory and after a fork.
    live: u32,
    /// Hooks this thread is inside of.
    depth: u32,
    /// Kernel id of the thread that holds or held the place, 0 for none.
    tid: AtomicU32,
    /// Its thread control block.
    control_block: AtomicUsize,
    pub(crate) bounds: Bounds,
    own: UnsafeCell<Recorder<DICTIONARY>>,
    nested: UnsafeCell<Recorder<NESTED_DICTIONARY>>,
    deepest: UnsafeCell<Recorder<NESTED_DICTIONARY>>,
    own_frames: UnsafeCell<Frames<FRAMES>>,
    nested_frames: UnsafeCell<Frames<NESTED_FRAMES>>,
}

static PLACES: [AtomicPtr<Place>; BATCHES] = [const { AtomicPtr::new(core::ptr::null_mut()) }; BATCHES];

/// The thread-local word while a place is being found: hooks of signal handlers in between are lost, and counted.
const ATTACHING: usize = 1;

#[inline(always)]
fn word() -> usize {
    let value: usize;
    // SAFETY: reads this thread's own initial-exec TLS word.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + memtrack_place@GOTTPOFF]",
            "mov {0}, qword ptr fs:[{0}]",
            out(reg) value,
            options(nostack, preserves_flags, readonly),
        );
    }
    value
}

fn set_word(value: usize) {
    // SAFETY: writes this thread's own initial-exec TLS word.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + memtrack_place@GOTTPOFF]",
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _,
            in(reg) value,
            options(nostack, preserves_flags),
        );
    }
}

/// Address of this thread's control block; the end of a pthread's stack.
pub(crate) fn control_block() -> usize {
    let value: usize;
    // SAFETY: the x86-64 TLS ABI keeps the block's own address in its first word.
    unsafe { asm!("mov {}, qword ptr fs:[0]", out(reg) value, options(nostack, preserves_flags, readonly)) };
    value
}

/// A hook's hold on its thread's place. Dropping it is leaving the hook.
pub(crate) struct Hook {
    place: *mut Place,
    depth: u32,
}

impl Drop for Hook {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the place belongs to this thread while its hooks run.
        unsafe { (*self.place).depth = self.depth };
    }
}

/// Runs `$body` with `$recorder` bound to the recorder and `$frames` to the frame buffer of the hook's level.
macro_rules! with_recorder {
    ($hook:expr, |$recorder:ident, $frames:ident| $body:expr) => {
        match $hook.level() {
            $crate::thread::Level::Own($recorder, $frames) => $body,
            $crate::thread::Level::Nested($recorder, $frames) => $body,
            $crate::thread::Level::Deepest($recorder) => {
                let $frames = $crate::unwind::NoFrames;
                $body
            }
            $crate::thread::Level::None => $crate::thread::lose(),
        }
    };
}
pub(crate) use with_recorder;

/// The recorder of a hook, by how many hooks of its thread it interrupted.
pub(crate) enum Level<'h> {
    Own(&'h mut Recorder<DICTIONARY>, &'h mut Frames<FRAMES>),
    Nested(&'h mut Recorder<NESTED_DICTIONARY>, &'h mut Frames<NESTED_FRAMES>),
    Deepest(&'h mut Recorder<NESTED_DICTIONARY>),
    None,
}

impl Hook {
    /// Enters a hook called from `caller`. `None`: do not record, forward only.
    #[inline(always)]
    pub(crate) fn enter(caller: usize) -> Option<Self> {
        let place = word() as *mut Place;
        // SAFETY: a word above ATTACHING is the address of a place that is never unmapped.
        if place as usize > ATTACHING && unsafe { (*place).live } == 1 {
            // SAFETY: as above; only this thread touches its depth.
            let depth = unsafe { (*place).depth };
            if depth != 0 && crate::program::is_allocator(caller) {
                return None;
            }
            // SAFETY: as above.
            unsafe { (*place).depth = depth + 1 };
            return Some(Self { place, depth });
        }
        Self::enter_new(place as usize)
    }

    #[cold]
    #[inline(never)]
    fn enter_new(word: usize) -> Option<Self> {
        if !session::is_recording() {
            return None;
        }
        if word == ATTACHING {
            lose();
            return None;
        }
        set_word(ATTACHING);
        let place = attach();
        set_word(place as usize);
        if place.is_null() {
            lose();
            return None;
        }
        let hook = Self { place, depth: 0 };
        // SAFETY: the place is this thread's now.
        unsafe { (*place).depth = 1 };
        session::introduce(&hook);
        Some(hook)
    }

    /// The recorder this hook may use.
    #[inline(always)]
    pub(crate) fn level(&self) -> Level<'_> {
        // SAFETY: the place is this thread's; hooks at different depths use different recorders and buffers, and a
        // hook borrows its own only once at a time.
        unsafe {
            let place = &*self.place;
            match self.depth {
                0 => Level::Own(&mut *place.own.get(), &mut *place.own_frames.get()),
                1 => Level::Nested(&mut *place.nested.get(), &mut *place.nested_frames.get()),
                2 => Level::Deepest(&mut *place.deepest.get()),
                _ => Level::None,
            }
        }
    }

    /// Whether this hook interrupted no other.
    #[cfg(feature = "oracle")]
    pub(crate) fn is_outermost(&self) -> bool {
        self.depth == 0
    }

    /// Where this thread's own stack is.
    #[inline(always)]
    pub(crate) fn bounds(&self) -> Bounds {
        // SAFETY: written once, when the thread took the place.
        unsafe { (*self.place).bounds }
    }
}

/// Counts an event that could not be recorded.
#[cold]
pub(crate) fn lose() {
    if let Some(lanes) = Lanes::get() {
        lanes.control().talk.0.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Finds this thread a place, and starts its recorders. Null: no memory.
fn attach() -> *mut Place {
    let (tid, control_block) = (os::gettid(), control_block());
    let Some(image) = session::image() else { return core::ptr::null_mut() };
    let place = find(tid, control_block);
    if place.is_null() {
        return place;
    }
    // SAFETY: `find` made the place this thread's: its former holder is dead, or it had none.
    unsafe {
        (*place).live = 0;
        (*place).depth = 0;
        (*place).control_block.store(control_block, Ordering::Relaxed);
        (*place).bounds = Bounds::of_this_thread(tid, control_block);
        (*(*place).own_frames.get()).forget();
        (*(*place).nested_frames.get()).forget();
        (*(*place).own.get()).start(image, tid, 0);
        (*(*place).nested.get()).start(image, tid, 1);
        (*(*place).deepest.get()).start(image, tid, 2);
        (*place).live = 1;
    }
    place
}

fn find(tid: u32, control_block: usize) -> *mut Place {
    let pid = os::getpid();
    // A thread with our control block, or our id, is dead: we have both.
    let inherits =
        |place: &Place, holder: u32| holder == tid || place.control_block.load(Ordering::Relaxed) == control_block;
    if let Some(place) = take(tid, |place, holder| holder != 0 && inherits(place, holder)) {
        return place;
    }
    if let Some(place) = take(tid, |_, holder| holder == 0) {
        return place;
    }
    if let Some(place) = take(tid, |_, holder| !os::thread_exists(pid, holder)) {
        return place;
    }
    if add_batch() {
        take(tid, |_, holder| holder == 0).unwrap_or(core::ptr::null_mut())
    } else {
        core::ptr::null_mut()
    }
}

/// Takes the first place whose holder passes `may_take`.
fn take(tid: u32, may_take: impl Fn(&Place, u32) -> bool) -> Option<*mut Place> {
    for batch in &PLACES {
        let first = batch.load(Ordering::Acquire);
        if first.is_null() {
            return None;
        }
        for index in 0..BATCH {
            // SAFETY: a batch is an array of BATCH places, never unmapped; shared fields are atomics.
            let place = unsafe { first.add(index) };
            // SAFETY: as above.
            let shared = unsafe { &*place };
            let holder = shared.tid.load(Ordering::Relaxed);
            if may_take(shared, holder)
                && shared.tid.compare_exchange(holder, tid, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return Some(place);
            }
        }
    }
    None
}

/// Maps another batch of places. False: no memory, or no room in the list.
fn add_batch() -> bool {
    let len = BATCH * size_of::<Place>();
    let memory = os::map_private(len);
    if memory.is_null() {
        return false;
    }
    // Without wiping, a fork child would write into its parent's chunks.
    if !os::advise(memory, len, libc::MADV_WIPEONFORK) {
        // SAFETY: nobody has seen this memory.
        unsafe { os::unmap(memory, len) };
        return false;
    }
    os::advise(memory, len, libc::MADV_DONTDUMP);
    PLACES.iter().any(|batch| {
        let new = memory.cast::<Place>();
        batch.compare_exchange(core::ptr::null_mut(), new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    })
}
