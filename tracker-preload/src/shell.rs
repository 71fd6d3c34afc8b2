//! \[unsafe\] `system`, `popen`, `pclose` and `fclose` of such a stream, which the C library builds on an internal spawn that passes no hook. While
//! images are followed they are built here on our own `posix_spawn`, by POSIX's rules; otherwise they are forwarded.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::real::{self, Real, Strings};
use crate::{exec, os, session, spawn, weak};

const SHELL: &CStr = c"/bin/sh";
const INTERRUPT: usize = 2;
const QUIT: usize = 3;
const CHILD: usize = 17;

/// The words of a `sigset_t`: the kernel reads the first.
type SignalSet = [u64; 16];

/// Room for glibc's `posix_spawnattr_t` (336 bytes) and `posix_spawn_file_actions_t` (80 bytes).
#[repr(C, align(16))]
struct Opaque([u8; 512]);

const SET_SIGNAL_MASK: i16 = 8;
const SET_SIGNAL_DEFAULT: i16 = 4;

/// Starts `/bin/sh -c command`. The result is an error number.
unsafe fn start_shell(
    pid: &mut c_int,
    actions: *const c_void,
    attributes: *const c_void,
    command: *const c_char,
) -> c_int {
    let mut arguments = [c"sh".as_ptr(), c"-c".as_ptr(), command, core::ptr::null(), core::ptr::null()];
    if ends_options() {
        (arguments[2], arguments[3]) = (c"--".as_ptr(), command);
    }
    let list: Strings = arguments.as_ptr();
    // SAFETY: a null-terminated list, and the caller's command, actions and attributes.
    unsafe { spawn::posix_spawn(pid, SHELL.as_ptr(), actions, attributes, list, exec::environ()) }
}

/// Whether this C library tells the shell that a command which starts with `-` is no option.
fn ends_options() -> bool {
    // SAFETY: the function takes nothing, and answers a constant of the library.
    weak::libc_version().is_some_and(|version| is_since_2_38(unsafe { CStr::from_ptr(version()) }))
}

fn is_since_2_38(version: &CStr) -> bool {
    let minor =
        version.to_bytes().strip_prefix(b"2.").unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    minor.fold(0u32, |minor, digit| minor.saturating_mul(10).saturating_add(u32::from(digit - b'0'))) >= 38
}

#[cfg(test)]
#[test]
fn versions_of_the_c_library() {
    for (version, expected) in [(c"2.36", false), (c"2.9", false), (c"2.38", true), (c"2.40.9000", true), (c"3", false)]
    {
        assert_eq!(is_since_2_38(version), expected, "{version:?}");
    }
}

/// How many `system` calls are under way, and what they found: the first one ignores the terminal's signals, the last
/// one puts the program's actions back.
struct Ignored {
    lock: AtomicU32,
    users: AtomicU32,
    saved: [[AtomicUsize; 4]; 2],
}

static IGNORED: Ignored = Ignored {
    lock: AtomicU32::new(0),
    users: AtomicU32::new(0),
    saved: [const { [const { AtomicUsize::new(0) }; 4] }; 2],
};

impl Ignored {
    fn locked(&self, f: impl FnOnce()) {
        // Held for two system calls, never inside an allocation hook.
        while self.lock.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            core::hint::spin_loop();
        }
        f();
        self.lock.store(0, Ordering::Release);
    }

    fn enter(&self) {
        self.locked(|| {
            if self.users.fetch_add(1, Ordering::Relaxed) == 0 {
                for (saved, signal) in self.saved.iter().zip([INTERRUPT, QUIT]) {
                    let old = os::set_signal_action(signal, &[libc::SIG_IGN, 0, 0, 0]);
                    saved.iter().zip(old).for_each(|(to, from)| to.store(from, Ordering::Relaxed));
                }
            }
        });
    }

    fn leave(&self) {
        self.locked(|| {
            if self.users.fetch_sub(1, Ordering::Relaxed) == 1 {
                for (saved, signal) in self.saved.iter().zip([INTERRUPT, QUIT]) {
                    let mut action = [0; 4];
                    action.iter_mut().zip(saved).for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
                    os::set_signal_action(signal, &action);
                }
            }
        });
    }

    /// Those of the two signals that the program itself does not ignore: the shell gets their default action.
    fn defaults(&self) -> u64 {
        let ignored = |index: usize| {
            self.saved
                .get(index)
                .and_then(|action| action.first())
                .is_some_and(|handler| handler.load(Ordering::Relaxed) == libc::SIG_IGN)
        };
        [INTERRUPT, QUIT]
            .iter()
            .enumerate()
            .filter(|&(index, _)| !ignored(index))
            .map(|(_, signal)| 1u64 << (signal - 1))
            .sum()
    }
}

/// One call of `system`, in the frame of its entry point, which reads the first three fields.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Call {
    pid: c_int,
    /// What `waitpid` says.
    status: c_int,
    waitpid: usize,
    cleanup: weak::Cleanup,
    /// The thread's signal mask.
    mask: u64,
    error: c_int,
}

