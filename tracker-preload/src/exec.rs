//! \[unsafe\] Following exec: every way into a new image passes here, and gets the session's variables added to its
//! environment if the library can work in it.
//!
//! A vfork child runs this on its parent's stack and memory: everything is built on the stack, and nothing of the
//! parent's state changes but the record of an untrackable program. glibc's `execv` and relatives call its `execve`
//! internally, past our hook, so each is an entry of its own here, with the C library's search rules (POSIX, `exec`).

use core::arch::naked_asm;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::Ordering;

use tracker_core::format::lanes::SESSION_VARIABLE;
use tracker_core::format::record;
use tracker_core::format::wire::Writer;

use crate::lanes::Lanes;
use crate::real::{self, Strings};
use crate::target::{self, Verdict};
use crate::thread::{Hook, with_recorder};
use crate::{os, session, weak};

/// Longest environment that is rebuilt, in bytes of the buffer on the stack; beyond it nothing is added.
const ENVIRONMENT_LIMIT: usize = 256 << 10;
const PATH_LIMIT: usize = 4096;

/// What stands behind a new image: a path or a descriptor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    Path(*const c_char),
    Descriptor(c_int),
    /// A path relative to a folder's descriptor.
    At(c_int, *const c_char),
}

impl Program {
    fn open(self) -> Option<i32> {
        // SAFETY: the caller's paths are C strings or null.
        let text = |path: *const c_char| (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) }.to_bytes_with_nul());
        match self {
            Self::Path(path) => os::open(text(path)?),
            Self::At(folder, path) => os::open_at(folder, text(path)?),
            Self::Descriptor(fd) => Some(fd),
        }
    }

    fn judge(self) -> Verdict {
        let Some(fd) = self.open() else { return Verdict::Leave };
        let verdict = target::judge(fd);
        if !matches!(self, Self::Descriptor(_)) {
            os::close(fd);
        }
        verdict
    }

    fn name(&self) -> &[u8] {
        match *self {
            // SAFETY: `open` read these C strings before.
            Self::Path(path) | Self::At(_, path) => unsafe { CStr::from_ptr(path) }.to_bytes(),
            Self::Descriptor(_) => b"(descriptor)",
        }
    }
}

/// Calls `start` with the environment that `program` shall get. `start` answers a negative number or an error number
/// when it failed (an exec that succeeds does not return).
pub(crate) fn follow(program: Program, environment: Strings, start: impl FnOnce(Strings) -> c_int) -> c_int {
    let Some((token, library, parent)) = session::following() else { return start(environment) };
    match program.judge() {
        Verdict::Follow => {}
        Verdict::Leave => return start(environment),
        Verdict::Untrackable(reason) => {
            if let Some(hook) = &Hook::enter(0) {
                with_recorder!(hook, |recorder, _frames| {
                    recorder.note(|buffer| record::write_untracked(buffer, os::getpid(), reason, program.name()));
                });
            }
            return start(environment);
        }
    }
    let variables = Variables { token, library, parent, environment };
    let size = variables.size();
    if size > ENVIRONMENT_LIMIT {
        return start(environment);
    }
    let pending = Lanes::get().map(|lanes| &lanes.control().talk.0.pending_execs);
    if let Some(pending) = pending {
        pending.fetch_add(1, Ordering::AcqRel);
    }
    let result = on_stack(size, |buffer| match variables.build(buffer) {
        Some(environment) => start(environment),
        None => start(variables.environment),
    });
    if result != 0
        && let Some(pending) = pending
    {
        pending.fetch_sub(1, Ordering::AcqRel);
    }
    result
}

/// The session's variables in front of an environment.
#[derive(Debug, Clone, Copy)]
struct Variables {
    token: &'static [u8],
    library: &'static [u8],
    parent: u32,
    environment: Strings,
}

const PRELOAD: &[u8] = b"LD_PRELOAD=";

impl Variables {
    fn entries(&self) -> impl Iterator<Item = *const c_char> + use<> {
        let environment = self.environment;
        (0..).map_while(move |index| {
            if environment.is_null() {
                return None;
            }
            // SAFETY: an environment is an array of C strings that ends with a null pointer.
            let entry = unsafe { *environment.add(index) };
            (!entry.is_null()).then_some(entry)
        })
    }

