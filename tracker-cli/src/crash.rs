//! What memtrack says when it fails itself: a short note with a stack of its own.

use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};

use backtrace::Backtrace;

/// Frames of the note; the rest is the runtime's start-up.
const FRAMES: usize = 24;

/// Replaces the standard panic message by the note.
pub(crate) fn install() {
    panic::set_hook(Box::new(|panic| {
        // The last thing that could be done about an error here is to panic.
        let _ = io::stderr().write_all(note(panic).as_bytes());
    }));
}

fn note(panic: &PanicHookInfo<'_>) -> String {
    let mut note = format!(
        "memtrack: internal error, a bug in memtrack {}: {}\n",
        env!("CARGO_PKG_VERSION"),
        panic.payload_as_str().unwrap_or("unknown")
    );
    if let Some(location) = panic.location() {
        note += &format!("  at {location}\n");
    }
    for line in own_frames().iter().take(FRAMES) {
        note += &format!("    {line}\n");
    }
    note + "Captures are never changed by reading them. Please report these lines and the command.\n"
}

/// The frames between the panic and `main`, innermost first.
fn own_frames() -> Vec<String> {
    let mut lines = Vec::new();
    for frame in Backtrace::new().frames() {
        for symbol in frame.symbols() {
            let Some(name) = symbol.name().map(|name| format!("{name:#}")) else { continue };
            let machinery = ["backtrace::", "std::", "core::", "<alloc::", "__rust", "rust_", "memtrack::crash"];
            if machinery.iter().any(|start| name.starts_with(start)) {
                continue;
            }
            let place = match (symbol.filename(), symbol.lineno()) {
                (Some(file), Some(line)) => format!("  {}:{line}", file.display()),
                _ => String::new(),
            };
            lines.push(format!("{name}{place}"));
        }
    }
    lines
}
