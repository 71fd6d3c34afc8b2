//! The collector: a process of its own that owns everything that can fail. It empties the lanes, writes the capture,
//! looks at the processes from outside, and ends when the tree has ended.
//!
//! ```text
//! lanes ──drain──▶ queue ──writer──▶ capture
//!            └news▶ observer ──┘▲
//! images ──door (lanes' descriptor)
//! parent ──door ────────────────┘
//! ```
//!
//! Invariants: only the drain touches the lanes, and it never waits for a file; nothing here writes to a terminal or
//! reads a variable; the program never waits for anything here but a free chunk.

mod chunk;
mod door;
mod drain;
pub(crate) mod file;
#[cfg(test)]
mod fuzz;
mod images;
pub(crate) mod link;
mod modules;
mod observer;
pub(crate) mod proc;
mod queue;
pub(crate) mod rescue;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tracker_core::capture::meta::Meta;
use tracker_core::capture::writer::Writer;

use self::door::{Door, Ending, Waker};
use self::drain::{Drain, beat};
use self::file::CaptureFile;
use self::images::Images;
use self::link::{Counts, Reply};
use self::observer::Observer;
use self::queue::{Item, Outcome, Queue};
use crate::sys::lanes::{Lanes, LanesFile};
use crate::sys::limits::Resource;
use crate::sys::{futex, host, memory};

/// Pauses between looks at the lanes: this while records come, doubling up to the other while none do.
const BUSY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(10);

/// How often the epoch is advanced: with it threads look at the clock, so a time is never much older than this, however few
/// events a thread has.
const EPOCH: Duration = Duration::from_millis(10);

/// How often partly filled chunks are taken.
const UNFINISHED: Duration = Duration::from_secs(1);

/// At the end, images that are being exec'd right now get this long to arrive.
const EXEC_GRACE: Duration = Duration::from_millis(200);

/// Processes that are about to end with the root get this long before the parent is told that the tree lives on.
const LAST_BREATH: Duration = Duration::from_millis(50);

/// Pauses between attempts to end.
const FIRST_ATTEMPT: Duration = Duration::from_millis(1);
const LATER_ATTEMPTS: Duration = Duration::from_millis(250);

/// Why nothing at all was recorded of a program that could have been.
const NEVER_STARTED: &str =
    "its recording never started (is its address space limited, or its file not what it seems?)";

/// Nanoseconds since the session's start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: u64,
}

impl Clock {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { start: host::monotonic_ns() }
    }

    /// The start, as `CLOCK_MONOTONIC` counts.
    pub(crate) fn start_monotonic(self) -> u64 {
        self.start
    }

    /// The time now.
    pub(crate) fn now(self) -> u64 {
        host::monotonic_ns().saturating_sub(self.start)
    }
}

/// What the parent prepared.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) clock: Clock,
    pub(crate) lanes: LanesFile,
    pub(crate) listener: OwnedFd,
    /// What images say to the listener to be let in.
    pub(crate) secret: String,
    pub(crate) parent: OwnedFd,
    /// Has the file's header and its first frames written.
    pub(crate) writer: Writer<CaptureFile>,
    /// The root's process.
    pub(crate) root: u32,
    /// The file that it runs.
    pub(crate) program: PathBuf,
    /// The program was started so that it can be recorded.
    pub(crate) is_tracked: bool,
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    // Small stacks: an address-space limit of the program's binds us too.
    Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(work)
}

/// Collects until the tree has ended. Answers the exit code of the collector's process.
pub(crate) fn run(session: Session) -> u8 {
    for resource in [Resource::FileSize, Resource::OpenFiles, Resource::AddressSpace] {
        resource.raise();
    }
    memory::share_one_heap();
    match collect(session) {
        Ok(()) => 0,
        // The parent sees that we are gone, the hooks see the heartbeat stop.
        Err(_) => 1,
    }
}

fn collect(session: Session) -> io::Result<()> {
    let Session { clock, lanes, listener, secret, parent, writer, root, program, is_tracked } = session;
    let (lanes_file, parent) = (Arc::new(lanes), Arc::new(parent));
    let (queue, writer) = queue::start(writer, clock)?;
    let lanes = lanes_file.map()?;
    let (images, ending) = (Arc::<Images>::default(), Arc::<Ending>::default());
    let waker = Arc::new(Waker::new(lanes_file.map()?));
    let (reporter, observer) =
        Observer::new((root, program.clone()), clock, queue.clone(), Arc::clone(&images), Arc::clone(&lanes_file))?;
    let observer = spawn("observer", move || observer.work())?;
    let door = Door {
        listener,
        secret,
        parent: Arc::clone(&parent),
        lanes: Arc::clone(&lanes_file),
        queue: queue.clone(),
        ending: Arc::clone(&ending),
        waker: Arc::clone(&waker),
    };
    spawn("door", move || door.work())?;
    let mut collector = Collector {
        drain: Drain::new(queue.clone(), reporter.clone(), Arc::clone(&images)),
        lanes_file,
        ending,
        waker,
        images,
        parent: Arc::clone(&parent),
    };
    let last = collector.work(lanes)?;
    let control = last.control();
    let (lost, differences) =
        (control.talk.0.lost.load(Ordering::Relaxed), control.talk.0.unwind_differences.load(Ordering::Relaxed));
    reporter.finish();
    unheard(&last).into_iter().for_each(|program| queue.meta(program));
    if is_tracked && !collector.drain.has_met_images() {
        let (exe, reason) = (program.into_os_string().into_vec(), NEVER_STARTED.to_owned());
        queue.meta(Meta::Untracked { pid: root, exe, reason });
    }
    // A panic there has cost its part of the capture; the end is written all the same.
    let _ = observer.join();
    let outcome =
        end(&queue, writer, Meta::End { time: clock.now(), lost_events: lost, unwind_differences: differences });
    let taken = collector.drain.taken();
    let counts = Counts {
        allocations: taken.allocations,
        frees: taken.frees,
        lost,
        unwind_differences: differences,
        bytes: outcome.bytes,
        stopped: outcome.stopped.unwrap_or_default(),
    };
    // Without a parent nobody needs the answer.
    let _ = link::answer(parent.as_fd(), &Reply::Done(counts));
    Ok(())
}

