//! Frames as text: a name and where it is.

use tracker_core::report::name::base_name;
use tracker_core::report::profile::{Frame, FrameKind, Profile, Stack};

use super::clean::clean;
use super::look::{Look, columns};
use super::units::{count, counted};

/// Columns that names are padded to before their place, if the line has them.
const NAME_COLUMN: usize = 44;
/// Columns that are left of a long name before its place is.
const NAME_LEAST: usize = 32;
/// Frames at the outer end that a shortened stack keeps.
const OUTERMOST: usize = 3;

/// The frame's name, ready to print.
pub(crate) fn name(profile: &Profile, frame: &Frame) -> String {
    clean(&profile.frame_name(frame)).into_owned()
}

/// As [`place`], without the line when the frames of a function differ.
pub(crate) fn function_place(profile: &Profile, frame: &Frame, mixed: bool) -> String {
    match (&frame.file, mixed) {
        (Some(file), true) => clean(short_path(file)).into_owned(),
        _ => place(profile, frame),
    }
}

/// `file:line` with the last two parts of the file's path, or the module's file name; empty when nothing is known or
/// the name says it already.
pub(crate) fn place(profile: &Profile, frame: &Frame) -> String {
    match (&frame.file, frame.line, profile.module_path(frame)) {
        (Some(file), Some(line), _) => format!("{}:{line}", clean(short_path(file))),
        (Some(file), None, _) => clean(short_path(file)).into_owned(),
        (None, _, Some(module)) if frame.function.is_some() => clean(base_name(module)).into_owned(),
        _ => String::new(),
    }
}

fn short_path(path: &str) -> &str {
    let mut slashes = path.rmatch_indices('/').map(|(at, _)| at);
    match (slashes.next(), slashes.next()) {
        (Some(_), Some(second)) => path.get(second + 1..).unwrap_or(path),
        _ => path,
    }
}

/// `name` and `place` in `room` columns, the name first and padded. Where both do not fit, the place loses its folder
/// first; then the name its middle, unless that leaves too little of it: then the place goes.
pub(crate) fn name_and_place(look: &Look, name: &str, place: &str, room: usize) -> String {
    let len = columns(name);
    let for_name = |place: &str| room.saturating_sub(columns(place) + 2);
    let short = base_name(place);
    let place = match place {
        "" => "",
        _ if len <= for_name(place) => place,
        _ if len <= for_name(short) || for_name(short) >= NAME_LEAST => short,
        _ => "",
    };
    if place.is_empty() {
        return look.fit(name, room);
    }
    let name = look.fit(name, for_name(place));
    let padding = " ".repeat(NAME_COLUMN.min(for_name(place)).saturating_sub(columns(&name)));
    format!("{name}{padding}  {}", look.dim(place))
}

/// One line per frame, innermost first, the blamed one marked. Frames that repeat are one line; a stack deeper than
/// `depth` lines loses its middle.
pub(crate) fn frames(look: &Look, profile: &Profile, stack: &Stack, depth: usize) -> String {
    let blamed = profile.blamed(stack);
    let mut lines: Vec<(String, u64)> = Vec::new();
    let mut last = None;
    for &id in &stack.frames {
        let Some(frame) = profile.frame(id) else { continue };
        match lines.last_mut().filter(|_| last == Some(id)) {
            Some((_, times)) => *times += 1,
            None => {
                let is_blamed = blamed.is_some_and(|blamed| std::ptr::eq(blamed, frame));
                lines.push((line(look, profile, frame, is_blamed), 1));
            }
        }
        last = Some(id);
    }
    let depth = depth.max(OUTERMOST + 1);
    // One frame takes no more room than the words about it.
    let hidden = lines.len().saturating_sub(depth);
    let hidden = if hidden > 1 { hidden } else { 0 };
    let inner = depth - OUTERMOST;
    let mut text = String::new();
    for (at, (line, times)) in lines.iter().enumerate() {
        if hidden > 0 && at == inner {
            text += &look.dim(&format!("      {} {}\n", look.ellipsis(), counted(hidden as u64, "more frame")));
        }
        if hidden > 0 && (inner..inner + hidden).contains(&at) {
            continue;
        }
        text += line;
        if *times > 1 {
            text += &look.dim(&format!("  {} times", count(*times)));
        }
        text.push('\n');
    }
    text
}

fn line(look: &Look, profile: &Profile, frame: &Frame, blamed: bool) -> String {
    let mark = if blamed { "    > " } else { "      " };
    let mut name = name(profile, frame);
    match frame.kind {
        FrameKind::Inlined => name.push_str(" (inlined)"),
        FrameKind::Jit => name.push_str(" (jit)"),
        FrameKind::Native | FrameKind::Python | FrameKind::Marker => {}
    }
    let place = place(profile, frame);
    format!("{mark}{}", name_and_place(look, &name, &place, look.width.saturating_sub(mark.len())))
}
