//! Writes a large capture: `cargo run --release -p tracker-core --example large_capture -- FILE EVENTS LIVE THREADS STACKS`.
//! `bench/large.sh` measures what memtrack does with it.

#[path = "../../bench/generate.rs"]
mod generate;
#[path = "../tests/it/recording.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod recording;

use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or_else(|| io::Error::other("large_capture FILE [EVENTS LIVE THREADS STACKS]"))?;
    let mut numbers = arguments.filter_map(|text| text.parse::<u64>().ok());
    let mut number = |default| numbers.next().unwrap_or(default);
    let (events, live, threads, stacks) = (number(100_000_000), number(1_000_000), number(1), number(10_000));
    generate::write(Path::new(&file), events, live, threads, stacks)
}
