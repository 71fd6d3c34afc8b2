//! speedscope's own format: one profile per metric, and the chosen metric of each thread.

use std::io;

use super::stacks::by_stack;
use super::{Exporter, Request};
use crate::report::escaping;
use crate::report::metric::{Metric, Unit};
use crate::report::name::UNKNOWN;
use crate::report::profile::{Frame, FrameId, Profile, Row};

#[derive(Debug)]
pub(super) struct Speedscope;

impl Exporter for Speedscope {
    fn name(&self) -> &'static str {
        "speedscope"
    }

    fn about(&self) -> &'static str {
        "for speedscope: every metric, and the chosen one by thread"
    }

    fn export(&self, request: Request<'_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let profile = request.selection.profile();
        let command = profile.session.words();
        out.write_all(b"{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"exporter\":")?;
        text(out, &format!("memtrack {}", env!("CARGO_PKG_VERSION")))?;
        out.write_all(b",\"name\":")?;
        text(out, &command.join(" "))?;
        let active = Metric::ALL.iter().position(|metric| *metric == request.metric).unwrap_or(0);
        writeln!(out, ",\"activeProfileIndex\":{active},\"shared\":{{\"frames\":[")?;
        for frame in &profile.frames {
            frame_object(out, profile, frame)?;
            out.write_all(b",\n")?;
        }
        // The last one stands for stacks without frames.
        writeln!(out, "{{\"name\":\"{UNKNOWN}\"}}]}},\"profiles\":[")?;
        let sampled = |out: &mut dyn io::Write, name: &str, metric: Metric, keep: &dyn Fn(&Row) -> bool| {
            let stacks = by_stack(request.selection, metric, keep);
            profile_object(out, (name, metric), &stacks, profile.frames.len())
        };
        let mut separator = "";
        for metric in Metric::ALL {
            out.write_all(separator.as_bytes())?;
            sampled(out, metric.name(), metric, &|_| true)?;
            separator = ",\n";
        }
        let used = |thread: u32| request.selection.rows().iter().any(|row| row.thread == thread);
        let threads: Vec<_> = (0..).zip(&profile.threads).filter(|(at, _)| used(*at)).collect();
        if threads.len() > 1 {
            for (at, thread) in threads {
                out.write_all(separator.as_bytes())?;
                let name = format!("{} of thread {} ({})", request.metric.name(), thread.index, thread.name);
                sampled(out, &name, request.metric, &|row| row.thread == at)?;
            }
        }
        out.write_all(b"]}\n")
    }
}

fn text(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    escaping::to_writer(out, text).map_err(io::Error::from)
}

fn frame_object(out: &mut dyn io::Write, profile: &Profile, frame: &Frame) -> io::Result<()> {
    out.write_all(b"{\"name\":")?;
    text(out, &profile.frame_name(frame))?;
    if let Some(file) = frame.file.as_deref().or_else(|| profile.module_path(frame)) {
        out.write_all(b",\"file\":")?;
        text(out, file)?;
    }
    if let Some(line) = frame.line {
        write!(out, ",\"line\":{line}")?;
    }
    out.write_all(b"}")
}

/// One profile: stacks from the root, and their values. `unknown`: the frame that stands for none.
fn profile_object(
    out: &mut dyn io::Write,
    (name, metric): (&str, Metric),
    stacks: &[(&[FrameId], u64)],
    unknown: usize,
) -> io::Result<()> {
    let unit = match metric.unit() {
        Unit::Bytes => "bytes",
        Unit::Count => "none",
    };
    let total = stacks.iter().fold(0, |sum: u64, (_, value)| sum.saturating_add(*value));
    out.write_all(b"{\"type\":\"sampled\",\"name\":")?;
    text(out, name)?;
    write!(out, ",\"unit\":\"{unit}\",\"startValue\":0,\"endValue\":{total},\"samples\":[")?;
    let mut separator = "";
    for (frames, _) in stacks {
        write!(out, "{separator}[")?;
        let mut comma = "";
        for frame in frames.iter().rev() {
            write!(out, "{comma}{}", frame.0)?;
            comma = ",";
        }
        if frames.is_empty() {
            write!(out, "{unknown}")?;
        }
        out.write_all(b"]")?;
        separator = ",";
    }
    out.write_all(b"],\"weights\":[")?;
    separator = "";
    for (_, value) in stacks {
        write!(out, "{separator}{value}")?;
        separator = ",";
    }
    out.write_all(b"]}")
}
