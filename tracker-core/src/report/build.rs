//! Puts a [`Profile`] together from a replayed capture.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use super::names::Symbols;
use super::profile::{
    Frame, FrameKind, Metrics, Module, Process, Profile, Region, Row, SizeClass, StackId, State, Thread, TimePoint,
    Timeline, Totals, Untracked,
};
use super::remarks::remarks;
use super::rss::rss;
use super::slices::Slices;
use super::stacks::{Names, Naming};
use crate::capture::facts::Facts;
use crate::capture::reader::Capture;
use crate::format::record::UntrackedReason;
use crate::replay::Outcome;
use crate::replay::census::{Census, Image, ModuleName};
use crate::replay::heap::Heap;
use crate::replay::stacks::Location;
use crate::replay::timeline;

/// Requested bytes per thread between two epochs, and so the uncertainty of the order inside one.
const EPOCH_BYTES: u64 = 4096;

/// Most values of live bytes per process and interval.
const TIMELINE_VALUES: u64 = 4 << 20;

/// Builds the profile.
pub(super) fn build<S>(capture: &Capture<S>, mut outcome: Outcome, state: State, symbols: &mut dyn Symbols) -> Profile {
    let (facts, damage) = (&capture.facts, &capture.damage);
    // The header's, where the session's description is missing.
    let start_unix_ns = capture.header.start_unix_ns;
    let timeline = std::mem::take(&mut outcome.state.timeline);
    let sliced = std::mem::take(&mut outcome.state.sliced);
    let replayed = &outcome.state;
    let (heap, census) = (&replayed.heap, &replayed.census);
    let dense = timeline.finish(outcome.end, census.images.len(), TIMELINE_VALUES);

    let mut naming = Naming::new(&replayed.stacks, census, &replayed.python, symbols);
    let (rows, origins) = rows(heap, census, &mut naming);
    let (rss_points, process_rss, peak_rss_bytes) = rss(facts, census);

    let mut processes: Vec<Process> = (1u32..)
        .zip(&census.processes)
        .filter_map(|(index, image)| process(index, *image, census, heap, facts))
        .collect();
    let mut threads: Vec<Thread> =
        (1u32..).zip(&census.threads).map(|(index, t)| thread(index, t, census, facts)).collect();
    let mut totals = Totals {
        peak_at_ns: heap.tree.peak_at,
        peak_error_bytes: peak_error(replayed.overlap),
        peak_rss_bytes,
        ..Totals::default()
    };
    let mut partial = FxHashSet::default();
    for row in &rows {
        add(&mut totals.metrics, &row.metrics);
        if let Some(thread) = threads.get_mut(row.thread as usize) {
            add(&mut thread.metrics, &row.metrics);
        }
        if let Some(process) = processes.get_mut(row.process as usize) {
            add(&mut process.totals.metrics, &row.metrics);
            if naming.is_partial(row.stack) && partial.insert((row.process, row.stack)) {
                process.totals.truncated_stacks += 1;
            }
        }
    }
    totals.truncated_stacks = partial.iter().map(|(_, stack)| stack).collect::<FxHashSet<_>>().len() as u64;
    for (process, rss) in processes.iter_mut().zip(process_rss) {
        process.totals.peak_rss_bytes = rss;
        let own = &process.totals;
        totals.frees += own.frees;
        totals.reallocations += own.reallocations;
        totals.inherited_frees += own.inherited_frees;
        totals.unmatched_frees += own.unmatched_frees;
    }
    totals.lost_events = census.images.iter().fold(0, |sum: u64, image| sum.saturating_add(image.lost_events));
    totals.lost_events = totals.lost_events.max(facts.end.map_or(0, |end| end.1));

    let (per_process, unresolved) = unresolved(&naming, replayed.stacks.locations(), census);
    for (process, count) in processes.iter_mut().zip(per_process) {
        process.totals.unresolved_frames = count;
    }
    totals.unresolved_frames = unresolved;

    let regions = regions(heap, census, (&rows, &origins));
    let Names { frames, stacks, cut, unmerged, interpreters } = naming.finish();
    let mut profile = Profile {
        state,
        session: session(facts, start_unix_ns),
        duration_ns: outcome.end,
        exit: facts.exit,
        totals,
        processes,
        threads,
        redacted: facts.redacted,
        symbol_notes: symbol_notes(symbols.notes(), &frames),
        pymalloc: replayed.recorded_twice.then_some(replayed.pymalloc),
        modules: modules(census, &interpreters),
        frames,
        stacks,
        rows,
        timeline: Timeline { rss: rss_points, ..time_points(dense, census, outcome.end) },
        slices: Slices::new(sliced, origins),
        regions,
        span: None,
        sizes: sizes(heap),
        untracked: untracked(&replayed.untracked, facts),
        warnings: remarks(facts, damage, &outcome, state, (cut, unmerged)),
    };
    profile.name_python_threads();
    profile
}

