//! Listens: to images that ask for the lanes, and to the parent.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracker_core::capture::meta::Meta;
use tracker_core::format::lanes::LANES_MAGIC;

use super::link;
use super::queue::Queue;
use crate::sys::lanes::{Lanes, LanesFile};
use crate::sys::{fd, futex, socket};

const RETRY: Duration = Duration::from_millis(5);

/// So many may have come without having said anything yet.
const WAITING_ROOM: usize = 128;

/// What is known about the end.
#[derive(Debug, Default)]
pub(super) struct Ending(AtomicU8);

const ROOT_ENDED: u8 = 1;
const PARENT_GONE: u8 = 2;

impl Ending {
    /// The root ended, or the one who would tell us was killed: the tree may end at any time.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Wakes the drain. Holds a mapping of the lanes, which must be given up before the lanes can be sealed.
#[derive(Debug)]
pub(super) struct Waker(Mutex<Option<Lanes>>);

impl Waker {
    pub(super) fn new(lanes: Lanes) -> Self {
        Self(Mutex::new(Some(lanes)))
    }

    fn wake(&self) {
        if let Some(lanes) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let word = &lanes.control().talk.0.wake;
            word.fetch_add(1, Ordering::SeqCst);
            futex::wake_all(word);
        }
    }

    /// Gives the mapping up.
    pub(super) fn retire(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The thread's belongings.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: OwnedFd,
    /// What images of the tree say to get the lanes.
    pub(super) secret: String,
    pub(super) parent: Arc<OwnedFd>,
    pub(super) lanes: Arc<LanesFile>,
    pub(super) queue: Queue,
    pub(super) ending: Arc<Ending>,
    pub(super) waker: Arc<Waker>,
}

impl Door {
    /// Works until the process ends.
    pub(super) fn work(self) {
        let mut visitors: Vec<OwnedFd> = Vec::new();
        loop {
            let parent_is_there = self.ending.0.load(Ordering::Acquire) & PARENT_GONE == 0;
            let parent = parent_is_there.then(|| self.parent.as_fd());
            let waiting = visitors.iter().map(OwnedFd::as_fd);
            let ready = fd::poll_many(waiting.chain([self.listener.as_fd()]).chain(parent), None);
            let mut ready = ready.into_iter();
            let mut spoken = ready.by_ref().take(visitors.len()).collect::<Vec<_>>().into_iter();
            visitors.retain(|visitor| {
                let has_spoken = spoken.next() == Some(true);
                if has_spoken {
                    self.answer(visitor);
                }
                !has_spoken
            });
            if ready.next() == Some(true) {
                self.let_in(&mut visitors);
            }
            if ready.next() == Some(true) {
                self.listen_to_parent();
            }
        }
    }

    fn listen_to_parent(&self) {
        let mut frame = link::receive(self.parent.as_fd());
        if let Some(Meta::RootExit { max_rss, .. }) = &mut frame {
            // Its part of the lanes' pages is not known; a program of one process touched all of them.
            *max_rss = max_rss.saturating_sub(self.lanes.resident_bytes());
        }
        let news = match &frame {
            Some(Meta::RootExit { .. }) => ROOT_ENDED,
            Some(_) => 0,
            None => PARENT_GONE,
        };
        if let Some(frame) = frame {
            self.queue.meta(frame);
        }
        if news != 0 {
            self.ending.0.fetch_or(news, Ordering::AcqRel);
            self.waker.wake();
        }
    }

    /// Anyone on the machine may come: `/proc/net/unix` lists the socket's name. Those who say nothing make room for later
    /// ones.
    fn let_in(&self, visitors: &mut Vec<OwnedFd>) {
        match socket::accept(self.listener.as_fd()) {
            Ok(visitor) => {
                if visitors.len() >= WAITING_ROOM {
                    visitors.remove(0);
                }
                visitors.push(visitor);
            }
            // Out of descriptors, most likely: the visitor stays in line.
            Err(_) => std::thread::sleep(RETRY),
        }
    }

    /// Hands the lanes to an image that knows the secret, as whatever user it runs.
    fn answer(&self, visitor: &OwnedFd) {
        let mut said = [0; 64];
        let len = socket::receive(visitor.as_fd(), &mut said).unwrap_or(0);
        if len != 0 && said.get(..len) == Some(self.secret.as_bytes()) {
            // One that hung up already gets nothing.
            let _ = socket::send_with_fd(visitor.as_fd(), &LANES_MAGIC.to_le_bytes(), self.lanes.as_fd());
        }
    }
}
