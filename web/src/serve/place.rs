//! Where a server listens: a port of the loopback address, or a socket in the file system that only its owner can open,
//! for machines that are shared.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::secret::Secret;

/// Port on the machine of whoever forwards connections to a socket, as an example.
const FORWARDED: u16 = 8000;

/// A listener that nobody answers yet.
#[derive(Debug)]
pub(super) enum Place {
    Port(std::net::TcpListener, SocketAddr),
    Socket(std::os::unix::net::UnixListener, SocketFile),
}

/// A socket's name in the file system, and its inode. Removed when dropped, if it is still the same.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf, (u64, u64));

/// Device and inode of what is at `path`.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.0).is_ok_and(|now| now == self.1) {
            // Whoever removed it before us is no trouble.
            let _ = fs::remove_file(&self.0);
        }
    }
}

impl Place {
    /// A port of a loopback address; others are refused.
    pub(super) fn port(address: IpAddr, port: u16) -> io::Result<Self> {
        if !address.is_loopback() {
            let reason = format!(
                "{address} is not an address of this machine alone: reports are served on 127.0.0.1 or ::1, use ssh -L \
                 to see them from elsewhere"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let wanted = SocketAddr::new(address, port);
        let listener = std::net::TcpListener::bind(wanted)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {wanted}: {error}")))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self::Port(listener, address))
    }

    /// A new socket at `path`, of mode 0600. What is there already is left alone and is an error.
    pub(super) fn socket(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let failed =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {}: {error}", path.display()));
        // It gets its mode where nobody else can see it, and its name only then.
        let nobody_else = path.with_file_name(format!(".{}", Secret::new()?));
        DirBuilder::new().mode(0o700).create(&nobody_else).map_err(failed)?;
        let hidden = nobody_else.join("s");
        let listener = std::os::unix::net::UnixListener::bind(&hidden).and_then(|listener| {
            fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
            fs::hard_link(&hidden, &path)?;
            listener.set_nonblocking(true)?;
            Ok((listener, identity(&path)?))
        });
        let _ = fs::remove_file(&hidden);
        let _ = fs::remove_dir(&nobody_else);
        let (listener, identity) = listener.map_err(failed)?;
        Ok(Self::Socket(listener, SocketFile(path.clone(), identity)))
    }

    /// The port that requests name in `Host`; `None`: whatever port leads to the socket.
    pub(super) fn port_of_requests(&self) -> Option<u16> {
        match self {
            Self::Port(_, address) => Some(address.port()),
            Self::Socket(..) => None,
        }
    }

    /// What a browser calls it. To a socket leads what `invitation` says.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Port(_, address) => address.to_string(),
            Self::Socket(..) => format!("localhost:{FORWARDED}"),
        }
    }

    /// How to get to `url`, for a person.
    pub(super) fn invitation(&self, url: &str) -> String {
        match self {
            Self::Port(..) => format!("Open {url}   (Ctrl-C ends)"),
            Self::Socket(_, SocketFile(path, _)) => {
                let path = path.display();
                format!("Listening at {path}   (Ctrl-C ends)\nOpen {url} behind ssh -L {FORWARDED}:{path} HOST")
            }
        }
    }
}
