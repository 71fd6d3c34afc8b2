//! What it costs to record an allocation and its free: `cargo bench -p tracker-cli`. It runs twice, the second time recorded;
//! what is added there is the price. Stacks are deeper than said by the harness's own frames, about a dozen.

use std::hint::black_box;
use std::process::Command;

use divan::Bencher;

/// Set in the recorded run.
const RECORDED: &str = "BENCH_IS_RECORDED";

fn main() {
    let is_recorded = std::env::var_os(RECORDED).is_some();
    println!("{}", if is_recorded { "recorded" } else { "untraced" });
    divan::main();
    if is_recorded {
        return;
    }
    let capture = std::env::temp_dir().join(format!("capture.{}.mtk", std::process::id()));
    let this = std::env::current_exe().expect("Linux knows");
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrack"));
    command.args(["run", "-q", "-f", "-o"]).arg(&capture).arg("--").arg(this).args(std::env::args_os().skip(1));
    let status = command.env(RECORDED, "").status().expect("cargo built it");
    // A list of benchmarks was asked for, perhaps: then nothing was recorded.
    let _ = std::fs::remove_file(capture);
    assert!(status.success());
}

/// One block, from this one place.
#[inline(never)]
fn pair() {
    drop(black_box(Vec::<u8>::with_capacity(48)));
}

#[inline(never)]
fn deeper(depth: usize, work: &mut dyn FnMut()) {
    if depth == 0 {
        work()
    } else {
        deeper(depth - 1, work)
    }
    black_box(());
}

/// The same stack again and again.
#[divan::bench(args = [8, 20, 60])]
fn one_place(bencher: Bencher<'_, '_>, depth: usize) {
    let mut bencher = Some(bencher);
    deeper(depth, &mut || {
        if let Some(bencher) = bencher.take() {
            bencher.bench_local(pair);
        }
    });
}

/// Four stacks in turn, different in their innermost frames.
#[divan::bench(args = [8, 20, 60])]
fn places_in_turn(bencher: Bencher<'_, '_>, depth: usize) {
    let (mut bencher, mut turn) = (Some(bencher), 0);
    deeper(depth, &mut || {
        if let Some(bencher) = bencher.take() {
            bencher.bench_local(|| {
                turn += 1;
                deeper(turn % 4, &mut pair);
            });
        }
    });
}

/// Stacks that do not come back for a long time, different in eight frames.
#[divan::bench(args = [8, 20, 60])]
fn new_frames(bencher: Bencher<'_, '_>, depth: usize) {
    #[inline(never)]
    fn left(route: u64, depth: u32) {
        go(route, depth);
        black_box(());
    }
    #[inline(never)]
    fn right(route: u64, depth: u32) {
        go(route, depth);
        black_box(());
    }
    #[inline(never)]
    fn go(route: u64, depth: u32) {
        match (depth, route >> depth & 1) {
            (0, _) => pair(),
            (_, 0) => left(route, depth - 1),
            _ => right(route, depth - 1),
        }
        black_box(());
    }
    let (mut bencher, mut route) = (Some(bencher), 0u64);
    deeper(depth, &mut || {
        if let Some(bencher) = bencher.take() {
            bencher.bench_local(|| {
                route = route.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                go(route >> 40, 4);
            });
        }
    });
}
