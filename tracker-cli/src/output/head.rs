//! The lines above every report: what was recorded and how it ended.

use tracker_core::capture::meta::ExitStatus;
use tracker_core::report::filter::Selection;
use tracker_core::report::profile::{Profile, State};
use tracker_core::report::span::Span;

use super::clean::{clean, command_line};
use super::look::Look;
use super::units::{count, counted, duration};

/// The command line and how its run went, two lines; one more for a selected process, a region and a part of the time.
pub(crate) fn text(look: &Look, selection: &Selection<'_>) -> String {
    let profile = selection.profile();
    let command: Vec<_> = profile.session.command.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let command = if command.is_empty() { "unknown command".into() } else { command_line(&command) };
    let mut text = look.bold(&look.fit(&command, look.width)) + "\n";
    text += &status(look, profile);
    text.push('\n');
    if let Some(process) = selection.process() {
        let exe = clean(&process.exe);
        let line = format!("only process {} (pid {}, {exe}), at its own peak", process.index, process.pid);
        text += &look.fit(&line, look.width);
        text.push('\n');
    }
    if let Some(region) = selection.region() {
        let times = if region.entered == 1 { "once".to_owned() } else { format!("{} times", count(region.entered)) };
        let line = format!("only region {} (entered {times}), at its own peak", clean(&region.name));
        text += &look.fit(&line, look.width);
        text.push('\n');
    }
    if let Some(span) = &profile.span {
        text += &format!("only {}\n", span_text(span));
    }
    text
}

/// A part of the time, in words.
pub(crate) fn span_text(span: &Span) -> String {
    let (from, to) = (duration(span.from_ns), duration(span.to_ns));
    match (span.moment, span.peak) {
        (true, true) => format!("the moment of the peak, {to} after the start"),
        (true, false) => format!("the moment {to} after the start"),
        (false, _) => format!("from {from} to {to} after the start"),
    }
}

fn status(look: &Look, profile: &Profile) -> String {
    let mut parts = vec![match profile.state {
        State::Complete => format!("ran {}", duration(profile.duration_ns)),
        State::Running => format!("still running, as of {}", duration(profile.duration_ns)),
        State::Cut => format!("cut after {}", duration(profile.duration_ns)),
    }];
    parts.extend(profile.exit.map(exit));
    parts.push(counted(profile.processes.len() as u64, "process"));
    parts.push(counted(profile.threads.len() as u64, "thread"));
    if profile.redacted {
        parts.push("redacted".to_owned());
    }
    parts.join(look.dot())
}

/// How the program ended, in words.
pub(crate) fn exit(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("exit code {code}"),
        ExitStatus::Signal(signal) => match signal_name(signal) {
            Some(name) => format!("killed by {name}"),
            None => format!("killed by signal {signal}"),
        },
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 15] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
    ];
    NAMES.iter().find(|(number, _)| *number == signal).map(|&(_, name)| name)
}
