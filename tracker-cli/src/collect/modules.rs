//! The files of executables and libraries: opened at first sight through the process's own root, kept open, and put
//! into the capture when readers will not find them any more (temporary libraries, containers).

use std::collections::HashSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracker_core::capture::meta::{Meta, ModuleFile};

use super::proc;
use super::queue::{Item, Queue};

/// A larger file is not put into the capture.
const MAX_EMBEDDED: u64 = 64 << 20;

/// Bytes of one embedded piece.
const PIECE: usize = 64 << 10;

/// What makes two modules one: the root they were found under, path and build-id.
type Identity = (Root, Vec<u8>, Vec<u8>);

/// Device and inode of a process's root folder, and its mount namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Root(u64, u64, PathBuf);

impl Root {
    fn of(process: &str) -> Option<Self> {
        let metadata = fs::metadata(format!("/proc/{process}/root/")).ok()?;
        let namespace = fs::read_link(format!("/proc/{process}/ns/mnt")).ok()?;
        Some(Self(metadata.dev(), metadata.ino(), namespace))
    }
}

#[derive(Debug)]
struct Kept {
    module: ModuleFile,
    file: File,
}

/// The files met so far.
#[derive(Debug, Default)]
pub(super) struct Modules {
    seen: HashSet<Identity>,
    kept: Vec<Kept>,
    count: u32,
}

impl Modules {
    /// Opens the file of a module and records what it is. `pid` is `None` when its process cannot be found any more;
    /// the path is then looked up under our own root.
    pub(super) fn first_sight(
        &mut self,
        image: u32,
        pid: Option<u32>,
        path: Vec<u8>,
        build_id: Vec<u8>,
        queue: &Queue,
    ) {
        if path.first() != Some(&b'/') {
            // The vdso, and names that the loader made up.
            return;
        }
        let process = pid.map(|pid| pid.to_string()).unwrap_or_default();
        let root = Root::of(&process).or_else(|| Root::of("self")).unwrap_or(Root(0, 0, PathBuf::new()));
        if !self.seen.insert((root, path.clone(), build_id.clone())) {
            return;
        }
        let inside = [format!("/proc/{process}/root").as_bytes(), &path].concat();
        // A library that was deleted right after loading; a process that is gone already.
        let deleted = || proc::open_deleted(pid?, &path).and_then(|file| regular(file).ok());
        let opened = open(to_path(&inside)).ok().or_else(deleted).or_else(|| open(to_path(&path)).ok());
        let Some((file, metadata)) = opened else { return };
        let module = ModuleFile {
            number: self.count,
            image,
            path,
            build_id,
            len: metadata.len(),
            device: metadata.dev(),
            inode: metadata.ino(),
            modified_ns: modified_ns(&metadata),
            embedded: false,
        };
        self.count += 1;
        queue.meta(Meta::ModuleFile(module.clone()));
        self.kept.push(Kept { module, file });
    }

    /// Puts the files into the capture that are not at their path any more, as seen from here.
    pub(super) fn embed_lost(&self, queue: &Queue) {
        for Kept { module, file } in &self.kept {
            let found = fs::metadata(to_path(&module.path))
                .is_ok_and(|there| (there.dev(), there.ino()) == (module.device, module.inode));
            // What cannot be read is left out; the module stays as it was described.
            if !found && module.len <= MAX_EMBEDDED && embed(module, file, queue).is_ok() {
                queue.meta(Meta::ModuleFile(ModuleFile { embedded: true, ..module.clone() }));
            }
        }
    }
}

fn embed(module: &ModuleFile, file: &File, queue: &Queue) -> io::Result<()> {
    let mut offset = 0;
    while offset < MAX_EMBEDDED {
        let mut piece = vec![0; PIECE];
        let len = file.read_at(&mut piece, offset)?;
        if len == 0 {
            break;
        }
        piece.truncate(len);
        queue.push(Item::Module { number: module.number, offset, piece }, || ());
        offset += len as u64;
    }
    Ok(())
}

fn to_path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// Opens a regular file. Never waits: the path comes from the program and may name a pipe.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    regular(file)
}

fn regular(file: File) -> io::Result<(File, Metadata)> {
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn modified_ns(metadata: &Metadata) -> u64 {
    let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(metadata.mtime_nsec()).unwrap_or(0))
}
