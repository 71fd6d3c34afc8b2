//! A capture for people who should not know whose machine and work it was, and the list of what a capture says.
//!
//! The copy is a capture like any other, sealed: names and lines are in its index, because the files that had them cannot be found
//! by the paths that are left.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::open::{OpenError, OpenOptions, open};
use super::profile::{Profile, State};
use super::{index, seal};
use crate::capture::meta::Meta;
use crate::capture::reader::{Progress, file_header};
use crate::capture::redact::Redaction;
use crate::capture::strip::{Nowhere, TextKind, Texts, session, strip};
use crate::capture::writer::Writer;

/// A capture that can be shared.
#[derive(Debug)]
pub struct Shareable {
    file: File,
    profile: Profile,
}

impl Shareable {
    /// Opens the capture at `path`. `None` while it is being recorded: addresses in it are those of living programs.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path, progress: Progress<'_>) -> Result<Option<Self>, OpenError> {
        let profile = open(path, &OpenOptions::default(), progress)?;
        if profile.state == State::Running {
            return Ok(None);
        }
        let file = super::open::file(path)?;
        Ok(Some(Self { file, profile: redact(profile) }))
    }

    /// Writes the copy.
    ///
    /// # Errors
    /// Those of reading and writing.
    pub fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let header = file_header(&self.file).map_err(io::Error::other)?;
        let mut writer = Writer::new(out, &header)?;
        strip(&self.file, &mut writer, &mut Redaction::default(), Some(Meta::Redacted))?;
        writer.index(&index::encode(&self.profile, OpenOptions::default().temporary_distance))
    }
}

/// The profile, with its texts redacted as [`strip`] does it.
pub fn redact(mut profile: Profile) -> Profile {
    let rules = Redaction::of(&profile.session.cwd);
    profile.session = session(profile.session, &mut Redaction::default());
    profile.redacted = true;
    for process in &mut profile.processes {
        process.exe = rules.path(&process.exe);
        process.command.truncate(1);
        process.command.iter_mut().for_each(|program| *program = rules.path(program));
    }
    let untracked = profile.untracked.iter_mut().map(|untracked| &mut untracked.exe);
    let modules = profile.modules.iter_mut().map(|module| &mut module.path);
    let files = profile.frames.iter_mut().filter_map(|frame| frame.file.as_mut());
    untracked.chain(modules).chain(files).for_each(|path| *path = rules.path(path));
    // Where names of code without a file come from, the paths of scripts are a part of them.
    let names = profile.frames.iter_mut().filter(|frame| frame.module.is_none());
    names.filter_map(|frame| frame.function.as_mut()).for_each(|name| *name = rules.name(name));
    let reasons = profile.untracked.iter_mut().map(|untracked| &mut untracked.reason);
    let sentences = reasons.chain(&mut profile.warnings).chain(&mut profile.symbol_notes);
    sentences.for_each(|text| *text = rules.sentence(text));
    profile
}

/// Every text in the file of a capture, each once, by kind.
///
/// # Errors
/// Those of reading; the file is no capture.
pub fn texts(path: &Path) -> Result<BTreeSet<(TextKind, String)>, OpenError> {
    let file = super::open::file(path)?;
    let unreadable = |error| OpenError::unreadable(path, error);
    let mut list = List::default();
    file_header(&file).map_err(unreadable)?;
    strip(&file, &mut Nowhere, &mut list, None).map_err(|error| unreadable(error.into()))?;
    if let Some(profile) = seal::load(&file, &OpenOptions { slices: false, ..OpenOptions::default() }) {
        for frame in &profile.frames {
            frame.function.iter().for_each(|name| list.add(TextKind::Function, name.clone()));
            frame.file.iter().for_each(|path| list.add(TextKind::Source, path.clone()));
        }
        profile.modules.into_iter().for_each(|module| list.add(TextKind::Module, module.path));
        profile.symbol_notes.into_iter().for_each(|note| list.add(TextKind::Remark, note));
    }
    Ok(list.0)
}

/// Keeps everything and remembers it.
#[derive(Debug, Default)]
struct List(BTreeSet<(TextKind, String)>);

impl List {
    fn add(&mut self, kind: TextKind, text: String) {
        if !text.is_empty() {
            self.0.insert((kind, text));
        }
    }
}

impl Texts for List {
    fn text(&mut self, kind: TextKind, text: &[u8]) -> Option<Vec<u8>> {
        self.add(kind, String::from_utf8_lossy(text).into_owned());
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    #[test]
    fn no_text_of_a_profile_is_forgotten() {
        let secret = "/home/ada/hidden/x";
        let numbers = Numbers { leaked: (1, 8), allocated: (1, 8), ..Numbers::default() };
        let profile = Sketch::new(&format!("{secret} --key=hidden"))
            .row(&format!("malloc: get@{secret}.rs:3!{secret}.so main"), numbers)
            .process(secret, vec![secret.into(), "hidden".into()])
            .with(|profile| {
                profile.session.cwd = b"/home/ada/hidden".to_vec();
                profile.session.host = "hidden".into();
                profile.session.cwd = b"/home/ada".to_vec();
                profile.warnings.push(format!("{secret}: is odd"));
                profile.symbol_notes.push(format!("{secret} has no names"));
                profile.untracked.push(crate::report::profile::Untracked {
                    pid: 1,
                    exe: secret.into(),
                    reason: format!("cannot read {secret}"),
                });
            })
            .build();
        let shown = format!("{:?}", redact(profile));
        assert!(!shown.contains("hidden") && !shown.contains("ada"), "{shown}");
        assert!(shown.contains("…/x.rs") && shown.contains("…/x has no names"), "{shown}");
    }
}
