//! Listens: to images that ask for the lanes, and to the parent.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracker_core::capture::meta::Meta;
use tracker_core::format::lanes::LANES_MAGIC;

use super::images::Images;
use super::link;
use super::queue::Queue;
use crate::sys::lanes::{Lanes, LanesFile};
use crate::sys::{fd, futex, host, socket};

const RETRY: Duration = Duration::from_millis(5);

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
    pub(super) parent: Arc<OwnedFd>,
    pub(super) lanes: Arc<LanesFile>,
    pub(super) images: Arc<Images>,
    pub(super) queue: Queue,
    pub(super) ending: Arc<Ending>,
    pub(super) waker: Arc<Waker>,
}

impl Door {
    /// Works until the process ends.
    pub(super) fn work(self) {
        loop {
            let parent_is_there = self.ending.0.load(Ordering::Acquire) & PARENT_GONE == 0;
            if parent_is_there {
                let [visitor, parent] = fd::poll([self.listener.as_fd(), self.parent.as_fd()], None);
                if parent {
                    self.listen_to_parent();
                }
                if visitor {
                    self.let_in();
                }
            } else {
                fd::poll([self.listener.as_fd()], None);
                self.let_in();
            }
        }
    }

    fn listen_to_parent(&self) {
        let frame = link::receive(self.parent.as_fd());
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

    /// Hands the lanes to an image. The socket's name is a secret only half (`/proc/net/unix` lists it), so whoever
    /// comes must be our own user, or a process of the tree that became another one.
    fn let_in(&self) {
        let visitor = match socket::accept(self.listener.as_fd()) {
            Ok(visitor) => visitor,
            // Out of descriptors, most likely: the visitor stays in line.
            Err(_) => return std::thread::sleep(RETRY),
        };
        let Ok((pid, user)) = socket::peer(visitor.as_fd()) else { return };
        if user == host::effective_user() || self.images.has_process(pid) {
            // One that hung up already gets nothing.
            let _ = socket::send_with_fd(visitor.as_fd(), &LANES_MAGIC.to_le_bytes(), self.lanes.as_fd());
        }
    }
}
