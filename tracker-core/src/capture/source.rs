//! Bytes at a place. The reader needs nothing else of a file, so that tests read from memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Something with bytes that can be read at any offset. May grow while it is read.
/// Asked by several threads at once.
pub trait Source: Sync {
    /// Bytes there are now.
    fn size(&self) -> io::Result<u64>;

    /// Reads at most `buffer.len()` bytes at `offset` and answers how many; 0 at the end.
    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Source for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_at(buffer, offset)
    }
}

impl Source for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(len)
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_some_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_some_at(buffer, offset)
    }
}

/// Fills `buffer` from `offset` on, as far as there are bytes; answers how many.
pub fn read_at(source: &impl Source, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match source.read_some_at(rest, offset.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_there_is() {
        let bytes: &[u8] = b"abcdef";
        let mut buffer = [0; 4];
        let mut check = |offset, expected: &[u8]| {
            let len = read_at(&bytes, &mut buffer, offset).unwrap();
            assert_eq!(&buffer[..len], expected);
        };
        check(0, b"abcd");
        check(4, b"ef");
        check(6, b"");
        check(u64::MAX, b"");
    }
}
