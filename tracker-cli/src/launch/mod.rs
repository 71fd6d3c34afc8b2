//! Starts a recording: everything that can be refused is refused before anything is created, and everything is
//! created before the program starts.
//!
//! ```text
//! parent ──fork──▶ program (waits) ──release──▶ exec
//!        ├─fork──▶ collector
//!        └─fork──▶ witness
//! ```

pub(crate) mod output;
mod parent;
mod program;
mod python;
mod witness;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use tracker_core::capture::block::FileHeader;
use tracker_core::capture::meta::{Meta, Session};
use tracker_core::capture::writer::Writer;
use tracker_core::format::VERSION;
use tracker_core::format::lanes::{DOOR_NAME_LEN, DOOR_PREFIX};

use self::output::Names;
use self::parent::Parent;
pub(crate) use self::parent::{Ended, Recording};
pub(crate) use self::python::command;
use self::witness::Witness;
use crate::collect::file::CaptureFile;
use crate::collect::rescue::Rescue;
use crate::collect::{self, Clock, proc};
use crate::elf::{self, Program};
use crate::error::Error;
use crate::preload;
use crate::sys::lanes::LanesFile;
use crate::sys::limits::{Raised, Resource, obstacle};
use crate::sys::process::{Exec, Inherited};
use crate::sys::signals::{self, Mask, SIGCHLD, Signals};
use crate::sys::{self, host, process, socket};

/// A longer command line is cut in the capture.
const MAX_COMMAND: usize = 512 << 10;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Request {
    /// What the capture is called after.
    pub(crate) name: OsString,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// Pattern of the capture's name.
    pub(crate) output: Option<PathBuf>,
    /// Replace an existing capture.
    pub(crate) force: bool,
    /// Most bytes of the capture.
    pub(crate) max_size: u64,
    /// Wait for the whole tree.
    pub(crate) wait: bool,
    /// We shall have nothing to say once the program runs.
    pub(crate) silent: bool,
    /// `tracker_core::format::lanes::flag`.
    pub(crate) flags: u32,
    /// Use this library instead of the built-in one.
    pub(crate) preload: Option<PathBuf>,
}

/// A request that can be carried out.
#[derive(Debug)]
pub(crate) struct Plan {
    request: Request,
    file: PathBuf,
    /// What the program is.
    pub(crate) target: Program,
}

/// Finds a program and looks at it.
///
/// # Errors
/// It does not exist, is not executable, or its interpreter or loader is missing.
pub(crate) fn inspect(program: &OsStr) -> Result<(PathBuf, Program), Error> {
    let file = program::find(program)?;
    let target = elf::inspect(&file);
    // What the kernel needs beside the file: it would only say that the file does not exist.
    let also = target.script.then_some(&target.file).into_iter().chain(&target.loader);
    match also.into_iter().find(|path| fs::metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)) {
        Some(missing) => Err(program::missing_interpreter(program, missing)),
        None => Ok((file, target)),
    }
}

impl Plan {
    /// Finds the program and looks at it. Creates nothing.
    pub(crate) fn new(request: Request) -> Result<Self, Error> {
        let (file, target) = inspect(&request.program)?;
        Ok(Self { request, file, target })
    }

    /// Why this program cannot be recorded here and now though it could be elsewhere, in words.
    pub(crate) fn obstacle() -> Option<String> {
        obstacle().map(|limit| format!("the limit on {limit} leaves no room for the recording"))
    }

    /// Becomes the program, unrecorded and unchanged; answers why that was impossible.
    pub(crate) fn run_alone(self) -> Error {
        let exec = Exec {
            program: process::c_string(&self.request.program),
            arguments: self.command().map(process::c_string).collect(),
            environment: process::environment(),
        };
        let mask = match signals::block_all() {
            Ok(mask) => mask,
            Err(error) => return internal("signals", &error),
        };
        let sigchld_ignored = signals::is_ignored(SIGCHLD);
        let inherited = Inherited { mask, sigchld_ignored, limits: Raised::default() };
        program::failure(&self.request.program, &self.file, &process::replace(&exec, &inherited))
    }