/// More are not listed: the number is in memory that others write, too.
const MOST_UNHEARD: u32 = 10_000;

/// Programs that were started with the library in them and never attached: nobody knows which.
fn unheard(lanes: &Lanes) -> Vec<Meta> {
    let count = lanes.control().talk.0.pending_execs.load(Ordering::Acquire).min(MOST_UNHEARD);
    let reason = "it ended before recording began, or had no room for it (ulimit -v)";
    let program = |_| Meta::Untracked { pid: 0, exe: b"(unknown)".to_vec(), reason: reason.to_owned() };
    (0..count).map(program).collect()
}

fn end(queue: &Queue, writer: JoinHandle<Outcome>, last: Meta) -> Outcome {
    queue.meta(last);
    queue.push(Item::Finish, || ());
    let died = |_| Outcome { bytes: 0, stopped: Some("the collector's writer failed".to_owned()) };
    writer.join().unwrap_or_else(died)
}

/// The main thread's belongings.
#[derive(Debug)]
struct Collector {
    drain: Drain,
    lanes_file: Arc<LanesFile>,
    ending: Arc<Ending>,
    waker: Arc<Waker>,
    images: Arc<Images>,
    parent: Arc<OwnedFd>,
}

impl Collector {
    /// Empties the lanes until nobody can write to them any more. Answers a copy of what they ended as.
    fn work(&mut self, mut lanes: Lanes) -> io::Result<Lanes> {
        let mut pause = BUSY;
        let mut next_unfinished = Instant::now() + UNFINISHED;
        let mut next_epoch = Instant::now() + EPOCH;
        let mut woken = 0;
        let mut end: Option<End> = None;
        loop {
            let talk = &lanes.control().talk.0;
            let wake = talk.wake.load(Ordering::Acquire);
            beat(&lanes);
            if Instant::now() >= next_epoch {
                lanes.control().epoch.0.fetch_add(1, Ordering::AcqRel);
                next_epoch = Instant::now() + EPOCH;
            }
            let taken = self.drain.published(&lanes);
            if self.drain.is_in_vain() {
                talk.stopped.store(1, Ordering::Relaxed);
            }
            let asked = talk.attention.swap(0, Ordering::AcqRel) != 0 || wake != woken;
            woken = wake;
            if asked || Instant::now() >= next_unfinished {
                self.drain.unfinished(&lanes);
                next_unfinished = Instant::now() + UNFINISHED;
            }

            self.drain.newcomers(&lanes);
            pause = if taken > 0 || asked { BUSY } else { (pause * 2).min(IDLE) };
            if self.ending.has_begun() {
                let end = end.get_or_insert_with(End::begin);
                let arriving = talk.pending_execs.load(Ordering::Acquire) != 0 && end.begun.elapsed() < EXEC_GRACE;
                if !arriving && Instant::now() >= end.next {
                    lanes = match self.try_to_end(lanes)? {
                        Attempt::Ended(last) => return Ok(last),
                        Attempt::InUse(lanes) => lanes,
                    };
                    end.later();
                    if !end.told && end.begun.elapsed() >= LAST_BREATH {
                        end.told = true;
                        // A parent that is gone does not mind.
                        let _ = link::answer(self.parent.as_fd(), &Reply::Running(self.images.alive()));
                    }
                }
                pause = pause.min(end.next.saturating_duration_since(Instant::now()));
            }
            futex::wait(&lanes.control().talk.0.wake, woken, pause);
        }
    }

    /// Seals the lanes if nobody else maps them, and then takes what is left in them.
    fn try_to_end(&mut self, lanes: Lanes) -> io::Result<Attempt> {
        // Our own mappings count too.
        self.waker.retire();
        drop(lanes);
        if !self.lanes_file.seal_writes() {
            return Ok(Attempt::InUse(self.lanes_file.map()?));
        }
        let last = self.lanes_file.map_private()?;
        self.drain.unfinished(&last);
        Ok(Attempt::Ended(last))
    }
}

enum Attempt {
    Ended(Lanes),
    InUse(Lanes),
}

/// The time after the root's end.
#[derive(Debug)]
struct End {
    begun: Instant,
    next: Instant,
    interval: Duration,
    /// The parent knows that the tree lives on.
    told: bool,
}

impl End {
    fn begin() -> Self {
        let now = Instant::now();
        Self { begun: now, next: now, interval: FIRST_ATTEMPT, told: false }
    }

    fn later(&mut self) {
        self.interval = (self.interval * 2).min(LATER_ATTEMPTS);
        self.next = Instant::now() + self.interval;
    }
}
