//! Measures replay: `cargo run --release -p tracker-core --example replay_speed -- EVENTS LIVE THREADS STACKS`.
//!
//! Writes a capture of so many events to a temporary file, with up to LIVE live blocks per thread, then replays it and
//! prints events per second, bytes per event and the process's peak memory.

#[path = "../tests/it/recording.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod recording;

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use recording::Recording;
use tracker_core::capture::block::Codec;
use tracker_core::capture::reader::Capture;
use tracker_core::replay::slices::Cuts;
use tracker_core::replay::{Options, replay};

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let mut number = |default| numbers.next().unwrap_or(default);
    let (events, live, threads, stacks) = (number(100_000_000), number(1_000_000), number(1), number(10_000));
    let path = std::env::temp_dir().join(format!("replay_speed.{}.mtk", std::process::id()));
    write(&path, events, live / threads.max(1), threads.max(1), stacks.max(1))?;
    let before = peak_memory();

    let file = File::open(&path)?;
    std::fs::remove_file(&path)?;
    let mut capture = Capture::open(&file, &mut |_, _| {}).map_err(std::io::Error::other)?;
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let options = Options { temporary_distance: 1, cuts: Cuts::Even };
    let outcome = replay(&mut capture, &options, &mut |_, _| {})?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu_start);
    let heap = &outcome.state.heap;
    let frees: u64 = (0..).map_while(|image| heap.image(image)).map(|image| image.frees).sum();
    let done = heap.allocated.blocks + frees;
    println!(
        "{done} events in {cpu:.2} s of one core ({seconds:.2} s passed): {:.1} M events/s",
        done as f64 / cpu / 1e6
    );
    println!("{:.2} bytes/event; peak {} bytes", capture.size as f64 / done as f64, heap.tree.peak.bytes);
    println!("overlap {} streams; peak memory {} KiB, {before} KiB before", outcome.state.overlap, peak_memory());
    Ok(())
}

fn write(path: &std::path::Path, events: u64, live: u64, threads: u64, stacks: u64) -> std::io::Result<()> {
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

/// Time this thread has had a processor; machines that measure are often busy with other things.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// This process's largest resident memory in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
