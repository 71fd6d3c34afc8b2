//! \[unsafe\] Which recorder a hook may use: per-thread places, found through one thread-local word.
//!
//! A place is memory that a fork wipes: in the child, even of a raw clone, it reads "not live", and the first hook
//! there starts a new image. Places of dead threads are found again by the address of their thread control block,
//! which the C library reuses with the stack, or because the collector has taken back the chunk they held.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence};

use tracker_core::format::lanes::{ChunkHeader, owner, owner_parts};

use crate::lanes::Lanes;
use crate::os;
use crate::python;
use crate::recorder::Recorder;
use crate::sandbox;
use crate::scratch::Scratch;
use crate::session;
use crate::unwind::{Bounds, Frames, Start};
use crate::weak;

// Two words of initial-exec TLS: stable Rust has no other way to ask for that model, and the general one may allocate.
// The first is the address of the thread's place, the second the id that the thread had when it took one.
global_asm!(
    ".section .tbss,\"awT\",@nobits",
    ".p2align 3",
    ".globl memtrack_place",
    ".hidden memtrack_place",
    ".type memtrack_place,@object",
    ".size memtrack_place,16",
    "memtrack_place:",
    ".zero 16",
    ".text",
);

/// Slots of a thread's own dictionary, and of the one for signal handlers.
const DICTIONARY: usize = 16 << 10;
const NESTED_DICTIONARY: usize = 1 << 10;
/// Frames kept of one stack, and of one in a signal handler inside a hook.
const FRAMES: usize = 65_536;
const NESTED_FRAMES: usize = 4096;

/// Places made at once, where there is address space for so many.
const BATCH: usize = 8;
const BATCHES: usize = 4096;
/// How long a thread that found no place is content with that, in nanoseconds: making one is a system call.
const PATIENCE: u64 = 100_000_000;

/// What one thread records with. Zero is the state of a free place. Aligned so that its address has room for a depth.
#[repr(C, align(64))]
pub(crate) struct Place {
    /// 1: this thread's hooks may use the place. 0 in fresh memory and after a fork.
    live: u32,
    /// Hooks this thread is inside of.
    depth: u32,
    /// Where the outermost of them was called.
    outermost: usize,
    /// Where the innermost hook was called that answers for its call.
    served: Start,
    /// Kernel id of the thread that holds or held the place, 0 for none; with [`TAKING`] while it changes hands.
    tid: AtomicU32,
    /// Its thread control block.
    control_block: AtomicUsize,
    shown: Shown,
    pub(crate) bounds: Bounds,
    scratch: Scratch,
    own: UnsafeCell<Recorder<DICTIONARY>>,
    nested: UnsafeCell<Recorder<NESTED_DICTIONARY>>,
    deepest: UnsafeCell<Recorder<NESTED_DICTIONARY>>,
    own_frames: UnsafeCell<Frames<FRAMES>>,
    nested_frames: UnsafeCell<Frames<NESTED_FRAMES>>,
    python: UnsafeCell<python::Frames>,
}

/// Batches of places: the address of the first, plus how many there are, which the alignment of places has room for.
static PLACES: [AtomicUsize; BATCHES] = [const { AtomicUsize::new(0) }; BATCHES];
const _: () = assert!(BATCH < align_of::<Place>());

/// The thread-local word while a place is being found: hooks of signal handlers in between are lost, and counted.
const ATTACHING: usize = 1;
/// The thread-local word of a thread for which there was no place. Any larger one is a place's address.
const WITHOUT: usize = 2;
/// Coarse clock from which on threads without a place look for one again.
static LOOK_AGAIN: AtomicU64 = AtomicU64::new(0);

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

fn last_tid() -> u32 {
    let value: usize;
    // SAFETY: reads this thread's own second initial-exec TLS word.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + memtrack_place@GOTTPOFF]",
            "mov {0}, qword ptr fs:[{0} + 8]",
            out(reg) value,
            options(nostack, preserves_flags, readonly),
        );
    }
    value as u32
}

