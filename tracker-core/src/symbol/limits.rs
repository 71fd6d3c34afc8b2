//! What a symbol file may cost. Real files stay far below; a hostile one ends here, with what was found so far.

use std::time::Duration;

/// Sections of one file.
pub(super) const MAX_SECTIONS: u64 = 1 << 18;
/// Bytes of one section, as stored or decompressed, and of all debug sections of one file together. Only the largest
/// browsers have more.
pub(super) const MAX_SECTION_BYTES: u64 = 4 << 30;
/// A compressed section may grow to this multiple of its stored bytes, plus [`DECOMPRESS_SLACK`].
pub(super) const MAX_DECOMPRESS_RATIO: u64 = 32;
pub(super) const DECOMPRESS_SLACK: u64 = 1 << 20;
/// Symbols of one table.
pub(super) const MAX_SYMBOLS: usize = 1 << 24;
/// Bytes of a function or file name as shown; a longer one is cut and ends with `…`.
pub(super) const MAX_NAME: usize = 4 << 10;
/// Longest mangled name that is demangled; a longer one is shown as it is.
pub(super) const MAX_MANGLED: usize = 16 << 10;
/// Nesting of C++ names. The demangler backtracks: a hostile name costs time exponential in this (50 ms here), where
/// an honest one costs 5 µs. Of 130 k names of LLVM, node, gcc and libstdc++ two are nested deeper.
pub(super) const MAX_NESTING: u32 = 80;
/// A name that takes longer to demangle is suspicious, and when such names have taken [`MAX_WASTED`] of a module's
/// time, its names are shown as they are.
pub(super) const SLOW_NAME: Duration = Duration::from_millis(1);
pub(super) const MAX_WASTED: Duration = Duration::from_secs(2);
/// Names that one module keeps demangled.
pub(super) const MAX_KEPT_NAMES: usize = 1 << 16;
/// Frames at one address; more are cut out between the innermost ones and the function itself.
pub(super) const MAX_FRAMES: usize = 256;
/// Bytes of stack that the DWARF parser may use. It recurses once per level of inlining, so this bounds the depth.
pub(super) const MAX_PARSER_STACK: usize = 512 << 10;
/// How often the parser may read each byte of the debug data before it has to stop: units may share tables, so
/// quadratic work is possible. Real files need less than two.
pub(super) const MAX_PASSES: u64 = 4;
/// Bytes the parser may read on top of that, at first and for each address.
pub(super) const OPEN_FUEL: u64 = 1 << 20;
pub(super) const LOOKUP_FUEL: u64 = 64 << 10;

/// `name` cut to [`MAX_NAME`] bytes.
pub(super) fn cut_name(mut name: String) -> String {
    if name.len() > MAX_NAME {
        name.truncate(name.floor_char_boundary(MAX_NAME));
        name.push('…');
    }
    name
}
