//! \[unsafe\] A CPython interpreter in this process: found by its symbols when a module is met, checked, and asked which
//! frame the calling thread is in.
//!
//! The calls made here only read thread storage or globals; they take no lock and allocate nothing. What they answer
//! about the calling thread cannot change under it: a thread's frames are changed by that thread alone, with or without
//! the interpreter's lock.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use tracker_core::format::python::InterpreterState;

use super::arenas;
use super::codes;
use super::layout::{self, Described, Family, Layout};
use super::memory::Pages;
use super::objects::Domains;
use super::symbols::Symbols;
use crate::module::Module;
use crate::thread::control_block;
use crate::unwind::load;

/// What is known of one interpreter. Written once, before it is published.
#[derive(Debug)]
pub(super) struct Interpreter {
    pub(super) layout: Layout,
    pub(super) state: InterpreterState,
    /// `PY_VERSION_HEX`; below 3.11 only its first two parts.
    pub(super) version: u32,
    /// Address of its runtime state.
    runtime: usize,
    /// Addresses of the types that frames lead to.
    pub(super) code_type: usize,
    pub(super) text_type: usize,
    pub(super) bytes_type: usize,
    /// Address and length of the eval loop's code.
    eval: (usize, usize),
    /// Functions: this thread's attached state; its first state; up to 3.11 head and successor of the interpreters' list.
    attached: usize,
    first: usize,
    head: usize,
    next: usize,
    domains: Domains,
    /// What its code objects' type did at their end, before we were told first.
    dealloc: usize,
    /// The stream was told of it.
    told: AtomicBool,
    /// Its memory is not what it should be.
    distrusted: AtomicBool,
}

/// The interpreters that this process has ever had; a slot is used once.
struct Slots(UnsafeCell<[Interpreter; SLOTS]>);
// SAFETY: a slot is written by the one thread that drew its number, before it is published in ACTIVE or KNOWN.
unsafe impl Sync for Slots {}

const SLOTS: usize = 4;

static ALL: Slots = Slots(UnsafeCell::new([const { Interpreter::none() }; SLOTS]));
/// Slots drawn, and how many of them are written.
static DRAWN: AtomicUsize = AtomicUsize::new(0);
static KNOWN: AtomicUsize = AtomicUsize::new(0);
/// The one whose frames are read. Null: there is none.
static ACTIVE: AtomicPtr<Interpreter> = AtomicPtr::new(core::ptr::null_mut());
/// One thread at a time looks at a new interpreter.
static MEETING: AtomicBool = AtomicBool::new(false);

/// The interpreter whose frames are to be read, if there is one.
#[inline(always)]
pub(super) fn active() -> Option<&'static Interpreter> {
    // SAFETY: null, or a slot that was written before it was published, and is never written again.
    unsafe { ACTIVE.load(Ordering::Acquire).as_ref() }
}

/// Its frames are not read any more.
#[cold]
pub(super) fn retire() {
    ACTIVE.store(core::ptr::null_mut(), Ordering::Release);
}

/// Looks for an interpreter in a module that was met for the first time. `frames`: whether its frames shall be read.
#[cold]
#[inline(never)]
pub(super) fn meet(module: &Module, frames: bool) {
    let Some(symbols) = Symbols::of(module) else { return };
    let Some(runtime) = symbols.find(b"_PyRuntime") else { return };
    if MEETING.swap(true, Ordering::AcqRel) {
        return;
    }
    arenas::meet(module.range(), version(&symbols));
    if frames
        && active().is_none()
        && let Some(interpreter) = known(runtime).or_else(|| add(module, &symbols, runtime))
        && !interpreter.distrusted.load(Ordering::Relaxed)
    {
        ACTIVE.store(core::ptr::from_ref(interpreter).cast_mut(), Ordering::Release);
    }
    MEETING.store(false, Ordering::Release);
}

fn slots() -> &'static [Interpreter] {
    // SAFETY: the first KNOWN slots are written and stay as they are.
    let all = unsafe { &*ALL.0.get() };
    all.get(..KNOWN.load(Ordering::Acquire)).unwrap_or(&[])
}

/// The interpreter of a module that was met before. A module that was unloaded and loaded again starts anew: its type
/// does not know us.
fn known(runtime: usize) -> Option<&'static Interpreter> {
    let ours = |found: &&Interpreter| {
        if found.runtime != runtime {
            return false;
        }
        let dealloc = found.code_type + layout::TYPE_DEALLOC;
        // SAFETY: the type of a module that is loaded again, or still, where it was.
        found.code_type == 0 || unsafe { load(dealloc) } == end_of_code as *const () as usize
    };
    slots().iter().find(ours)
}