fn set_last_tid(tid: u32) {
    // SAFETY: writes this thread's own second initial-exec TLS word.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + memtrack_place@GOTTPOFF]",
            "mov qword ptr fs:[{0} + 8], {1}",
            out(reg) _,
            in(reg) tid as usize,
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

/// Where glibc for x86-64 keeps a thread's id in its control block, in every version from 2.17 on.
const TID_OFFSET: usize = 720;
/// Whether it does so here: looked at once.
static HAS_IDS: AtomicBool = AtomicBool::new(false);

/// Learns whether thread ids can be read without a system call. `tid` is the calling thread's.
pub(crate) fn find_ids(tid: u32) {
    HAS_IDS.store(id_in(control_block()) == tid, Ordering::Relaxed);
}

fn id_in(control_block: usize) -> u32 {
    // SAFETY: a thread control block of the C library, which is larger than that.
    unsafe { *((control_block + TID_OFFSET) as *const u32) }
}

/// The id of the thread whose control block this is (it is what `pthread_t` points to), 0 when unknown.
pub(crate) fn id_of(control_block: usize) -> u32 {
    if HAS_IDS.load(Ordering::Relaxed) { id_in(control_block) } else { 0 }
}

/// Process and thread id of the caller. Without a system call where the C library has noted them: a sandbox may punish
/// the question. `None`: a vfork child of a thread that has no place, which would record in its parent's name; or nobody
/// may ask.
fn identify() -> Option<(u32, u32)> {
    let (process, noted, last) = (session::registered_pid(), id_of(control_block()), last_tid());
    if noted != 0 && process != 0 && last == 0 {
        return Some((process, noted));
    }
    // In a child that the C library forked the note is new; after a raw clone it is still the parent's.
    if noted != 0 && process == 0 && last != 0 && noted != last {
        return Some((noted, noted));
    }
    if sandbox::is_active() {
        return None;
    }
    let pid = os::getpid();
    (process == 0 || process == pid).then(|| (pid, os::gettid()))
}

/// A hook's hold on its thread's place. Dropping it is leaving the hook.
///
/// One word, so that it lives in a register: the place's address, and in its low bits how many hooks of the thread this one
/// interrupted.
pub(crate) struct Hook(NonZeroUsize);

/// Hooks inside of more hooks than this are not recorded, but counted.
const DEEPEST: u32 = 7;
/// Beside the depth: the innermost hook answers for what its forwarded call asks of others.
const SERVING: u32 = 16;
const _: () = assert!(DEEPEST + 1 < SERVING && (SERVING as usize * 2) <= align_of::<Place>());

/// Runs the forwarded call of a hook, called at `start`, that answers for all of it: what the call asks of hooks is not
/// recorded again, unless [`unserved`].
#[inline(always)]
pub(crate) fn serve<T>(start: Start, call: impl FnOnce() -> T) -> T {
    let place = word() as *mut Place;
    if place as usize <= WITHOUT {
        return call();
    }
    // SAFETY: a word above WITHOUT is the address of a place that is never unmapped, and only this thread touches this
    // field; every hook inside leaves it as it was.
    unsafe {
        let (depth, served) = ((*place).depth, (*place).served);
        ((*place).depth, (*place).served) = (depth | SERVING, start);
        let answer = call();
        ((*place).depth, (*place).served) = (depth, served);
        answer
    }
}

/// Lets `record` record all the same what a hook that answers for its call is asked for, in that hook's place: it records
/// nothing meanwhile. Gets the place that this happened at, as the program sees it.
#[cold]
pub(crate) fn unserved(start: Start, record: impl FnOnce(Start)) {
    let place = word() as *mut Place;
    // SAFETY: as in `serve`.
    unsafe {
        if place as usize <= WITHOUT || (*place).live != 1 || (*place).depth & SERVING == 0 {
            return record(start);
        }
        let depth = (*place).depth;
        (*place).depth = (depth & !SERVING).saturating_sub(1);
        record((*place).served);
        (*place).depth = depth;
    }
}

impl Drop for Hook {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the place belongs to this thread while its hooks run.
        unsafe { (*self.place()).depth = self.before() };
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

/// What a hook that interrupted no other records with.
pub(crate) struct Own<'h> {
    pub(crate) recorder: &'h mut Recorder<DICTIONARY>,
    pub(crate) frames: &'h mut Frames<FRAMES>,
    pub(crate) python: &'h mut python::Frames,
}

/// The recorder of a hook, by how many hooks of its thread it interrupted.
pub(crate) enum Level<'h> {
    Own(&'h mut Recorder<DICTIONARY>, &'h mut Frames<FRAMES>),
    Nested(&'h mut Recorder<NESTED_DICTIONARY>, &'h mut Frames<NESTED_FRAMES>),
    Deepest(&'h mut Recorder<NESTED_DICTIONARY>),
    None,
}

impl Hook {
    #[inline(always)]
    fn new(place: *mut Place, depth: u32) -> Option<Self> {
        NonZeroUsize::new(place as usize | depth as usize).map(Self)
    }

    #[inline(always)]
    fn place(&self) -> *mut Place {
        (self.0.get() & !(align_of::<Place>() - 1)) as *mut Place
    }

    /// What the place's depth was.
    #[inline(always)]
    fn before(&self) -> u32 {
        (self.0.get() & (align_of::<Place>() - 1)) as u32
    }

    /// How many hooks of the thread this one interrupted.
    #[inline(always)]
    fn depth(&self) -> u32 {
        self.before() & DEEPEST
    }

    /// Enters a hook called from `caller`. `None`: do not record, forward only.
    #[inline(always)]
    pub(crate) fn enter(start: Start) -> Option<Self> {
        let place = word() as *mut Place;
        // SAFETY: a word above WITHOUT is the address of a place that is never unmapped, and only this thread touches
        // these fields.
        unsafe {
            if place as usize > WITHOUT && (*place).live == 1 && (*place).depth == 0 {
                (*place).depth = 1;
                // A handler in between finds a hook that has done nothing yet, whatever it takes it for.
                compiler_fence(Ordering::SeqCst);
                (*place).outermost = start.slot;
                return Self::new(place, 0);
            }
        }
        Self::enter_rarely(place, start)
    }

    #[cold]
    #[inline(never)]
    fn enter_rarely(place: *mut Place, start: Start) -> Option<Self> {
        // SAFETY: as in `enter`.
        if place as usize > WITHOUT && unsafe { (*place).live } == 1 {
            Self::enter_nested(place, start)
        } else {
            Self::enter_new(place as usize, start)
        }
    }

    /// The hooks of this thread were left half way: none of them returns.
    ///
    /// # Safety
    /// The place is this thread's, and no hook of it runs.
    #[cold]
    unsafe fn abandon(place: *mut Place) {
        // SAFETY: the caller's.
        unsafe {
            (*(*place).own.get()).renew();
            (*(*place).nested.get()).renew();
            (*(*place).deepest.get()).renew();
            (*(*place).own_frames.get()).forget();
            (*(*place).nested_frames.get()).forget();
            (*(*place).python.get()).forget();
        }
    }

    fn enter_nested(place: *mut Place, start: Start) -> Option<Self> {
        if crate::program::is_allocator(start.caller()) {
            return None;
        }
        // SAFETY: the place is this thread's; only it touches these fields.
        unsafe {
            let (bounds, outermost, before) = ((*place).bounds, (*place).outermost, (*place).depth);
            if bounds.contain(start.slot) && bounds.contain(outermost) && start.slot >= outermost {
                // The hook we seem to be inside of has left the stack: a signal handler jumped out of it.
                Self::abandon(place);
                (*place).depth = 1;
                (*place).outermost = start.slot;
                return Self::new(place, 0);
            }
            if before & SERVING != 0 {
                return None;
            }
            if before > DEEPEST {
                lose();
                return None;
            }
            (*place).depth = before + 1;
            Self::new(place, before)
        }
    }

    fn enter_new(word: usize, start: Start) -> Option<Self> {
        if !session::is_recording() {
            return None;
        }
        // A fork child, which has not registered yet, has its parent's places for itself.
        let waits = || session::registered_pid() != 0 && weak::coarse_clock() < LOOK_AGAIN.load(Ordering::Relaxed);
        if word == ATTACHING || (word == WITHOUT && waits()) {
            lose();
            return None;
        }
        let Some((pid, tid)) = identify() else {
            lose();
            return None;
        };
        let image = session::image(pid)?;
        set_word(ATTACHING);
        let place = attach(image, pid, tid);
        if place.is_null() {
            LOOK_AGAIN.store(weak::coarse_clock().saturating_add(PATIENCE), Ordering::Relaxed);
            set_word(WITHOUT);
            lose();
            return None;
        }
        set_word(place as usize);
        let hook = Self::new(place, 0)?;
        // SAFETY: the place is this thread's now.
        unsafe {
            (*place).depth = 1;
            (*place).outermost = start.slot;
        }
        set_last_tid(tid);
        session::introduce(&hook);
        session::name_thread(&hook, tid);
        Some(hook)
    }

    /// For a hook that interrupted no other, what it records with; `None` for all others, see [`Self::level`].
    #[inline(always)]
    pub(crate) fn own(&self) -> Option<Own<'_>> {
        // SAFETY: as in `level`.
        unsafe {
            let place = &*self.place();
            (self.depth() == 0 && place.live == 1).then(|| Own {
                recorder: &mut *place.own.get(),
                frames: &mut *place.own_frames.get(),
                python: &mut *place.python.get(),
            })
        }
    }

    /// The recorder this hook may use.
    pub(crate) fn level(&self) -> Level<'_> {
        // SAFETY: the place is this thread's; hooks at different depths use different recorders and buffers, and a
        // hook borrows its own only once at a time.
        unsafe {
            let place = &*self.place();
            if place.live != 1 {
                // A signal handler forked, and this is the child, resuming its parent's hook.
                return Level::None;
            }
            match self.depth() {
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
        self.depth() == 0
    }

    /// Where this thread's own stack is.
    #[inline(always)]
    pub(crate) fn bounds(&self) -> Bounds {
        // SAFETY: written once, when the thread took the place.
        unsafe { (*self.place()).bounds }
    }
}

/// Lets go of this thread's place: its next hook asks whether there is a recording at all. The one at hand goes on with it.
pub(crate) fn detach() {
    set_word(0);
}

/// The pages that the calling thread keeps, and its id; a vfork child's are its parent's.
pub(crate) fn scratch() -> Option<(&'static Scratch, u32)> {
    let place = word() as *const Place;
    if place as usize <= WITHOUT {
        return None;
    }
    // SAFETY: a place is never unmapped; these fields are this thread's and its vfork children's, who are never there at
    // the same time.
    let place = unsafe { &*place };
    (place.live == 1).then(|| (&place.scratch, place.tid.load(Ordering::Relaxed)))
}

/// Counts an event that could not be recorded.
#[cold]
pub(crate) fn lose() {
    Lanes::count_lost();
}

/// Finds this thread a place, and starts its recorders. Null: no memory.
fn attach(image: u32, pid: u32, tid: u32) -> *mut Place {
    let control_block = control_block();
    let place = find(owner(image, tid), pid, control_block);
    if place.is_null() {
        return place;
    }
    // SAFETY: `find` made the place this thread's: its former holder is dead, or it had none, and nobody takes one that
    // is being taken.
    unsafe {
        (*place).live = 0;
        (*place).depth = 0;
        (*place).control_block.store(control_block, Ordering::Relaxed);
        (*place).bounds = Bounds::of_this_thread(tid == pid, control_block);
        (*(*place).own_frames.get()).forget();
        (*(*place).nested_frames.get()).forget();
        (*(*place).python.get()).forget();
        let shown: &'static Shown = &(*place).shown;
        shown.hide();
        (*place).tid.store(tid, Ordering::Release);
        (*(*place).own.get()).start(image, tid, 0, Some(shown));
        (*(*place).nested.get()).start(image, tid, 1, None);
        (*(*place).deepest.get()).start(image, tid, 2, None);
        (*place).live = 1;
    }
    place
}

fn find(owner: u64, pid: u32, control_block: usize) -> *mut Place {
    let (image, tid) = owner_parts(owner);
    // A thread with our control block, or our id, is dead: we have both.
    let inherits =
        |place: &Place, holder: u32| holder == tid || place.control_block.load(Ordering::Relaxed) == control_block;
    if let Some(place) = take(tid, |place, holder| holder != 0 && inherits(place, holder)) {
        return place;
    }
    if let Some(place) = take(tid, |_, holder| holder == 0) {
        return place;
    }
    // The collector takes chunks back from the dead alone.
    if let Some(place) = take(tid, |place, holder| place.shown.is_lost(self::owner(image, holder))) {
        return place;
    }
    // It shall look for the dead among those that hold the others.
    session::call_attention();
    // Others may be faster at what one adds.
    while add_batch(BATCH) || add_batch(1) {
        if let Some(place) = take(tid, |_, holder| holder == 0) {
            return place;
        }
    }
    // No memory, or no room in the list: the kernel is asked, which a sandbox may punish.
    let dead = |_: &Place, holder: u32| !sandbox::is_active() && !os::thread_exists(pid, holder);
    take(tid, dead).unwrap_or(core::ptr::null_mut())
}

/// Which chunk a recorder has in hand, for other threads to see.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Shown {
    chunk: AtomicPtr<ChunkHeader>,
    /// The chunk's owner word while it is in hand.
    owner: AtomicU64,
}

