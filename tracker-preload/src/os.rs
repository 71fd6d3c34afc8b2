//! \[unsafe\] The system calls the library makes, raw: no libc call, no `errno`, no cancellation point.
//!
//! None of them is on the fast path. Errors come back as negative numbers, as the kernel gives them.

use core::arch::asm;
use core::sync::atomic::AtomicU32;

/// System call numbers (x86-64).
mod number {
    pub(super) const CLOSE: usize = 3;
    pub(super) const FSTAT: usize = 5;
    pub(super) const MMAP: usize = 9;
    pub(super) const MUNMAP: usize = 11;
    pub(super) const MADVISE: usize = 28;
    pub(super) const GETPID: usize = 39;
    pub(super) const SOCKET: usize = 41;
    pub(super) const CONNECT: usize = 42;
    pub(super) const RECVMSG: usize = 47;
    pub(super) const SETSOCKOPT: usize = 54;
    #[cfg(all(feature = "interpose", not(feature = "oracle")))]
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const READLINK: usize = 89;
    pub(super) const GETCWD: usize = 79;
    pub(super) const GETTID: usize = 186;
    pub(super) const FUTEX: usize = 202;
    pub(super) const TGKILL: usize = 234;
    pub(super) const OPENAT: usize = 257;
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const PREAD: usize = 17;
    pub(super) const WAIT4: usize = 61;
    pub(super) const FCNTL: usize = 72;
    pub(super) const PIPE2: usize = 293;
    pub(super) const GETUID: usize = 102;
    pub(super) const GETGID: usize = 104;
    pub(super) const GETEUID: usize = 107;
    pub(super) const GETEGID: usize = 108;
    pub(super) const FGETXATTR: usize = 193;
    pub(super) const STAT: usize = 4;
    pub(super) const KILL: usize = 62;
    pub(super) const PRCTL: usize = 157;
    pub(super) const FACCESSAT: usize = 269;
    pub(super) const PRLIMIT: usize = 302;
    pub(super) const SENDTO: usize = 44;
}

/// One system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the kernel expects for `number`, and pointers among them valid for what it does.
#[inline(always)]
unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the instruction clobbers rax, rcx and r11 only; what the kernel does to memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Whether a system call's result is an error.
const fn failed(result: isize) -> bool {
    result < 0 && result > -4096
}

/// Ends the process as a failed assertion would, without running anything of it.
#[cfg(all(feature = "interpose", not(feature = "oracle")))]
pub(crate) fn abort() -> ! {
    loop {
        // SAFETY: exit_group takes a status and does not return.
        unsafe { syscall(number::EXIT_GROUP, [134, 0, 0, 0, 0, 0]) };
    }
}

/// Private zeroed memory, `len` bytes; null on failure. Reserved, not committed.
pub(crate) fn map_private(len: usize) -> *mut u8 {
    map(len, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, usize::MAX)
}

/// `len` bytes of the file behind `fd`, shared; null on failure.
pub(crate) fn map_shared(fd: i32, len: usize) -> *mut u8 {
    map(len, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE, fd as usize)
}

const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// As [`map_private`], but the program's RLIMIT_DATA stays its own: what can grow down counts as a stack. It never grows: the
/// page below takes the faults that are the program's. Not to be unmapped.
pub(crate) fn map_apart(len: usize) -> *mut u8 {
    let base = map(len + PAGE, libc::PROT_NONE, ANONYMOUS, usize::MAX);
    if base.is_null() {
        return base;
    }
    let start = base.wrapping_add(PAGE);
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS | libc::MAP_GROWSDOWN | libc::MAP_FIXED);
    let args = [start as usize, len, prot as usize, flags as usize, usize::MAX, 0];
    // SAFETY: replaces a part of the mapping that was just made, which nobody has seen.
    if failed(unsafe { syscall(number::MMAP, args) }) {
        // SAFETY: as above.
        unsafe { unmap(base, len + PAGE) };
        return core::ptr::null_mut();
    }
    start
}

