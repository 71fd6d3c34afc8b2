//! Which images of the tree are alive, shared between the threads of the collector.
//!
//! ```text
//! (unknown) ──observer found its process──▶ alive ──process gone, or replaced by exec──▶ gone
//! ```
//!
//! An unknown image may live: its chunks are never taken away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::process;

#[derive(Debug, Clone, Copy)]
enum State {
    /// In process `pid`. `threads`: its thread ids mean the same to us as to itself.
    Alive {
        pid: u32,
        threads: bool,
    },
    Gone,
}

/// The register.
#[derive(Debug, Default)]
pub(super) struct Images(Mutex<HashMap<u32, State>>);

impl Images {
    fn states(&self) -> MutexGuard<'_, HashMap<u32, State>> {
        // Each change is one insertion, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_alive(&self, image: u32, pid: u32, threads: bool) {
        self.states().insert(image, State::Alive { pid, threads });
    }

    pub(super) fn is_gone(&self, image: u32) {
        self.states().insert(image, State::Gone);
    }

    /// Whether thread `tid` of `image` is certainly gone.
    pub(super) fn thread_is_gone(&self, image: u32, tid: u32) -> bool {
        let state = self.states().get(&image).copied();
        match state {
            Some(State::Gone) => true,
            Some(State::Alive { pid, threads: true }) => !process::thread_exists(pid, tid),
            Some(State::Alive { threads: false, .. }) | None => false,
        }
    }

    /// Number of living images.
    pub(super) fn alive(&self) -> u32 {
        self.states().values().filter(|state| matches!(state, State::Alive { .. })).count() as u32
    }
}
