//! Between those who find things out and the one who writes them down: a bounded queue, and the thread behind it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracker_core::capture::block::Codec;
use tracker_core::capture::meta::Meta;
use tracker_core::capture::writer::{Events, Writer};

use super::Clock;
use super::file::{CaptureFile, LimitReached, Sink};

/// Most items waiting; with chunks of 64 KiB at most 32 MiB.
const CAPACITY: usize = 512;

/// With more than this many waiting, sorting into columns takes longer than there is time.
const HURRIED: usize = CAPACITY / 16;
/// With more than this many waiting the disk takes more bytes sooner than zstd takes fewer.
const BEHIND: usize = CAPACITY / 4;

/// How events are stored when so many items wait.
const fn codec(waiting: usize) -> Codec {
    if waiting > BEHIND {
        Codec::Raw
    } else if waiting > HURRIED {
        Codec::Zstd
    } else {
        Codec::Columns
    }
}

/// A disk that takes nothing for this long is not slow but stuck.
const STUCK: Duration = Duration::from_secs(1);

/// One thing to write down.
#[derive(Debug)]
pub(super) enum Item {
    Events(Events, Vec<u8>),
    Meta(Meta),
    /// A piece of a module's file.
    Module {
        number: u32,
        offset: u64,
        piece: Vec<u8>,
    },
    /// Nothing comes after this.
    Finish,
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Self::Events(_, bytes) | Self::Module { piece: bytes, .. } => bytes.len(),
            Self::Meta(_) | Self::Finish => 0,
        }
    }
}