fn add(module: &Module, symbols: &Symbols<'_>, runtime: usize) -> Option<&'static Interpreter> {
    let index = DRAWN.load(Ordering::Relaxed);
    let found = Interpreter::in_module(module, symbols, runtime);
    // SAFETY: MEETING is held, so nobody else writes slots, and nobody reads this one before it is published below.
    let slot = unsafe { ALL.0.get().cast::<Interpreter>().add(index).as_mut() }.filter(|_| index < SLOTS)?;
    *slot = found;
    DRAWN.store(index + 1, Ordering::Relaxed);
    KNOWN.store(index + 1, Ordering::Release);
    if slot.state == InterpreterState::Recorded {
        // SAFETY: `checked` found that the type may be written to, and `end_of_code` does what its slot asks for.
        unsafe {
            let dealloc = (slot.code_type + layout::TYPE_DEALLOC) as *mut usize;
            AtomicUsize::from_ptr(dealloc).store(end_of_code as *const () as usize, Ordering::Release);
        }
    }
    Some(slot)
}

/// Stands for `tp_dealloc` of code objects: whoever remembers this address is told before it can be used again.
unsafe extern "C" fn end_of_code(code: *mut c_void) {
    // SAFETY: the interpreter calls this for an object whose type is one of those that name us.
    let kind = unsafe { load(code as usize + layout::OBJECT_TYPE) };
    codes::forget(code as usize);
    if let Some(interpreter) = slots().iter().find(|interpreter| interpreter.code_type == kind) {
        let original = interpreter.dealloc;
        // SAFETY: what the slot held before, of this very type.
        unsafe { core::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void)>(original)(code) }
    }
}

impl Interpreter {
    /// Nothing is known.
    const fn none() -> Self {
        Self {
            layout: Layout::OLDEST,
            state: InterpreterState::UnknownVersion,
            version: 0,
            runtime: 0,
            code_type: 0,
            text_type: 0,
            bytes_type: 0,
            eval: (0, 0),
            attached: 0,
            first: 0,
            head: 0,
            next: 0,
            domains: Domains::none(),
            dealloc: 0,
            told: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
        }
    }

    /// What a module with a `_PyRuntime` is.
    fn in_module(module: &Module, symbols: &Symbols<'_>, runtime: usize) -> Self {
        let version = version(symbols);
        let not = |state| Self { state, version, runtime, ..Self::none() };
        let minor = (version >> 16) as u8;
        let table = Layout::of(minor).filter(|_| version >> 24 == 3);
        let Some(table) = table else { return not(InterpreterState::UnknownVersion) };
        let layout = if minor < 13 {
            table
        } else {
            let word = |at: usize| {
                let inside = module.maps(runtime + at) && module.maps(runtime + at + 7);
                // SAFETY: inside a segment of the module.
                (inside && runtime & 7 == 0).then(|| unsafe { load(runtime + at) } as u64)
            };
            match layout::describe(minor, table, word) {
                Described::Yes(layout) => layout,
                Described::FreeThreaded => return not(InterpreterState::FreeThreaded),
                Described::No => return not(InterpreterState::SelfCheckFailed),
            }
        };
        Self::checked(module, symbols, layout, version)
            .map(|found| Self { runtime, ..found })
            .unwrap_or(not(InterpreterState::SelfCheckFailed))
    }

    fn checked(module: &Module, symbols: &Symbols<'_>, layout: Layout, version: u32) -> Option<Self> {
        let attached: &[u8] = match layout.family {
            Family::Objects | Family::Entries | Family::ShimsByRecord => b"_PyThreadState_UncheckedGet",
            Family::Shims => b"PyThreadState_GetUnchecked",
        };
        let code_type = symbols.find(b"PyCode_Type")?;
        // SAFETY: of a static type, a data symbol of the module that is loaded.
        let (name, dealloc) = unsafe { (load(code_type + layout::TYPE_NAME), load(code_type + layout::TYPE_DEALLOC)) };
        // SAFETY: the name is inside a segment of the module.
        let named = module.maps(name) && module.maps(name + 4) && unsafe { *(name as *const [u8; 5]) } == *b"code\0";
        if !named || !module.maps(dealloc) || !module.is_writable(code_type + layout::TYPE_DEALLOC) {
            return None;
        }
        Some(Self {
            layout,
            state: InterpreterState::Recorded,
            version,
            code_type,
            text_type: symbols.find(b"PyUnicode_Type")?,
            bytes_type: symbols.find(b"PyBytes_Type")?,
            eval: symbols.find_sized(b"_PyEval_EvalFrameDefault")?,
            attached: symbols.find(attached)?,
            first: symbols.find(b"PyGILState_GetThisThreadState")?,
            head: symbols.find(b"PyInterpreterState_Head")?,
            next: symbols.find(b"PyInterpreterState_Next")?,
            domains: Domains::of(symbols),
            dealloc,
            ..Self::none()
        })
    }

