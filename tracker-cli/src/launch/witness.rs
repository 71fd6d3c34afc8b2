//! A process in our process group that nobody means. A signal that it gets, too, was sent to all: to the group, or to a
//! whole control group. Such a signal has reached the program by itself.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::sys::fd::poll;
use crate::sys::signals::{self, Signals};
use crate::sys::{process, socket};

/// Who is sent a signal one after the other gets it within this.
const PATIENCE: Duration = Duration::from_millis(5);
/// It may have been stopped, or have no processor.
const ANSWER: Duration = Duration::from_millis(50);

/// Our end.
#[derive(Debug)]
pub(super) struct Witness {
    socket: OwnedFd,
    /// `None` when it is gone: the number may be another's.
    pid: Option<u32>,
    asked: u8,
}

/// What it is asked about a signal.
const SEEN: u8 = 0;
/// The kernel sends to whom it wants: what it has seen is over, and needs no answer.
const FORGET: u8 = 1;

impl Witness {
    /// Starts it. All signals are blocked; it ends with us.
    pub(super) fn start() -> io::Result<Self> {
        let (socket, theirs) = socket::pair()?;
        let us = std::process::id();
        let pid = process::spawn_beside(&[theirs.as_raw_fd()], || {
            // Whoever ends us by our name does not mean it.
            process::become_nameless("signals");
            process::end_with(us);
            testify(&theirs)
        })?;
        Ok(Self { socket, pid: Some(pid), asked: 0 })
    }

    /// Whether it got `signal`, too. To be asked for each that somebody sent, so that none is taken for a later one. One that
    /// does not answer has seen nothing.
    pub(super) fn saw(&mut self, signal: i32) -> bool {
        self.asked = self.asked.wrapping_add(1);
        let end = Instant::now() + ANSWER;
        let mut answer = [0; 2];
        if socket::send(self.socket.as_fd(), &[signal as u8, SEEN, self.asked]).is_err() {
            return false;
        }
        while poll([self.socket.as_fd()], Some(end.saturating_duration_since(Instant::now()))) == [true] {
            match socket::receive(self.socket.as_fd(), &mut answer) {
                Ok(2) if answer[0] == self.asked => return answer[1] == 1,
                // An answer that came too late.
                Ok(1..) => {}
                Ok(0) | Err(_) => return false,
            }
        }
        false
    }

    /// A signal that the kernel sent is no sign of anything.
    pub(super) fn forget(&self, signal: i32) {
        // A witness that is gone has nothing to forget.
        let _ = socket::send(self.socket.as_fd(), &[signal as u8, FORGET, 0]);
    }

    /// A child has ended and was waited for.
    pub(super) fn ended(&mut self, pid: u32) {
        self.pid = self.pid.filter(|&own| own != pid);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(pid) = self.pid {
            signals::send(pid, signals::SIGKILL);
            process::reap(pid);
        }
    }
}

fn testify(asker: &OwnedFd) -> u8 {
    let Ok(signals) = Signals::new() else { return 1 };
    let mut seen = HashSet::new();
    let mut asked = [0; 3];
    while socket::receive(asker.as_fd(), &mut asked).is_ok_and(|len| len == asked.len()) {
        let [signal, question, number] = asked;
        let signal = i32::from(signal);
        let patience = if question == SEEN { PATIENCE } else { Duration::ZERO };
        let end = Instant::now() + patience;
        loop {
            seen.extend(std::iter::from_fn(|| signals.next()).map(|signal| signal.number()));
            let left = end.saturating_duration_since(Instant::now());
            if seen.contains(&signal) || left.is_zero() {
                break;
            }
            poll([signals.as_fd()], Some(left));
        }
        let saw = seen.remove(&signal);
        if question == SEEN && socket::send(asker.as_fd(), &[number, u8::from(saw)]).is_err() {
            break;
        }
    }
    0
}
