//! The shared memory of `tracker_core::format::lanes`, as the collector sees it.
//!
//! The recorded processes write here at any time and may write anything. So nothing in it is ever lent out as plain
//! memory: headers are atomics, a chunk's bytes are copied with atomic loads, front to back with acquire order, which
//! is what makes "everything before the first zero tag is whole" true for the copy as well.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tracker_core::format::VERSION;
use tracker_core::format::lanes::{CHUNKS, ChunkHeader, Control, HEADERS_OFFSET, LANES_LEN, LANES_MAGIC, chunk_range};

use super::check;

/// Not in the libc crate's stable part; Linux 6.3 wants it, earlier kernels do not know it.
const MFD_NOEXEC_SEAL: libc::c_uint = 8;

/// The sealed memfd that holds the lanes.
#[derive(Debug)]
pub(crate) struct LanesFile(File);

impl LanesFile {
    /// Creates, sizes and seals it, and fills in [`Control`]. `start_monotonic` in nanoseconds.
    pub(crate) fn create(flags: u32, start_monotonic: u64) -> io::Result<Self> {
        let basic = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a C string; a new descriptor is made.
        let make = |flags| check(unsafe { libc::memfd_create(c"memtrack-lanes".as_ptr(), flags) });
        let fd = make(basic | MFD_NOEXEC_SEAL).or_else(|_| make(basic))?;
        // SAFETY: the descriptor is new and nobody else's.
        let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        file.set_len(LANES_LEN as u64)?;
        let this = Self(file);
        this.seal(libc::F_SEAL_SHRINK | libc::F_SEAL_GROW)?;

        let lanes = this.map()?;
        let control = lanes.control();
        control.version.store(VERSION, Ordering::Relaxed);
        control.flags.store(flags, Ordering::Relaxed);
        control.start_monotonic.store(start_monotonic, Ordering::Relaxed);
        control.network.store(super::host::network(), Ordering::Relaxed);
        control.numbers.0.next_image.store(1, Ordering::Relaxed);
        control.numbers.0.next_stream.store(1, Ordering::Relaxed);
        control.numbers.0.next_code.store(1, Ordering::Relaxed);
        for word in &control.free {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        control.magic.store(LANES_MAGIC, Ordering::Release);
        Ok(this)
    }

    /// A second descriptor of the same lanes.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    fn seal(&self, seals: libc::c_int) -> io::Result<()> {
        // SAFETY: F_ADD_SEALS touches no memory of ours.
        check(unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
    }

    /// Forbids all writing from now on. Succeeds only when no process maps the lanes writable any more, so it is also
    /// the exact test for "the whole tree has ended". Our own mapping counts: drop it first.
    pub(crate) fn seal_writes(&self) -> bool {
        self.seal(libc::F_SEAL_WRITE).is_ok()
    }

    /// The number by which an image recognizes the inherited descriptor.
    pub(crate) fn inode(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.ino())
    }

    /// Bytes of memory that the lanes occupy now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// Maps the lanes, shared with the recorded processes.
    pub(crate) fn map(&self) -> io::Result<Lanes> {
        self.map_as(libc::MAP_SHARED)
    }

    /// Maps a copy that only we can change: for the last look, after [`Self::seal_writes`].
    pub(crate) fn map_private(&self) -> io::Result<Lanes> {
        self.map_as(libc::MAP_PRIVATE)
    }

    fn map_as(&self, kind: libc::c_int) -> io::Result<Lanes> {
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, self.0.as_raw_fd());
        // SAFETY: the kernel chooses the address, so nothing of ours is replaced.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), LANES_LEN, protection, kind, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // Our crash must not dump what belongs to the program. SAFETY: the range was just mapped.
        unsafe { libc::madvise(base.as_ptr().cast(), LANES_LEN, libc::MADV_DONTDUMP) };
        Ok(Lanes { base })
    }
}

