//! Processes: fork, exec, wait, and looking at others.
//!
//! Forking a process with threads would copy locks that nobody unlocks, so both forks here refuse to.

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use super::limits::Raised;
use super::signals::{self, Mask};
use super::{check, fd, retry, start};

/// What a child of the program's kind gets, beside what it inherits.
#[derive(Debug)]
pub(crate) struct Exec {
    /// As it was typed; also `argv[0]`.
    pub(crate) program: CString,
    /// All arguments, `argv[0]` included.
    pub(crate) arguments: Vec<CString>,
    /// The whole environment.
    pub(crate) environment: Vec<CString>,
}

/// What this process changed about itself and the program must not see.
#[derive(Clone)]
pub(crate) struct Inherited {
    pub(crate) mask: Mask,
    /// SIGCHLD was ignored.
    pub(crate) sigchld_ignored: bool,
    pub(crate) limits: Raised,
}

fn fork() -> io::Result<u32> {
    // The link count of this folder is 2 plus the number of threads. Without /proc we trust our callers.
    if fs::metadata("/proc/self/task").is_ok_and(|task| task.nlink() > 3) {
        return Err(io::Error::other("this process has threads"));
    }
    // SAFETY: there is one thread, so the child is a whole copy and may do anything.
    check(unsafe { libc::fork() }).map(|pid| pid as u32)
}

/// A program that was forked and waits to be let go. Dropped, it ends without having run.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) pid: u32,
    go: Option<io::PipeWriter>,
    failure: io::PipeReader,
    runs: bool,
}

/// Forks a child that waits for [`Pending::release`] and then becomes the program.
pub(crate) fn prepare(exec: &Exec, inherited: &Inherited) -> io::Result<Pending> {
    let (go_read, go) = io::pipe()?;
    let (failure, failure_write) = io::pipe()?;
    let pid = fork()?;
    if pid != 0 {
        return Ok(Pending { pid, go: Some(go), failure, runs: false });
    }
    drop((go, failure));
    let mut byte = [0];
    let error = match (&go_read).read(&mut byte) {
        Ok(1) => replace(exec, inherited),
        // The parent gave up before the start.
        _ => exit_now(0),
    };
    let code = error.raw_os_error().unwrap_or(libc::EIO);
    // Nobody listening is no reason to do anything else.
    let _ = io::Write::write_all(&mut &failure_write, &code.to_ne_bytes());
    exit_now(127)
}

impl Pending {
    /// Lets the child go; answers when the program runs, or with the reason why it does not.
    pub(crate) fn release(mut self) -> io::Result<()> {
        if let Some(mut go) = self.go.take() {
            io::Write::write_all(&mut go, &[1])?;
        }
        let mut code = [0; 4];
        // The other end is closed by a successful exec.
        match self.failure.read_exact(&mut code) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.runs = true;
                Ok(())
            }
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(code))),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.go = None;
        if !self.runs {
            reap(self.pid);
        }
    }
}

/// Becomes the program; answers why that was impossible.
pub(crate) fn replace(exec: &Exec, inherited: &Inherited) -> io::Error {
    become_program(exec, inherited).map_or_else(|error| error, |never| match never {})
}

fn become_program(exec: &Exec, inherited: &Inherited) -> io::Result<Infallible> {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&exec.arguments), pointers(&exec.environment));
    inherited.limits.restore()?;
    if !start::sigpipe_ignored() {
        signals::set_default(libc::SIGPIPE);
    }
    if inherited.sigchld_ignored {
        signals::ignore(signals::SIGCHLD);
    }
    for closed in start::closed() {
        // SAFETY: Rust's runtime opened /dev/null here; nothing is written to it before exec.
        unsafe { libc::close(closed) };
    }
    signals::restore(&inherited.mask);
    // SAFETY: both vectors are null-terminated arrays of C strings that live through the call.
    unsafe { libc::execvpe(exec.program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Forks a child that runs `work` in a session of its own, with /dev/null for standard descriptors and nothing else
/// open but `keep`, and exits with its result.
pub(crate) fn spawn_daemon(keep: &[RawFd], work: impl FnOnce() -> u8) -> io::Result<u32> {
    spawn_beside(keep, || {
        signals::ignore_endings();
        // SAFETY: a fresh child is no group leader, so this cannot fail; it touches no memory.
        unsafe { libc::setsid() };
        work()
    })
}

/// The same in our own session and process group.
pub(crate) fn spawn_beside(keep: &[RawFd], work: impl FnOnce() -> u8) -> io::Result<u32> {
    let pid = fork()?;
    if pid != 0 {
        return Ok(pid);
    }
    fd::close_others(keep);
    // Keeping a folder busy would be a trace that we leave; and nothing we need is relative to it.
    let _ = std::env::set_current_dir("/");
    exit_now(if fd::null_stdio(3).is_ok() { work() } else { 1 })
}

/// Ends the process without running anything of its parent's: no destructors, no exit handlers.
pub(crate) fn exit_now(code: u8) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(libc::c_int::from(code)) }
}

