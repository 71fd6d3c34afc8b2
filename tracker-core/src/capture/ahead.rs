//! Payloads decoded before they are asked for, on the other processors.
//!
//! Helpers take the blocks in the order in which they will most likely be wanted, and hold a bounded number of payloads. A
//! block that no helper has begun is decoded by whoever wants it, so the order is only a guess: nobody ever waits for
//! anything but a block that is being decoded.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, available_parallelism, scope};

use rustc_hash::FxHashMap;

use super::payload::Loader;
use super::reader::EventBlock;
use super::source::Source;

/// Most payloads that wait to be taken; each is at most one chunk.
const WINDOW: usize = 32;
/// Most helpers. One who replays takes no more from them.
const HELPERS: usize = 3;
/// Captures with fewer blocks are not worth a thread.
const WORTH_A_THREAD: usize = 8;

/// What has become of a block that is not untouched any more.
#[derive(Debug)]
enum Slot {
    /// A helper decodes it.
    Busy,
    /// As [`Busy`](Self::Busy), and nobody wants it any more.
    Unwanted,
    /// `None`: it is damaged.
    Decoded(io::Result<Option<Vec<u8>>>),
    /// It was wanted before a helper came to it.
    Gone,
}

#[derive(Debug, Default)]
struct Shared {
    /// Next in the order.
    next: usize,
    /// By the place of the payload in the file.
    slots: FxHashMap<u64, Slot>,
    /// Blocks that are busy or decoded.
    held: usize,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    over: bool,
}

/// Decodes the events of one source.
#[derive(Debug)]
pub(crate) struct Ahead<'s, S> {
    source: &'s S,
    order: Vec<EventBlock>,
    shared: Mutex<Shared>,
    /// A block was decoded.
    decoded: Condvar,
    /// There is room for another one.
    room: Condvar,
}

