//! Text views against what a user should see: every view of one sample capture is kept as a file under `golden/`.
//!
//! `BLESS=1 cargo test -p tracker-cli golden` writes them anew; then look at the difference.

use std::fs;
use std::path::PathBuf;

use serde::Serialize;
use tracker_core::budget::render::{FORMATS, Judged};
use tracker_core::budget::{self, Baseline, Baselines, Budget, Run, Verdict, file};
use tracker_core::report::diff::Diff;
use tracker_core::report::filter::{Filter, Selection};
use tracker_core::report::levels::levels;
use tracker_core::report::metric::Metric;
use tracker_core::report::pattern::Pattern;
use tracker_core::report::profile::{Profile, RssPoint, State, TimePoint, Untracked};
use tracker_core::report::rows::{Grouping, Kind, Limits, Report};
use tracker_core::report::sketch::{Numbers, Sketch};
use tracker_core::report::stats::Stats;
use tracker_core::report::summary::Summary;
use tracker_core::report::suppress::{Applied, Suppressions};
use tracker_core::report::table::{By, Table};
use tracker_core::report::tree::Tree;
use tracker_core::report::{StatsJson, TableJson, TimelineJson, TreeJson};

use super::diff::{self, Shown};
use super::look::Look;
use super::tree::Cut;
use super::{check, report, run_summary, stats, summary, table, timeline, tree};

const NARROW: Look = Look { width: 80, color: false, unicode: true };

/// Compares `text`, at most `look`'s columns wide, with the golden file `name`.
fn summary_text(look: &Look, selection: &Selection<'_>) -> String {
    summary::text(look, selection, &Applied::builtin(selection.profile()))
}

#[track_caller]
fn golden(name: &str, look: &Look, text: &str) {
    for line in text.lines() {
        assert!(super::look::columns(line) <= look.width, "{name}: too wide: {line}");
        assert_eq!(line.trim_end(), line, "{name}: space at the end of a line");
        assert!(look.unicode || line.is_ascii(), "{name}: more than ASCII: {line}");
    }
    same(name, text);
}

/// The same for JSON, indented.
#[track_caller]
fn golden_json(name: &str, value: &impl Serialize) {
    same(name, &(serde_json::to_string_pretty(value).unwrap() + "\n"));
}

#[track_caller]
fn same(name: &str, text: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/output/golden", name].iter().collect();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{name} differs (BLESS=1 accepts it):\n{text}\ninstead of\n{expected}");
}

/// A service with two processes, three threads, long C++ names, recursion and a little of everything else.
fn sample() -> Profile {
    const MS: u64 = 1_000_000;
    let worker = vec!["/usr/lib/indexer/worker".to_owned(), "--shard".to_owned(), "3".to_owned()];
    let deep = "calloc: new_node@src/tree.c:12 ".to_owned()
        + &"insert@src/tree.c:40 ".repeat(214)
        + "build@src/tree.c:88 index_all@src/index.c:310 main@src/main.c:57";
    Sketch::new("./indexer --jobs 2 docs/*.md")
        .row(
            "malloc: xmalloc@src/util.c:17 load_config@src/config/parse.c:142 main@src/main.c:31",
            Numbers {
                allocated: (50, 1_048_600),
                leaked: (50, 1_048_600),
                peak: (50, 1_048_600),
                seen: (12 * MS, 14 * MS),
                ..Numbers::default()
            },
        )
        .row(
            &deep,
            Numbers {
                allocated: (200_000, 9_600_000),
                peak: (171_003, 8_208_144),
                seen: (20 * MS, 810 * MS),
                ..Numbers::default()
            },
        )
        .row(
            "malloc: operator_new!/usr/lib/x86_64-linux-gnu/libstdc++.so.6 \
             ~std::__cxx11::basic_string<char,std::char_traits<char>,std::allocator<char>>::_M_create@/usr/include/c++/12/bits/basic_string.tcc:153 \
             ~std::vector<Token,std::allocator<Token>>::_M_realloc_insert<Token>@/usr/include/c++/12/bits/vector.tcc:460 \
             lexer::Tokenizer<lexer::utf8_input_iterator,lexer::default_policy>::next_token@src/lexer/tokenizer.hpp:211 \
             index_all@src/index.c:320 main@src/main.c:57",
            Numbers {
                allocated: (1_034_517, 41_380_680),
                temporary: (930_001, 37_200_040),
                peak: (12, 480),
                seen: (20 * MS, 1_190 * MS),
                ..Numbers::default()
            },
        )
        .row(
            "malloc: _IO_file_doallocate!/lib/x86_64-linux-gnu/libc.so.6 \
             printf!/lib/x86_64-linux-gnu/libc.so.6 main@src/main.c:60",
            Numbers {
                allocated: (1, 4096),
                leaked: (1, 4096),
                seen: (1_200 * MS, 1_200 * MS),
                ..Numbers::default()
            },
        )
        .row("realloc: ?!/opt/vendor/libblob.so.2 main@src/main.c:58", Numbers {
            allocated: (3, 90_000),
            leaked: (1, 60_000),
            peak: (1, 60_000),
            seen: (900 * MS, 901 * MS),
            ..Numbers::default()
        })
        .thread("flusher")
        .row("malloc: flush_\x1b[31mpage@src/flush.c:9 flusher_main@src/flush.c:70", Numbers {
            allocated: (77, 315_392),
            leaked: (2, 8192),
            peak: (4, 16_384),
            seen: (40 * MS, 1_100 * MS),
            ..Numbers::default()
        })
        .process("/usr/lib/indexer/worker", worker)
        .thread("worker")
        .row("malloc: shard_open@src/shard.c:33 main@src/worker.c:12", Numbers {
            allocated: (4, 262_144),
            leaked: (4, 262_144),
            peak: (4, 262_144),
            process_peak: Some((4, 262_144)),
            seen: (300 * MS, 310 * MS),
            ..Numbers::default()
        })
        .size(16, 1_034_517, 41_380_680)
        .size(32, 200_000, 9_600_000)
        .size(4096, 82, 341_632)
        .size(16_384, 53, 1_138_696)
        .size(65_536, 1, 240_000)
        .with(|profile| {
            profile.duration_ns = 1_240 * MS;
            profile.totals.frees = 1_234_590;
            profile.totals.peak_at_ns = 812 * MS;
            profile.totals.peak_rss_bytes = 34_700_000;
        })
        .build()
}