    fn text(entry: *const c_char) -> &'static [u8] {
        // SAFETY: entries are C strings; they outlive the call they are passed to.
        unsafe { CStr::from_ptr(entry) }.to_bytes()
    }

    fn own_preload(&self) -> &'static [u8] {
        self.entries().find_map(|entry| Self::text(entry).strip_prefix(PRELOAD)).unwrap_or(&[])
    }

    /// Bytes that [`Self::build`] needs.
    fn size(&self) -> usize {
        let pointers = (self.entries().count() + 3) * size_of::<*const c_char>();
        let strings = SESSION_VARIABLE.len() + 64 + PRELOAD.len() + self.token.len() + 2 * self.library.len();
        pointers + strings + self.own_preload().len() + 16
    }

    /// The new environment, all of it that is new inside `buffer` (8-aligned).
    fn build(&self, buffer: &mut [u8]) -> Option<Strings> {
        let pointers = (self.entries().count() + 3) * size_of::<*const c_char>();
        let (table, text) = buffer.split_at_mut_checked(pointers)?;
        let base = text.as_ptr();
        let mut writer = Writer::new(text);
        let own = self.own_preload();
        writer.bytes(PRELOAD);
        writer.bytes(self.library);
        if !own.is_empty() {
            writer.u8(b':');
            writer.bytes(own);
        }
        writer.u8(0);
        let session = writer.written();
        writer.bytes(SESSION_VARIABLE.as_bytes());
        writer.bytes(b"=1:");
        writer.bytes(self.token);
        writer.u8(b':');
        decimal(&mut writer, self.parent);
        writer.bytes(b":-:-:");
        writer.bytes(self.library);
        writer.u8(0);
        writer.finish()?;
        let is_ours = |entry: &*const c_char| {
            let text = Self::text(*entry);
            text.starts_with(PRELOAD)
                || text.strip_prefix(SESSION_VARIABLE.as_bytes()).is_some_and(|t| t.starts_with(b"="))
        };
        let mut next = table.as_mut_ptr().cast::<*const c_char>();
        let new = [base.cast::<c_char>(), base.wrapping_add(session).cast()];
        for entry in new.into_iter().chain(self.entries().filter(|entry| !is_ours(entry))).chain([core::ptr::null()]) {
            // SAFETY: the table has room for all entries, two new ones and the null pointer; it is 8-aligned.
            unsafe {
                next.write(entry);
                next = next.add(1);
            }
        }
        Some(table.as_ptr().cast())
    }
}

fn decimal(writer: &mut Writer<'_>, value: u32) {
    let mut divisor = 1_000_000_000u32;
    while divisor > 1 && value < divisor {
        divisor /= 10;
    }
    while divisor > 0 {
        writer.u8(b'0' + (value / divisor % 10) as u8);
        divisor /= 10;
    }
}

/// Calls `f` with `size` bytes of fresh, 16-aligned stack.
pub(crate) fn on_stack<F: FnOnce(&mut [u8]) -> c_int>(size: usize, f: F) -> c_int {
    struct Call<F> {
        f: Option<F>,
        size: usize,
        result: c_int,
    }
    unsafe extern "C" fn run<F: FnOnce(&mut [u8]) -> c_int>(call: *mut c_void, buffer: *mut u8) {
        // SAFETY: `on_stack` passes its own Call, and a buffer of the size it asked for.
        let call = unsafe { &mut *call.cast::<Call<F>>() };
        // SAFETY: as above.
        let buffer = unsafe { core::slice::from_raw_parts_mut(buffer, call.size) };
        buffer.fill(0);
        if let Some(f) = call.f.take() {
            call.result = f(buffer);
        }
    }
    let mut call = Call { f: Some(f), size, result: -1 };
    // SAFETY: the callee gets a pointer to `call`, which outlives it, and `size` bytes below the stack pointer.
    unsafe { call_with_stack((&raw mut call).cast(), size, run::<F>) };
    call.result
}

/// # Safety
/// `f` must be safe to call with `context` and `size` bytes of stack.
#[unsafe(naked)]
unsafe extern "C" fn call_with_stack(context: *mut c_void, size: usize, f: unsafe extern "C" fn(*mut c_void, *mut u8)) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "sub rsp, rsi",
        "and rsp, -16",
        "mov rsi, rsp",
        "call rdx",
        "leave",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}

/// The program's environment as it is now.
pub(crate) fn environ() -> Strings {
    weak::environ().map_or(core::ptr::null(), |environ| {
        // SAFETY: the C library's variable.
        unsafe { (environ as *const Strings).read_volatile() }
    })
}

pub(crate) unsafe fn execve(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: forwarded with the caller's arguments and an environment of the same shape.
    follow(Program::Path(path), environment, |environment| unsafe { real::execve(path, arguments, environment) })
}

pub(crate) unsafe fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { execve(path, arguments, environ()) }
}

pub(crate) unsafe fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    follow(Program::Descriptor(fd), environment, |environment| {
        // SAFETY: execveat with an empty path is what fexecve does.
        unsafe { real::execveat(fd, c"".as_ptr(), arguments, environment, libc::AT_EMPTY_PATH) }
    })
}

pub(crate) unsafe fn execveat(
    folder: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's path is a C string or null.
    let empty = path.is_null() || unsafe { *path } == 0;
    let program = if empty { Program::Descriptor(folder) } else { Program::At(folder, path) };
    follow(program, environment, |environment| {
        // SAFETY: forwarded with the caller's arguments and an environment of the same shape.
        unsafe { real::execveat(folder, path, arguments, environment, flags) }
    })
}

pub(crate) unsafe fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { execvpe(file, arguments, environ()) }
}