/// The near end.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    sender: SyncSender<Item>,
    depth: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Queue {
    /// Appends an item. While there is no room, calls `waiting` about a thousand times a second, as long as the writer
    /// gets on.
    pub(super) fn push(&self, mut item: Item, mut waiting: impl FnMut()) {
        let mut last = (self.depth.fetch_add(1, Ordering::Relaxed), Instant::now());
        loop {
            match self.sender.try_send(item) {
                // Without a writer there is nothing left to do but keep the program going.
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => {
                    item = back;
                    let depth = self.depth.load(Ordering::Relaxed);
                    if depth != last.0 {
                        last = (depth, Instant::now());
                    }
                    if last.1.elapsed() < STUCK {
                        waiting();
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    /// One whose far end is the caller's.
    #[cfg(test)]
    pub(super) fn open() -> (Self, Receiver<Item>) {
        let (sender, receiver) = sync_channel(1 << 16);
        (Self { sender, depth: Arc::default(), stopped: Arc::default() }, receiver)
    }

    /// Whether the capture ends here, because no more can be written.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Appends a metadata frame.
    pub(super) fn meta(&self, meta: Meta) {
        self.push(Item::Meta(meta), || ());
    }
}

/// What the writer did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Size of the capture.
    pub(super) bytes: u64,
    /// Why it ends early.
    pub(super) stopped: Option<String>,
}

/// Starts the thread that writes.
pub(super) fn start(writer: Writer<CaptureFile>, clock: Clock) -> io::Result<(Queue, JoinHandle<Outcome>)> {
    let (sender, receiver) = sync_channel(CAPACITY);
    let depth = Arc::new(AtomicUsize::new(0));
    let mut scribe = Scribe { writer, clock, stopped: None, tell: Arc::default() };
    let queue = Queue { sender, depth: Arc::clone(&depth), stopped: Arc::clone(&scribe.tell) };
    let thread = super::spawn("writer", move || scribe.work(&receiver, &depth))?;
    Ok((queue, thread))
}

/// A write that failed, and what was lost since.
#[derive(Debug)]
struct Stop {
    time: u64,
    reason: String,
    lost_bytes: u64,
}

impl Stop {
    fn frame(&self) -> Meta {
        Meta::Stopped { time: self.time, reason: self.reason.clone(), lost_bytes: self.lost_bytes }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is used up".to_owned(),
        io::ErrorKind::FileTooLarge => "the limit on file sizes (ulimit -f) is reached".to_owned(),
        _ if error.get_ref().is_some_and(|inner| inner.is::<LimitReached>()) => error.to_string(),
        _ => format!("the disk failed: {error}"),
    }
}

#[derive(Debug)]
struct Scribe<S> {
    writer: Writer<S>,
    clock: Clock,
    stopped: Option<Stop>,
    /// Set when it stops.
    tell: Arc<AtomicBool>,
}

impl<S: Sink> Scribe<S> {
    fn work(&mut self, receiver: &Receiver<Item>, depth: &AtomicUsize) -> Outcome {
        while let Ok(item) = receiver.recv() {
            let codec = codec(depth.fetch_sub(1, Ordering::Relaxed));
            if matches!(item, Item::Finish) {
                break;
            }
            if self.stopped.is_some() {
                self.write_after_stop(&item);
            } else if let Err(error) = self.write(&item, codec) {
                self.stop(&error, item.len());
            }
        }
        self.writer.get_mut().finish();
        Outcome { bytes: self.writer.written(), stopped: self.stopped.take().map(|stop| stop.reason) }
    }

    /// Writes the failure down at once: the recording may go on for days, and readers come meanwhile.
    fn stop(&mut self, error: &io::Error, lost: usize) {
        let stop = Stop { time: self.clock.now(), reason: reason(error), lost_bytes: lost as u64 };
        self.writer.get_mut().begin_last_words();
        let frame = Item::Meta(stop.frame());
        self.stopped = Some(stop);
        self.tell.store(true, Ordering::Relaxed);
        // If even this fails, the parent still says it.
        let _ = self.write(&frame, Codec::Raw);
    }

    /// Of what comes after the stop only the end is written, and how much was lost until then.
    fn write_after_stop(&mut self, item: &Item) {
        let Some(stop) = &mut self.stopped else { return };
        stop.lost_bytes += item.len() as u64;
        let frame = Item::Meta(stop.frame());
        let _ = match item {
            Item::Meta(Meta::RootExit { .. }) => self.write(item, Codec::Raw),
            Item::Meta(Meta::End { .. }) => self.write(&frame, Codec::Raw).and_then(|()| self.write(item, Codec::Raw)),
            _ => Ok(()),
        };
    }

    fn write(&mut self, item: &Item, codec: Codec) -> io::Result<()> {
        match item {
            Item::Events(events, bytes) => self.writer.events(events, bytes, codec),
            Item::Meta(meta) => self.writer.meta(meta),
            Item::Module { number, offset, piece } => self.writer.module_data(*number, *offset, piece),
            Item::Finish => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::testing::blocks;
    use tracker_core::capture::block::{BlockKind, FileHeader};
    use tracker_core::capture::meta::ExitStatus;
    use tracker_core::format::VERSION;

    /// A disk of so many bytes.
    #[derive(Debug)]
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl io::Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.bytes.len() + bytes.len() > self.room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Disk {
        fn begin_last_words(&mut self) {
            self.room += 4096;
        }

        fn finish(&self) {}
    }

    #[test]
    fn a_full_disk_is_written_down() {
        let header = FileHeader { version: VERSION, session: [0; 16], start_unix_ns: 0 };
        let writer = Writer::new(Disk { bytes: Vec::new(), room: 1000 }, &header).unwrap();
        let mut scribe = Scribe { writer, clock: Clock::start(), stopped: None, tell: Arc::default() };
        let (sender, receiver) = sync_channel(16);
        for _ in 0..5 {
            sender.send(Item::Events(Events::default(), vec![0; 300])).unwrap();
        }
        sender
            .send(Item::Meta(Meta::RootExit { time: 9, status: ExitStatus::Code(1), max_rss: 0, before: 0 }))
            .unwrap();
        sender.send(Item::Meta(Meta::Warning { text: "too late".to_owned() })).unwrap();
        sender.send(Item::Meta(Meta::End { time: 9, lost_events: 0, unwind_differences: 0 })).unwrap();
        sender.send(Item::Finish).unwrap();
        let outcome = scribe.work(&receiver, &AtomicUsize::new(9));
        assert_eq!(outcome.stopped.as_deref(), Some("the disk is full"));
        assert!(scribe.tell.load(Ordering::Relaxed));

        let found = blocks(&scribe.writer.get_mut().bytes);
        let (events, metas): (Vec<_>, Vec<_>) =
            found.iter().partition(|(header, _)| header.kind == BlockKind::Events as u8);
        let frames: Vec<Meta> = metas.iter().filter_map(|(_, payload)| Meta::decode(payload)).collect();
        assert_eq!(events.len(), 2);
        let lost: Vec<u64> = frames
            .iter()
            .filter_map(|frame| match frame {
                Meta::Stopped { lost_bytes, .. } => Some(*lost_bytes),
                _ => None,
            })
            .collect();
        assert_eq!(lost, [300, 900]);
        assert!(matches!(frames.as_slice(), [_, Meta::RootExit { .. }, _, Meta::End { .. }]));
    }
}