/// What a child did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Exited(i32),
    Killed(i32),
    Stopped(i32),
    Continued,
}

/// The next thing that any child did, if there is one; does not wait. With the most bytes that were ever resident, once
/// it has ended.
pub(crate) fn changed_child() -> Option<(u32, Change, u64)> {
    let mut status = 0;
    // SAFETY: zero is a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    // SAFETY: writes into live values.
    let pid = retry(|| check(unsafe { libc::wait4(-1, &mut status, flags, &mut usage) })).ok()?;
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Change::Killed(libc::WTERMSIG(status))
    } else if libc::WIFSTOPPED(status) {
        Change::Stopped(libc::WSTOPSIG(status))
    } else {
        Change::Continued
    };
    let max_rss = (usage.ru_maxrss as u64).saturating_mul(1024);
    (pid != 0).then_some((pid as u32, change, max_rss))
}

/// Waits until the child `pid` is gone.
pub(crate) fn reap(pid: u32) {
    // SAFETY: no status is asked for. Failure means that it is gone already.
    let _ = retry(|| check(unsafe { libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), 0) }));
}

/// Calls this process `name`, and takes away its command line: who looks for processes by these finds others.
pub(crate) fn become_nameless(name: &str) {
    if let Ok(name) = CString::new(name) {
        // SAFETY: reads a C string.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    // The 48th and 49th field; the third is the first behind the name.
    let mut bounds = fields.skip(45).map_while(|field| field.parse::<usize>().ok());
    if let (Some(start), Some(end)) = (bounds.next(), bounds.next())
        && start != 0
        && end > start
    {
        // SAFETY: the arguments as the kernel has put them, which are the process's to write; its parent has copies of its
        // own, and nobody here reads them any more.
        unsafe { std::ptr::write_bytes(start as *mut u8, 0, end - start) };
    }
}

/// Ends this process when its parent `parent` does.
pub(crate) fn end_with(parent: u32) {
    // SAFETY: touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    if std::os::unix::process::parent_id() != parent {
        exit_now(0);
    }
}

/// The process group of `pid`, 0 for our own.
pub(crate) fn group(pid: u32) -> Option<u32> {
    // SAFETY: only asks.
    check(unsafe { libc::getpgid(pid.cast_signed()) }).ok().map(i32::cast_unsigned)
}

/// Whether this process leads its session.
pub(crate) fn leads_session() -> bool {
    // SAFETY: both only ask.
    unsafe { libc::getsid(0) == libc::getpid() }
}

/// A descriptor of a process, readable once it is gone.
pub(crate) fn watch(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: makes a new descriptor, which is closed on exec.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as libc::c_int)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether an error says that what was asked for is not there, and not that it could not be asked for.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// Whether process `pid` exists. Says yes when it may not look.
pub(crate) fn exists(pid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    let answer = unsafe { libc::kill(pid.cast_signed(), 0) };
    answer == 0 || !is_absence(&io::Error::last_os_error())
}

/// Whether thread `tid` of process `pid` exists. Says yes when it may not look.
pub(crate) fn thread_exists(pid: u32, tid: u32) -> bool {
    // SAFETY: signal 0 only asks.
    let answer = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) };
    answer == 0 || !is_absence(&io::Error::last_os_error())
}

/// This process's environment, entry by entry, as it is: malformed entries too.
pub(crate) fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: `environ` is null or a null-terminated array of C strings; no other thread changes it while we run
    // (only single-threaded code calls this, and nothing here sets variables).
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}

/// A C string of a command-line argument, which has no zero inside.
pub(crate) fn c_string(text: &OsStr) -> CString {
    CString::new(text.as_bytes()).unwrap_or_default()
}
