//! Resource limits of this process.

use std::io;

use tracker_core::format::lanes::LANES_LEN;

use super::check;

/// A soft and a hard limit, as the kernel keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(libc::rlimit);

/// Limits that this process has raised for itself, and what they were.
#[derive(Debug, Clone, Default)]
pub(crate) struct Raised(Vec<(Resource, Limit)>);

impl Raised {
    /// Raises what recording needs as far as allowed.
    pub(crate) fn all() -> Self {
        let resources = [Resource::FileSize, Resource::OpenFiles, Resource::AddressSpace];
        Self(resources.into_iter().filter_map(|resource| Some((resource, resource.raise()?))).collect())
    }

    /// Puts them back.
    pub(crate) fn restore(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|(resource, limit)| resource.set(*limit))
    }
}

/// What recording needs at least: for the lanes, which are a file that two processes map, and a few descriptors.
const NEEDED: [(Resource, u64, &str); 3] = [
    (Resource::AddressSpace, 2 * LANES_LEN as u64 + (24 << 20), "address space (ulimit -v)"),
    (Resource::OpenFiles, 32, "open files (ulimit -n)"),
    (Resource::FileSize, LANES_LEN as u64, "the size of files (ulimit -f)"),
];

/// The limit, in words, that leaves no room for a recording, even when it is raised.
pub(crate) fn obstacle() -> Option<&'static str> {
    let raised = Raised::all();
    let reaches = |resource: Resource, need| resource.get().is_ok_and(|limit| limit.0.rlim_cur >= need);
    let found = NEEDED.iter().find(|(resource, need, _)| !reaches(*resource, *need)).map(|(.., name)| *name);
    // Back to what was allowed before.
    let _ = raised.restore();
    found
}

/// The limits that we touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The size of files. It also bounds the size of a memfd.
    FileSize,
    OpenFiles,
    AddressSpace,
    CoreFile,
}

impl Resource {
    fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Self::FileSize => libc::RLIMIT_FSIZE,
            Self::OpenFiles => libc::RLIMIT_NOFILE,
            Self::AddressSpace => libc::RLIMIT_AS,
            Self::CoreFile => libc::RLIMIT_CORE,
        }
    }

    /// The limit in force.
    pub(crate) fn get(self) -> io::Result<Limit> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: writes into a live value.
        check(unsafe { libc::getrlimit(self.number(), &mut limit) })?;
        Ok(Limit(limit))
    }

    /// Sets the limit.
    pub(crate) fn set(self, limit: Limit) -> io::Result<()> {
        // SAFETY: reads a live value.
        check(unsafe { libc::setrlimit(self.number(), &limit.0) }).map(drop)
    }

    /// Raises the limit as far as allowed; answers what it was, when it changed.
    pub(crate) fn raise(self) -> Option<Limit> {
        let old = self.get().ok()?;
        if old.0.rlim_cur == libc::RLIM_INFINITY {
            return None;
        }
        // Root may go beyond the hard limit.
        let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        let most = libc::rlimit { rlim_cur: old.0.rlim_max, ..old.0 };
        [all, most].into_iter().find_map(|limit| self.set(Limit(limit)).ok()).map(|()| old)
    }

    /// Sets the soft limit to zero.
    pub(crate) fn forbid(self) {
        if let Ok(limit) = self.get() {
            // Lowering a soft limit always works.
            let _ = self.set(Limit(libc::rlimit { rlim_cur: 0, ..limit.0 }));
        }
    }
}
