//! A profile small enough to know every number by heart. The tests of both sides read its columns.

use tracker_core::report::profile::{
    Frame, FrameId, FrameKind, Metrics, Module, Process, Profile, Row, RssPoint, SizeClass, Stack, StackId, Thread,
    TimePoint, Timeline, Totals,
};

use super::{empty, sum};
use tracker_core::replay::slices::What;
use tracker_core::report::slices::{Change, Slices};

/// Two processes. In the first, `main` calls `parse` from two lines, and `parse` calls itself; in the second `main`
/// allocates through `operator new`.
///
/// ```text
/// app:   main:10 > parse:20 > parse:25 > push      100 bytes at the peak, 30 leaked
///        main:10 > parse:20 > push                  50
///        main:12 > parse:20 > push                   7
///        main:10                                     1 (thread 2), leaked
///        (no frames)                                 2
/// child: main:10 > operator new                     40, and 90 at its own peak
/// ```
/// Peaks at 1.2 s, which the third of its four slices holds; at that slice's end the same is live.
pub(crate) fn small() -> Profile {
    let mut profile = empty("app --flag 'two words'", 2_000_000_000);
    profile.modules = vec![
        Module { path: "/opt/app".into(), build_id: vec![1, 2, 3], interpreter: false },
        Module { path: "/lib/libstdc++.so.6".into(), build_id: vec![4], interpreter: false },
    ];
    let frame = |function: &str, line: u32, module: u32, kind| Frame {
        function: Some(function.into()),
        file: (line > 0).then(|| "/src/app/main.c".into()),
        line: (line > 0).then_some(line),
        module: Some(module),
        address: u64::from(line) * 16,
        kind,
    };
    profile.frames = vec![
        frame("main", 10, 0, FrameKind::Native),
        frame("main", 12, 0, FrameKind::Native),
        frame("parse", 20, 0, FrameKind::Native),
        frame("parse", 25, 0, FrameKind::Native),
        frame("std::vector<int>::push_back(int const&)", 30, 0, FrameKind::Inlined),
        frame("operator new(unsigned long)", 0, 1, FrameKind::Native),
        Frame { function: None, address: 0x40, ..frame("", 0, 0, FrameKind::Native) },
        // Another address on the line of frame 0: the page shows one frame.
        Frame { address: 0xffff, ..frame("main", 10, 0, FrameKind::Native) },
    ];
    let stack = |frames: &[u32]| Stack { frames: frames.iter().map(|&id| FrameId(id)).collect(), function: None };
    profile.stacks = vec![
        stack(&[4, 3, 2, 0]),
        stack(&[4, 2, 0]),
        stack(&[4, 2, 1]),
        stack(&[7]),
        stack(&[]),
        stack(&[5, 0]),
        stack(&[6, 0]),
    ];
    let row = |stack: u32, process: u32, thread: u32, metrics: Metrics| Row {
        stack: StackId(stack),
        process,
        thread,
        metrics,
        largest_bytes: 0,
        first_ns: 100_000_000 * u64::from(stack + 1),
        last_ns: 1_000_000_000 + u64::from(stack),
    };
    profile.rows = vec![
        row(5, 1, 2, metrics(9, 900, (0, 0), (4, 40), (9, 90), (0, 0))),
        row(0, 0, 0, metrics(20, 400, (3, 30), (10, 100), (10, 100), (5, 50))),
        row(1, 0, 0, metrics(10, 200, (0, 0), (5, 50), (5, 50), (2, 8))),
        row(2, 0, 0, metrics(3, 21, (0, 0), (1, 7), (1, 7), (0, 0))),
        row(3, 0, 1, metrics(1, 1, (1, 1), (1, 1), (1, 1), (0, 0))),
        row(4, 0, 0, metrics(1, 2, (0, 0), (1, 2), (1, 2), (0, 0))),
        row(6, 0, 0, metrics(4, 64, (0, 0), (0, 0), (0, 0), (4, 64))),
    ];
    profile.slices = slices();
    profile.sizes = vec![
        SizeClass { from: 0, allocations: 0, bytes: 0 },
        SizeClass { from: 1, allocations: 8, bytes: 8 },
        SizeClass { from: 8, allocations: 40, bytes: 1580 },
    ];
    let scope = |process: u32| {
        let rows = profile.rows.iter().filter(move |row| row.process == process);
        Totals { metrics: sum(rows.map(|row| &row.metrics)), peak_at_ns: 1_200_000_000, ..Totals::default() }
    };
    let process = |index: u32, pid: u32, exe: &str, parent, end_ns| Process {
        index,
        pid,
        parent,
        exe: exe.into(),
        command: vec![exe.into()],
        start_ns: u64::from(index - 1) * 500_000_000,
        end_ns,
        totals: scope(index - 1),
    };
    profile.processes = vec![
        process(1, 100, "/opt/app", None, Some(2_000_000_000)),
        process(2, 101, "/opt/child", Some(1), Some(1_900_000_000)),
    ];
    let thread = |index: u32, tid: u32, name: &str, process: u32| Thread {
        index,
        tid,
        name: name.into(),
        process,
        metrics: Metrics::default(),
    };
    profile.threads = vec![thread(1, 100, "app", 1), thread(2, 102, "io", 1), thread(3, 101, "child", 2)];
    profile.totals = Totals {
        metrics: sum(profile.rows.iter().map(|row| &row.metrics)),
        frees: 44,
        peak_at_ns: 1_200_000_000,
        unresolved_frames: 1,
        ..Totals::default()
    };
    profile.timeline = Timeline {
        points: (1..=4)
            .map(|i| TimePoint {
                time_ns: i * 500_000_000,
                live_max_bytes: [60, 120, 200, 150][i as usize - 1],
                live_bytes: [50, 110, 190, 31][i as usize - 1],
                allocations: [10, 20, 13, 5][i as usize - 1],
                allocated_bytes: 397,
            })
            .collect(),
        process_live: vec![vec![50, 70, 150, 31], vec![0, 40, 40, 0]],
        rss: vec![
            RssPoint { time_ns: 900_000_000, process: 1, anon_bytes: 4096, file_bytes: 8192 },
            RssPoint { time_ns: 400_000_000, process: 0, anon_bytes: 8192, file_bytes: 4096 },
        ],
    };
    profile
}

