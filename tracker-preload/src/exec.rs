//! \[unsafe\] Following exec: every way into a new image passes here, and gets the session's variables added to its
//! environment if the library can work in it.
//!
//! A vfork child runs this on its parent's stack and memory: everything is built on the stack, and nothing of the
//! parent's state changes but the record of an untrackable program. glibc's `execv` and relatives call its `execve`
//! internally, past our hook, so each is an entry of its own here, with the C library's search rules (POSIX, `exec`).

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::Ordering;

use tracker_core::format::lanes::SESSION_VARIABLE;
use tracker_core::format::record::{self, UntrackedReason};
use tracker_core::format::wire::Writer;

use crate::lanes::Lanes;
use crate::real::{self, Strings};
use crate::scratch::with_room;
use crate::target::{self, Verdict};
use crate::thread::{Hook, with_recorder};
use crate::unwind::Start;
use crate::{os, sandbox, session, weak};

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
    fn judge(self) -> Verdict {
        let (folder, path) = match self {
            Self::Descriptor(fd) => return target::judge(fd),
            Self::Path(path) => (libc::AT_FDCWD, path),
            Self::At(folder, path) => (folder, path),
        };
        match os::open_at(folder, path) {
            Some(fd) => {
                let verdict = target::judge(fd);
                os::close(fd);
                verdict
            }
            // The kernel executes what nobody may read.
            None if os::is_executable(folder, path) => Verdict::Untrackable(UntrackedReason::Unreadable),
            None => Verdict::Leave,
        }
    }

    /// Of a program that was found.
    fn name(&self) -> &[u8] {
        match *self {
            // Nobody has looked at it in a sandbox. The kernel refuses it.
            Self::Path(path) | Self::At(_, path) if path.is_null() => b"",
            // SAFETY: the kernel has read these C strings, or will.
            Self::Path(path) | Self::At(_, path) => unsafe { CStr::from_ptr(path) }.to_bytes(),
            Self::Descriptor(_) => b"(descriptor)",
        }
    }
}

/// Who becomes the program.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// This process, if all goes well without ever returning.
    Caller,
    /// A new process, whose id is stored there (or nowhere).
    Child(*const c_int),
}

/// Calls `start` with the environment that `program` shall get. It answers -1 or an error number when it failed.
pub(crate) fn follow(program: Program, environment: Strings, who: Who, start: impl Fn(Strings) -> c_int) -> c_int {
    let Some(session) = session::following() else { return start(environment) };
    match judge(program, environment, session) {
        Verdict::Follow if Lanes::get().is_some_and(Lanes::collector_is_silent) => {
            return start_untracked(program, environment, who, UntrackedReason::Silence, start);
        }
        Verdict::Follow => {}
        Verdict::Leave => return start(environment),
        Verdict::Untrackable(reason) => return start_untracked(program, environment, who, reason, start),
    }
    let (token, library, parent) = session;
    let variables = Variables { token, library, parent, environment };
    let pending = Lanes::get().map(|lanes| &lanes.control().talk.0.pending_execs);
    if let Some(pending) = pending {
        pending.fetch_add(1, Ordering::AcqRel);
    }
    let started = with_room(variables.size(), |buffer| start(variables.build(buffer).unwrap_or(environment)));
    let is_too_much = |result: c_int| result == libc::E2BIG || (result == -1 && weak::errno() == libc::E2BIG);
    let result = match started {
        Some(result) if !is_too_much(result) => result,
        // There is no memory for our variables, or they may be what is too much for the kernel.
        _ => start(environment),
    };
    if result != 0
        && let Some(pending) = pending
    {
        pending.fetch_sub(1, Ordering::AcqRel);
    }
    result
}

/// The reasons that lie in this process come first: in a sandbox even looking at the file may be punished.
fn judge(program: Program, environment: Strings, (token, library, _): session::Following) -> Verdict {
    let variables = Variables { token, library, parent: 0, environment };
    if sandbox::is_active() {
        return Verdict::Untrackable(UntrackedReason::Sandbox);
    }
    if environment != environ() && !is_readable(environment) {
        return Verdict::Leave;
    }
    let verdict = program.judge();
    if !matches!(verdict, Verdict::Follow) {
        return verdict;
    }
    let refusals = [
        (variables.are_of_another_session(), UntrackedReason::OtherSession),
        (!os::is_reachable(library), UntrackedReason::OutOfReach),
        (is_network_foreign(), UntrackedReason::Network),
    ];
    let refusal = refusals.into_iter().find(|(holds, _)| *holds);
    refusal.map_or(Verdict::Follow, |(_, reason)| Verdict::Untrackable(reason))
}

fn is_network_foreign() -> bool {
    let home = Lanes::get().map_or(0, |lanes| lanes.control().network.load(Ordering::Relaxed));
    let here = os::network();
    home != 0 && here != 0 && home != here
}