fn peak_error(overlap: u64) -> u64 {
    if overlap > 1 { EPOCH_BYTES.saturating_mul(overlap) } else { 0 }
}

fn add(sum: &mut Metrics, other: &Metrics) {
    for (to, from) in [
        (&mut sum.allocations, other.allocations),
        (&mut sum.allocated_bytes, other.allocated_bytes),
        (&mut sum.leaked_blocks, other.leaked_blocks),
        (&mut sum.leaked_bytes, other.leaked_bytes),
        (&mut sum.peak_blocks, other.peak_blocks),
        (&mut sum.peak_bytes, other.peak_bytes),
        (&mut sum.process_peak_blocks, other.process_peak_blocks),
        (&mut sum.process_peak_bytes, other.process_peak_bytes),
        (&mut sum.temporary_allocations, other.temporary_allocations),
        (&mut sum.temporary_bytes, other.temporary_bytes),
    ] {
        *to = to.saturating_add(from);
    }
}

/// One row per (stack, thread), now that equal stacks are one; and which of them each of the replay's has become.
fn rows(heap: &Heap, census: &Census, naming: &mut Naming) -> (Vec<Row>, Vec<Option<u32>>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut origins = vec![None; heap.rows().len()];
    let mut places: FxHashMap<(StackId, u32), u32> = FxHashMap::default();
    for (row, origin) in heap.rows().iter().zip(&mut origins) {
        let stack = naming.stack(row.node);
        let Some(thread) = census.threads.get(row.thread as usize) else { continue };
        let Some(process) = census.images.get(thread.image as usize).and_then(|image| image.process) else {
            continue;
        };
        let (peak, process_peak) = row.at_peaks(heap);
        let leaked = row.leaked.blocks > 0;
        let (first_ns, last_ns) = if leaked { (row.leaked_first, row.leaked_last) } else { (row.first, row.last) };
        let row = Row {
            stack,
            process,
            thread: row.thread,
            metrics: Metrics {
                allocations: row.allocated.blocks,
                allocated_bytes: row.allocated.bytes,
                leaked_blocks: row.leaked.blocks,
                leaked_bytes: row.leaked.bytes,
                peak_blocks: peak.blocks,
                peak_bytes: peak.bytes,
                process_peak_blocks: process_peak.blocks,
                process_peak_bytes: process_peak.bytes,
                temporary_allocations: row.temporary.blocks,
                temporary_bytes: row.temporary.bytes,
            },
            largest_bytes: row.largest,
            first_ns,
            last_ns,
        };
        match places.entry((stack, row.thread)) {
            Entry::Vacant(place) => {
                *origin = Some(*place.insert(rows.len() as u32));
                rows.push(row);
            }
            Entry::Occupied(place) => {
                *origin = Some(*place.get());
                if let Some(same) = rows.get_mut(*place.get() as usize) {
                    join(same, &row);
                }
            }
        }
    }
    (rows, origins)
}

