//! The reader through which addr2line and gimli see debug sections: shared bytes behind a meter.
//!
//! addr2line bounds neither its work nor its recursion: units may point at one line table or range list again and
//! again, and it descends once per level of inlining. Every byte it looks at passes through here, so here both end:
//! when the [`Meter`] is empty or the stack has grown too far, reading fails as if the section had ended.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use gimli::{Error, LittleEndian, Reader, ReaderOffsetId, Result};

use super::limits::MAX_PARSER_STACK;

/// What one module's parsing may still cost. Used by one thread at a time; atomic only so that it can move.
#[derive(Debug, Default)]
pub(super) struct Meter {
    fuel: AtomicU64,
    stack: AtomicUsize,
}

impl Meter {
    /// Allows `bytes` more to be read.
    pub(super) fn grant(&self, bytes: u64) {
        self.fuel.store(self.fuel().saturating_add(bytes), Ordering::Relaxed);
    }

    /// Measures the parser's stack from the caller's frame on.
    pub(super) fn start(&self) {
        self.stack.store(stack_address(), Ordering::Relaxed);
    }

    /// Nothing can be read any more.
    pub(super) fn is_empty(&self) -> bool {
        self.fuel() == 0
    }

    fn fuel(&self) -> u64 {
        self.fuel.load(Ordering::Relaxed)
    }

    fn charge(&self, bytes: usize) -> Option<()> {
        // One for the step itself: skipping and empty reads are work too.
        let left = self.fuel().saturating_sub(bytes as u64 + 1);
        self.fuel.store(left, Ordering::Relaxed);
        let depth = self.stack.load(Ordering::Relaxed).abs_diff(stack_address());
        (left > 0 && depth < MAX_PARSER_STACK).then_some(())
    }
}

fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}

#[derive(Debug)]
struct Section {
    bytes: Vec<u8>,
    meter: Arc<Meter>,
}

/// A range of a section.
#[derive(Debug, Clone)]
pub(super) struct SectionReader {
    section: Arc<Section>,
    start: usize,
    end: usize,
}

impl SectionReader {
    /// Reads all of `bytes`, charging `meter`.
    pub(super) fn new(bytes: Vec<u8>, meter: Arc<Meter>) -> Self {
        let end = bytes.len();
        Self { section: Arc::new(Section { bytes, meter }), start: 0, end }
    }

    fn rest(&self) -> &[u8] {
        self.section.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn eof<T>(&self) -> Result<T> {
        Err(Error::UnexpectedEof(self.offset_id()))
    }

    /// Pays for looking at the next `len` bytes and returns where they end.
    fn pay(&self, len: usize) -> Result<usize> {
        let end = self.start.checked_add(len).filter(|end| *end <= self.end);
        match end.zip(self.section.meter.charge(len)) {
            Some((end, ())) => Ok(end),
            None => self.eof(),
        }
    }

    /// Pays for looking at all that is left.
    fn pay_rest(&self) -> Result<&[u8]> {
        self.pay(self.end - self.start)?;
        Ok(self.rest())
    }
}

impl Reader for SectionReader {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn empty(&mut self) {
        self.start = self.end;
    }

    fn truncate(&mut self, len: usize) -> Result<()> {
        match self.start.checked_add(len).filter(|end| *end <= self.end) {
            Some(end) => self.end = end,
            None => return self.eof(),
        }
        Ok(())
    }

    fn offset_from(&self, base: &Self) -> usize {
        self.start.saturating_sub(base.start)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start as u64)
    }

    /// Ids serve messages only, and those do not name sections.
    fn lookup_offset_id(&self, _: ReaderOffsetId) -> Option<usize> {
        None
    }

    fn find(&self, byte: u8) -> Result<usize> {
        // Search no further than can be paid for.
        let payable = usize::try_from(self.section.meter.fuel()).unwrap_or(usize::MAX);
        let rest = self.rest();
        let payable = rest.get(..payable).unwrap_or(rest);
        match payable.iter().position(|candidate| *candidate == byte) {
            Some(at) => self.pay(at).map(|_| at),
            None => self.pay(payable.len()).and_then(|_| self.eof()),
        }
    }

    // Skipped bytes are not looked at.
    fn skip(&mut self, len: usize) -> Result<()> {
        self.pay(0)?;
        match self.start.checked_add(len).filter(|end| *end <= self.end) {
            Some(end) => self.start = end,
            None => return self.eof(),
        }
        Ok(())
    }

    fn split(&mut self, len: usize) -> Result<Self> {
        let mut first = self.clone();
        self.skip(len)?;
        first.end = self.start;
        Ok(first)
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>> {
        self.pay_rest().map(Cow::Borrowed)
    }

    fn to_string(&self) -> Result<Cow<'_, str>> {
        std::str::from_utf8(self.pay_rest()?).map(Cow::Borrowed).map_err(|_| Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>> {
        Ok(String::from_utf8_lossy(self.pay_rest()?))
    }

    fn read_slice(&mut self, to: &mut [u8]) -> Result<()> {
        let end = self.pay(to.len())?;
        match self.section.bytes.get(self.start..end) {
            Some(from) => to.copy_from_slice(from),
            None => return self.eof(),
        }
        self.start = end;
        Ok(())
    }
}
