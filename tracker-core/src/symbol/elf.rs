//! One 64-bit little-endian ELF file: its sections, build-id and links to separate debug data. Reads the section
//! table at once and each section's bytes when asked.

use std::io;

use object::elf::{ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD, EM_X86_64, NT_GNU_BUILD_ID};
use object::read::{CompressedData, CompressionFormat};

use super::limits::{DECOMPRESS_SLACK, MAX_DECOMPRESS_RATIO, MAX_SECTION_BYTES, MAX_SECTIONS};
use super::room;
use super::source::Source;

const HEADER_LEN: u64 = 64;
const SECTION_LEN: u64 = 64;
const SEGMENT_LEN: u64 = 56;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const SHF_EXECINSTR: u64 = 4;
const SHF_COMPRESSED: u64 = 0x800;
const PT_NOTE: u32 = 4;
/// Note sections that are searched for a build-id; programs have about three.
const MAX_NOTES: usize = 64;
/// Longer than any name that is asked for.
const MAX_SECTION_NAME: usize = 64;

/// A section's header.
#[derive(Debug, Clone)]
pub(super) struct Section {
    name: Vec<u8>,
    kind: u32,
    flags: u64,
    pub(super) address: u64,
    offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
}

impl Section {
    pub(super) fn is_executable(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }
}

/// An ELF file, opened.
#[derive(Debug)]
pub(super) struct Elf {
    source: Source,
    machine: u16,
    pub(super) sections: Vec<Section>,
    pub(super) build_id: Vec<u8>,
}

impl Elf {
    /// Reads the headers of `source`.
    pub(super) fn parse(source: Source) -> io::Result<Self> {
        let header = source.read(0, HEADER_LEN.min(source.len()))?;
        if !header.starts_with(b"\x7fELF") {
            return Err(io::Error::other("not an ELF file"));
        }
        if header.get(4..6) != Some(&[2, 1]) || header.len() < HEADER_LEN as usize {
            return Err(io::Error::other("not a 64-bit little-endian ELF file"));
        }
        let sections = read_sections(&source, &header)?;
        let machine = u16_at(&header, 18).unwrap_or(0);
        let mut elf = Self { source, machine, sections, build_id: Vec::new() };
        elf.build_id = elf.find_build_id(&header);
        Ok(elf)
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Whether its code is x86-64.
    pub(super) fn is_x86_64(&self) -> bool {
        self.machine == EM_X86_64.0
    }

    /// At most `most` bytes from a linked address on, as far as they are in one section of the file.
    pub(super) fn bytes_at(&self, address: u64, most: u64) -> Option<Vec<u8>> {
        let is_here = |section: &&Section| {
            section.address > 0
                && section.kind != SHT_NOBITS
                && section.flags & SHF_COMPRESSED == 0
                && address.checked_sub(section.address).is_some_and(|offset| offset < section.size)
        };
        let section = self.sections.iter().find(is_here)?;
        let offset = address - section.address;
        self.source.read(section.offset.checked_add(offset)?, most.min(section.size - offset)).ok()
    }

    /// The first section of that name.
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name.as_bytes())
    }

    /// A section's bytes as stored; none for a section without bytes in the file.
    pub(super) fn read(&self, section: &Section) -> io::Result<Vec<u8>> {
        if section.kind == SHT_NOBITS {
            return Ok(Vec::new());
        }
        if section.size > MAX_SECTION_BYTES {
            return Err(io::Error::other("a section is larger than memtrack reads"));
        }
        check_room(section.size)?;
        self.source.read(section.offset, section.size)
    }

    /// Whether [`Self::debug_section`] would find something to read.
    pub(super) fn has_debug_section(&self, name: &str) -> bool {
        let found = self.section(name).or_else(|| self.section(&old_compressed_name(name)));
        found.is_some_and(|section| section.kind != SHT_NOBITS && section.size > 0)
    }

    /// The bytes of a debug section, decompressed; empty when there is none.
    pub(super) fn debug_section(&self, name: &str) -> io::Result<Vec<u8>> {
        if let Some(section) = self.section(name) {
            let bytes = self.read(section)?;
            return if section.flags & SHF_COMPRESSED == 0 { Ok(bytes) } else { decompress(&bytes) };
        }
        match self.section(&old_compressed_name(name)) {
            Some(section) => decompress_old(&self.read(section)?),
            None => Ok(Vec::new()),
        }
    }

    /// `.gnu_debuglink`: the debug file's name and the CRC-32 of its bytes.
    pub(super) fn debug_link(&self) -> Option<(Vec<u8>, u32)> {
        let bytes = self.read(self.section(".gnu_debuglink")?).ok()?;
        let name = string_at(&bytes, 0, bytes.len()).to_vec();
        let crc = u32_at(&bytes, (name.len() + 4) & !3)?;
        Some((name, crc))
    }

    /// `.gnu_debugaltlink`: path and build-id of the file that holds what several debug files share (dwz).
    pub(super) fn debug_alt_link(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let bytes = self.read(self.section(".gnu_debugaltlink")?).ok()?;
        let path = string_at(&bytes, 0, bytes.len()).to_vec();
        let build_id = bytes.get(path.len() + 1..)?.to_vec();
        Some((path, build_id))
    }

    /// Note sections first: in a separate debug file the segments' offsets lead nowhere. A file without a section
    /// table still has its segments.
    fn find_build_id(&self, header: &[u8]) -> Vec<u8> {
        let notes = self
            .sections
            .iter()
            .filter(|section| section.kind == SHT_NOTE)
            .map(|section| (section.offset, section.size));
        let segments = if self.sections.is_empty() { note_segments(&self.source, header) } else { Vec::new() };
        let found = notes.chain(segments).take(MAX_NOTES).find_map(|(offset, size)| {
            let bytes = self.source.read(offset, size.min(1 << 16)).ok()?;
            build_id_in_notes(&bytes)
        });
        found.unwrap_or_default()
    }
}

