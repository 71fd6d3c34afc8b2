//! \[unsafe\] Every object of the interpreter's memory and object domains, on request. The interpreter has an interface
//! for this: each domain's allocator is four functions that can be read and set, so ours are put in front of what is
//! there. That happens in the first allocation of the interpreter's start, before any object exists, and again until the
//! start is over, because `PYTHONMALLOC` and `-X dev` set other allocators then.
//!
//! What a forwarded call asks of `malloc` is not recorded again: see [`crate::thread::serve`]. Arenas that it maps are, and
//! both they and the objects in them say so.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracker_core::format::lanes::flag;
use tracker_core::format::record::{Called, Function};

use super::symbols::Symbols;
use super::{arenas, ranges};
use crate::lanes::Lanes;
use crate::unwind::Start;
use crate::{entry, hooks, thread};

/// `PyMemAllocatorEx`: a context, and functions that get it first.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Allocator {
    context: usize,
    malloc: usize,
    calloc: usize,
    realloc: usize,
    free: usize,
}

/// What stood where our functions stand now; it is their context.
#[derive(Debug)]
#[repr(C)]
struct Domain {
    inner: Allocator,
    malloc: Function,
    calloc: Function,
    realloc: Function,
}

/// Times that a domain can be set; each has a context of its own, so that whoever has kept an older one can go on.
const CONTEXTS: usize = 16;

struct Contexts(UnsafeCell<[Domain; CONTEXTS]>);
// SAFETY: a context is written by the one thread that drew its number, before the interpreter is given its address.
unsafe impl Sync for Contexts {}

static ALL: Contexts = Contexts(UnsafeCell::new([const { Domain::new(MEMORY) }; CONTEXTS]));
static DRAWN: AtomicUsize = AtomicUsize::new(0);

/// The interpreter's numbers for its domains.
const MEMORY: c_int = 1;
const OBJECTS: c_int = 2;

impl Domain {
    const fn new(number: c_int) -> Self {
        let (malloc, calloc, realloc) = match number {
            MEMORY => (Function::PyMemMalloc, Function::PyMemCalloc, Function::PyMemRealloc),
            _ => (Function::PyObjectMalloc, Function::PyObjectCalloc, Function::PyObjectRealloc),
        };
        Self { inner: Allocator { context: 0, malloc: 0, calloc: 0, realloc: 0, free: 0 }, malloc, calloc, realloc }
    }
}

/// The interpreter's functions for its allocators, and whether ours still have to be set.
#[derive(Debug)]
pub(super) struct Domains {
    get: usize,
    set: usize,
    is_initialized: usize,
    pending: AtomicBool,
}

impl Domains {
    /// Nothing to be set.
    pub(super) const fn none() -> Self {
        Self { get: 0, set: 0, is_initialized: 0, pending: AtomicBool::new(false) }
    }

    /// Those of an interpreter, if its objects shall be recorded.
    pub(super) fn of(symbols: &Symbols<'_>) -> Self {
        let functions = || {
            let (get, set) = (symbols.find(b"PyMem_GetAllocator")?, symbols.find(b"PyMem_SetAllocator")?);
            Some(Self { get, set, is_initialized: symbols.find(b"Py_IsInitialized")?, pending: AtomicBool::new(true) })
        };
        if Lanes::get().is_some_and(|lanes| lanes.has(flag::PYTHON_OBJECTS)) {
            functions().unwrap_or(Self::none())
        } else {
            Self::none()
        }
    }

    /// One test for every allocation of a Python program.
    #[inline(always)]
    pub(super) fn are_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Sets our functions where they are not. `holds_lock`: whether the calling thread holds the interpreter's lock, without
    /// which nobody may touch the allocators of one that runs.
    #[cold]
    #[inline(never)]
    pub(super) fn wrap(&self, holds_lock: impl Fn() -> bool) {
        // SAFETY: a function of this type that reads a global.
        let started = unsafe { core::mem::transmute::<usize, unsafe extern "C" fn() -> c_int>(self.is_initialized)() };
        if started != 0 && !holds_lock() {
            return;
        }
        arenas::objects_are_recorded(self.set);
        self.wrap_domain(MEMORY);
        self.wrap_domain(OBJECTS);
        if started != 0 {
            self.pending.store(false, Ordering::Relaxed);
        }
    }