/// The C library's function, where it shall be called instead of ours; else 0.
pub(crate) extern "C" fn forward(command: *const c_char) -> usize {
    if !command.is_null() && session::following().is_some() {
        return 0;
    }
    real::resolve();
    Real::System.address()
}

/// Starts the shell. Not 0: it shall be waited for.
///
/// # Safety
/// `command` is a C string, and `call` has room.
pub(crate) unsafe extern "C" fn begin(command: *const c_char, call: *mut Call) -> c_int {
    IGNORED.enter();
    let old = os::block_signals(1 << (CHILD - 1));
    let (mut mask, mut defaults): (SignalSet, SignalSet) = ([0; 16], [0; 16]);
    (mask[0], defaults[0]) = (old, IGNORED.defaults());
    let mut attributes = Opaque([0; 512]);
    let object = (&raw mut attributes).cast::<c_void>();
    let mut pid = 0;
    // SAFETY: the object has room for the C library's attributes, which are initialised first and end with this frame.
    let error = unsafe {
        real::posix_spawnattr_init(object);
        real::posix_spawnattr_setsigmask(object, mask.as_ptr().cast());
        real::posix_spawnattr_setsigdefault(object, defaults.as_ptr().cast());
        real::posix_spawnattr_setflags(object, SET_SIGNAL_MASK | SET_SIGNAL_DEFAULT);
        start_shell(&mut pid, core::ptr::null(), object, command)
    };
    // A shell that could not be started reads like one that ended with status 127.
    let (status, waitpid) = (127 << 8, Real::Waitpid.address());
    // SAFETY: the caller's room. The clean-up is taken back in `end`, which the entry point calls in the same frame.
    unsafe {
        call.write(Call { pid, status, waitpid, cleanup: [0; 4], mask: old, error });
        if error == 0
            && let Some(push) = weak::cleanup_push()
        {
            push(&raw mut (*call).cleanup, abandon, call.cast());
        }
    }
    c_int::from(error == 0)
}

/// The thread that waits for the shell is cancelled: the shell ends, and the program's signals are its own again.
unsafe extern "C" fn abandon(call: *mut c_void) {
    // SAFETY: `begin` passes its call.
    let child = unsafe { (*call.cast::<Call>()).pid };
    os::kill(child);
    let _ = os::wait_for(child);
    IGNORED.leave();
}

/// `waitpid` has answered. Not 0: it shall be asked again.
///
/// # Safety
/// `call` is one that began.
pub(crate) unsafe extern "C" fn again(call: *mut Call, answer: c_int) -> c_int {
    if answer != -1 {
        return 0;
    }
    let error = weak::errno();
    if error != libc::EINTR {
        // SAFETY: the caller's call.
        unsafe { ((*call).error, (*call).status) = (error, -1) };
    }
    c_int::from(error == libc::EINTR)
}

/// The result of `system`.
///
/// # Safety
/// `call` is one that began.
pub(crate) unsafe extern "C" fn end(call: *mut Call) -> c_int {
    // SAFETY: the caller's call.
    let call = unsafe { &mut *call };
    if call.cleanup != [0; 4]
        && let Some(pop) = weak::cleanup_pop()
    {
        // SAFETY: it was pushed in `begin`, and nothing since.
        unsafe { pop(&raw mut call.cleanup, 0) };
    }
    IGNORED.leave();
    os::set_signal_mask(call.mask);
    if call.error != 0 {
        weak::set_errno(call.error);
    }
    call.status
}

/// A stream made by [`popen`]. All zero: free.
struct Pipe {
    stream: AtomicUsize,
    pid: AtomicI32,
    fd: AtomicI32,
}

/// More streams at once than most systems allow descriptors.
const STREAMS: usize = 4096;

static PIPES: [Pipe; STREAMS] =
    [const { Pipe { stream: AtomicUsize::new(0), pid: AtomicI32::new(0), fd: AtomicI32::new(-1) } }; STREAMS];

/// Entries from this one on were never used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Marks an entry that is being filled.
const RESERVED: usize = 1;

