//! Blamed functions as a short list.

use tracker_core::report::metric::Unit;
use tracker_core::report::name::UNKNOWN;
use tracker_core::report::places::Place;
use tracker_core::report::profile::Profile;

use super::look::{Look, columns};
use super::stack::{function_place, name, name_and_place};
use super::units::{bytes, count, percent};

/// The number in its unit.
pub(crate) fn value(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Bytes => bytes(value),
        Unit::Count => count(value),
    }
}

/// One line per place: value, share of `total`, function and file; then what is left of `total`.
pub(crate) fn text(
    look: &Look,
    profile: &Profile,
    unit: Unit,
    total: u64,
    (top, more): &(Vec<(u64, Place<'_>)>, usize),
) -> String {
    let shown = top.iter().fold(0u64, |sum, (value, _)| sum.saturating_add(*value));
    let rest = total.saturating_sub(shown);
    let width = top.iter().map(|(n, _)| columns(&value(unit, *n))).max().unwrap_or(0).max(9);
    let line =
        |number: u64, what: &str| format!("  {:>width$}  {:>6}  {what}\n", value(unit, number), percent(number, total));
    let room = look.width.saturating_sub(width + 12);
    let mut text = String::new();
    for (number, found) in top {
        let what = match found.frame {
            Some(frame) => {
                let place = function_place(profile, frame, found.mixed);
                name_and_place(look, &name(profile, frame), &place, room)
            }
            None => UNKNOWN.to_owned(),
        };
        text += &line(*number, &what);
    }
    if *more > 0 {
        text += &look.dim(&line(rest, &format!("{more} more")));
    }
    text
}
