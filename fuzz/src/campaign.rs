//! Drives one target: the seeds first, then mutations of them.

use std::any::Any;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::mutate::mutate;
use crate::random::Random;

/// Set to a number: every target gets new inputs for so many seconds, instead of the same few in every run.
const SECONDS: &str = "MEMTRACK_FUZZ_SECONDS";

/// Feeds `target` with `seeds` and with `inputs` mutations of them.
///
/// # Panics
/// When the target does; the input is kept in a file that the message names. When there are no seeds.
pub fn campaign(name: &str, seeds: &[Vec<u8>], inputs: u64, target: impl Fn(&[u8])) {
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let long: Option<u64> = env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    let seed = long.map_or(1, |_| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64));
    let mut random = Random::new(seed);
    let (start, mut done) = (Instant::now(), 0);
    let mut slowest = (Duration::ZERO, Vec::new());
    let mut feed = |input: Vec<u8>| {
        let started = Instant::now();
        if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(|| target(&input))) {
            let path = keep(name, "fault", &input);
            let message = message(&*cause);
            panic!("{name}: {message}\n  input {} of seed {seed}: {}", done + 1, path.display());
        }
        done += 1;
        if started.elapsed() > slowest.0 {
            slowest = (started.elapsed(), input);
        }
        done
    };
    for seed in seeds {
        feed(seed.clone());
    }
    loop {
        let mut input = seeds[random.index(seeds.len())].clone();
        mutate(&mut random, &mut input, seeds);
        let done = feed(input);
        if long.map_or(done >= inputs, |seconds| start.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
    }
    if long.is_some() {
        let path = keep(name, "slowest", &slowest.1);
        let seconds = start.elapsed().as_secs();
        println!("{name}: {done} inputs in {seconds} s; the slowest took {:?}: {}", slowest.0, path.display());
    }
}

fn message(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("a panic without a text")
}

fn keep(name: &str, what: &str, input: &[u8]) -> PathBuf {
    let path = env::temp_dir().join(format!("memtrack-fuzz-{name}-{what}-{}", std::process::id()));
    fs::write(&path, input).expect("the folder for temporary files is writable");
    path
}