pub(crate) unsafe fn popen(command: *const c_char, mode: *const c_char) -> *mut c_void {
    let reserve = |pipe: &Pipe| pipe.stream.compare_exchange(0, RESERVED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    // SAFETY: the caller's mode is a C string.
    let parsed = parse_mode(unsafe { CStr::from_ptr(mode) }.to_bytes());
    let (Some(_), Some((reads, close_on_exec))) = (session::following(), parsed) else {
        // SAFETY: forwarding is exact.
        return unsafe { real::popen(command, mode) };
    };
    let Some((index, pipe)) = PIPES.iter().enumerate().find(|(_, pipe)| reserve(pipe)) else {
        // Not forwarded: the C library's child would inherit our streams, and keep their readers waiting.
        weak::set_errno(libc::EMFILE);
        return core::ptr::null_mut();
    };
    USED.fetch_max(index + 1, Ordering::Relaxed);
    // SAFETY: the caller's command is a C string.
    let result = unsafe { open_pipe(pipe, command, reads, close_on_exec) };
    result.unwrap_or_else(|error| {
        pipe.stream.store(0, Ordering::Release);
        weak::set_errno(error);
        core::ptr::null_mut()
    })
}

/// Whether the stream is read, and closed on exec; `None` for a mode that the C library shall refuse itself.
fn parse_mode(mode: &[u8]) -> Option<(bool, bool)> {
    let (mut reads, mut writes, mut close_on_exec) = (false, false, false);
    for letter in mode {
        match letter {
            b'r' => reads = true,
            b'w' => writes = true,
            b'e' => close_on_exec = true,
            _ => return None,
        }
    }
    (reads != writes).then_some((reads, close_on_exec))
}

/// # Safety
/// `command` is a C string.
unsafe fn open_pipe(
    pipe: &Pipe,
    command: *const c_char,
    reads: bool,
    close_on_exec: bool,
) -> Result<*mut c_void, c_int> {
    let [read_end, write_end] = os::pipe()?;
    let (ours, mut theirs, standard) = if reads { (read_end, write_end, 1) } else { (write_end, read_end, 0) };
    if theirs == standard {
        // Duplicating a descriptor onto itself would leave it close-on-exec.
        let moved = os::duplicate(theirs);
        os::close(theirs);
        theirs = moved.inspect_err(|_| os::close(ours))?;
    }
    let mode = if reads { c"r" } else { c"w" };
    // SAFETY: a descriptor of our own, and a valid mode.
    let stream = unsafe { real::fdopen(ours, mode.as_ptr()) };
    if stream.is_null() {
        let error = weak::errno();
        os::close(ours);
        os::close(theirs);
        return Err(error);
    }
    let mut actions = Opaque([0; 512]);
    let object = (&raw mut actions).cast::<c_void>();
    let mut pid = 0;
    // SAFETY: the object has room for the C library's actions, which are initialised first and destroyed last.
    let error = unsafe {
        real::posix_spawn_file_actions_init(object);
        real::posix_spawn_file_actions_adddup2(object, theirs, standard);
        // POSIX: streams of earlier popen calls are closed in the new child.
        let earlier = PIPES.iter().filter(|other| other.stream.load(Ordering::Acquire) > RESERVED);
        for fd in earlier.map(|other| other.fd.load(Ordering::Relaxed)).filter(|&fd| fd != standard) {
            real::posix_spawn_file_actions_addclose(object, fd);
        }
        let error = start_shell(&mut pid, object, core::ptr::null(), command);
        real::posix_spawn_file_actions_destroy(object);
        error
    };
    os::close(theirs);
    if error != 0 {
        // SAFETY: the stream was made above; closing it closes our end.
        unsafe { real::fclose(stream) };
        return Err(error);
    }
    if !close_on_exec {
        os::keep_on_exec(ours);
    }
    // A stream at this address that was closed by other means (`freopen`, say) is gone.
    for stale in PIPES.iter().filter(|other| other.stream.load(Ordering::Acquire) == stream as usize) {
        stale.stream.store(0, Ordering::Release);
    }
    pipe.pid.store(pid, Ordering::Relaxed);
    pipe.fd.store(ours, Ordering::Relaxed);
    pipe.stream.store(stream as usize, Ordering::Release);
    Ok(stream)
}

/// The entry of a stream that [`popen`] made.
fn pipe_of(stream: *mut c_void) -> Option<&'static Pipe> {
    let used = PIPES.get(..USED.load(Ordering::Acquire))?;
    used.iter().find(|pipe| stream as usize > RESERVED && pipe.stream.load(Ordering::Acquire) == stream as usize)
}

pub(crate) unsafe fn pclose(stream: *mut c_void) -> c_int {
    // SAFETY: forwarding is exact; of a stream of ours, the program gives it up with this call.
    unsafe { pipe_of(stream).map_or_else(|| real::pclose(stream), |pipe| close_pipe(pipe, stream)) }
}

/// In the C library, too, this waits for the command of such a stream, and answers how that ended.
pub(crate) unsafe fn fclose(stream: *mut c_void) -> c_int {
    // SAFETY: as in `pclose`.
    unsafe { pipe_of(stream).map_or_else(|| real::fclose(stream), |pipe| close_pipe(pipe, stream)) }
}

/// # Safety
/// The stream is the entry's, and nobody uses it any more.
unsafe fn close_pipe(pipe: &Pipe, stream: *mut c_void) -> c_int {
    let pid = pipe.pid.load(Ordering::Relaxed);
    pipe.stream.store(0, Ordering::Release);
    // SAFETY: the stream was made by `popen`, and the program gives it up.
    let flushed = unsafe { real::fclose(stream) };
    match os::wait_for(pid) {
        // What could not be written is an error, if the command knows of none.
        Ok(0) => flushed,
        Ok(status) => status,
        Err(error) => {
            weak::set_errno(error);
            -1
        }
    }
}
