//! Frames as text: a name and where it is.

use tracker_core::report::name::base_name;
use tracker_core::report::profile::{Frame, FrameId, FrameKind, Profile, Stack};

use super::clean::clean;
use super::look::{Look, columns};
use super::units::{count, counted};

/// Columns that names are padded to before their place, if the line has them.
const NAME_COLUMN: usize = 44;
/// Columns that are left of a long name before its place is.
const NAME_LEAST: usize = 32;
/// Frames at the outer end that a shortened stack keeps.
const OUTERMOST: usize = 3;
/// Frames that it keeps from the blamed one on.
const NEAR: usize = 3;

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

/// One line per frame, innermost first, the blamed one marked. Frames that repeat are one line. A stack deeper than
/// `depth` lines keeps its ends and the lines around the blamed frame.
pub(crate) fn frames(look: &Look, profile: &Profile, stack: &Stack, depth: usize) -> String {
    let mut runs: Vec<(FrameId, u64)> = Vec::new();
    for &id in &stack.frames {
        match runs.last_mut().filter(|(last, _)| *last == id) {
            Some((_, times)) => *times += 1,
            None => runs.push((id, 1)),
        }
    }
    let blamed = profile.blamed(stack);
    let is_blamed = |&(id, _): &(FrameId, u64)| blamed.is_some_and(|frame| profile.frame(id) == Some(frame));
    let blamed = runs.iter().position(is_blamed);

    let depth = depth.max(OUTERMOST + 1);
    let (inner, outer) = (depth - OUTERMOST, runs.len().saturating_sub(OUTERMOST));
    let near = blamed.map_or(0..0, |at| at..at + NEAR);
    let shown = |at: usize| runs.len() <= depth || at < inner || at >= outer || near.contains(&at);

    let mut text = String::new();
    let mut hidden = 0;
    for (at, (id, times)) in runs.iter().enumerate() {
        // One frame takes no more room than the words about it.
        if !shown(at) && (hidden > 0 || !shown(at + 1)) {
            hidden += 1;
            continue;
        }
        if hidden > 0 {
            text += &look.dim(&format!("      {} {}\n", look.ellipsis(), counted(hidden, "more frame")));
            hidden = 0;
        }
        let Some(frame) = profile.frame(*id) else { continue };
        text += &line(look, profile, frame, blamed == Some(at));
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
        FrameKind::Native | FrameKind::Python | FrameKind::Task | FrameKind::Marker => {}
    }
    let place = place(profile, frame);
    format!("{mark}{}", name_and_place(look, &name, &place, look.width.saturating_sub(mark.len())))
}

#[cfg(test)]
mod tests {
    use tracker_core::report::sketch::{Numbers, Sketch};

    use super::*;

    /// Names and marks of the lines of a stack.
    #[track_caller]
    fn check(stack: &str, depth: usize, expected: &str) {
        let look = Look { width: 80, color: false, unicode: false };
        let profile = Sketch::new("./app").row(stack, Numbers::default()).build();
        let text = frames(&look, &profile, &profile.stacks[0], depth);
        let text = text.replace(" app\n", "\n").replace(" app  ", "  ").replace('\n', "; ");
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" ;", ";"), expected);
    }

    #[test]
    fn deep_stacks_keep_what_matters() {
        check("malloc: a b main", 9, "> a; b; main;");
        check("malloc: a b c d e f main", 4, "> a; b; c; d; e; f; main;");
        check("malloc: a b c d e f g main", 4, "> a; b; c; ... 2 more frames; f; g; main;");
        check("malloc: a a a b b main", 9, "> a 3 times; b 2 times; main;");
        let blamed = "malloc: ~std::a ~std::b ~std::c ~std::d parse b c d e f g h main";
        check(
            blamed,
            5,
            "std::a (inlined); std::b (inlined); ... 2 more frames; > parse; b; c; ... 3 more frames; g; h; main;",
        );
        check("malloc: f g f g main", 9, "> f; g; f; g; main;");
    }

    #[test]
    fn long_names_leave_room_for_their_place() {
        let look = Look { width: 80, color: false, unicode: true };
        let line = |name: &str, place: &str| name_and_place(&look, name, place, 50);
        assert_eq!(line("parse", "src/parse.c:12"), format!("parse{}src/parse.c:12", " ".repeat(31)));
        let long = "a_function_with_a_rather_long_name";
        assert_eq!(line(long, "src/parse.c:12"), format!("{long}  src/parse.c:12"));
        assert_eq!(line(long, "some/folder/parse.c:12"), format!("{long}      parse.c:12"));
        assert_eq!(line(long, "a_file_with_a_long_name.c:12"), long);
    }
}
