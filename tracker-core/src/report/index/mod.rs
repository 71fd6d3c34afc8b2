//! A profile as the sections of an index, and back. What comes back is equal to what went in, or nothing.
//!
//! Sections: 0 what describes the capture and its small tables, 1 frames, 2 stacks, 3 rows and regions, 4 time, 5 slices, 6 and
//! following the checkpoints of the replay. Times are nanoseconds since the start. No IO here.

mod stacks;
mod tables;

use super::profile::{Profile, Timeline};
use super::slices::Slices;
use crate::capture::columns::{Field, Input, put_table, take_table};
use crate::replay::checkpoint::{Checkpoints, Resume};

/// Number of the section that holds the slices, which few questions need.
pub(super) const SLICES: usize = 5;
/// How many sections a profile has. Behind them are those of the checkpoints.
const SECTIONS: usize = 6;

/// The sections of a profile whose blocks were temporary up to this distance.
pub(super) fn encode(profile: &Profile, temporary_distance: u64) -> Vec<Vec<u8>> {
    // All fields are named, so that a new one cannot be forgotten.
    let Profile {
        state,
        session,
        duration_ns,
        exit,
        totals,
        processes,
        threads,
        modules,
        frames,
        stacks,
        rows,
        timeline,
        slices,
        regions,
        span: _,
        sizes,
        untracked,
        warnings,
        redacted,
        symbol_notes,
        pymalloc,
    } = profile;
    let mut sections = vec![Vec::new(); SECTIONS];
    if let [tables, of_frames, of_stacks, of_rows, of_time, of_slices] = sections.as_mut_slice() {
        temporary_distance.put(tables);
        state.put(tables);
        session.put(tables);
        duration_ns.put(tables);
        exit.put(tables);
        totals.put(tables);
        processes.put(tables);
        threads.put(tables);
        modules.put(tables);
        sizes.put(tables);
        untracked.put(tables);
        warnings.put(tables);
        redacted.put(tables);
        symbol_notes.put(tables);
        pymalloc.put(tables);
        put_table(frames, of_frames);
        stacks::put(stacks, of_stacks);
        put_table(rows, of_rows);
        regions.put(of_rows);
        let Timeline { points, process_live, rss } = timeline;
        put_table(points, of_time);
        process_live.put(of_time);
        put_table(rss, of_time);
        put_slices(slices, of_slices);
    }
    sections
}

fn put_slices(slices: &Slices, out: &mut Vec<u8>) {
    slices.bounds.put(out);
    slices.origins.put(out);
    put_table(&slices.changes, out);
}

/// The last checkpoint before `time` of a replay of so many bytes with this distance; `None` where there is none that can be
/// used.
pub(super) fn resume(
    temporary_distance: u64,
    (time, covers): (u64, u64),
    mut section: impl FnMut(usize) -> Option<Vec<u8>>,
) -> Option<Resume> {
    let distance = u64::take(&mut Input(&section(0)?))?;
    if distance == temporary_distance {
        Resume::before(time, covers, |number| section(SECTIONS + number))
    } else {
        None
    }
}

/// The checkpoints that are there.
pub(super) fn checkpoints(mut section: impl FnMut(usize) -> Option<Vec<u8>>) -> Option<Checkpoints> {
    let sections =
        (SECTIONS..).map(&mut section).take_while(|bytes| bytes.as_ref().is_none_or(|bytes| !bytes.is_empty()));
    sections.collect::<Option<Vec<_>>>().map(Checkpoints)
}

