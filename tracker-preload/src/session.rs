//! \[unsafe\] The life of the recording in this process.
//!
//! ```text
//! NEW ──first hook or constructor──▶ STARTING ──lanes attached──▶ RECORDING ──fork child, children ignored──▶ OFF
//!                                        │                            └───────recording stopped──────────────▲
//!                                        └──────no session, or no lanes──────────────────────────────────────┘
//! ```

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};

use tracker_core::format::ImageKind;
use tracker_core::format::lanes::{DOOR_NAME_LEN, DOOR_PREFIX, flag};
use tracker_core::format::record;

use crate::environment::{Keep, Session, Start as Block};
use crate::lanes::{self, Lanes};
use crate::real::Real;
use crate::thread::{self, Hook, with_recorder};
use crate::unwind::Start;
use crate::{module, os, program, python, real, sandbox, weak};

const NEW: u8 = 0;
const STARTING: u8 = 1;
const RECORDING: u8 = 2;
const OFF: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(NEW);

/// Words that a fork wipes: which image this process is.
#[repr(C)]
struct Identity {
    /// 0: not registered yet.
    image: AtomicU32,
    /// 1: its image record was written.
    introduced: AtomicU32,
    /// The process that registered the image.
    pid: AtomicU32,
}

static IDENTITY: AtomicPtr<Identity> = AtomicPtr::new(core::ptr::null_mut());

/// What the first image of this process was started with. Written once, while STARTING.
struct Origin(UnsafeCell<Facts>);
// SAFETY: written by the one thread that moved STATE to STARTING, read only after it moved on.
unsafe impl Sync for Origin {}

struct Facts {
    session: Option<Session>,
    start: Option<Block>,
    executable: [u8; 1024],
    /// Image number this memory was first registered as.
    own: u32,
}

static ORIGIN: Origin = Origin(UnsafeCell::new(Facts { session: None, start: None, executable: [0; 1024], own: 0 }));
static EXECUTABLE_LEN: AtomicUsize = AtomicUsize::new(0);

fn facts() -> &'static Facts {
    // SAFETY: see `Origin`.
    unsafe { &*ORIGIN.0.get() }
}

/// The constructor: the latest moment at which the session starts.
///
/// # Safety
/// Called by the loader with this process's arguments and environment.
pub(crate) unsafe extern "C" fn constructor(argc: c_int, argv: *const *const c_char, envp: *mut *mut c_char) {
    // SAFETY: the caller's promise.
    let start_block = unsafe { Block::new(argc as usize, argv, envp) };
    if STATE.compare_exchange(NEW, STARTING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        start(start_block);
    }
    // The collector learns of the image even if it never allocates.
    drop(Hook::enter(Start::NOWHERE));
}

/// Whether hooks record. Starts the session at the first call.
#[cold]
pub(crate) fn is_recording() -> bool {
    match STATE.load(Ordering::Acquire) {
        RECORDING => true,
        NEW => {
            let Some(end) = weak::libc_stack_end() else { return false };
            // SAFETY: the loader's own word.
            let Some(block) = (unsafe { Block::from_stack(*end) }) else { return false };
            if STATE.compare_exchange(NEW, STARTING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                start(block);
            }
            STATE.load(Ordering::Acquire) == RECORDING
        }
        _ => false,
    }
}

static VARIABLE: Keep = Keep::new();

fn start(block: Block) {
    program::set_headers(block.program_headers());
    // SAFETY: only the one thread that moved STATE to STARTING comes here.
    let variable = unsafe { &mut *VARIABLE.room() };
    let attached = block.take_session(variable).is_some_and(|session| attach(block, session));
    // While the state is STARTING, what the look-up allocates is forwarded and not recorded.
    real::resolve();
    if attached {
        note_allocator();
    }
    STATE.store(if attached { RECORDING } else { OFF }, Ordering::Release);
}

fn attach(block: Block, session: Session) -> bool {
    let inherited = session.descriptor.filter(|&(fd, inode)| os::inode(fd) == Some(inode)).map(|(fd, _)| fd);
    let received = || {
        let mut name = [0u8; DOOR_PREFIX.len() + DOOR_NAME_LEN];
        let (digits, secret) = session.token.split_at_checked(DOOR_NAME_LEN)?;
        for (to, from) in name.iter_mut().zip(DOOR_PREFIX.as_bytes().iter().chain(digits)) {
            *to = *from;
        }
        os::with_descriptors(|| os::receive_descriptor(&name, secret))
    };
    let Some(fd) = inherited.or_else(received) else { return false };
    let attached = lanes::attach(fd);
    os::close(fd);
    let identity = os::map_private(4096).cast::<Identity>();
    let Some(lanes) = Lanes::get().filter(|_| attached && !identity.is_null()) else {
        return false;
    };
    let control = lanes.control();
    if session.parent != u32::MAX {
        // Whoever ran exec counted this image as under way.
        control.talk.0.pending_execs.fetch_sub(1, Ordering::AcqRel);
        if lanes.has(flag::IGNORE_CHILDREN) || control.talk.0.stopped.load(Ordering::Relaxed) != 0 {
            return false;
        }
    }
    if !os::advise(identity.cast(), 4096, libc::MADV_WIPEONFORK) {
        return false;
    }
    program::set_checks_unwinding(lanes.has(flag::UNWIND_CHECK));
    program::set_start(control.start_monotonic.load(Ordering::Relaxed));
    if let Some(end) = weak::libc_stack_end() {
        program::set_stack_end(*end);
    }
    // SAFETY: this is the one thread between NEW and RECORDING, see `Origin`.
    unsafe {
        let facts = &mut *ORIGIN.0.get();
        facts.session = Some(session);
        facts.start = Some(block);
        let len = os::read_link(c"/proc/self/exe", &mut facts.executable).len();
        EXECUTABLE_LEN.store(len, Ordering::Relaxed);
        facts.own = control.numbers.0.next_image.fetch_add(1, Ordering::AcqRel);
        (*identity).pid.store(os::getpid(), Ordering::Relaxed);
        thread::find_ids(os::gettid());
        (*identity).image.store(facts.own, Ordering::Relaxed);
        program::set_last_image(facts.own);
    }
    IDENTITY.store(identity, Ordering::Release);
    true
}

