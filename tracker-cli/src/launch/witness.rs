//! A process in our process group that nobody means. A signal that it gets, too, was sent to all: to the group, or to a
//! whole control group. Such a signal has reached the program by itself.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::sys::fd::poll;
use crate::sys::signals::Signals;
use crate::sys::{process, socket};

/// Who is sent a signal one after the other gets it within this.
const PATIENCE: Duration = Duration::from_millis(5);
/// It may have been stopped, or have no processor.
const ANSWER: Duration = Duration::from_millis(50);

/// Our end.
#[derive(Debug)]
pub(super) struct Witness(OwnedFd);

impl Witness {
    /// Starts it. All signals are blocked; it ends with us.
    pub(super) fn start() -> io::Result<Self> {
        let (ours, theirs) = socket::pair()?;
        process::spawn_beside(&[theirs.as_raw_fd()], || testify(&theirs))?;
        Ok(Self(ours))
    }

    /// Whether it got `signal`, too. To be asked for each that came, so that none is taken for a later one. One that does
    /// not answer has seen nothing.
    pub(super) fn saw(&self, signal: i32) -> bool {
        let end = Instant::now() + ANSWER;
        let mut answer = [0; 2];
        if socket::send(self.0.as_fd(), &[signal as u8]).is_err() {
            return false;
        }
        while poll([self.0.as_fd()], Some(end.saturating_duration_since(Instant::now()))) == [true] {
            match socket::receive(self.0.as_fd(), &mut answer) {
                // Others are late answers.
                Ok(2) if i32::from(answer[0]) == signal => return answer[1] == 1,
                Ok(1..) => {}
                Ok(0) | Err(_) => return false,
            }
        }
        false
    }
}

fn testify(asker: &OwnedFd) -> u8 {
    let Ok(signals) = Signals::new() else { return 1 };
    let mut seen = HashSet::new();
    let mut asked = [0];
    while socket::receive(asker.as_fd(), &mut asked).is_ok_and(|len| len == 1) {
        let signal = i32::from(asked[0]);
        let end = Instant::now() + PATIENCE;
        loop {
            seen.extend(std::iter::from_fn(|| signals.next()).map(|signal| signal.number()));
            let left = end.saturating_duration_since(Instant::now());
            if seen.contains(&signal) || left.is_zero() {
                break;
            }
            poll([signals.as_fd()], Some(left));
        }
        if socket::send(asker.as_fd(), &[asked[0], u8::from(seen.remove(&signal))]).is_err() {
            break;
        }
    }
    0
}