/// Reads the sections that `encode` wrote with the same distance. `sections` answers a section's bytes; what it leaves
/// out (an empty section 5) is left out of the profile.
pub(super) fn decode(temporary_distance: u64, mut section: impl FnMut(usize) -> Option<Vec<u8>>) -> Option<Profile> {
    let bytes = section(0)?;
    let mut tables = Input(&bytes);
    if u64::take(&mut tables)? != temporary_distance {
        return None;
    }
    let mut profile = Profile {
        state: Field::take(&mut tables)?,
        session: Field::take(&mut tables)?,
        duration_ns: Field::take(&mut tables)?,
        exit: Field::take(&mut tables)?,
        totals: Field::take(&mut tables)?,
        processes: Field::take(&mut tables)?,
        threads: Field::take(&mut tables)?,
        modules: Field::take(&mut tables)?,
        frames: Vec::new(),
        stacks: Vec::new(),
        rows: Vec::new(),
        timeline: Timeline::default(),
        slices: Slices::default(),
        regions: Vec::new(),
        span: None,
        sizes: Field::take(&mut tables)?,
        untracked: Field::take(&mut tables)?,
        warnings: Field::take(&mut tables)?,
        redacted: Field::take(&mut tables)?,
        symbol_notes: Field::take(&mut tables)?,
        pymalloc: Field::take(&mut tables)?,
    };
    let mut whole = tables.is_empty();
    let mut read = |number: usize, take: &mut dyn FnMut(&mut Input<'_>) -> Option<()>| {
        let bytes = section(number)?;
        let mut input = Input(&bytes);
        take(&mut input)?;
        whole &= input.is_empty();
        Some(())
    };
    read(1, &mut |input| take_table(input).map(|frames| profile.frames = frames))?;
    read(2, &mut |input| stacks::take(input).map(|stacks| profile.stacks = stacks))?;
    read(3, &mut |input| {
        profile.rows = take_table(input)?;
        profile.regions = Field::take(input)?;
        Some(())
    })?;
    read(4, &mut |input| {
        let (points, process_live) = (take_table(input)?, Field::take(input)?);
        profile.timeline = Timeline { points, process_live, rss: take_table(input)? };
        Some(())
    })?;
    read(SLICES, &mut |input| {
        if !input.is_empty() {
            let (bounds, origins) = (Field::take(input)?, Field::take(input)?);
            profile.slices = Slices { bounds, origins, changes: take_table(input)? };
        }
        Some(())
    })?;
    (whole && is_sound(&profile)).then_some(profile)
}

/// Whether whatever refers to an entry of a table refers to one that is there.
fn is_sound(profile: &Profile) -> bool {
    let Profile { frames, stacks, rows, regions, modules, processes, threads, timeline, slices, .. } = profile;
    let module = |module: Option<u32>| module.is_none_or(|module| (module as usize) < modules.len());
    frames.iter().all(|frame| module(frame.module))
        && stacks.iter().flat_map(|stack| &stack.frames).all(|frame| (frame.0 as usize) < frames.len())
        && regions.iter().all(|region| (region.process as usize) < processes.len())
        && rows.iter().chain(regions.iter().flat_map(|region| &region.rows)).all(|row| {
            (row.stack.0 as usize) < stacks.len()
                && (row.process as usize) < processes.len()
                && (row.thread as usize) < threads.len()
        })
        && timeline.process_live.len() == processes.len()
        && timeline.process_live.iter().all(|live| live.len() == timeline.points.len())
        && slices.bounds.is_sorted()
        && slices.changes.iter().all(|change| (change.row as usize) < rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::profile::Region;
    use crate::report::sketch::{Numbers, Sketch};

    fn profile() -> Profile {
        let numbers = Numbers { allocated: (1000, 70_000), leaked: (3, 300), seen: (5, 1 << 40), ..Numbers::default() };
        Sketch::new("./app --flag")
            .row("malloc: ~get@src/get.rs:12 read@src/read.rs:7 main", numbers)
            .row("realloc: read@src/read.rs:9 main", Numbers::default())
            .row("malloc: ?!/opt/libx.so main", numbers)
            .row("malloc:", numbers)
            .process("/bin/cat", vec!["cat".into(), "ü".into()])
            .thread("worker")
            .row("malloc: ~get@src/get.rs:12 read@src/read.rs:7 main", numbers)
            .size(16, 4, 70)
            .with(|profile| {
                profile.timeline.process_live = vec![Vec::new(); 2];
                let rows = profile.rows[1..3].to_vec();
                let (name, limits) = ("decode".into(), "peak=1MiB".into());
                profile.regions = vec![Region { name, limits, entered: 3, begin_ns: 5, end_ns: 9, rows, process: 1 }];
            })
            .build()
    }

    fn decoded(sections: &[Vec<u8>]) -> Option<Profile> {
        decode(1, |number| sections.get(number).cloned())
    }

    #[test]
    fn profiles_come_back() {
        let sections = encode(&profile(), 1);
        assert_eq!(decoded(&sections), Some(profile()));
        assert_eq!(decode(2, |number| sections.get(number).cloned()), None, "another distance is another profile");
    }

    #[test]
    fn any_change_gives_a_sound_profile_or_none() {
        let sections = encode(&profile(), 1);
        for section in 0..SECTIONS {
            for at in 0..sections[section].len() {
                for bit in 0..8 {
                    let mut changed = sections.clone();
                    changed[section][at] ^= 1 << bit;
                    assert!(decoded(&changed).is_none_or(|profile| is_sound(&profile)));
                }
                let mut cut = sections.clone();
                cut[section].truncate(at);
                assert!(section == SLICES && at == 0 || decoded(&cut).is_none(), "section {section} cut at {at}");
            }
        }
    }
}