/// The same capture, after everything that can go wrong.
fn troubled() -> Profile {
    let mut profile = sample();
    profile.state = State::Cut;
    profile.exit = None;
    profile.totals.lost_events = 1_200;
    profile.totals.unmatched_frees = 3;
    profile.totals.truncated_stacks = 1;
    profile.totals.unresolved_frames = 17;
    profile.totals.peak_error_bytes = 8192;
    profile.untracked.push(Untracked {
        pid: 4720,
        exe: "/usr/bin/sudo".into(),
        reason: "set-uid, set-gid or with file capabilities".into(),
    });
    profile
        .warnings
        .push("./indexer brings its own allocator (mi_malloc): what it allocates through that one is not seen".into());
    profile
}

fn report_of(profile: &Profile, kind: Kind, count: usize) -> Report<'_> {
    let limits = Limits { count: Some(count), ..Limits::default() };
    Report::new(Selection::whole(profile), kind, &limits, &Applied::builtin(profile))
}

#[test]
fn golden_summary() {
    let profile = sample();
    let whole = Selection::whole(&profile);
    golden("summary.txt", &NARROW, &summary_text(&NARROW, &whole));
    let wide = Look { width: 140, ..NARROW };
    golden("summary-wide.txt", &wide, &summary_text(&wide, &whole));
    let profile = troubled();
    let filter = Filter { process: Some(2), ..Filter::default() };
    let selection = filter.select(&profile).unwrap();
    golden("summary-process.txt", &NARROW, &summary_text(&NARROW, &selection));
    let mut profile = sample();
    profile.state = State::Running;
    golden("summary-running.txt", &NARROW, &summary_text(&NARROW, &Selection::whole(&profile)));
}

#[test]
fn golden_report() {
    let profile = sample();
    let leaks = report_of(&profile, Kind::Leaks, 3);
    golden("report-leaks.txt", &NARROW, &report::text(&NARROW, &leaks, 16));
    let wide = Look { width: 140, ..NARROW };
    golden("report-leaks-wide.txt", &wide, &report::text(&wide, &leaks, 16));
    let ascii = Look { unicode: false, ..NARROW };
    let peak = report_of(&profile, Kind::Peak, 2);
    golden("report-peak-ascii.txt", &ascii, &report::text(&ascii, &peak, 4));
    let profile = troubled();
    let temporary = report_of(&profile, Kind::Temporary, 10);
    golden("report-temporary.txt", &NARROW, &report::text(&NARROW, &temporary, 16));
    let blank = Sketch::new("./static").with(|profile| {
        let (exe, reason) = ("./static".to_owned(), "statically linked".to_owned());
        profile.untracked.push(Untracked { pid: 4711, exe, reason });
    });
    let blank = blank.build();
    let nothing = report_of(&blank, Kind::Leaks, 10);
    golden("report-nothing.txt", &NARROW, &report::text(&NARROW, &nothing, 16));
    let clean = Sketch::new("true").build();
    let none = report_of(&clean, Kind::Leaks, 10);
    golden("report-no-leaks.txt", &NARROW, &report::text(&NARROW, &none, 16));
}

