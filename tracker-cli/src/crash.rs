//! What memtrack says when it fails itself: a short note with a stack of its own.

use std::io::{self, Write as _};
use std::panic;

use backtrace::Backtrace;

/// Frames of the note; the rest is the runtime's start-up.
const FRAMES: usize = 24;

/// Replaces the standard panic message by the note.
pub(crate) fn install() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let note = note(panic.payload_as_str().unwrap_or("unknown"), place.as_deref());
        // The last thing that could be done about an error here is to panic.
        let _ = io::stderr().write_all(note.as_bytes());
    }));
}

fn note(message: &str, place: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut note = format!("memtrack: internal error, a bug in memtrack {version}: {message}\n");
    if let Some(place) = place {
        note += &format!("  at {place}\n");
    }
    for line in own_frames().iter().take(FRAMES) {
        note += &format!("    {line}\n");
    }
    note + "Captures are never changed by reading them. Please report these lines and the command.\n"
}

/// The frames between the panic and `main`, innermost first; those of the standard library, which says where it was built,
/// and of this file are left out.
fn own_frames() -> Vec<String> {
    let mut lines = Vec::new();
    for frame in Backtrace::new().frames() {
        for symbol in frame.symbols() {
            let (Some(name), Some(file)) = (symbol.name(), symbol.filename()) else { continue };
            let (name, file) = (format!("{name:#}"), file.to_string_lossy());
            if file.starts_with("/rustc/") || name.starts_with("backtrace::") || name.starts_with("memtrack::crash") {
                continue;
            }
            let line = symbol.lineno().map_or(String::new(), |line| format!(":{line}"));
            lines.push(format!("{name}  {file}{line}"));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_and_where() {
        let note = note("index out of bounds", Some("src/x.rs:1:2"));
        let lines: Vec<_> = note.lines().collect();
        assert!(lines[0].ends_with(": index out of bounds"), "{note}");
        assert_eq!(lines[1], "  at src/x.rs:1:2");
        assert!(lines.len() <= FRAMES + 3, "{note}");
        assert!(!note.contains("backtrace::"), "the machinery is left out: {note}");
    }
}
