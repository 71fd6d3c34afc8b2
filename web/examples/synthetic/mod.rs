//! Profiles of programs that never ran: numbers that add up, names as real ones are. For looking at the page and for
//! its tests; not part of the library.

mod course;
mod graph;
mod hostile;
mod small;

pub(crate) use hostile::hostile;
pub(crate) use small::small;

use tracker_core::capture::meta::{ExitStatus, Session};
use tracker_core::report::profile::{
    Metrics, Module, Process, Profile, RssPoint, SizeClass, State, Thread, TimePoint, Timeline, Totals,
};
use tracker_core::report::slices::Slices;

use graph::{Caller, Numbers, Stacks};

/// Small, fast, the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// From 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 31) as f64
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() as usize) % limit.max(1)
    }
}

const MIB: f64 = 1_048_576.0;
const SECOND: u64 = 1_000_000_000;

/// A server, its worker and its renderer: about five thousand stacks over four minutes.
pub(crate) fn several_processes() -> Profile {
    let run = 252 * SECOND + 600_000_000;
    let plans = [
        Plan {
            exe: "/usr/bin/python3",
            name: "serve",
            pid: 48211,
            peak: 83.9,
            threads: 4,
            start: 0,
            grammar: graph::SERVER,
        },
        Plan {
            exe: "/usr/bin/python3",
            name: "worker",
            pid: 48230,
            peak: 226.9,
            threads: 7,
            start: 3,
            grammar: graph::WORKER,
        },
        Plan {
            exe: "/opt/tilery/tile-encoder",
            name: "encoder",
            pid: 48234,
            peak: 501.6,
            threads: 12,
            start: 5,
            grammar: graph::ENCODER,
        },
    ];
    build(&plans, 1700, run, "python3 -m tilery serve --port 8080")
}

/// One process whose stacks make `nodes` nodes and more.
pub(crate) fn many_nodes(nodes: usize) -> Profile {
    let plan = Plan {
        exe: "/usr/bin/polystack",
        name: "main",
        pid: 991,
        peak: 1400.0,
        threads: 3,
        start: 0,
        grammar: graph::POLYSTACK,
    };
    build(&[plan], nodes / 5, 61 * SECOND, "polystack --depth 40")
}

struct Plan {
    exe: &'static str,
    name: &'static str,
    pid: u32,
    /// MiB.
    peak: f64,
    threads: u32,
    /// Seconds after the start of the run.
    start: u64,
    grammar: &'static [Caller],
}

fn build(plans: &[Plan], stacks_each: usize, run: u64, command: &str) -> Profile {
    let mut random = Random::new(11);
    let mut stacks = Stacks::default();
    let mut profile = empty(command, run);
    let peak_at = run / 100 * 68;
    for (position, plan) in plans.iter().enumerate() {
        let first_thread = profile.threads.len() as u32;
        for n in 0..plan.threads {
            let name = if n == 0 { plan.name.to_owned() } else { format!("{}-{n}", plan.name) };
            profile.threads.push(Thread {
                index: first_thread + n + 1,
                tid: plan.pid + n,
                name,
                process: position as u32 + 1,
                metrics: Metrics::default(),
            });
        }
        let numbers = Numbers {
            process: position as u32,
            first_thread,
            threads: plan.threads,
            start: plan.start * SECOND,
            run,
            peak_bytes: (plan.peak * MIB) as u64,
        };
        let rows = stacks.rows(plan.grammar, plan.exe, stacks_each, &numbers, &mut random);
        profile.processes.push(Process {
            index: position as u32 + 1,
            pid: plan.pid,
            parent: (position > 0).then_some(1),
            exe: plan.exe.to_owned(),
            command: vec![plan.exe.to_owned(), "-m".to_owned(), "tilery".to_owned(), plan.name.to_owned()],
            start_ns: plan.start * SECOND,
            end_ns: Some(run - SECOND),
            totals: Totals {
                metrics: sum(rows.iter().map(|row| &row.metrics)),
                peak_at_ns: peak_at,
                ..Totals::default()
            },
        });
        profile.rows.extend(rows);
    }
    profile.modules = stacks
        .modules
        .iter()
        .map(|path| Module { path: path.clone(), build_id: vec![0xab; 20], interpreter: false })
        .collect();
    profile.frames = stacks.frames;
    profile.stacks = stacks.stacks;
    profile.totals.metrics = sum(profile.rows.iter().map(|row| &row.metrics));
    profile.totals.frees = profile.totals.metrics.allocations - profile.totals.metrics.leaked_blocks;
    profile.totals.peak_at_ns = peak_at;
    profile.totals.peak_error_bytes = 32 << 10;
    profile.totals.unresolved_frames = profile.frames.iter().filter(|frame| frame.function.is_none()).count() as u64;
    profile.totals.truncated_stacks = 3;
    profile.timeline = timeline(&profile, run, peak_at, &mut random);
    profile.slices = course::course(&profile.rows, run, &mut random);
    profile.sizes = sizes(&profile.totals.metrics);
    profile.totals.peak_rss_bytes =
        profile.timeline.rss.iter().map(|point| point.anon_bytes + point.file_bytes).max().unwrap_or(0);
    profile
}