pub(crate) unsafe fn execvpe(file: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's file name is a C string.
    let name = unsafe { CStr::from_ptr(file) }.to_bytes();
    if name.is_empty() {
        weak::set_errno(libc::ENOENT);
        return -1;
    }
    // SAFETY: the caller's arguments.
    let attempt = |path: *const c_char| unsafe { execute_or_script(path, arguments, environment) };
    if name.contains(&b'/') {
        return attempt(file);
    }
    let mut denied = false;
    let mut candidate = [0u8; PATH_LIMIT];
    for folder in search_path().split(|&byte| byte == b':') {
        let Some(path) = join(&mut candidate, folder, name) else { continue };
        attempt(path);
        match weak::errno() {
            libc::EACCES => denied = true,
            libc::ENOENT | libc::ESTALE | libc::ENOTDIR | libc::ENODEV | libc::ETIMEDOUT => {}
            _ => return -1,
        }
    }
    weak::set_errno(if denied { libc::EACCES } else { libc::ENOENT });
    -1
}

/// The program's `PATH`, or glibc's default.
fn search_path() -> &'static [u8] {
    let variables = Variables { token: &[], library: &[], parent: 0, environment: environ() };
    variables.entries().find_map(|entry| Variables::text(entry).strip_prefix(b"PATH=")).unwrap_or(b"/bin:/usr/bin")
}

/// The file that a search along `PATH` would try first; `None` when the name has a slash or nothing is found.
pub(crate) fn find_in_path<'b>(name: &[u8], buffer: &'b mut [u8; PATH_LIMIT]) -> Option<&'b CStr> {
    if name.contains(&b'/') {
        return None;
    }
    let folder = search_path().split(|&byte| byte == b':').find(|folder| {
        join(buffer, folder, name).is_some() && os::open_c(buffer).inspect(|&fd| os::close(fd)).is_some()
    })?;
    join(buffer, folder, name)?;
    CStr::from_bytes_until_nul(buffer).ok()
}

fn join(buffer: &mut [u8], folder: &[u8], name: &[u8]) -> Option<*const c_char> {
    let start = buffer.as_ptr();
    let mut writer = Writer::new(buffer);
    writer.bytes(if folder.is_empty() { b"." } else { folder });
    writer.u8(b'/');
    writer.bytes(name);
    writer.u8(0);
    writer.finish().map(|_| start.cast())
}

/// # Safety
/// As `execve`.
unsafe fn execute_or_script(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's arguments.
    let result = unsafe { execve(path, arguments, environment) };
    if weak::errno() != libc::ENOEXEC {
        return result;
    }
    // A file the kernel does not know is a script for the shell.
    let shell = c"/bin/sh".as_ptr();
    // SAFETY: an argument list is an array that ends with a null pointer.
    let count = unsafe { (0..).take_while(|&index| !(*arguments.add(index)).is_null()).count() };
    let word = size_of::<*const c_char>();
    on_stack((count.max(1) + 2) * word, |buffer| {
        let list = buffer.as_mut_ptr().cast::<*const c_char>();
        // SAFETY: room for the shell, the path, all arguments but the first, and the null pointer that is there.
        unsafe {
            list.write(shell);
            list.add(1).write(path);
            for index in 1..count {
                list.add(index + 1).write(*arguments.add(index));
            }
            execve(shell, list.cast_const(), environment)
        }
    })
}

/// C's variable arguments: five from registers, the rest on the stack.
#[derive(Debug, Clone, Copy)]
struct Variadic {
    registers: *const usize,
    stack: *const usize,
}

impl Variadic {
    fn get(self, index: usize) -> usize {
        // SAFETY: the entry point passes its own register array and its caller's argument area; nobody reads past the
        // null pointer that ends the list, or the environment behind it.
        unsafe { if index < 5 { *self.registers.add(index) } else { *self.stack.add(index - 5) } }
    }

    fn count(self) -> usize {
        (0..).take_while(|&index| self.get(index) != 0).count()
    }

    /// Calls `f` with the list as an array.
    fn with_array(self, f: impl FnOnce(Strings) -> c_int) -> c_int {
        let count = self.count();
        on_stack((count + 1) * size_of::<usize>(), |buffer| {
            let list = buffer.as_mut_ptr().cast::<usize>();
            for index in 0..count {
                // SAFETY: the buffer has room for count words and the null that is there.
                unsafe { list.add(index).write(self.get(index)) };
            }
            f(list.cast())
        })
    }
}

pub(crate) unsafe extern "C" fn execl(path: *const c_char, registers: *const usize, stack: *const usize) -> c_int {
    // SAFETY: the caller's arguments.
    Variadic { registers, stack }.with_array(|arguments| unsafe { execv(path, arguments) })
}

pub(crate) unsafe extern "C" fn execlp(file: *const c_char, registers: *const usize, stack: *const usize) -> c_int {
    // SAFETY: the caller's arguments.
    Variadic { registers, stack }.with_array(|arguments| unsafe { execvp(file, arguments) })
}

pub(crate) unsafe extern "C" fn execle(path: *const c_char, registers: *const usize, stack: *const usize) -> c_int {
    let list = Variadic { registers, stack };
    let environment = list.get(list.count() + 1) as Strings;
    // SAFETY: the caller's arguments.
    list.with_array(|arguments| unsafe { execve(path, arguments, environment) })
}