#[test]
fn golden_tree() {
    let profile = sample();
    let whole = Selection::whole(&profile);
    let cut = Cut { threshold: 0.1, depth: 3, full: false };
    let callers = Tree::new(&whole, Metric::Peak, false);
    let text = tree::text(&NARROW, &whole, &callers, (Metric::Peak, false), cut);
    golden("tree.txt", &NARROW, &text);
    let only = Filter { functions: vec![Pattern::new("^index")], ..Filter::default() };
    let selection = only.select(&profile).unwrap();
    let callees = Tree::new(&selection, Metric::Allocations, true);
    let cut = Cut { threshold: 0.0, depth: 100, full: false };
    let text = tree::text(&NARROW, &selection, &callees, (Metric::Allocations, true), cut);
    golden("tree-inverted.txt", &NARROW, &text);
}

#[test]
fn golden_stats() {
    let profile = sample();
    let whole = Selection::whole(&profile);
    golden("stats.txt", &NARROW, &stats::text(&NARROW, &whole, &Stats::of(&whole, 3)));
}

#[test]
fn golden_check() {
    let profile = sample();
    let budget = rules(BUDGET);
    golden("check.txt", &NARROW, &check::text(&NARROW, &judged(Selection::whole(&profile), &budget)));
}

/// The formats that CI systems read, of the same verdict.
#[test]
fn golden_check_formats() {
    let profile = sample();
    let budget = rules(BUDGET);
    let verdict = judged(Selection::whole(&profile), &budget);
    let judged =
        Judged { verdict: &verdict, capture: "memtrack.indexer.4711.mtk", here: "/home/user", root: "/home/user" };
    for format in FORMATS.into_iter().filter(|format| format.name() != "json") {
        let mut bytes = Vec::new();
        format.write(&judged, &mut bytes).unwrap();
        same(&format!("check.{}", format.name()), &String::from_utf8(bytes).unwrap());
    }
}

/// Limits of all kinds, some of them broken.
const BUDGET: &str = "[budget]
peak = '256MiB'
leaked = '64KiB'
temporary = '1%'
rss = '32MiB'
leaked_blocks = 57
[[budget.rule]]
name = 'the index'
under = 'index_all'
baseline = 'base.json'
peak = '+1%'
[[budget.rule]]
exe = 'worker'
alloc_bytes = 1000
level = 'warn'
[[budget.rule]]
test = 'unit::*'
peak = 0
[[budget.rule]]
per = 'stack'
temporary_ratio = '50%'
";

fn rules(text: &str) -> Budget {
    file::parse("memtrack.toml", text).unwrap().unwrap()
}

fn run(selection: Selection<'_>) -> Run<'_, 'static> {
    Run { suppressed: Applied::builtin(selection.profile()), selection }
}

/// The verdict, with a baseline that has half of the index.
fn judged<'p, 'b>(selection: Selection<'p>, budget: &'b Budget) -> Verdict<'p, 'b> {
    let mut before = selection.profile().clone();
    before.rows.iter_mut().for_each(|row| row.metrics.peak_bytes /= 2);
    let baseline = Baseline::of(&[run(Selection::whole(&before))], budget);
    let baselines = Baselines::from([("base.json".to_owned(), baseline)]);
    budget::evaluate(&[run(selection)], budget, &baselines, 2).unwrap()
}

/// The contract with scripts: fields may be added, none may go or change its meaning.
#[test]
fn golden_schemas() {
    let profile = troubled();
    let filter = Filter { thread: Some("flusher".into()), ..Filter::default() };
    let (whole, narrow) = (Selection::whole(&profile), filter.select(&profile).unwrap());
    golden_json("summary.json", &Summary::of(&whole));
    let limits = Limits { grouping: Grouping::Thread, ..Limits::default() };
    let leaks = Report::new(narrow.clone(), Kind::Leaks, &limits, &Applied::builtin(&profile));
    golden_json("report-leaks.json", &leaks);
    let mut listed = Suppressions::none();
    listed.add_file("x.supp", "leak:flusher").unwrap();
    let listed = listed.apply(&profile).unwrap();
    golden_json("report-suppressed.json", &Report::new(narrow.clone(), Kind::Leaks, &limits, &listed));
    golden_json("report-peak.json", &Report::new(narrow.clone(), Kind::Peak, &limits, &listed));
    let tree = Tree::new(&narrow, Metric::Allocated, false);
    let metric = Metric::Allocated;
    golden_json("tree.json", &TreeJson { selection: &narrow, tree: &tree, metric, inverted: false });
    let stats = Stats::of(&narrow, 1);
    golden_json("stats.json", &StatsJson { selection: &narrow, stats: &stats });
    let budget = rules("[budget]\nleaked = '8KiB'\npeak = '1KiB'\nbaseline = 'base.json'");
    golden_json("check.json", &judged(narrow, &budget));
}