fn map(len: usize, prot: i32, flags: i32, fd: usize) -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice disturbs nothing.
    let result = unsafe { syscall(number::MMAP, [0, len, prot as usize, flags as usize, fd, 0]) };
    if failed(result) { core::ptr::null_mut() } else { result as *mut u8 }
}

/// Removes a mapping made above.
///
/// # Safety
/// Nothing may use `[address, address + len)` any more.
pub(crate) unsafe fn unmap(address: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { syscall(number::MUNMAP, [address as usize, len, 0, 0, 0, 0]) };
}

/// `madvise` on a mapping made above, with an advice that does not change what its owner reads. True on success.
pub(crate) fn advise(address: *mut u8, len: usize, advice: i32) -> bool {
    // SAFETY: only MADV_WIPEONFORK and MADV_DONTDUMP are passed, which leave this process's contents alone.
    unsafe { syscall(number::MADVISE, [address as usize, len, advice as usize, 0, 0, 0]) == 0 }
}

/// The process id as the program sees it.
pub(crate) fn getpid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall(number::GETPID, [0; 6]) as u32 }
}

/// The thread id as the program sees it.
pub(crate) fn gettid() -> u32 {
    // SAFETY: no arguments.
    unsafe { syscall(number::GETTID, [0; 6]) as u32 }
}

/// Whether thread `tid` of process `pid` exists. Signal 0 is never delivered.
pub(crate) fn thread_exists(pid: u32, tid: u32) -> bool {
    // SAFETY: integers only.
    let result = unsafe { syscall(number::TGKILL, [pid as usize, tid as usize, 0, 0, 0, 0]) };
    result != -(libc::ESRCH as isize)
}

/// Waits at most `milliseconds` while `*word == value`.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, milliseconds: u32) {
    let timeout =
        libc::timespec { tv_sec: i64::from(milliseconds / 1000), tv_nsec: i64::from(milliseconds % 1000) * 1_000_000 };
    let args = [word.as_ptr() as usize, libc::FUTEX_WAIT as usize, value as usize, &raw const timeout as usize, 0, 0];
    // SAFETY: the word outlives the call (the lanes are never unmapped), so does the timeout.
    unsafe { syscall(number::FUTEX, args) };
}

/// Wakes one waiter of `word`, in any process that maps it.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word is valid memory; waking reads nothing else.
    unsafe { syscall(number::FUTEX, [word.as_ptr() as usize, libc::FUTEX_WAKE as usize, 1, 0, 0, 0]) };
}