    fn wrap_domain(&self, number: c_int) {
        type Access = unsafe extern "C" fn(c_int, *mut Allocator);
        let mut domain = Domain::new(number);
        // SAFETY: functions of this type. They allocate nothing, and either nobody else runs Python yet or we hold its lock.
        let (get, set) = unsafe {
            (core::mem::transmute::<usize, Access>(self.get), core::mem::transmute::<usize, Access>(self.set))
        };
        // SAFETY: as above; it fills in the structure.
        unsafe { get(number, &raw mut domain.inner) };
        let malloc = object_malloc as *const () as usize;
        let index = DRAWN.load(Ordering::Relaxed);
        if domain.inner.malloc == malloc || index >= CONTEXTS {
            return;
        }
        DRAWN.store(index + 1, Ordering::Relaxed);
        // SAFETY: inside the array; nobody has the address of this one yet, and it is never written again.
        let context = unsafe { ALL.0.get().cast::<Domain>().add(index) };
        let mut ours = Allocator {
            context: context as usize,
            malloc,
            calloc: object_calloc as *const () as usize,
            realloc: object_realloc as *const () as usize,
            free: object_free as *const () as usize,
        };
        // SAFETY: as above.
        unsafe {
            context.write(domain);
            set(number, &raw mut ours);
        }
    }
}

/// An object that lies in an arena is recorded twice.
#[inline(always)]
fn object(function: Function) -> impl FnOnce(*mut c_void) -> Called {
    move |block| Called { function, twice: ranges::hold(block as usize) }
}

entry::point!(object_malloc => malloc, "rdx", "rcx");
entry::point!(object_calloc => calloc, "rcx", "r8");
entry::point!(object_realloc => realloc, "rcx", "r8");
entry::point!(object_free => free, "rdx", "rcx");

unsafe extern "C" fn malloc(domain: &Domain, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    type Inner = unsafe extern "C" fn(usize, usize) -> *mut c_void;
    // SAFETY: the interpreter's own function, called as the interpreter calls it; the entry point passes its own frame.
    unsafe {
        let inner = core::mem::transmute::<usize, Inner>(domain.inner.malloc);
        let start = Start { slot, rbp };
        let call = || thread::serve(start, || inner(domain.inner.context, size));
        hooks::allocate(object(domain.malloc), size, start, call)
    }
}

unsafe extern "C" fn calloc(domain: &Domain, count: usize, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    type Inner = unsafe extern "C" fn(usize, usize, usize) -> *mut c_void;
    // SAFETY: as malloc.
    unsafe {
        let inner = core::mem::transmute::<usize, Inner>(domain.inner.calloc);
        let start = Start { slot, rbp };
        let call = || thread::serve(start, || inner(domain.inner.context, count, size));
        hooks::allocate(object(domain.calloc), count.saturating_mul(size), start, call)
    }
}

unsafe extern "C" fn realloc(domain: &Domain, block: *mut c_void, size: usize, slot: usize, rbp: usize) -> *mut c_void {
    type Inner = unsafe extern "C" fn(usize, *mut c_void, usize) -> *mut c_void;
    // SAFETY: as malloc.
    unsafe {
        let inner = core::mem::transmute::<usize, Inner>(domain.inner.realloc);
        let start = Start { slot, rbp };
        let call = || thread::serve(start, || inner(domain.inner.context, block, size));
        // Never a null result that freed: to the interpreter size 0 is size 1.
        hooks::resize(object(domain.realloc), (block, size), start, call, false)
    }
}

unsafe extern "C" fn free(domain: &Domain, block: *mut c_void, slot: usize, rbp: usize) {
    type Inner = unsafe extern "C" fn(usize, *mut c_void);
    // SAFETY: as malloc.
    unsafe {
        let inner = core::mem::transmute::<usize, Inner>(domain.inner.free);
        let start = Start { slot, rbp };
        hooks::release(block, start, || thread::serve(start, || inner(domain.inner.context, block)));
    }
}
