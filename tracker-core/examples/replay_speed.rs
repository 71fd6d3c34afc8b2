//! Measures replay: `cargo run --release -p tracker-core --example replay_speed -- EVENTS LIVE THREADS STACKS`.
//!
//! Writes a capture of so many events to a temporary file, with up to LIVE live blocks per thread, then replays it and
//! prints events per second, bytes per event and the process's peak memory.

#[path = "../../bench/generate.rs"]
mod generate;
#[path = "../tests/it/recording.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod recording;

use std::fs::File;
use std::time::Instant;

use tracker_core::capture::reader::Capture;
use tracker_core::replay::slices::Cuts;
use tracker_core::replay::{Options, Pymalloc, replay};

fn main() -> std::io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse::<u64>().ok());
    let mut number = |default| numbers.next().unwrap_or(default);
    let (events, live, threads, stacks) = (number(100_000_000), number(1_000_000), number(1), number(10_000));
    let path = std::env::temp_dir().join(format!("replay_speed.{}.mtk", std::process::id()));
    generate::write(&path, events, live, threads, stacks)?;
    let before = peak_memory();

    let file = File::open(&path)?;
    std::fs::remove_file(&path)?;
    let mut capture = Capture::open(&file, &mut |_, _| {}).map_err(std::io::Error::other)?;
    let (start, cpu_start) = (Instant::now(), cpu_seconds());
    let options = Options { pymalloc: Pymalloc::Objects, temporary_distance: 1, cuts: Cuts::Even, checkpoints: false };
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
