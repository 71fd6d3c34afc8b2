//! The thin parent: waits for the program and the collector, and stands in for the program towards whoever started
//! us. What happens to the program happens to us, and what is sent to us reaches the program.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use tracker_core::capture::meta::{ExitStatus, Meta};

use super::witness::Witness;
use crate::collect::Clock;
use crate::collect::link::{self, Counts, Reply};
use crate::collect::proc;
use crate::collect::rescue::Rescue;
use crate::sys::fd::poll;
use crate::sys::process::{self, Change};
use crate::sys::signals::{self, Signal, Signals};

/// How long a stopped collector is waited for once the program has ended.
const STOPPED: Duration = Duration::from_secs(1);

/// Signals that are taken at once. Each may take a few milliseconds, and the program's end shall not wait for many.
const MOST_SIGNALS: usize = 16;

/// What is left when the parent has nothing to wait for any more.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: ExitStatus,
    pub(crate) recording: Recording,
}

/// What became of the recording.
#[derive(Debug)]
pub(crate) enum Recording {
    /// Everything is written.
    Done(Counts),
    /// This many images still run and are being recorded.
    Running(u32),
    /// It is still being written; we were told not to wait for that.
    Unfinished,
    /// The collector is gone, nobody knows why. With what was brought to safety, if that was possible.
    Lost(Option<Counts>),
}

/// The parent's belongings.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(super) program: u32,
    pub(super) collector: u32,
    pub(super) socket: OwnedFd,
    pub(super) witness: Option<Witness>,
    pub(super) signals: Signals,
    pub(super) clock: Clock,
    /// Bytes that were resident when the program's process was made, as a copy of this one.
    pub(super) resident: u64,
    /// Wait for the whole tree.
    pub(super) wait: bool,
    /// For the case that the collector dies.
    pub(super) rescue: Option<Rescue>,
}

impl Parent {
    /// Waits until the program has ended and the collector has answered. All signals are blocked.
    pub(crate) fn watch(mut self) -> Ended {
        let mut exit: Option<(ExitStatus, Meta)> = None;
        let mut recording = None;
        loop {
            let collector = if recording.is_some() { self.signals.as_fd() } else { self.socket.as_fd() };
            let patience = exit.is_some().then_some(STOPPED);
            let [called, heard] = poll([self.signals.as_fd(), collector], patience);
            if !called && !heard && proc::state(self.collector).is_some_and(|(state, _)| state == 'T') {
                // Somebody has stopped it. Whoever waits for the program's end shall not wait for that.
                recording.get_or_insert(Recording::Unfinished);
            }
            // Before the answer: it concerns the program's end, which we then know of.
            let received: Vec<Signal> = std::iter::from_fn(|| self.signals.next()).take(MOST_SIGNALS).collect();
            // Always: there may be so many signals that its own does not come up.
            let goes_on = received.iter().any(|signal| signal.number() == signals::SIGCONT);
            self.children(&mut exit, goes_on);
            for signal in received.iter().filter(|signal| signal.number() != signals::SIGCHLD) {
                if exit.is_none() {
                    self.received(signal);
                } else if signals::ENDINGS.contains(&signal.number()) {
                    recording.get_or_insert(Recording::Unfinished);
                }
            }
            if heard && recording.is_none() {
                match link::hear(self.socket.as_fd()) {
                    Some(Reply::Running(_)) if self.wait => {}
                    Some(Reply::Running(images)) => recording = Some(Recording::Running(images)),
                    Some(Reply::Done(counts)) => recording = Some(Recording::Done(counts)),
                    None => recording = Some(Recording::Lost(None)),
                }
            }
            if let Some((exit, told)) = &exit
                && let Some(mut recording) = recording.take()
            {
                if !matches!(recording, Recording::Running(_) | Recording::Unfinished) {
                    // It ends by itself now; nothing of ours is left behind.
                    process::reap(self.collector);
                }
                if let (Recording::Lost(counts), Some(rescue)) = (&mut recording, self.rescue.take()) {
                    *counts = rescue.carry_out(told).ok();
                }
                let exit = *exit;
                self.witness = None;
                // What has come for the program does not end us instead.
                signals::ignore_messages();
                while self.signals.next().is_some() {}
                return Ended { exit, recording };
            }
        }
    }

    /// `goes_on`: we were told to go on since, so a stop is an old one.
    fn children(&mut self, exit: &mut Option<(ExitStatus, Meta)>, goes_on: bool) {
        while let Some((pid, change, max_rss)) = process::changed_child() {
            if pid != self.program {
                if let (Some(witness), Change::Exited(_) | Change::Killed(_)) = (&mut self.witness, change) {
                    witness.ended(pid);
                }
                continue;
            }
            let status = match change {
                Change::Exited(code) => ExitStatus::Code(code),
                Change::Killed(signal) => ExitStatus::Signal(signal),
                Change::Stopped(signal) => {
                    // Whoever waits for us sees what the program did; we go on when we are told to.
                    if !goes_on {
                        signals::suffer(signal);
                    }
                    continue;
                }
                Change::Continued => continue,
            };
            let (time, before) = (self.clock.now(), self.resident);
            let told = Meta::RootExit { time, status, max_rss, before };
            link::tell(self.socket.as_fd(), &told);
            *exit = Some((status, told));
        }
    }

    /// Passes a signal on that reached only us.
    fn received(&mut self, signal: &Signal) {
        let reached_all = match (&mut self.witness, signal.sender()) {
            (Some(witness), Some(_)) => witness.saw(signal.number()),
            (Some(witness), None) => {
                witness.forget(signal.number());
                false
            }
            (None, _) => false,
        };
        let reached_program = reached_all && process::group(self.program) == process::group(0);
        let alone = match (signal.number(), signal.sender()) {
            // A shell continues the whole group, and we run only since then: look whether it reached the program.
            (signals::SIGCONT, _) => self.stays_stopped(),
            // The kernel signals the whole foreground group for a key; but a hangup is told to the session's leader,
            // and a timer that was set before exec belongs to the program, too.
            (signals::SIGHUP, None) => process::leads_session(),
            (signals::SIGALRM, None) => true,
            (_, None) => false,
            // Those whom we run mean us by `kill $PPID`, and do not mean the program. Everyone else may mean only us: also
            // a member of our own group, like a script that started us and kills `$!`.
            (_, Some(sender)) => !reached_program && !proc::descends(sender, self.program),
        };
        if alone {
            signal.forward(self.program);
        }
    }

    /// Whether the program is still stopped a moment after we were continued.
    fn stays_stopped(&self) -> bool {
        (0..3).all(|_| {
            let stopped = proc::state(self.program).is_some_and(|(state, _)| state == 'T');
            if stopped {
                std::thread::sleep(Duration::from_millis(1));
            }
            stopped
        })
    }
}
