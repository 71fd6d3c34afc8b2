//! Makes captures of any size, as a program with so many events would leave them.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tracker_core::capture::block::Codec;

use crate::recording::Recording;

/// Writes a capture of `events` allocations and frees by `threads` threads to `path`, with up to `live` live blocks and
/// `stacks` distinct stacks. Most blocks die young; memory here is bounded by the live ones.
///
/// # Errors
/// Those of writing.
pub(crate) fn write(path: &Path, events: u64, live: u64, threads: u64, stacks: u64) -> io::Result<()> {
    let (threads, stacks) = (threads.max(1), stacks.max(1));
    let live = live / threads;
    let mut file = File::create(path)?;
    let mut recording = Recording::new();
    recording.codec = Codec::Zstd;
    let streams: Vec<usize> = (0..threads).map(|thread| recording.stream(1, 100 + thread as u32)).collect();
    let mut blocks: Vec<Vec<u64>> = vec![Vec::new(); streams.len()];
    let mut next = vec![0u64; streams.len()];
    let mut free_addresses: Vec<Vec<u64>> = vec![Vec::new(); streams.len()];
    let mut random = 88_172_645_463_325_252_u64;
    let mut bytes = 0;
    for event in 0..events {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Threads take turns of a few dozen events, as running threads do.
        let thread = ((event / 24) % threads) as usize;
        let (stream, mine) = (streams[thread], &mut blocks[thread]);
        let full = mine.len() as u64 >= live;
        if full || (!mine.is_empty() && random % 100 < 49) {
            // Mostly the newest blocks die.
            let age = if random >> 32 & 7 == 0 { (random >> 40) as usize % mine.len() } else { 0 };
            let at = mine.len() - 1 - age;
            let address = mine.swap_remove(at);
            recording.free(stream, address, false);
            free_addresses[thread].push(address);
        } else {
            let address = free_addresses[thread].pop().unwrap_or_else(|| {
                next[thread] += 96;
                ((thread as u64) << 40) + 0x1000_0000 + next[thread]
            });
            let size = 16 + (random >> 20) % 80;
            bytes += size;
            if bytes >= 4096 {
                bytes = 0;
                recording.epoch += 1;
            }
            let stack = if random >> 48 & 3 == 0 { (random >> 50) % stacks } else { (random >> 50) % stacks.min(50) };
            let pcs = [0x40_1000, 0x40_2000 + stack / 100 * 16, 0x40_9000 + stack * 16];
            mine.push(address);
            recording.alloc(stream, (address, size), &pcs, false);
        }
        if event % 64 == 0 {
            recording.time += 2000;
            if event % (1 << 16) == 0 {
                file.write_all(&recording.take_written())?;
            }
        }
    }
    file.write_all(&recording.finish())
}