/// Regions, with rows of the profile.
fn regions(heap: &Heap, census: &Census, (rows, origins): (&[Row], &[Option<u32>])) -> Vec<Region> {
    let region = |region: &crate::replay::regions::Region| {
        let process = census.images.get(region.image as usize)?.process?;
        let mut shares: BTreeMap<u32, (Metrics, u64)> = BTreeMap::new();
        for (row, share) in &region.rows {
            let Some(row) = origins.get(*row as usize).copied().flatten() else { continue };
            let metrics = Metrics {
                allocations: share.allocated.blocks,
                allocated_bytes: share.allocated.bytes,
                leaked_blocks: share.left.blocks,
                leaked_bytes: share.left.bytes,
                peak_blocks: share.peak.blocks,
                peak_bytes: share.peak.bytes,
                process_peak_blocks: share.peak.blocks,
                process_peak_bytes: share.peak.bytes,
                temporary_allocations: share.temporary.blocks,
                temporary_bytes: share.temporary.bytes,
            };
            let (sum, largest) = shares.entry(row).or_default();
            add(sum, &metrics);
            *largest = share.largest.max(*largest);
        }
        let rows = shares.into_iter().filter_map(|(row, (metrics, largest_bytes))| {
            let row = rows.get(row as usize)?;
            Some(Row { metrics, largest_bytes, ..row.clone() })
        });
        Some(Region {
            name: text(&region.name),
            limits: text(&region.limits),
            process,
            entered: region.entered,
            begin_ns: region.begin,
            end_ns: region.end,
            rows: rows.collect(),
        })
    };
    let mut regions: Vec<Region> = heap.regions.regions.iter().filter_map(region).collect();
    regions.sort_by_key(|region| region.process);
    regions
}

/// Adds a row of the same stack and thread. Times are those of leaked blocks, if either has any.
pub(super) fn join(row: &mut Row, other: &Row) {
    match (row.metrics.leaked_blocks > 0, other.metrics.leaked_blocks > 0) {
        (true, false) => {}
        (false, true) => (row.first_ns, row.last_ns) = (other.first_ns, other.last_ns),
        _ => {
            row.first_ns = row.first_ns.min(other.first_ns);
            row.last_ns = row.last_ns.max(other.last_ns);
        }
    }
    row.largest_bytes = row.largest_bytes.max(other.largest_bytes);
    add(&mut row.metrics, &other.metrics);
}

fn process(index: u32, image_id: u32, census: &Census, heap: &Heap, facts: &Facts) -> Option<Process> {
    let image = census.images.get(image_id as usize)?;
    let sums = heap.image(image_id)?;
    let (exe, command) = program(census.program_of(image_id)?, facts);
    let session_pid = facts.session.as_ref().filter(|_| image.number == 1).map_or(0, |session| session.pid);
    Some(Process {
        index,
        pid: image.about.as_ref().map_or(session_pid, |about| about.pid),
        parent: census.parent_process(image_id).map(|parent| parent + 1),
        exe: text(exe),
        command: command.iter().map(|argument| text(argument)).collect(),
        start_ns: if image.start == u64::MAX { 0 } else { image.start },
        end_ns: image.end,
        totals: Totals {
            frees: sums.frees,
            reallocations: sums.reallocations,
            inherited_frees: sums.inherited_frees,
            unmatched_frees: sums.unmatched_frees,
            lost_events: image.lost_events,
            peak_at_ns: sums.scope.peak_at,
            peak_error_bytes: peak_error(image.overlap),
            ..Totals::default()
        },
    })
}

/// Executable and command line; the first program's from the session's description where its own record is missing.
fn program<'c>(image: &'c Image, facts: &'c Facts) -> (&'c [u8], &'c [Vec<u8>]) {
    let session = facts.session.as_ref().filter(|_| image.number == 1);
    match (&image.about, session) {
        (Some(about), _) => (&about.exe, &about.arguments),
        (None, Some(session)) => (&session.exe, &session.command),
        (None, None) => (&[], &[]),
    }
}

fn thread(index: u32, thread: &crate::replay::census::Thread, census: &Census, facts: &Facts) -> Thread {
    let image = census.images.get(thread.image as usize);
    let sampled = image.and_then(|image| facts.thread_names.get(&(image.number, thread.tid)));
    let process = image.and_then(|image| image.process).map_or(0, |process| process + 1);
    let name = text(census.thread_name(thread, sampled.map(Vec::as_slice)));
    Thread { index, tid: thread.tid, name, process, metrics: Metrics::default() }
}