    /// True once: the stream has to be told of it.
    #[inline(always)]
    pub(super) fn is_news(&self) -> bool {
        !self.told.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }

    /// Puts our functions in front of its allocators, if its objects shall be recorded.
    #[inline(always)]
    pub(super) fn own_allocators(&self) {
        if self.domains.are_pending() {
            // The state that holds the lock is the thread's first: not in a subinterpreter, but there is a later time.
            self.domains.wrap(|| matches!(call(self.attached), holder if holder != 0 && holder == call(self.first)));
        }
    }

    /// Its frames are left alone from now on.
    #[cold]
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
        retire();
    }

    /// Whether `pc`, a return address, is in the eval loop's main part.
    pub(super) fn is_eval(&self, pc: u64) -> bool {
        (pc as usize).wrapping_sub(self.eval.0 + 1) < self.eval.1
    }

    /// State of the calling thread, 0: none; and, from 3.12 on, whether it holds the interpreter's lock.
    #[inline(always)]
    pub(super) fn state(&self, pages: &mut Pages) -> (usize, bool) {
        match self.layout.family {
            Family::Objects | Family::Entries => (self.state_by_first(pages), false),
            // Detached, the first state is the thread's own all the same.
            _ => match call(self.attached) {
                0 => (call(self.first), false),
                state => (state, true),
            },
        }
    }

    /// Innermost frame of the thread with this state and, where frames hang on a record on the C stack, that record; 0: none.
    #[inline(always)]
    pub(super) fn innermost(&self, state: usize, pages: &mut Pages) -> Option<(usize, usize)> {
        let found = pages.word(state + usize::from(self.layout.thread_frame))?;
        match self.layout.family {
            Family::Entries | Family::ShimsByRecord if found != 0 => {
                Some((pages.word(found + usize::from(self.layout.record_frame))?, found))
            }
            _ => Some((found, 0)),
        }
    }

    /// Up to 3.11 thread storage names a thread's first state, which is another one while the thread is in a
    /// subinterpreter. The state that holds the lock may be another thread's, who may be freeing it: it is looked at only
    /// where there are several interpreters.
    #[inline(always)]
    fn state_by_first(&self, pages: &mut Pages) -> usize {
        let first = call(self.first);
        let holder = call(self.attached);
        if first == 0 || holder == 0 || holder == first {
            return first;
        }
        // SAFETY: functions of these types; the head of the list lives as long as the interpreter.
        let several = unsafe {
            let next = core::mem::transmute::<usize, unsafe extern "C" fn(usize) -> usize>(self.next);
            let head = call(self.head);
            head != 0 && next(head) != 0
        };
        let mut ours = || pages.word(holder + usize::from(self.layout.thread_id)) == Some(control_block());
        if several && ours() { holder } else { first }
    }
}

/// Calls a function without arguments that answers a pointer.
#[inline(always)]
fn call(function: usize) -> usize {
    // SAFETY: only functions of the interpreter's own C interface that only look something up, see the head of this file.
    unsafe { core::mem::transmute::<usize, unsafe extern "C" fn() -> usize>(function)() }
}

/// `PY_VERSION_HEX`, which is a symbol since 3.11. Before, each version brought functions that tell it; 0: older.
fn version(symbols: &Symbols<'_>) -> u32 {
    if let Some((at, 8)) = symbols.find_sized(b"Py_Version") {
        // SAFETY: a data symbol of a module that is loaded.
        return unsafe { load(at) } as u32;
    }
    let brought: [(&[u8], u32); 3] =
        [(b"PyIter_Send", 0x030a_0000), (b"PyThreadState_GetFrame", 0x0309_0000), (b"PyConfig_Read", 0x0308_0000)];
    brought.into_iter().find(|(name, _)| symbols.find(name).is_some()).map_or(0, |(_, version)| version)
}