/// Count, bytes, then (blocks, bytes) of leaked, peak, own peak, temporary.
fn metrics(
    allocations: u64,
    allocated_bytes: u64,
    leaked: (u64, u64),
    peak: (u64, u64),
    process_peak: (u64, u64),
    temporary: (u64, u64),
) -> Metrics {
    Metrics {
        allocations,
        allocated_bytes,
        leaked_blocks: leaked.0,
        leaked_bytes: leaked.1,
        peak_blocks: peak.0,
        peak_bytes: peak.1,
        process_peak_blocks: process_peak.0,
        process_peak_bytes: process_peak.1,
        temporary_allocations: temporary.0,
        temporary_bytes: temporary.1,
    }
}

/// What the rows did, half a second at a time; every row ends with what it leaked.
fn slices() -> Slices {
    use What::{Allocated, Freed, Temporary};
    let changes = [
        (0, 1, Allocated, 1, (9, 900)),
        (0, 2, Freed, 1, (5, 860)),
        (0, 3, Freed, 1, (4, 40)),
        (1, 0, Allocated, 0, (8, 200)),
        (1, 0, Temporary, 0, (5, 50)),
        (1, 0, Freed, 0, (5, 50)),
        (1, 2, Allocated, 2, (12, 200)),
        (1, 2, Freed, 0, (3, 150)),
        (1, 2, Freed, 2, (2, 100)),
        (1, 3, Freed, 2, (7, 70)),
        (2, 1, Allocated, 1, (10, 200)),
        (2, 1, Temporary, 1, (2, 8)),
        (2, 1, Freed, 1, (2, 8)),
        (2, 2, Freed, 1, (3, 142)),
        (2, 3, Freed, 1, (5, 50)),
        (3, 0, Allocated, 0, (3, 21)),
        (3, 1, Freed, 0, (2, 14)),
        (3, 3, Freed, 0, (1, 7)),
        (4, 0, Allocated, 0, (1, 1)),
        (5, 1, Allocated, 1, (1, 2)),
        (5, 3, Freed, 1, (1, 2)),
        (6, 0, Allocated, 0, (4, 64)),
        (6, 0, Temporary, 0, (4, 64)),
        (6, 0, Freed, 0, (4, 64)),
    ];
    let change = |(row, slice, what, birth, (blocks, bytes))| Change { row, slice, birth, what, blocks, bytes };
    let bounds = vec![0, 500_000_000, 1_000_000_000, 1_500_000_000, 2_000_000_000];
    Slices::known(bounds, changes.map(change).to_vec())
}