impl Shown {
    /// Must come after the claim.
    pub(crate) fn show(&self, chunk: &'static ChunkHeader, owner: u64) {
        self.owner.store(owner, Ordering::Relaxed);
        self.chunk.store(core::ptr::from_ref(chunk).cast_mut(), Ordering::Release);
    }

    /// Must come before the chunk is published: whose chunk is another's counts as dead.
    pub(crate) fn hide(&self) {
        self.chunk.store(core::ptr::null_mut(), Ordering::Release);
    }

    /// Whether the chunk that `holder` had in hand was taken back from it.
    fn is_lost(&self, holder: u64) -> bool {
        // SAFETY: null, or a header inside the lanes, which are never unmapped; atomics.
        let chunk = unsafe { self.chunk.load(Ordering::Acquire).as_ref() };
        let owner = self.owner.load(Ordering::Relaxed);
        owner == holder && chunk.is_some_and(|chunk| chunk.owner.load(Ordering::Acquire) != owner)
    }
}

/// Bit of a place's thread id while it changes hands, so that of two threads that take it only one succeeds, even if one
/// of them has its last holder's id. The kernel's ids are smaller.
const TAKING: u32 = 1 << 31;

/// Takes the first place whose holder passes `may_take`. It is marked as being taken.
fn take(tid: u32, may_take: impl Fn(&Place, u32) -> bool) -> Option<*mut Place> {
    for batch in &PLACES {
        let batch = batch.load(Ordering::Acquire);
        let len = batch & (align_of::<Place>() - 1);
        if len == 0 {
            return None;
        }
        for index in 0..len {
            // SAFETY: a batch is an array of so many places, never unmapped; shared fields are atomics.
            let place = unsafe { ((batch - len) as *mut Place).add(index) };
            // SAFETY: as above.
            let shared = unsafe { &*place };
            let holder = shared.tid.load(Ordering::Relaxed);
            if holder & TAKING == 0
                && may_take(shared, holder)
                && shared.tid.compare_exchange(holder, tid | TAKING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            {
                return Some(place);
            }
        }
    }
    None
}

/// Maps a batch of `count` places. False: no memory, or no room in the list.
fn add_batch(count: usize) -> bool {
    let len = count * size_of::<Place>();
    // A sandbox may not know of mappings that grow.
    let memory = if sandbox::is_active() { os::map_private(len) } else { os::map_apart(len) };
    if memory.is_null() {
        return false;
    }
    os::advise(memory, len, libc::MADV_DONTDUMP);
    let batch = memory as usize + count;
    // Without wiping, a fork child would write into its parent's chunks.
    let listed = os::advise(memory, len, libc::MADV_WIPEONFORK)
        && PLACES.iter().any(|place| {
            let none = place.load(Ordering::Relaxed) == 0;
            none && place.compare_exchange(0, batch, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
    if !listed {
        // SAFETY: nobody has seen this memory. (A page below it may stay, of which nobody can make use.)
        unsafe { os::unmap(memory, len) };
    }
    listed
}
