//! Local sockets that keep messages apart: the pair between parent and collector, and the collector's door.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use super::{check, retry};

const KIND: libc::c_int = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;

/// Two connected sockets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: fills a live array of two.
    check(unsafe { libc::socketpair(libc::AF_UNIX, KIND, 0, fds.as_mut_ptr()) })?;
    // SAFETY: both descriptors are new and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Listens on the abstract address `name` (at most 100 bytes are meaningful there).
pub(crate) fn listen(name: &str) -> io::Result<OwnedFd> {
    // SAFETY: makes a new descriptor.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, KIND | libc::SOCK_NONBLOCK, 0) })?;
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    // An abstract address starts with a zero byte and ends where its length says.
    for (to, from) in address.sun_path.iter_mut().skip(1).zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    let used = name.len().min(address.sun_path.len() - 1);
    let len = size_of::<libc::sa_family_t>() + 1 + used;
    // SAFETY: the address lives through the call and `len` is within it.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len as libc::socklen_t) })?;
    // SAFETY: touches no memory of ours.
    check(unsafe { libc::listen(fd.as_raw_fd(), 128) })?;
    Ok(fd)
}

/// Takes one connection from a listening socket; an error of kind `WouldBlock` when there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let (none, flags) = (std::ptr::null_mut(), libc::SOCK_CLOEXEC);
    // SAFETY: no address is asked for.
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), none, std::ptr::null_mut(), flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends one message; never waits for room, never raises SIGPIPE.
pub(crate) fn send(fd: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let (start, len) = (message.as_ptr().cast(), message.len());
    // SAFETY: pointer and length are those of a live slice.
    retry(|| check(unsafe { libc::send(fd.as_raw_fd(), start, len, flags) } as libc::c_int)).map(drop)
}

/// Receives one message into `buffer`; answers its length, 0 at the end of the connection.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (start, len) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: pointer and length are those of a live slice.
    retry(|| check(unsafe { libc::recv(fd.as_raw_fd(), start, len, 0) } as libc::c_int)).map(|got| got as usize)
}

/// Sends one message and a copy of `passed` with it.
pub(crate) fn send_with_fd(fd: BorrowedFd<'_>, message: &[u8], passed: BorrowedFd<'_>) -> io::Result<()> {
    /// Room for a control message with one descriptor, aligned as its header must be.
    #[repr(C)]
    struct Room {
        header: libc::cmsghdr,
        fd: libc::c_int,
    }
    let mut room = Room {
        header: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<libc::c_int>(),
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        fd: passed.as_raw_fd(),
    };
    let mut part = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    // SAFETY: all-zero is a valid msghdr.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut part;
    header.msg_iovlen = 1;
    header.msg_control = (&raw mut room).cast();
    header.msg_controllen = size_of::<Room>();
    // SAFETY: everything the header points to lives through the call, which only reads it.
    let sent = unsafe { libc::sendmsg(fd.as_raw_fd(), &header, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) };
    check(sent as libc::c_int).map(drop)
}
