//! `memtrack doctor`: says beforehand whether a program can be recorded, and how well its stacks will read.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use tracker_core::format::record::UntrackedReason;

use crate::elf::{self, Program, facts};
use crate::error::Error;
use crate::output::clean::clean;
use crate::{launch, preload};

/// Say whether a program can be recorded, and why not
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// The program, as `run` would be given it
    #[arg(value_name = "PROGRAM")]
    program: OsString,
}

/// Exit code for a program that cannot be recorded.
const UNTRACKED: u8 = 1;

/// First glibc that finds unwind tables without a lock.
const DL_FIND_OBJECT: (u32, u32) = (2, 35);

/// Everything there is to say. Paths that are not UTF-8 are shown with replacement characters.
#[derive(Debug, Serialize)]
struct Diagnosis {
    schema: &'static str,
    program: String,
    recordable: bool,
    /// Why not, and what helps.
    reason: Option<&'static str>,
    advice: Option<&'static str>,
    /// The file that is loaded; the interpreter's when the program is a script.
    file: String,
    script: bool,
    loader: Option<String>,
    glibc: Option<String>,
    dl_find_object: bool,
    function_names: bool,
    debug_info: Option<String>,
    build_id: Option<String>,
    library: Option<String>,
    warnings: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Error> {
    let found = launch::command(&args.program, false, Vec::new()).and_then(|(file, _)| launch::inspect(&file));
    let (_, target) = found.map_err(|error| Error::usage(error.to_string()))?;
    let diagnosis = diagnose(&args.program.display().to_string(), target);
    if args.json {
        let text = serde_json::to_string_pretty(&diagnosis).map_err(|error| Error::usage(error.to_string()))?;
        println!("{text}");
    } else {
        let text = text(&diagnosis);
        let lines: Vec<_> = text.split('\n').map(clean).collect();
        print!("{}", lines.join("\n"));
    }
    Ok(ExitCode::from(if diagnosis.recordable { 0 } else { UNTRACKED }))
}

fn diagnose(program: &str, found: Program) -> Diagnosis {
    let symbols = facts::symbols(&found.file).unwrap_or_default();
    let glibc = found.loader.as_deref().and_then(facts::glibc);
    let mut warnings = elf::unseen(&found.file);
    let library = match preload::locate(None) {
        Ok(path) => Some(show(&path)),
        Err(error) => {
            warnings.push(error.to_string());
            None
        }
    };
    Diagnosis {
        schema: "memtrack.doctor/1",
        program: program.to_owned(),
        recordable: found.untracked.is_none() && library.is_some(),
        reason: found.untracked.map(UntrackedReason::text),
        advice: found.untracked.map(advice),
        file: show(&found.file),
        script: found.script,
        loader: found.loader.as_deref().map(show),
        glibc: glibc.map(|(major, minor)| format!("{major}.{minor}")),
        dl_find_object: glibc >= Some(DL_FIND_OBJECT),
        function_names: symbols.functions,
        debug_info: symbols.debug_info.as_deref().map(show),
        build_id: symbols.build_id,
        library,
        warnings,
    }
}

fn show(path: &Path) -> String {
    path.display().to_string()
}

fn advice(reason: UntrackedReason) -> &'static str {
    match reason {
        UntrackedReason::Static => "link it dynamically: nothing can be loaded into a static program",
        UntrackedReason::SetUid => "record a copy without the set-uid bit or file capabilities, or record it as root",
        UntrackedReason::OtherClass => "build it for 64 bit",
        UntrackedReason::OtherMachine => "record it on a machine of its own kind",
        UntrackedReason::NoLibc => "it needs a dynamic loader like glibc's",
        UntrackedReason::Musl => "build it against glibc: the recording library is for glibc only",
        UntrackedReason::Sanitizer => "build it without -fsanitize: the sanitizer replaces malloc itself",
        UntrackedReason::Sandbox | UntrackedReason::OutOfReach | UntrackedReason::Network => "start it outside",
        UntrackedReason::Silence => "do not stop it (Ctrl-Z stops a whole job), give it a processor",
        UntrackedReason::OtherSession => "look at the other capture",
        UntrackedReason::Unreadable => "make its file readable, and see that it is a program (file PROGRAM)",
    }
}

fn text(d: &Diagnosis) -> String {
    let mut lines = Vec::new();
    match (d.reason, d.advice) {
        (Some(reason), Some(advice)) => {
            lines.push(format!("{}: cannot be recorded: {reason}", d.program));
            lines.push(format!("  what helps   {advice}"));
            lines.push("  meanwhile    memtrack run starts it all the same, unchanged and unrecorded".to_owned());
        }
        _ if d.recordable => lines.push(format!("{}: can be recorded", d.program)),
        _ => lines.push(format!("{}: cannot be recorded from this account", d.program)),
    }
    lines.push(format!("  file         {}{}", d.file, if d.script { " (the script's interpreter)" } else { "" }));
    if let Some(loader) = &d.loader {
        lines.push(format!("  loader       {loader}"));
    }
    if let Some(glibc) = &d.glibc {
        lines.push(format!("  glibc        {glibc}"));
        let unwinding =
            if d.dl_find_object { "_dl_find_object" } else { "the loader's module list (before glibc 2.35)" };
        lines.push(format!("  unwinding    finds its tables through {unwinding}"));
    }
    lines.push(match (&d.debug_info, d.function_names) {
        (Some(path), _) if *path == d.file => {
            "  symbols      debug info: functions, files, lines, inlined calls".to_owned()
        }
        (Some(path), _) => format!("  symbols      debug info in {path}: functions, files, lines, inlined calls"),
        (None, true) => "  symbols      function names, but no files and lines (compile with -g)".to_owned(),
        (None, false) => "  symbols      stripped: exported functions only (compile with -g, do not strip)".to_owned(),
    });
    lines.push(format!("  build-id     {}", d.build_id.as_deref().unwrap_or("none")));
    lines.extend(d.warnings.iter().map(|warning| format!("  warning      {warning}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ourselves_can_be_recorded() {
        let diagnosis = diagnose("x", elf::inspect(Path::new("/proc/self/exe")));
        assert!(diagnosis.recordable, "{:?}", diagnosis.warnings);
        let text = text(&diagnosis);
        assert!(text.starts_with("x: can be recorded\n  file"), "{text}");
        assert!(text.contains("debug info"), "{text}");
    }

    #[test]
    fn a_reason_comes_with_advice() {
        let found =
            Program { file: "/x".into(), script: false, loader: None, untracked: Some(UntrackedReason::Static) };
        let diagnosis = diagnose("x", found);
        assert!(!diagnosis.recordable);
        assert!(text(&diagnosis).starts_with("x: cannot be recorded: statically linked\n  what helps   link"));
        assert!(serde_json::to_string(&diagnosis).unwrap().contains("\"schema\":\"memtrack.doctor/1\""));
    }
}