impl<'s, S: Source> Ahead<'s, S> {
    /// Calls `work` while helpers decode the blocks in `order`.
    pub(crate) fn while_decoding<T>(source: &'s S, mut order: Vec<EventBlock>, work: impl FnOnce(&Self) -> T) -> T {
        let helpers = match order.len() {
            0..WORTH_A_THREAD => 0,
            _ => available_parallelism().map_or(0, |processors| (processors.get() - 1).min(HELPERS)),
        };
        if helpers == 0 {
            order.clear();
        }
        let ahead = Self { source, order, shared: Mutex::default(), decoded: Condvar::new(), room: Condvar::new() };
        scope(|scope| {
            for _ in 0..helpers {
                // Without helpers it takes longer, and that is all.
                let _ = Builder::new().name("decoder".to_owned()).spawn_scoped(scope, || ahead.help());
            }
            // However `work` ends, the helpers must not wait for ever.
            let _end = End(&ahead);
            work(&ahead)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces `payload` by what `block` holds, decoding it with `loader` where nobody else has begun. False: it is
    /// damaged; `payload` is then empty.
    pub(crate) fn take(&self, block: &EventBlock, loader: &mut Loader, payload: &mut Vec<u8>) -> io::Result<bool> {
        if self.order.is_empty() {
            return loader.load(self.source, &block.payload_header(), block.at, payload);
        }
        let mut shared = self.lock();
        loop {
            match shared.slots.remove(&block.at) {
                Some(Slot::Decoded(result)) => {
                    shared.held -= 1;
                    let used = std::mem::take(payload);
                    if used.capacity() > 0 && shared.spare.len() < WINDOW {
                        shared.spare.push(used);
                    }
                    drop(shared);
                    self.room.notify_one();
                    let found = result?;
                    let whole = found.is_some();
                    *payload = found.unwrap_or_default();
                    return Ok(whole);
                }
                Some(busy) if matches!(busy, Slot::Busy) => {
                    shared.slots.insert(block.at, busy);
                    shared = self.decoded.wait(shared).unwrap_or_else(PoisonError::into_inner);
                }
                _ => {
                    shared.slots.insert(block.at, Slot::Gone);
                    drop(shared);
                    return loader.load(self.source, &block.payload_header(), block.at, payload);
                }
            }
        }
    }

    /// Nobody will want this block.
    pub(crate) fn skip(&self, block: &EventBlock) {
        if self.order.is_empty() {
            return;
        }
        let mut shared = self.lock();
        let slot = match shared.slots.remove(&block.at) {
            Some(Slot::Busy) => Slot::Unwanted,
            Some(Slot::Decoded(_)) => {
                shared.held -= 1;
                self.room.notify_one();
                return;
            }
            _ => Slot::Gone,
        };
        shared.slots.insert(block.at, slot);
    }

    /// Decodes until nothing is left, or nobody wants anything.
    fn help(&self) {
        // Whoever wants the blocks says why this does not work.
        let Ok(mut loader) = Loader::new() else { return };
        while let Some((block, mut payload)) = self.next() {
            let loaded = loader.load(self.source, &block.payload_header(), block.at, &mut payload);
            let mut shared = self.lock();
            if matches!(shared.slots.remove(&block.at), Some(Slot::Busy)) {
                let result = loaded.map(|whole| whole.then_some(payload));
                shared.slots.insert(block.at, Slot::Decoded(result));
                drop(shared);
                self.decoded.notify_one();
            } else {
                shared.held -= 1;
            }
        }
    }

    /// The next block that nobody has begun, and a buffer for it.
    fn next(&self) -> Option<(EventBlock, Vec<u8>)> {
        let mut shared = self.lock();
        loop {
            if shared.over {
                return None;
            }
            if shared.held >= WINDOW {
                shared = self.room.wait(shared).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let block = *self.order.get(shared.next)?;
            shared.next += 1;
            if shared.slots.remove(&block.at).is_none() {
                shared.slots.insert(block.at, Slot::Busy);
                shared.held += 1;
                return Some((block, shared.spare.pop().unwrap_or_default()));
            }
        }
    }
}

/// Ends the helpers' work when dropped.
struct End<'a, 's, S: Source>(&'a Ahead<'s, S>);

impl<S: Source> Drop for End<'_, '_, S> {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::block::Codec;

    /// So many blocks of their own number each, every seventh of them damaged.
    fn file(blocks: u32) -> (Vec<u8>, Vec<EventBlock>) {
        let (mut file, mut found) = (Vec::new(), Vec::new());
        for number in 0..blocks {
            let bytes = number.to_le_bytes();
            found.push(EventBlock {
                at: file.len() as u64,
                stored_len: 4,
                raw_len: 4,
                payload_crc: crc32c::crc32c(&bytes) ^ u32::from(number % 7 == 0),
                codec: Codec::Raw as u8,
                sequence: number,
                offset: 0,
                count: 1,
                first_epoch: 0,
                first_time: 0,
                holes: 0,
            });
            file.extend_from_slice(&bytes);
        }
        (file, found)
    }

    /// Whatever is wanted, in whatever order, and whatever is not.
    #[test]
    fn blocks_are_what_they_are_in_any_order() {
        let (file, order) = file(1000);
        let shuffled = |step: usize| (0..order.len()).map(move |n| n * step % 1000);
        for (step, unwanted) in [(1, 2000), (999, 5), (7, 3), (501, 2)] {
            Ahead::while_decoding(&&file[..], order.clone(), |ahead| {
                let (mut loader, mut payload) = (Loader::new().unwrap(), Vec::new());
                for number in shuffled(step) {
                    let block = &order[number];
                    if number % unwanted == 1 {
                        ahead.skip(block);
                        continue;
                    }
                    let whole = ahead.take(block, &mut loader, &mut payload).unwrap();
                    let expected = if number % 7 == 0 { Vec::new() } else { (number as u32).to_le_bytes().to_vec() };
                    assert_eq!((whole, &payload), (number % 7 != 0, &expected));
                    let shared = ahead.lock();
                    assert!(shared.held <= WINDOW && shared.spare.len() <= WINDOW);
                }
            });
        }
    }

    #[test]
    fn leaving_early_ends_the_helpers() {
        let (file, order) = file(1000);
        let first = Ahead::while_decoding(&&file[..], order.clone(), |ahead| {
            let mut payload = Vec::new();
            ahead.take(&order[1], &mut Loader::new().unwrap(), &mut payload).map(|whole| (whole, payload))
        });
        assert_eq!(first.unwrap(), (true, vec![1, 0, 0, 0]));
    }
}
