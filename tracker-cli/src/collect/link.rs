//! What parent and collector say to each other, one message each, over a pair of sockets.
//!
//! The parent sends metadata frames for the capture; `Meta::RootExit` also starts the end. When its side closes
//! without one, the parent was killed. The collector answers the root's end with a [`Reply`], or two.

use std::io;
use std::os::fd::BorrowedFd;

use tracker_core::capture::meta::Meta;
use tracker_core::format::wire::{Reader, Writer};

use crate::sys::socket;

/// Longest message; metadata that the parent sends is short.
const MAX_MESSAGE: usize = 16 << 10;

/// What the collector's counters know at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
    /// Events that were dropped because there was no room for them.
    pub(crate) lost: u64,
    /// Stacks that the unwinder's self-check found different.
    pub(crate) unwind_differences: u64,
    /// Size of the capture in bytes.
    pub(crate) bytes: u64,
    /// Why the capture ends early; empty when it does not.
    pub(crate) stopped: String,
}

/// The collector's answer to the root's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// This many other images of the tree still run; the collector goes on.
    Running(u32),
    /// Everything is written.
    Done(Counts),
}

impl Reply {
    fn encode(&self) -> Vec<u8> {
        let mut buffer = vec![0; 1024];
        let mut w = Writer::new(&mut buffer);
        match self {
            Self::Running(images) => {
                w.u8(0);
                w.u32(*images);
            }
            Self::Done(counts) => {
                w.u8(1);
                for number in [counts.allocations, counts.frees, counts.lost, counts.unwind_differences, counts.bytes] {
                    w.u64(number);
                }
                w.text(counts.stopped.as_bytes(), 512);
            }
        }
        let len = w.finish().unwrap_or(0);
        buffer.truncate(len);
        buffer
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        Some(match r.u8()? {
            0 => Self::Running(r.u32()?),
            _ => Self::Done(Counts {
                allocations: r.u64()?,
                frees: r.u64()?,
                lost: r.u64()?,
                unwind_differences: r.u64()?,
                bytes: r.u64()?,
                stopped: String::from_utf8_lossy(r.text()?).into_owned(),
            }),
        })
    }
}

/// Parent: sends a frame for the capture. A collector that is gone is noticed elsewhere.
pub(crate) fn tell(socket: BorrowedFd<'_>, meta: &Meta) {
    let _ = socket::send(socket, &meta.encode());
}

/// Parent: receives a reply; `None` when the collector is gone.
pub(crate) fn hear(socket: BorrowedFd<'_>) -> Option<Reply> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let len = socket::receive(socket, &mut buffer).ok()?;
    Reply::decode(buffer.get(..len)?)
}

/// Collector: receives a frame; `None` when the parent is gone.
pub(super) fn receive(socket: BorrowedFd<'_>) -> Option<Meta> {
    let mut buffer = vec![0; MAX_MESSAGE];
    let len = socket::receive(socket, &mut buffer).ok()?;
    Meta::decode(buffer.get(..len)?)
}

/// Collector: sends a reply. A parent that is gone does not need it.
pub(super) fn answer(socket: BorrowedFd<'_>, reply: &Reply) -> io::Result<()> {
    socket::send(socket, &reply.encode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn replies_arrive_as_they_were_sent() {
        let (parent, collector) = socket::pair().unwrap();
        let stopped = "no space left".to_owned();
        let counts = Counts { allocations: 1, frees: 2, lost: 3, unwind_differences: 4, bytes: 5, stopped };
        for reply in [Reply::Running(7), Reply::Done(counts)] {
            answer(collector.as_fd(), &reply).unwrap();
            assert_eq!(hear(parent.as_fd()), Some(reply));
        }
        drop(collector);
        assert_eq!(hear(parent.as_fd()), None);
    }

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let (parent, collector) = socket::pair().unwrap();
        let frame = Meta::Warning { text: "careful".to_owned() };
        tell(parent.as_fd(), &frame);
        assert_eq!(receive(collector.as_fd()), Some(frame));
        drop(parent);
        assert_eq!(receive(collector.as_fd()), None);
    }
}