    /// Starts program and collector.
    pub(crate) fn start(self) -> Result<Started, Error> {
        let library = match self.target.untracked {
            None => Some(preload::locate(self.request.preload.as_deref())?),
            Some(_) => None,
        };
        let mask = signals::block_all().map_err(|error| internal("signals", &error))?;
        let signals = Signals::new().map_err(|error| internal("signalfd", &error))?;
        self.start_blocked(library, mask, signals)
    }

    /// All signals are blocked, and stay so when this fails: one of the reasons comes with a SIGXFSZ.
    fn start_blocked(self, library: Option<PathBuf>, mask: Mask, signals: Signals) -> Result<Started, Error> {
        // An ignored SIGCHLD would let children vanish before we have asked how they ended.
        let sigchld_ignored = signals::is_ignored(SIGCHLD);
        signals::set_default(SIGCHLD);
        let limits = Raised::all();
        let clock = Clock::start();
        let start_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let lanes = LanesFile::create(self.request.flags, clock.start_monotonic()).map_err(|error| no_lanes(&error))?;
        let token = host::random().map_err(|error| internal("random numbers", &error))?;
        let digits = hex(&token);
        let (door, secret) = digits.split_at_checked(DOOR_NAME_LEN).unwrap_or_default();
        let listener =
            socket::listen(&format!("{DOOR_PREFIX}{door}")).map_err(|error| internal("the socket", &error))?;
        let inherited_lanes = library.as_ref().and_then(|_| sys::fd::inheritable_copy(lanes.as_fd()).ok());
        let environment = match &library {
            Some(library) => {
                let session = session_value(&token, inherited_lanes.as_ref(), &lanes, library);
                program::environment(library, &session)
            }
            None => process::environment(),
        };
        let exec = Exec {
            program: process::c_string(&self.request.program),
            arguments: self.command().map(process::c_string).collect(),
            environment,
        };
        let inherited = Inherited { mask, sigchld_ignored, limits };
        let resident = proc::rss(std::process::id()).map_or(0, |rss| rss.high);
        let pending = process::prepare(&exec, &inherited).map_err(|error| internal("fork", &error))?;
        drop(inherited_lanes);

        let (host, kernel) = host::names();
        let names = Names {
            pid: pending.pid,
            program: output::program_name(&self.request.name),
            host: host.clone(),
            unix_seconds: start_unix.as_secs(),
        };
        let (path, file) = output::create(self.request.output.as_deref(), self.request.force, &names)?;
        let start_unix_ns = start_unix.as_nanos().try_into().unwrap_or(u64::MAX);
        let front = self.front(pending.pid, host, kernel, start_unix_ns);
        let header = FileHeader { version: VERSION, session: token, start_unix_ns };
        let capture = Capture(Some(path));
        let descriptor = file.as_raw_fd();
        let limit = self.request.max_size;
        let rescue = lanes.try_clone().and_then(|lanes| Ok(Rescue::new(lanes, file.try_clone()?, limit, clock))).ok();
        let writer = CaptureFile::new(file, limit).and_then(|file| Writer::new(file, &header));
        let begun = writer.and_then(|mut writer| {
            front.iter().try_for_each(|frame| writer.meta(frame))?;
            Ok(writer)
        });
        let writer = begun.map_err(|error| output::cannot_create(&capture.path(), &error))?;

        let (ours, theirs) = socket::pair().map_err(|error| internal("the socket", &error))?;
        let program = pending.pid;
        let keep = [lanes.as_fd().as_raw_fd(), listener.as_raw_fd(), theirs.as_raw_fd(), descriptor];
        let session = collect::Session {
            clock,
            lanes,
            listener,
            secret: secret.to_owned(),
            parent: theirs,
            writer,
            root: program,
            // Its folder will be another.
            program: std::path::absolute(&self.target.file).unwrap_or_else(|_| self.target.file.clone()),
            is_tracked: self.target.untracked.is_none(),
        };
        // The closure is run in the child only; here it is dropped, and with it our copies of what it owns.
        let collector = process::spawn_daemon(&keep, move || collect::run(session));
        let collector = collector.map_err(|error| internal("fork", &error))?;
        // The last, so that what is sent to all reaches us behind it. Without it, what is sent to all comes twice.
        let witness = Witness::start().ok();
        if let Err(error) = pending.release() {
            signals::send(collector, signals::SIGKILL);
            process::reap(collector);
            return Err(program::failure(&self.request.program, &self.file, &error));
        }
        // Whoever reads the program's output waits for its end, not for ours; and what feeds its input wants to know
        // when nobody reads it any more.
        let _ = sys::fd::null_stdio(if self.request.silent { 3 } else { 2 });
        let wait = self.request.wait;
        let parent = Parent { program, collector, socket: ours, witness, signals, clock, resident, wait, rescue };
        Ok(Started { parent, mask, capture: capture.keep() })
    }