/// The recording has stopped before the program's end: from here on the calling thread's hooks only forward, and so will
/// each other thread's once it has filled its chunk. Images that come by exec start without us.
#[cold]
pub(crate) fn end() {
    STATE.store(OFF, Ordering::Release);
    thread::detach();
}

/// An allocator that is not the C library's may call its own entry points: those calls are not the program's.
fn note_allocator() {
    let range_of = |function: usize| module::find(function).map(|module| module.range());
    let (Some(libc), Some((start, end))) =
        (weak::clock_gettime().and_then(|f| range_of(f as usize)), range_of(Real::Malloc.address()))
    else {
        return;
    };
    if libc.0 != start {
        program::set_allocator(start, end - start);
    }
}

fn identity() -> Option<&'static Identity> {
    // SAFETY: null, or mapped in `attach` and never unmapped; atomics.
    unsafe { IDENTITY.load(Ordering::Acquire).as_ref() }
}

/// The process that registered this image; 0 before that, as in a fork child.
pub(crate) fn registered_pid() -> u32 {
    identity().map_or(0, |identity| identity.pid.load(Ordering::Relaxed))
}

/// The number of this process image; a fork child, which calls itself `pid`, draws one here. `None`: this process is
/// not recorded.
#[cold]
pub(crate) fn image(pid: u32) -> Option<u32> {
    let lanes = Lanes::get()?;
    let identity = identity()?;
    let known = identity.image.load(Ordering::Acquire);
    if known != 0 {
        return Some(known);
    }
    if lanes.has(flag::IGNORE_CHILDREN) {
        STATE.store(OFF, Ordering::Release);
        return None;
    }
    let drawn = lanes.control().numbers.0.next_image.fetch_add(1, Ordering::AcqRel);
    identity.pid.store(pid, Ordering::Relaxed);
    match identity.image.compare_exchange(0, drawn, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(drawn),
        Err(other) => Some(other),
    }
}

/// Writes this image's record, once, in the stream of the first thread that has one.
#[cold]
pub(crate) fn introduce(hook: &Hook) {
    let Some(identity) = identity() else { return };
    if identity.introduced.swap(1, Ordering::AcqRel) != 0 {
        return;
    }
    let image = identity.image.load(Ordering::Acquire);
    let (facts, pid, generation) = (facts(), registered_pid(), program::generation());
    let forked = image != facts.own;
    let parent = if forked { program::last_image() } else { facts.session.map_or(u32::MAX, |session| session.parent) };
    let kind = match parent {
        _ if forked => ImageKind::Fork,
        u32::MAX => ImageKind::First,
        _ => ImageKind::Exec,
    };
    program::set_last_image(image);
    let numbers = (pid, parent, generation);
    with_recorder!(hook, |recorder, _frames| recorder.note(|buffer| {
        // A fork child's arguments are its parent's, unless it wrote over them: they are not read again.
        let start = facts.start.filter(|_| !forked);
        let arguments = (0..).map_while(|index| start.and_then(|start| start.argument(index)));
        let executable = if forked { &[] } else { executable() };
        record::write_image(buffer, kind, numbers, executable, arguments)
    }));
    call_attention();
}

/// Records what the thread `tid`, the calling one, is called at its first event.
pub(crate) fn name_thread(hook: &Hook, tid: u32) {
    // A name is not worth a system call that a sandbox may punish.
    if !sandbox::is_active() {
        let mut buffer = [0; 16];
        let name = os::thread_name(&mut buffer);
        with_recorder!(hook, |recorder, _frames| {
            recorder.note(|buffer| record::write_thread_name(buffer, tid, false, name));
        });
    }
}

/// Asks the collector to look soon. No system call.
pub(crate) fn call_attention() {
    if let Some(lanes) = Lanes::get() {
        lanes.control().talk.0.attention.store(1, Ordering::Release);
    }
}

/// Path of the program's file.
pub(crate) fn executable() -> &'static [u8] {
    facts().executable.get(..EXECUTABLE_LEN.load(Ordering::Relaxed)).unwrap_or(&[])
}

/// Token of the session, path of the library and number of this image, for the environment of new images.
pub(crate) type Following = (&'static [u8], &'static [u8], u32);

/// What new images shall get; `None` when they shall not be followed.
pub(crate) fn following() -> Option<Following> {
    if STATE.load(Ordering::Acquire) != RECORDING {
        return None;
    }
    let lanes = Lanes::get()?;
    if lanes.has(flag::IGNORE_CHILDREN) {
        return None;
    }
    let session = facts().session?;
    Some((session.token, session.library, program::last_image()))
}

/// A module was unloaded: addresses change their meaning.
pub(crate) fn modules_changed() {
    python::modules_change();
    program::next_generation();
    crate::unwind::forget_rules();
    module::announce_anew();
}