fn read_sections(source: &Source, header: &[u8]) -> io::Result<Vec<Section>> {
    let invalid = || io::Error::other("its section table is damaged");
    let table = u64_at(header, 40).ok_or_else(invalid)?;
    if table == 0 {
        return Ok(Vec::new());
    }
    let mut count = u64::from(u16_at(header, 60).ok_or_else(invalid)?);
    let mut names_index = u32::from(u16_at(header, 62).ok_or_else(invalid)?);
    if u16_at(header, 58) != Some(SECTION_LEN as u16) {
        return Err(invalid());
    }
    // Numbers that do not fit the header are in the first entry.
    let first = source.read(table, SECTION_LEN)?;
    if count == 0 {
        count = u64_at(&first, 32).ok_or_else(invalid)?;
    }
    if names_index == 0xffff {
        names_index = u32_at(&first, 40).ok_or_else(invalid)?;
    }
    if count > MAX_SECTIONS {
        return Err(io::Error::other("it has more sections than memtrack reads"));
    }
    let bytes = source.read(table, count * SECTION_LEN)?;
    let parse = |entry: &[u8]| -> Option<(u32, Section)> {
        let section = Section {
            name: Vec::new(),
            kind: u32_at(entry, 4)?,
            flags: u64_at(entry, 8)?,
            address: u64_at(entry, 16)?,
            offset: u64_at(entry, 24)?,
            size: u64_at(entry, 32)?,
            link: u32_at(entry, 40)?,
        };
        Some((u32_at(entry, 0)?, section))
    };
    let mut sections: Vec<(u32, Section)> = bytes.chunks_exact(SECTION_LEN as usize).filter_map(parse).collect();
    let names = sections.get(names_index as usize).map(|(_, names)| (names.offset, names.size));
    let (offset, size) = names.ok_or_else(invalid)?;
    let names = source.read(offset, size.min(1 << 24))?;
    for (name, section) in &mut sections {
        section.name = string_at(&names, *name as usize, MAX_SECTION_NAME).to_vec();
    }
    Ok(sections.into_iter().map(|(_, section)| section).collect())
}

fn note_segments(source: &Source, header: &[u8]) -> Vec<(u64, u64)> {
    let table = u64_at(header, 32).unwrap_or(0);
    let count = u64::from(u16_at(header, 56).unwrap_or(0));
    let bytes = source.read(table, count * SEGMENT_LEN).unwrap_or_default();
    let notes = bytes.chunks_exact(SEGMENT_LEN as usize).filter(|entry| u32_at(entry, 0) == Some(PT_NOTE));
    notes.filter_map(|entry| Some((u64_at(entry, 8)?, u64_at(entry, 32)?))).collect()
}

/// The descriptor of the first GNU build-id note. Such notes are aligned to 4 bytes, also inside segments of 8.
fn build_id_in_notes(mut notes: &[u8]) -> Option<Vec<u8>> {
    loop {
        let name_len = u32_at(notes, 0)? as usize;
        let desc_len = u32_at(notes, 4)? as usize;
        let kind = u32_at(notes, 8)?;
        let desc_start = name_len.checked_add(12 + 3)? & !3;
        let desc = notes.get(desc_start..desc_start.checked_add(desc_len)?)?;
        if kind == NT_GNU_BUILD_ID.0 && notes.get(12..16) == Some(b"GNU\0") && !desc.is_empty() {
            return Some(desc.to_vec());
        }
        notes = notes.get((desc_start + desc_len + 3) & !3..)?;
    }
}

fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = || io::Error::other("a compressed section is damaged");
    let kind = u32_at(bytes, 0).ok_or_else(damaged)?;
    let size = u64_at(bytes, 8).ok_or_else(damaged)?;
    let format = match kind {
        kind if kind == ELFCOMPRESS_ZLIB.0 => CompressionFormat::Zlib,
        kind if kind == ELFCOMPRESS_ZSTD.0 => CompressionFormat::Zstandard,
        _ => return Err(io::Error::other("a section is compressed in an unknown way")),
    };
    inflate(format, bytes.get(24..).ok_or_else(damaged)?, size)
}

fn check_room(bytes: u64) -> io::Result<()> {
    if room::is_there_for(bytes) { Ok(()) } else { Err(io::Error::other("it is larger than the memory left here")) }
}

/// `.debug_info` was `.zdebug_info` before compression had a flag of its own.
fn old_compressed_name(name: &str) -> String {
    name.replacen(".debug_", ".zdebug_", 1)
}

fn decompress_old(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (header, data) = bytes.split_first_chunk::<12>().ok_or(io::ErrorKind::UnexpectedEof)?;
    let size = header.strip_prefix(b"ZLIB").and_then(|size| size.first_chunk::<8>());
    let size = size.ok_or_else(|| io::Error::other("a compressed section is damaged"))?;
    inflate(CompressionFormat::Zlib, data, u64::from_be_bytes(*size))
}

fn inflate(format: CompressionFormat, data: &[u8], uncompressed_size: u64) -> io::Result<Vec<u8>> {
    let limit = (data.len() as u64).saturating_mul(MAX_DECOMPRESS_RATIO).saturating_add(DECOMPRESS_SLACK);
    if uncompressed_size > limit.min(MAX_SECTION_BYTES) {
        return Err(io::Error::other("a compressed section is implausibly large"));
    }
    check_room(uncompressed_size)?;
    let compressed = CompressedData { format, data, uncompressed_size };
    Ok(compressed.decompress().map_err(io::Error::other)?.into_owned())
}

/// The bytes from `at` up to the next zero byte, at most `max`: entries may share one long string, and none may cost
/// more than it shows.
pub(super) fn string_at(bytes: &[u8], at: usize, max: usize) -> &[u8] {
    let tail = bytes.get(at..).unwrap_or_default();
    let tail = tail.get(..max).unwrap_or(tail);
    tail.split(|byte| *byte == 0).next().unwrap_or_default()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(kind: u32, size: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), [0; 4]].concat();
        bytes.extend(size.to_le_bytes());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn zstd_sections_are_read() {
        let text = b"debug data ".repeat(1000);
        let data = zstd::encode_all(&text[..], 3).expect("memory");
        let section = compressed(ELFCOMPRESS_ZSTD.0, text.len() as u64, &data);
        assert_eq!(decompress(&section).expect("a whole section"), text);
        for cut in 0..section.len() {
            assert!(decompress(&section[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn sections_that_claim_too_much_are_refused() {
        for size in [2_u64 << 20, 1 << 40, u64::MAX] {
            for kind in [ELFCOMPRESS_ZLIB.0, ELFCOMPRESS_ZSTD.0] {
                assert!(decompress(&compressed(kind, size, &[0; 8])).is_err(), "{size}");
            }
        }
        // The claim is honest, the ratio is not.
        let zeros = vec![0; 4 << 20];
        let data = zstd::encode_all(&zeros[..], 3).expect("memory");
        assert!(decompress(&compressed(ELFCOMPRESS_ZSTD.0, 4 << 20, &data)).is_err());
        assert!(decompress(&compressed(7, 8, &[0; 8])).is_err());
    }

    #[test]
    fn build_ids_are_found_among_notes() {
        let note = |name: &[u8], kind: u32, desc: &[u8]| {
            let words = [name.len() as u32, desc.len() as u32, kind].map(u32::to_le_bytes).concat();
            let pad = |bytes: &[u8]| [bytes, &[0; 3][..(4 - bytes.len() % 4) % 4]].concat();
            [words, pad(name), pad(desc)].concat()
        };
        let property = note(b"GNU\0", 5, &[1; 16]);
        let build_id = note(b"GNU\0", 3, &[7; 20]);
        let stranger = note(b"Other\0", 3, &[9; 5]);
        assert_eq!(build_id_in_notes(&[&property[..], &stranger, &build_id].concat()), Some(vec![7; 20]));
        assert_eq!(build_id_in_notes(&[&property[..], &stranger].concat()), None);
        assert_eq!(build_id_in_notes(&build_id[..30]), None);
        assert_eq!(build_id_in_notes(&[0xff; 64]), None);
    }
}