    fn command(&self) -> impl Iterator<Item = &OsStr> {
        std::iter::once(&self.request.program).chain(&self.request.arguments).map(OsString::as_os_str)
    }

    /// The first frames of the capture.
    fn front(&self, pid: u32, host: String, kernel: String, start_unix_ns: u64) -> Vec<Meta> {
        let absolute = fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let exe = absolute.into_os_string().into_vec();
        let mut room = MAX_COMMAND;
        let fits = |argument: &&OsStr| {
            room = room.saturating_sub(argument.len() + 8);
            room > 0
        };
        let session = Session {
            command: self.command().take_while(fits).map(|argument| argument.as_bytes().to_vec()).collect(),
            exe: exe.clone(),
            cwd: std::env::current_dir().unwrap_or_default().into_os_string().into_vec(),
            host,
            kernel,
            memtrack_version: env!("CARGO_PKG_VERSION").to_owned(),
            page_size: host::page_size(),
            cpus: host::cpus(),
            start_unix_ns,
            pid,
        };
        let untracked = self.target.untracked;
        let untracked = untracked.map(|reason| Meta::Untracked { pid, exe, reason: reason.text().to_owned() });
        [Some(Meta::Session(session)), untracked].into_iter().flatten().collect()
    }
}

/// The capture's file, removed again unless the program starts.
#[derive(Debug)]
struct Capture(Option<PathBuf>);

impl Capture {
    fn path(&self) -> PathBuf {
        self.0.clone().unwrap_or_default()
    }

    fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may be gone already; then there is nothing to clean up.
            let _ = fs::remove_file(path);
        }
    }
}

/// A program that runs and is recorded.
pub(crate) struct Started {
    parent: Parent,
    mask: Mask,
    /// Where the capture is.
    pub(crate) capture: PathBuf,
}

impl Started {
    /// Waits for the end.
    pub(crate) fn watch(self) -> Ended {
        let ended = self.parent.watch();
        // What comes now is ours: Ctrl-C may end the summary.
        signals::restore(&self.mask);
        ended
    }
}

/// Ends this process the way the program ended.
pub(crate) fn end_like(exit: tracker_core::capture::meta::ExitStatus) -> u8 {
    use tracker_core::capture::meta::ExitStatus;
    match exit {
        ExitStatus::Code(code) => code as u8,
        ExitStatus::Signal(signal) => {
            // The program's core is the one worth having.
            Resource::CoreFile.forbid();
            signals::suffer(signal);
            128u8.wrapping_add(signal as u8)
        }
    }
}

fn session_value(token: &[u8], fd: Option<&OwnedFd>, lanes: &LanesFile, library: &std::path::Path) -> String {
    let inherited = fd.zip(lanes.inode().ok());
    let (fd, inode) = match inherited {
        Some((fd, inode)) => (fd.as_raw_fd().to_string(), inode.to_string()),
        None => ("-".to_owned(), "-".to_owned()),
    };
    format!("1:{}:-:{fd}:{inode}:{}", hex(token), library.display())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn no_lanes(error: &io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EFBIG) => Error::usage(
            "the limit on file sizes (ulimit -f) is too low for the recording memory of 80 MiB; raise it for memtrack",
        ),
        _ => internal("the recording memory", error),
    }
}

fn internal(what: &str, error: &io::Error) -> Error {
    Error::usage(format!("cannot prepare the recording: {what}: {error}"))
}