/// Most allocations are small, most bytes are not.
fn sizes(all: &Metrics) -> Vec<SizeClass> {
    let class = |i: u32| SizeClass {
        from: if i == 0 { 0 } else { 1 << (i - 1) },
        allocations: all.allocations / 2 / (1 + u64::from(i.abs_diff(6)).pow(3)),
        bytes: all.allocated_bytes / 2 / (1 + u64::from(i.abs_diff(14)).pow(2)),
    };
    (0..24).map(class).collect()
}

/// A profile with a session and nothing in it.
pub(crate) fn empty(command: &str, run: u64) -> Profile {
    Profile {
        state: State::Complete,
        session: Session {
            command: command.split(' ').map(|word| word.as_bytes().to_vec()).collect(),
            exe: b"/usr/bin/python3".to_vec(),
            cwd: b"/srv/tilery".to_vec(),
            host: "tiles-02".to_owned(),
            kernel: "6.1.0".to_owned(),
            memtrack_version: "0.1.0".to_owned(),
            page_size: 4096,
            cpus: 2,
            start_unix_ns: 1_795_425_240 * SECOND,
            pid: 48211,
        },
        duration_ns: run,
        exit: Some(ExitStatus::Code(0)),
        totals: Totals::default(),
        processes: Vec::new(),
        threads: Vec::new(),
        modules: Vec::new(),
        frames: Vec::new(),
        stacks: Vec::new(),
        rows: Vec::new(),
        timeline: Timeline::default(),
        slices: Slices::default(),
        span: None,
        sizes: Vec::new(),
        untracked: Vec::new(),
        warnings: Vec::new(),
        redacted: false,
        regions: Vec::new(),
        symbol_notes: Vec::new(),
        pymalloc: None,
    }
}

/// The sum of all metrics.
pub(crate) fn sum<'a>(metrics: impl Iterator<Item = &'a Metrics>) -> Metrics {
    metrics.fold(Metrics::default(), |all, one| Metrics {
        allocations: all.allocations + one.allocations,
        allocated_bytes: all.allocated_bytes + one.allocated_bytes,
        leaked_blocks: all.leaked_blocks + one.leaked_blocks,
        leaked_bytes: all.leaked_bytes + one.leaked_bytes,
        peak_blocks: all.peak_blocks + one.peak_blocks,
        peak_bytes: all.peak_bytes + one.peak_bytes,
        process_peak_blocks: all.process_peak_blocks + one.process_peak_blocks,
        process_peak_bytes: all.process_peak_bytes + one.process_peak_bytes,
        temporary_allocations: all.temporary_allocations + one.temporary_allocations,
        temporary_bytes: all.temporary_bytes + one.temporary_bytes,
    })
}

/// Curves that rise to each process's peak at `peak_at` and end at what it leaked.
fn timeline(profile: &Profile, run: u64, peak_at: u64, random: &mut Random) -> Timeline {
    const POINTS: usize = 900;
    let at = |i: usize| run / POINTS as u64 * (i as u64 + 1);
    let peak_point = (0..POINTS).find(|&i| at(i) >= peak_at).unwrap_or(0);
    let mut timeline = Timeline::default();
    for process in &profile.processes {
        let metrics = &process.totals.metrics;
        let (high, low) = (metrics.peak_bytes as f64, metrics.leaked_bytes as f64);
        let mut noise = 0.0;
        let live: Vec<u64> = (0..POINTS)
            .map(|i| {
                noise = noise * 0.86 + (random.unit() - 0.5) * 0.06;
                if at(i) < process.start_ns {
                    return 0;
                }
                if i == peak_point {
                    return metrics.peak_bytes;
                }
                let t = (at(i) - process.start_ns) as f64 / (run - process.start_ns) as f64;
                let rise = (t * 9.0).min(1.0);
                let burst = (-((t - 0.68) / 0.04).powi(2)).exp();
                let fall = ((1.0 - t) * 30.0).min(1.0);
                let body = (0.46 + 0.1 * t + noise + 0.36 * burst).clamp(0.02, 0.97);
                (low + (high - low) * body * rise * fall).max(1.0) as u64
            })
            .collect();
        let index = process.index - 1;
        for i in (0..POINTS).step_by(4).filter(|&i| at(i) >= process.start_ns) {
            let held = live.get(i).copied().unwrap_or(0);
            let most = live.iter().take(i + 1).copied().max().unwrap_or(0);
            timeline.rss.push(RssPoint {
                time_ns: at(i),
                process: index,
                anon_bytes: (held as f64 * 0.35 + most as f64 * 0.8) as u64 + (6 << 20),
                file_bytes: 30 << 20,
            });
        }
        timeline.process_live.push(live);
    }
    let allocations = profile.totals.metrics.allocations / POINTS as u64;
    timeline.points = (0..POINTS)
        .map(|i| {
            let live_bytes: u64 = timeline.process_live.iter().map(|live| live.get(i).copied().unwrap_or(0)).sum();
            let spike = if i % 97 == 50 { 1.12 } else { 1.0 };
            let limit = profile.totals.metrics.peak_bytes;
            TimePoint {
                time_ns: at(i),
                live_max_bytes: ((live_bytes as f64 * spike) as u64).min(limit),
                live_bytes,
                allocations: (allocations as f64 * (0.5 + random.unit())) as u64,
                allocated_bytes: profile.totals.metrics.allocated_bytes / POINTS as u64,
            }
        })
        .collect();
    timeline
}