impl AsFd for LanesFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The lanes, mapped. Unmapped when dropped.
///
/// Invariant: `base` is the start of a mapping of `LANES_LEN` bytes of a memfd that can be neither shrunk nor grown,
/// and is page aligned; so every offset below `LANES_LEN` can be read and written while this lives.
#[derive(Debug)]
pub(crate) struct Lanes {
    base: NonNull<u8>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and all access to it is atomic.
unsafe impl Send for Lanes {}
// SAFETY: as above.
unsafe impl Sync for Lanes {}

impl Lanes {
    /// The front page.
    pub(crate) fn control(&self) -> &Control {
        // SAFETY: the invariant of `Lanes`; all fields are atomics, valid for any bytes.
        unsafe { self.base.cast().as_ref() }
    }

    /// The header of a chunk.
    pub(crate) fn header(&self, index: usize) -> Option<&ChunkHeader> {
        // SAFETY: inside the mapping by the bound on `index`, aligned as the layout asserts, all fields atomics.
        (index < CHUNKS).then(|| unsafe { self.base.add(HEADERS_OFFSET).cast::<ChunkHeader>().add(index).as_ref() })
    }

    fn words(&self, index: usize) -> &[AtomicU64] {
        let Some((offset, len)) = chunk_range(index) else { return &[] };
        // SAFETY: chunks are page aligned and inside the mapping; atomics are valid for any bytes.
        unsafe { NonNull::slice_from_raw_parts(self.base.add(offset).cast(), len / 8).as_ref() }
    }

    /// A chunk's first byte: its first record's tag, 0 while there is none.
    pub(crate) fn first_tag(&self, index: usize) -> u8 {
        self.first_byte(index).map_or(0, |byte| byte.load(Ordering::Acquire))
    }

    fn first_byte(&self, index: usize) -> Option<&AtomicU8> {
        let (offset, _) = chunk_range(index)?;
        // SAFETY: inside the mapping; an atomic byte is valid for any byte.
        Some(unsafe { self.base.add(offset).cast::<AtomicU8>().as_ref() })
    }

    /// Copies a chunk's bytes from `from` up to `to` into `buffer`, replacing what it held. Clamped to the chunk.
    pub(crate) fn copy<'b>(&self, index: usize, from: usize, to: usize, buffer: &'b mut Vec<u8>) -> &'b [u8] {
        let words = self.words(index);
        let to = to.min(words.len() * 8);
        let skipped = from / 8;
        let words = words.get(skipped..to.div_ceil(8)).unwrap_or(&[]);
        buffer.resize(words.len() * 8, 0);
        for (to, from) in buffer.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&from.load(Ordering::Acquire).to_ne_bytes());
        }
        buffer.get(from - skipped * 8..to.saturating_sub(skipped * 8)).unwrap_or(&[])
    }

    /// Stores one byte the way a recording thread does.
    #[cfg(test)]
    pub(crate) fn store(&self, index: usize, at: usize, byte: u8) {
        let (offset, len) = chunk_range(index).expect("a chunk");
        assert!(at < len);
        // SAFETY: inside the chunk, which is inside the mapping.
        unsafe { self.base.add(offset + at).cast::<AtomicU8>().as_ref() }.store(byte, Ordering::Release);
    }

    /// Gives a chunk back to the hooks.
    pub(crate) fn release(&self, index: usize) {
        let (Some(header), Some(first)) = (self.header(index), self.first_byte(index)) else {
            return;
        };
        let (word, bit) = (index / 64, 1u64 << (index % 64));
        let control = self.control();
        // Before the owner: from then on the next one may fill and publish the chunk, and its bit must stay.
        if let Some(full) = control.full.get(word) {
            full.fetch_and(!bit, Ordering::AcqRel);
        }
        first.store(0, Ordering::Relaxed);
        header.used.store(0, Ordering::Relaxed);
        header.owner.store(0, Ordering::Release);
        if let Some(free) = control.free.get(word) {
            free.fetch_or(bit, Ordering::Release);
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `map_as` mapped; nothing borrowed from it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), LANES_LEN) };
    }
}