#[test]
fn golden_run_summary() {
    let path = PathBuf::from("memtrack.indexer.4711.mtk");
    let text = run_summary::run_summary(&sample(), &path)
        + &run_summary::run_summary(&Sketch::new("true").build(), &PathBuf::from("a b.mtk"));
    golden("run-summary.txt", &NARROW, &text);
}

#[test]
fn what_an_interpreter_leaves_behind_is_not_the_first_thing_to_look_at() {
    let numbers = Numbers { allocated: (3, 1 << 20), peak: (3, 3 << 20), leaked: (1, 1 << 20), ..Numbers::default() };
    let mut profile =
        Sketch::new("python3 a.py").row("pymalloc arena: [pymalloc arena] py:load@a.py:3 main", numbers).build();
    let next = |profile: &Profile| run_summary::run_summary(profile, &PathBuf::from("a.mtk"));
    assert!(next(&profile).contains("report --leaks a.mtk"));
    profile.modules.iter_mut().for_each(|module| module.interpreter = true);
    assert!(next(&profile).contains("report --peak a.mtk"));
    let text = summary::text(&NARROW, &Selection::whole(&profile), &Applied::default());
    assert!(text.contains("3.0 MiB of the peak are 3 arenas of pymalloc"), "{text}");
}

#[test]
fn golden_table() {
    let profile = sample();
    let whole = Selection::whole(&profile);
    let of = |by| Table::new(&whole, by, Metric::Peak);
    let text = |by| table::text(&NARROW, &whole, &of(by), (by, Metric::Peak), 5);
    golden("table.txt", &NARROW, &text(By::Function));
    golden("table-file.txt", &NARROW, &text(By::File));
    let functions = of(By::Function);
    let json = TableJson { selection: &whole, table: &functions, by: By::Function, metric: Metric::Peak };
    golden_json("table.json", &json);
}

#[test]
fn golden_diff() {
    let (before, mut after) = (sample(), sample());
    let larger = after.rows.iter_mut().find(|row| row.metrics.peak_bytes == 1_048_600).unwrap();
    larger.metrics.peak_bytes += 65_536;
    after.totals.metrics.peak_bytes += 65_536;
    after.rows.retain(|row| row.metrics.peak_bytes != 60_000);
    for frame in &mut after.frames {
        if frame.function.as_deref() == Some("shard_open") {
            frame.function = Some("open_shard".to_owned());
        }
    }
    let whole = |profile| Selection::whole(profile);
    let shown = Shown { count: 10, depth: 4, noise: false };
    let one = Diff::new(vec![whole(&before)], vec![whole(&after)], Metric::Peak);
    golden("diff.txt", &NARROW, &diff::text(&NARROW, &one, shown));
    let several = Diff::new(vec![whole(&before), whole(&after)], vec![whole(&after), whole(&after)], Metric::Peak);
    let ascii = Look { unicode: false, ..NARROW };
    golden("diff-noise.txt", &ascii, &diff::text(&ascii, &several, shown));
    golden_json("diff.json", &one);
}

#[test]
fn golden_timeline() {
    const MS: u64 = 1_000_000;
    let mut profile = sample();
    let point = |i: u64| TimePoint {
        time_ns: i * 31 * MS,
        live_max_bytes: if i == 26 { 9_595_752 } else { i * 180_000 },
        live_bytes: i * 180_000,
        allocations: i % 7 * 1000,
        allocated_bytes: i % 7 * 40_000,
    };
    profile.timeline.points = (1..=40).map(point).collect();
    let rss = |i: u64| RssPoint { time_ns: i * 100 * MS, process: 0, anon_bytes: i << 20, file_bytes: 2 << 20 };
    profile.timeline.rss = (1..=12).map(rss).collect();
    let levels = levels(&profile);
    let whole = Selection::whole(&profile);
    golden("timeline.txt", &NARROW, &timeline::text(&NARROW, &whole, &levels));
    let ascii = Look { unicode: false, width: 60, ..NARROW };
    golden("timeline-ascii.txt", &ascii, &timeline::text(&ascii, &whole, &levels));
    golden("timeline-nothing.txt", &NARROW, &timeline::text(&NARROW, &whole, &[]));
    same("timeline.csv", &timeline::csv(levels.get(..3).unwrap()));
    golden_json("timeline.json", &TimelineJson { selection: &whole, levels: levels.get(..2).unwrap() });
}