/// Closes a descriptor of ours.
pub(crate) fn close(fd: i32) {
    // SAFETY: integers only; that the descriptor is ours is checked by the callers.
    unsafe { syscall(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// Inode number of the file behind `fd`.
pub(crate) fn inode(fd: i32) -> Option<u64> {
    // SAFETY: all-zero is a valid stat.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel fills one stat.
    let result = unsafe { syscall(number::FSTAT, [fd as usize, &raw mut stat as usize, 0, 0, 0, 0]) };
    if failed(result) { None } else { Some(stat.st_ino) }
}

/// Whether executing the file behind `fd` would make the kernel ask the loader for caution (AT_SECURE).
pub(crate) fn gains_privilege(fd: i32) -> bool {
    // SAFETY: all-zero is a valid stat.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel fills one stat; the other calls take nothing.
    let (result, uid, gid) = unsafe {
        let result = syscall(number::FSTAT, [fd as usize, &raw mut stat as usize, 0, 0, 0, 0]);
        (result, syscall(number::GETUID, [0; 6]) as u32, syscall(number::GETGID, [0; 6]) as u32)
    };
    if failed(result) {
        return false;
    }
    let other_user = stat.st_mode & libc::S_ISUID != 0 && stat.st_uid != uid;
    let other_group = stat.st_mode & libc::S_ISGID != 0 && stat.st_mode & libc::S_IXGRP != 0 && stat.st_gid != gid;
    other_user || other_group || (uid != 0 && has_capabilities(fd))
}

fn has_capabilities(fd: i32) -> bool {
    let args = [fd as usize, c"security.capability".as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: a C string; with length 0 the kernel answers the size and writes nothing.
    unsafe { syscall(number::FGETXATTR, args) > 0 }
}

/// Opens a file for reading, close-on-exec. `path` must end with a zero byte.
pub(crate) fn open(path: &[u8]) -> Option<i32> {
    if path.last() != Some(&0) {
        return None;
    }
    open_at(libc::AT_FDCWD, path.as_ptr().cast())
}

/// [`open`], relative to the folder `folder`. The kernel refuses a path that is not readable, so any pointer will do.
pub(crate) fn open_at(folder: i32, path: *const core::ffi::c_char) -> Option<i32> {
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let args = [folder as usize, path as usize, flags as usize, 0, 0, 0];
    // SAFETY: the kernel reads the path, and answers an error if it cannot.
    let result = unsafe { syscall(number::OPENAT, args) };
    if failed(result) { None } else { Some(result as i32) }
}

/// Whether this process may execute the file at `path`, as it may try with any pointer.
pub(crate) fn is_executable(folder: i32, path: *const core::ffi::c_char) -> bool {
    may(folder, path, libc::X_OK)
}

fn may(folder: i32, path: *const core::ffi::c_char, mode: i32) -> bool {
    // SAFETY: as in `open_at`.
    unsafe { syscall(number::FACCESSAT, [folder as usize, path as usize, mode as usize, 0, 0, 0]) == 0 }
}

/// Inode number of this process's network namespace; 0 when it cannot be seen.
pub(crate) fn network() -> u64 {
    // SAFETY: all-zero is a valid stat.
    let mut stat: libc::stat = unsafe { core::mem::zeroed() };
    // SAFETY: a C string, and the kernel fills one stat.
    let result =
        unsafe { syscall(number::STAT, [c"/proc/self/ns/net".as_ptr() as usize, &raw mut stat as usize, 0, 0, 0, 0]) };
    if failed(result) { 0 } else { stat.st_ino }
}

/// Runs `f`; when descriptors are what it lacks, once more with as many allowed as the limit can be raised to meanwhile.
pub(crate) fn with_descriptors<T>(f: impl Fn() -> Result<T, Lack>) -> Option<T> {
    let change = |new: *const libc::rlimit, old: *mut libc::rlimit| {
        // SAFETY: both are null or one limit; 0 is this process.
        let result =
            unsafe { syscall(number::PRLIMIT, [0, libc::RLIMIT_NOFILE as usize, new as usize, old as usize, 0, 0]) };
        !failed(result)
    };
    let again = || {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if !change(core::ptr::null(), &raw mut limit) || limit.rlim_cur >= limit.rlim_max {
            return None;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        change(&raw const raised, core::ptr::null_mut());
        let result = f();
        change(&raw const limit, core::ptr::null_mut());
        result.ok()
    };
    match f() {
        Ok(found) => Some(found),
        Err(Lack::Descriptors) => again(),
        Err(Lack::Answer) => None,
    }
}

/// The calling thread's name.
pub(crate) fn thread_name(buffer: &mut [u8; 16]) -> &[u8] {
    // SAFETY: the kernel writes at most 16 bytes, a zero among them.
    unsafe { syscall(number::PRCTL, [libc::PR_GET_NAME as usize, buffer.as_mut_ptr() as usize, 0, 0, 0, 0]) };
    core::ffi::CStr::from_bytes_until_nul(buffer).map_or(&[], core::ffi::CStr::to_bytes)
}

/// Kills child `pid`.
pub(crate) fn kill(pid: i32) {
    // SAFETY: integers only.
    unsafe { syscall(number::KILL, [pid as usize, libc::SIGKILL as usize, 0, 0, 0, 0]) };
}

/// Whether the loader of a program that this process executes would find the library at `path` and take it. That program
/// has the ids of this process, but not what a process that was root has kept of its capabilities: as `access` judges.
pub(crate) fn is_reachable(path: &[u8]) -> bool {
    let mut name = [0u8; 1024];
    // At least one byte stays zero behind it.
    let Some((room, [_, ..])) = name.split_at_mut_checked(path.len()) else { return false };
    for (to, from) in room.iter_mut().zip(path) {
        *to = *from;
    }
    // SAFETY: these calls take nothing.
    let ids = unsafe {
        [number::GETUID, number::GETEUID, number::GETGID, number::GETEGID].map(|number| syscall(number, [0; 6]))
    };
    let [uid, euid, gid, egid] = ids;
    uid == euid && gid == egid && may(libc::AT_FDCWD, name.as_ptr().cast(), libc::R_OK)
}

/// Whether a word at `address` can be read. The kernel copies the mask before it refuses the invalid `how`.
#[cold]
pub(crate) fn is_readable(address: usize) -> bool {
    // SAFETY: nothing is changed, whatever the address.
    let result = unsafe { syscall(number::RT_SIGPROCMASK, [usize::MAX, address, 0, 8, 0, 0]) };
    result != -(libc::EFAULT as isize)
}

/// Reads from `fd` at `offset` into `buffer`; the number of bytes read, 0 at the end or on error.
pub(crate) fn read_at(fd: i32, buffer: &mut [u8], offset: u64) -> usize {
    let args = [fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), offset as usize, 0, 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the buffer.
    let result = unsafe { syscall(number::PREAD, args) };
    if failed(result) { 0 } else { result as usize }
}

/// The target of a symbolic link; `path` is a C string.
pub(crate) fn read_link<'b>(path: &core::ffi::CStr, buffer: &'b mut [u8]) -> &'b [u8] {
    let args = [path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the buffer.
    let result = unsafe { syscall(number::READLINK, args) };
    if failed(result) { &[] } else { buffer.get(..result as usize).unwrap_or(&[]) }
}

/// The working folder, without the final zero byte.
pub(crate) fn working_folder(buffer: &mut [u8]) -> &[u8] {
    let args = [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0];
    // SAFETY: the kernel writes at most buffer.len() bytes into the buffer.
    let result = unsafe { syscall(number::GETCWD, args) };
    if failed(result) { &[] } else { buffer.get(..(result as usize).saturating_sub(1)).unwrap_or(&[]) }
}

/// Why there is no descriptor.
pub(crate) enum Lack {
    Descriptors,
    Answer,
}

/// Asks the abstract socket `name` for a descriptor, with `secret`; waits at most one second.
pub(crate) fn receive_descriptor(name: &[u8], secret: &[u8]) -> Result<i32, Lack> {
    // SAFETY: integers only.
    let socket = unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        syscall(number::SOCKET, [libc::AF_UNIX as usize, kind as usize, 0, 0, 0, 0])
    };
    if failed(socket) {
        return Err(Lack::Descriptors);
    }
    let descriptor = receive_from(socket as usize, name, secret);
    close(socket as i32);
    descriptor
}

fn receive_from(socket: usize, name: &[u8], secret: &[u8]) -> Result<i32, Lack> {
    let second = libc::timeval { tv_sec: 1, tv_usec: 0 };
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let len = size_of::<libc::timeval>();
        let args = [socket, libc::SOL_SOCKET as usize, option as usize, &raw const second as usize, len, 0];
        // SAFETY: the option's value is one timeval.
        unsafe { syscall(number::SETSOCKOPT, args) };
    }
    // An abstract address: family, a zero byte, the name.
    let mut address = [0u8; 110];
    address[0] = libc::AF_UNIX as u8;
    let room = address.get_mut(3..3 + name.len()).ok_or(Lack::Answer)?;
    for (to, from) in room.iter_mut().zip(name) {
        *to = *from;
    }
    // SAFETY: the address is valid for 3 + name.len() bytes.
    let connected = unsafe { syscall(number::CONNECT, [socket, address.as_ptr() as usize, 3 + name.len(), 0, 0, 0]) };
    if failed(connected) {
        return Err(Lack::Answer);
    }
    let args = [socket, secret.as_ptr() as usize, secret.len(), libc::MSG_NOSIGNAL as usize, 0, 0];
    // SAFETY: the kernel reads `secret.len()` bytes; there is no address.
    if failed(unsafe { syscall(number::SENDTO, args) }) {
        return Err(Lack::Answer);
    }
    let mut byte = [0u8; 8];
    let mut control = [0u64; 3]; // one cmsghdr (16 bytes) and one descriptor, 8-aligned
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { core::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: the message describes live buffers of the lengths it names.
    let received = unsafe {
        syscall(number::RECVMSG, [socket, &raw mut message as usize, libc::MSG_CMSG_CLOEXEC as usize, 0, 0, 0])
    };
    if failed(received) || received == 0 {
        return Err(Lack::Answer);
    }
    let rights = (libc::SOL_SOCKET as u64) | (libc::SCM_RIGHTS as u64) << 32;
    // cmsg_len covers the header and one int.
    // Without them, there was no room for the descriptor.
    if control[0] == 20 && control[1] == rights { Ok(control[2] as u32 as i32) } else { Err(Lack::Descriptors) }
}

/// Sets the action of `signal`, in the kernel's form (handler, flags, restorer, mask); the old one.
pub(crate) fn set_signal_action(signal: usize, action: &[usize; 4]) -> [usize; 4] {
    let mut old = [0; 4];
    let args = [signal, action.as_ptr() as usize, old.as_mut_ptr() as usize, 8, 0, 0];
    // SAFETY: two structures of the kernel's form. Only SIG_IGN and former actions of the program are set.
    unsafe { syscall(number::RT_SIGACTION, args) };
    old
}

/// Blocks the signals in `set` for this thread; the old mask.
pub(crate) fn block_signals(set: u64) -> u64 {
    change_mask(libc::SIG_BLOCK, set)
}

/// Puts back a mask that [`block_signals`] answered.
pub(crate) fn set_signal_mask(mask: u64) {
    change_mask(libc::SIG_SETMASK, mask);
}

fn change_mask(how: i32, set: u64) -> u64 {
    let mut old = 0u64;
    // SAFETY: two masks of the kernel's size.
    unsafe { syscall(number::RT_SIGPROCMASK, [how as usize, &raw const set as usize, &raw mut old as usize, 8, 0, 0]) };
    old
}

/// Waits for child `pid`; its status, or an error number.
pub(crate) fn wait_for(pid: i32) -> Result<i32, i32> {
    let mut status = 0i32;
    loop {
        // SAFETY: the kernel fills one status.
        let result = unsafe { syscall(number::WAIT4, [pid as usize, &raw mut status as usize, 0, 0, 0, 0]) };
        match -result as i32 {
            libc::EINTR => {}
            error if failed(result) => return Err(error),
            _ => return Ok(status),
        }
    }
}

/// A pipe, both ends close-on-exec: read end, write end; or an error number.
pub(crate) fn pipe() -> Result<[i32; 2], i32> {
    let mut ends = [0i32; 2];
    // SAFETY: the kernel fills two descriptors.
    let result = unsafe { syscall(number::PIPE2, [ends.as_mut_ptr() as usize, libc::O_CLOEXEC as usize, 0, 0, 0, 0]) };
    if failed(result) { Err(-result as i32) } else { Ok(ends) }
}

/// Another descriptor for the file behind `fd`, above the standard ones, close-on-exec; or an error number.
pub(crate) fn duplicate(fd: i32) -> Result<i32, i32> {
    // SAFETY: integers only.
    let result = unsafe { syscall(number::FCNTL, [fd as usize, libc::F_DUPFD_CLOEXEC as usize, 3, 0, 0, 0]) };
    if failed(result) { Err(-result as i32) } else { Ok(result as i32) }
}

/// Takes close-on-exec off a descriptor.
pub(crate) fn keep_on_exec(fd: i32) {
    // SAFETY: integers only.
    unsafe { syscall(number::FCNTL, [fd as usize, libc::F_SETFD as usize, 0, 0, 0, 0]) };
}
