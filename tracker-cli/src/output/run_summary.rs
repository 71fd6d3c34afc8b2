//! The last words of `memtrack run`.

use std::path::Path;

use tracker_core::report::filter::Selection;
use tracker_core::report::profile::Profile;
use tracker_core::report::rows::{Kind, Limits, Report};
use tracker_core::report::sums::Sums;
use tracker_core::report::suppress::Applied;

use super::clean::{clean, quote};
use super::leaked::{KEPT, part};
use super::trust;
use super::units::{after_the_start, bytes, count, counted, percent};

/// Remarks shown; `summary` shows more.
const REMARKS: usize = 2;

/// Lines: peak, leaked, allocations, lost events, remarks, and the command to go on with.
pub(crate) fn run_summary(profile: &Profile, path: &Path) -> String {
    let selection = Selection::whole(profile);
    let sums = Sums::of(&selection);
    let none = Limits { count: Some(0), ..Limits::default() };
    let leaks = Report::new(selection, Kind::Leaks, &none, &Applied::builtin(profile));
    let (total, kept) = (leaks.total(), leaks.suppressed_sum());
    let leaked = match (total.blocks, part(&total, &kept, KEPT)) {
        (0, _) => "nothing".to_owned(),
        (blocks, None) => {
            let stacks = counted(total.stacks, "stack");
            format!("{} in {} from {stacks}", bytes(total.bytes), counted(blocks, "block"))
        }
        (blocks, Some(part)) => format!("{} in {}, {part}", bytes(total.bytes), counted(blocks, "block")),
    };
    // An interpreter leaves much behind when it ends, whatever it runs.
    let interprets = profile.modules.iter().any(|module| module.interpreter);
    let kind = if leaks.sum.blocks > 0 && !interprets { "--leaks" } else { "--peak" };
    let peak =
        bytes(sums.peak_bytes) + " in " + &counted(sums.peak_blocks, "block") + &after_the_start(sums.peak_at_ns);
    let allocations = format!(
        "{} of {}, {} temporary",
        count(sums.allocations),
        bytes(sums.allocated_bytes),
        percent(sums.temporary_allocations, sums.allocations)
    );
    let lines = [
        ("peak", peak),
        ("leaked", leaked),
        ("allocations", allocations),
        ("lost events", trust::lost(profile, &sums)),
    ];
    let remarks = profile.warnings.iter().take(REMARKS).map(|remark| line("remark", &clean(remark)));
    let mut text: String = lines.iter().map(|(name, value)| line(name, value)).chain(remarks).collect();
    text += &next(&format!("report {kind}"), path);
    text
}

/// The command to go on with.
pub(crate) fn next(command: &str, path: &Path) -> String {
    line("next", &format!("memtrack {command} {}", quote(&path.to_string_lossy())))
}

fn line(name: &str, value: &str) -> String {
    format!("memtrack: {name:<12} {value}\n")
}