fn session(facts: &Facts, start_unix_ns: u64) -> crate::capture::meta::Session {
    facts.session.clone().unwrap_or_else(|| crate::capture::meta::Session { start_unix_ns, ..Default::default() })
}

fn modules(census: &Census, interpreters: &FxHashSet<u32>) -> Vec<Module> {
    let module = |(m, index): (&ModuleName, u32)| Module {
        path: text(&m.path),
        build_id: m.build_id.clone(),
        interpreter: interpreters.contains(&index),
    };
    census.modules.iter().zip(0..).map(module).collect()
}

/// Distinct frames without a name, in each process and in all.
fn unresolved(naming: &Naming, locations: &[Location], census: &Census) -> (Vec<u64>, u64) {
    let nameless = |frame: &Frame| frame.function.is_none() && frame.kind != FrameKind::Marker;
    let mut counts = vec![0; census.processes.len()];
    let mut seen = FxHashSet::default();
    for (place, location) in locations.iter().enumerate() {
        let Location::Code { image, .. } = *location else { continue };
        let Some(process) = census.images.get(image as usize).and_then(|image| image.process) else {
            continue;
        };
        for (id, frame) in naming.frames_at(place) {
            if nameless(frame)
                && seen.insert((process, id))
                && let Some(count) = counts.get_mut(process as usize)
            {
                *count += 1;
            }
        }
    }
    let distinct: FxHashSet<_> = seen.iter().map(|(_, frame)| frame).collect();
    (counts, distinct.len() as u64)
}

fn symbol_notes(notes: Vec<(u32, String)>, frames: &[Frame]) -> Vec<String> {
    let mut nameless: FxHashMap<u32, u64> = FxHashMap::default();
    for module in frames.iter().filter(|frame| frame.function.is_none()).filter_map(|frame| frame.module) {
        *nameless.entry(module).or_default() += 1;
    }
    let mut notes: Vec<_> = notes
        .into_iter()
        .map(|(module, note)| (std::cmp::Reverse(nameless.get(&module).copied().unwrap_or(0)), note))
        .collect();
    notes.sort_unstable();
    notes.into_iter().map(|(_, note)| note).collect()
}

fn time_points(dense: timeline::Dense, census: &Census, end: u64) -> Timeline {
    let point = |point: &timeline::Point| TimePoint {
        time_ns: (point.number + 1).saturating_mul(dense.width).min(end),
        live_max_bytes: point.high,
        live_bytes: point.live,
        allocations: point.allocated.blocks,
        allocated_bytes: point.allocated.bytes,
    };
    let points = dense.points.iter().map(point).collect();
    let mut images = dense.images;
    let live = |image: &u32| images.get_mut(*image as usize).map(std::mem::take).unwrap_or_default();
    Timeline { points, process_live: census.processes.iter().map(live).collect(), rss: Vec::new() }
}

fn sizes(heap: &Heap) -> Vec<SizeClass> {
    let last = heap.sizes.iter().rposition(|class| class.blocks > 0);
    let from = |class: usize| if class == 0 { 0 } else { 1 << (class - 1) };
    let class = |(class, amount): (usize, &crate::replay::heap::Amount)| SizeClass {
        from: from(class),
        allocations: amount.blocks,
        bytes: amount.bytes,
    };
    heap.sizes.iter().enumerate().take(last.map_or(0, |last| last + 1)).map(class).collect()
}

fn untracked(recorded: &[(u32, u8, Vec<u8>)], facts: &Facts) -> Vec<Untracked> {
    let reason = |number: u8| match UntrackedReason::from_number(number) {
        Some(reason) => reason.text().to_owned(),
        None => format!("reason {number} of a later memtrack"),
    };
    let met =
        recorded.iter().map(|(pid, number, path)| Untracked { pid: *pid, exe: text(path), reason: reason(*number) });
    let never = facts.untracked.iter().map(|(pid, exe, reason)| Untracked {
        pid: *pid,
        exe: text(exe),
        reason: reason.clone(),
    });
    never.chain(met).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