/// Whether an environment can be walked; the kernel answers for what cannot.
fn is_readable(environment: Strings) -> bool {
    if environment.is_null() {
        return true;
    }
    for index in 0.. {
        let slot = environment.wrapping_add(index);
        if !os::is_readable(slot as usize) {
            return false;
        }
        // SAFETY: the slot was just found readable.
        let entry = unsafe { *slot };
        if entry.is_null() {
            break;
        }
        if !os::is_readable(entry as usize) {
            return false;
        }
    }
    true
}

/// Starts a program as it is, and records why it is not.
fn start_untracked(
    program: Program,
    environment: Strings,
    who: Who,
    reason: UntrackedReason,
    start: impl Fn(Strings) -> c_int,
) -> c_int {
    let note = |pid: u32| {
        if let Some(hook) = &Hook::enter(Start::NOWHERE) {
            with_recorder!(hook, |recorder, _frames| {
                recorder.note(|buffer| record::write_untracked(buffer, pid, reason, program.name()));
            });
        }
    };
    match who {
        Who::Caller => {
            note(if sandbox::is_active() { session::registered_pid() } else { os::getpid() });
            start(environment)
        }
        Who::Child(pid) => {
            let result = start(environment);
            if result == 0 {
                // SAFETY: null, or the caller's variable, which has just been filled.
                note(unsafe { pid.as_ref() }.map_or(0, |pid| *pid as u32));
            }
            result
        }
    }
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

    /// The program made them up, or it is a memtrack: its program shall be its own.
    fn are_of_another_session(&self) -> bool {
        self.entries().any(|entry| {
            let rest = Self::text(entry).strip_prefix(SESSION_VARIABLE.as_bytes());
            rest.and_then(|rest| rest.strip_prefix(b"=1:")).is_some_and(|rest| !rest.starts_with(self.token))
        })
    }

    fn text(entry: *const c_char) -> &'static [u8] {
        // SAFETY: entries are C strings; they outlive the call they are passed to.
        unsafe { CStr::from_ptr(entry) }.to_bytes()
    }

    /// The program's own list of libraries. Of several the loader takes the last one.
    fn own_preload(&self) -> Option<*const c_char> {
        self.entries().filter(|entry| Self::text(*entry).starts_with(PRELOAD)).last()
    }

    /// Bytes that [`Self::build`] needs.
    fn size(&self) -> usize {
        let pointers = (self.entries().count() + 3) * size_of::<*const c_char>();
        let strings = SESSION_VARIABLE.len() + 64 + PRELOAD.len() + self.token.len() + 2 * self.library.len();
        pointers + strings + self.own_preload().map_or(0, |own| Self::text(own).len()) + 16
    }

    /// The new environment, all of it that is new inside `buffer` (8-aligned). Everything else stays as it is and where it
    /// is, and what was not there comes last: once it is taken out again, arguments and variables lie in one piece in
    /// the program's memory, which is where servers write their title.
    fn build(&self, buffer: &mut [u8]) -> Option<Strings> {
        let pointers = (self.entries().count() + 3) * size_of::<*const c_char>();
        let (table, text) = buffer.split_at_mut_checked(pointers)?;
        let base = text.as_ptr();
        let mut writer = Writer::new(text);
        let own = self.own_preload();
        writer.bytes(PRELOAD);
        writer.bytes(self.library);
        if let Some(list) = own.and_then(|own| Self::text(own).strip_prefix(PRELOAD)) {
            writer.u8(b':');
            writer.bytes(list);
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
        let is_session = |entry: &*const c_char| {
            Self::text(*entry).strip_prefix(SESSION_VARIABLE.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
        };
        let preload = base.cast::<c_char>();
        let kept = self.entries().filter(|entry| !is_session(entry));
        let kept = kept.map(|entry| if Some(entry) == own { preload } else { entry });
        let new = own.is_none().then_some(preload).into_iter().chain([base.wrapping_add(session).cast()]);
        let mut next = table.as_mut_ptr().cast::<*const c_char>();
        for entry in kept.chain(new).chain([core::ptr::null()]) {
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

/// The program's environment as it is now.
pub(crate) fn environ() -> Strings {
    weak::environ().map_or(core::ptr::null(), |environ| {
        // SAFETY: the C library's variable.
        unsafe { (environ as *const Strings).read_volatile() }
    })
}

pub(crate) unsafe fn execve(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: forwarded with the caller's arguments and an environment of the same shape.
    let start = |environment| unsafe { real::execve(path, arguments, environment) };
    follow(Program::Path(path), environment, Who::Caller, start)
}

pub(crate) unsafe fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's arguments.
    unsafe { execve(path, arguments, environ()) }
}

pub(crate) unsafe fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    follow(Program::Descriptor(fd), environment, Who::Caller, |environment| {
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
    // Only with this flag may the path be empty; the kernel refuses it otherwise, and one that cannot be read.
    // SAFETY: the path was found readable.
    let empty = flags & libc::AT_EMPTY_PATH != 0
        && (path.is_null() || sandbox::is_readable(path as usize) && unsafe { *path } == 0);
    let program = if empty { Program::Descriptor(folder) } else { Program::At(folder, path) };
    follow(program, environment, Who::Caller, |environment| {
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
    let result = with_room(longest_candidate(name), |candidate| {
        let mut denied = false;
        for folder in search_path() {
            let Some(path) = join(candidate, folder, name) else { continue };
            attempt(path);
            match weak::errno() {
                libc::EACCES => denied = true,
                libc::ENOENT | libc::ESTALE | libc::ENOTDIR | libc::ENODEV | libc::ETIMEDOUT => {}
                _ => return -1,
            }
        }
        weak::set_errno(if denied { libc::EACCES } else { libc::ENOENT });
        -1
    });
    result.unwrap_or_else(without_memory)
}

/// The answer of a call for which there is no memory.
fn without_memory() -> c_int {
    weak::set_errno(libc::ENOMEM);
    -1
}

/// The folders of the program's `PATH`, or of glibc's default.
fn search_path() -> impl Iterator<Item = &'static [u8]> {
    let variables = Variables { token: &[], library: &[], parent: 0, environment: environ() };
    let path = variables.entries().find_map(|entry| Variables::text(entry).strip_prefix(b"PATH="));
    path.unwrap_or(b"/bin:/usr/bin").split(|&byte| byte == b':')
}

/// Bytes of the longest path that [`join`] makes of `name`.
fn longest_candidate(name: &[u8]) -> usize {
    let candidates = search_path().map(|folder| folder.len().max(1) + name.len() + 2);
    candidates.filter(|&len| len <= PATH_LIMIT).max().unwrap_or(0)
}

/// Calls `f` with the file that a search along `PATH` would try first; with `file` itself when that has a slash, nothing is
/// found, or a sandbox stands: looking may be punished.
///
/// # Safety
/// `file` is a C string.
pub(crate) unsafe fn with_found(file: *const c_char, f: impl Fn(*const c_char) -> c_int) -> c_int {
    // SAFETY: the caller's.
    let name = unsafe { CStr::from_ptr(file) }.to_bytes();
    if name.contains(&b'/') || sandbox::is_active() {
        return f(file);
    }
    let result = with_room(longest_candidate(name), |candidate| {
        let found = search_path().find_map(|folder| {
            join(candidate, folder, name).filter(|&path| os::open_at(libc::AT_FDCWD, path).map(os::close).is_some())
        });
        f(found.unwrap_or(file))
    });
    result.unwrap_or_else(|| f(file))
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
    let result = with_room((count.max(1) + 2) * word, |buffer| {
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
    });
    result.unwrap_or_else(without_memory)
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
        let result = with_room((count + 1) * size_of::<usize>(), |buffer| {
            let list = buffer.as_mut_ptr().cast::<usize>();
            for index in 0..count {
                // SAFETY: the buffer has room for count words and the null that is there.
                unsafe { list.add(index).write(self.get(index)) };
            }
            f(list.cast())
        });
        result.unwrap_or_else(without_memory)
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

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, CString};

    use super::{Strings, Variables};

    fn case(before: &[&str]) -> Vec<String> {
        let strings: Vec<CString> = before.iter().map(|text| CString::new(*text).expect("no zero")).collect();
        let mut entries: Vec<_> = strings.iter().map(|text| text.as_ptr()).collect();
        entries.push(std::ptr::null());
        let token = b"0123456789abcdef0123456789abcdef";
        let environment: Strings = entries.as_ptr();
        let variables = Variables { token, library: b"/x/lib.so", parent: 10, environment };
        let mut buffer = vec![0u64; variables.size().div_ceil(8)];
        // SAFETY: the bytes of a vector of words.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast(), buffer.len() * 8) };
        let new = variables.build(bytes).expect("it fits");
        let entry = |index| {
            // SAFETY: an environment, which ends with a null pointer.
            let entry = unsafe { *new.add(index) };
            // SAFETY: its entries are C strings.
            (!entry.is_null()).then(|| unsafe { CStr::from_ptr(entry) }.to_str().expect("text").to_owned())
        };
        (0..).map_while(entry).collect()
    }

    #[test]
    fn the_environment_keeps_its_order() {
        let session = "MEMTRACK_SESSION=1:0123456789abcdef0123456789abcdef:10:-:-:/x/lib.so";
        assert_eq!(case(&[]), ["LD_PRELOAD=/x/lib.so", session]);
        assert_eq!(case(&["A=1", "odd"]), ["A=1", "odd", "LD_PRELOAD=/x/lib.so", session]);
        assert_eq!(case(&["LD_PRELOAD=a", "A=1"]), ["LD_PRELOAD=/x/lib.so:a", "A=1", session]);
        assert_eq!(case(&["MEMTRACK_SESSION=1", "A=1"]), ["A=1", "LD_PRELOAD=/x/lib.so", session]);
        assert_eq!(
            case(&["LD_PRELOAD=a", "LD_PRELOAD=b", "B=2"]),
            ["LD_PRELOAD=a", "LD_PRELOAD=/x/lib.so:b", "B=2", session]
        );
    }
}
