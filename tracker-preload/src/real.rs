//! \[unsafe\] The allocator behind us: the next definition of each function, and a small arena for the calls that the
//! loader makes while we look for it.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use crate::weak;

/// A null-terminated array of C strings.
pub(crate) type Strings = *const *const c_char;

/// The functions we forward to, in the order of [`NAMES`]. Every C library has them (`execveat` since glibc 2.34): a
/// failing look-up would allocate its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Real {
    Malloc,
    Free,
    Calloc,
    Realloc,
    AlignedAlloc,
    Memalign,
    PosixMemalign,
    Valloc,
    Pvalloc,
    Mmap,
    Munmap,
    Mremap,
    Dlclose,
    Execve,
    Execveat,
    PosixSpawn,
    PosixSpawnp,
    System,
    Popen,
    Pclose,
    Fdopen,
    Fclose,
    SpawnAttrInit,
    SpawnAttrSetsigmask,
    SpawnAttrSetsigdefault,
    SpawnAttrSetflags,
    FileActionsInit,
    FileActionsAdddup2,
    FileActionsAddclose,
    FileActionsDestroy,
    Waitpid,
    Prctl,
    Syscall,
    /// Looked up when it is first needed: older C libraries have it in a library of its own.
    PthreadSetname,
}

const NAMES: [&CStr; FUNCTIONS] = [
    c"malloc",
    c"free",
    c"calloc",
    c"realloc",
    c"aligned_alloc",
    c"memalign",
    c"posix_memalign",
    c"valloc",
    c"pvalloc",
    c"mmap",
    c"munmap",
    c"mremap",
    c"dlclose",
    c"execve",
    c"execveat",
    c"posix_spawn",
    c"posix_spawnp",
    c"system",
    c"popen",
    c"pclose",
    c"fdopen",
    c"fclose",
    c"posix_spawnattr_init",
    c"posix_spawnattr_setsigmask",
    c"posix_spawnattr_setsigdefault",
    c"posix_spawnattr_setflags",
    c"posix_spawn_file_actions_init",
    c"posix_spawn_file_actions_adddup2",
    c"posix_spawn_file_actions_addclose",
    c"posix_spawn_file_actions_destroy",
    c"waitpid",
    c"prctl",
    c"syscall",
    c"pthread_setname_np",
];
const FUNCTIONS: usize = Real::PthreadSetname as usize + 1;
/// So many are looked up at the start.
const EAGER: usize = Real::PthreadSetname as usize;

pub(crate) static TABLE: [AtomicUsize; FUNCTIONS] = [const { AtomicUsize::new(0) }; FUNCTIONS];

/// 0: not looked up; 1: some thread is at it; 2: done.
static STATE: AtomicU8 = AtomicU8::new(0);

impl Real {
    /// Address of the function, 0 when it does not exist (or is not known yet).
    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        TABLE.get(self as usize).map_or(0, |entry| entry.load(Ordering::Relaxed))
    }
}

/// Looks all functions up, once. Inside the look-up, and before, the arena answers.
#[cold]
pub(crate) fn resolve() {
    if STATE.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    if let Some(dlsym) = weak::dlsym() {
        weak::keeping_errno(|| {
            for (entry, name) in TABLE.iter().zip(NAMES).take(EAGER) {
                // SAFETY: RTLD_NEXT finds the definition behind this library's own, or answers null.
                let address = unsafe { dlsym(libc::RTLD_NEXT, name.as_ptr()) };
                entry.store(address as usize, Ordering::Release);
            }
        });
    }
    STATE.store(2, Ordering::Release);
}

/// `pthread_setname_np`, whose look-up may allocate; so it is not for hooks of the allocator. 0 for an unknown name.
///
/// # Safety
/// As the C function.
pub(crate) unsafe fn pthread_setname(thread: usize, name: *const c_char) -> c_int {
    let mut address = Real::PthreadSetname.address();
    if address == 0
        && let (Some(dlsym), Some(name), Some(entry)) = (weak::dlsym(), NAMES.get(EAGER), TABLE.get(EAGER))
    {
        // SAFETY: as in `resolve`.
        address = unsafe { dlsym(libc::RTLD_NEXT, name.as_ptr()) } as usize;
        entry.store(address, Ordering::Release);
    }
    if address == 0 {
        return libc::ENOSYS;
    }
    // SAFETY: the address of the C function of this type; the rest is the caller's.
    unsafe { core::mem::transmute::<usize, unsafe extern "C" fn(usize, *const c_char) -> c_int>(address)(thread, name) }
}

macro_rules! forward {
    ($(#[$doc:meta])* $name:ident, $real:ident, ($($arg:ident: $type:ty),*) -> $result:ty, $missing:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As the C function of that name.
        #[inline(always)]
        pub(crate) unsafe fn $name($($arg: $type),*) -> $result {
            let mut address = Real::$real.address();
            if address == 0 {
                resolve();
                address = Real::$real.address();
                if address == 0 {
                    return $missing;
                }
            }
            // SAFETY: a nonzero entry is the address of the C function of this type; the rest is the caller's.
            unsafe { core::mem::transmute::<usize, unsafe extern "C" fn($($type),*) -> $result>(address)($($arg),*) }
        }
    };
}

forward!(malloc, Malloc, (size: usize) -> *mut c_void, arena::allocate(16, size));
forward!(calloc, Calloc, (count: usize, size: usize) -> *mut c_void,
    count.checked_mul(size).map_or(core::ptr::null_mut(), |size| arena::allocate(16, size)));
forward!(aligned_alloc, AlignedAlloc, (align: usize, size: usize) -> *mut c_void, arena::allocate(align, size));
forward!(memalign, Memalign, (align: usize, size: usize) -> *mut c_void, arena::allocate(align, size));
forward!(valloc, Valloc, (size: usize) -> *mut c_void, arena::allocate(4096, size));
forward!(pvalloc, Pvalloc, (size: usize) -> *mut c_void, arena::allocate(4096, size.next_multiple_of(4096)));
forward!(posix_memalign, PosixMemalign, (out: *mut *mut c_void, align: usize, size: usize) -> c_int, libc::ENOMEM);
forward!(realloc_next, Realloc, (block: *mut c_void, size: usize) -> *mut c_void, core::ptr::null_mut());
forward!(free_next, Free, (block: *mut c_void) -> (), Default::default());
forward!(mmap, Mmap, (address: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void,
    libc::MAP_FAILED);
forward!(munmap, Munmap, (address: *mut c_void, len: usize) -> c_int, -1);
forward!(mremap, Mremap, (address: *mut c_void, old: usize, new: usize, flags: c_int, to: *mut c_void) -> *mut c_void,
    libc::MAP_FAILED);
forward!(dlclose, Dlclose, (handle: *mut c_void) -> c_int, -1);
forward!(execve, Execve, (path: *const c_char, arguments: Strings, environment: Strings) -> c_int, -1);
forward!(execveat, Execveat,
    (folder: c_int, path: *const c_char, arguments: Strings, environment: Strings, flags: c_int) -> c_int, -1);
forward!(posix_spawn, PosixSpawn,
    (pid: *mut c_int, path: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: Strings,
        environment: Strings) -> c_int, libc::ENOSYS);
forward!(posix_spawnp, PosixSpawnp,
    (pid: *mut c_int, file: *const c_char, actions: *const c_void, attributes: *const c_void, arguments: Strings,
        environment: Strings) -> c_int, libc::ENOSYS);

forward!(popen, Popen, (command: *const c_char, mode: *const c_char) -> *mut c_void, core::ptr::null_mut());
forward!(pclose, Pclose, (stream: *mut c_void) -> c_int, -1);
forward!(fdopen, Fdopen, (fd: c_int, mode: *const c_char) -> *mut c_void, core::ptr::null_mut());
forward!(fclose, Fclose, (stream: *mut c_void) -> c_int, -1);
forward!(prctl, Prctl, (option: c_int, a: usize, b: usize, c: usize, d: usize) -> c_int, -1);
forward!(syscall, Syscall,
    (number: i64, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> i64, -1);
forward!(posix_spawnattr_init, SpawnAttrInit, (attributes: *mut c_void) -> c_int, -1);
forward!(posix_spawnattr_setsigmask, SpawnAttrSetsigmask, (attributes: *mut c_void, set: *const c_void) -> c_int, -1);
forward!(posix_spawnattr_setsigdefault, SpawnAttrSetsigdefault,
    (attributes: *mut c_void, set: *const c_void) -> c_int, -1);
forward!(posix_spawnattr_setflags, SpawnAttrSetflags, (attributes: *mut c_void, flags: i16) -> c_int, -1);
forward!(posix_spawn_file_actions_init, FileActionsInit, (actions: *mut c_void) -> c_int, -1);
forward!(posix_spawn_file_actions_adddup2, FileActionsAdddup2,
    (actions: *mut c_void, fd: c_int, to: c_int) -> c_int, -1);
forward!(posix_spawn_file_actions_addclose, FileActionsAddclose, (actions: *mut c_void, fd: c_int) -> c_int, -1);
forward!(posix_spawn_file_actions_destroy, FileActionsDestroy, (actions: *mut c_void) -> c_int, -1);

/// `realloc` that also knows blocks of the arena.
///
/// # Safety
/// As the C function.
#[inline(always)]
pub(crate) unsafe fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if arena::owns(block) {
        // SAFETY: a block of the arena, valid for all the arena behind it.
        return unsafe { arena::reallocate(block, size) };
    }
    if Real::Realloc.address() == 0 && block.is_null() {
        // SAFETY: realloc of null is malloc.
        return unsafe { malloc(size) };
    }
    // SAFETY: the caller's promise.
    unsafe { realloc_next(block, size) }
}

/// `free` that also knows blocks of the arena.
///
/// # Safety
/// As the C function.
#[inline(always)]
pub(crate) unsafe fn free(block: *mut c_void) {
    if !arena::owns(block) {
        // SAFETY: the caller's promise.
        unsafe { free_next(block) }
    }
}

/// Whether a block came from the arena: such blocks are the loader's, and are not recorded.
#[inline(always)]
pub(crate) fn is_bootstrap(block: *mut c_void) -> bool {
    arena::owns(block)
}

/// A few pages of static memory, given out once and never taken back.
mod arena {
    use core::cell::UnsafeCell;
    use core::ffi::c_void;
    use core::sync::atomic::{AtomicUsize, Ordering};

    const LEN: usize = 64 << 10;

    #[repr(C, align(4096))]
    struct Arena(UnsafeCell<[u8; LEN]>);
    // SAFETY: bytes are handed out by an atomic counter, each to one caller.
    unsafe impl Sync for Arena {}

    static ARENA: Arena = Arena(UnsafeCell::new([0; LEN]));
    static USED: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn allocate(align: usize, size: usize) -> *mut c_void {
        // 16 bytes in front of each block hold its size, for realloc.
        let align = align.max(16);
        let Some(room) = size.checked_add(align + 16) else { return core::ptr::null_mut() };
        let start = USED.fetch_add(room.next_multiple_of(16), Ordering::Relaxed);
        if !align.is_power_of_two() || start.saturating_add(room) > LEN {
            return core::ptr::null_mut();
        }
        let base = ARENA.0.get() as usize;
        let block = (base + start + 16).next_multiple_of(align);
        // SAFETY: block - 16 and block .. block + size lie in this caller's part of the arena.
        unsafe { *((block - 16) as *mut usize) = size };
        block as *mut c_void
    }

    #[inline(always)]
    pub(super) fn owns(block: *mut c_void) -> bool {
        (block as usize).wrapping_sub(ARENA.0.get() as usize) < LEN
    }

    /// # Safety
    /// `block` came from [`allocate`].
    pub(super) unsafe fn reallocate(block: *mut c_void, size: usize) -> *mut c_void {
        // SAFETY: malloc may be called with any size.
        let new = unsafe { super::malloc(size) };
        if !new.is_null() {
            // SAFETY: the size stands in front of the block; both blocks have that many bytes.
            unsafe {
                let old = *((block as usize - 16) as *const usize);
                core::ptr::copy_nonoverlapping(block.cast::<u8>(), new.cast(), old.min(size));
            }
        }
        new
    }
}
