//! The symbolizer, on the bytes of a module.

use std::path::PathBuf;

use tracker_core::symbol::{ModuleSource, SymbolOptions, Symbolizer, build_id_of_bytes};

/// Where the code of small programs lies, and places where none can be.
fn addresses() -> impl Iterator<Item = u64> {
    (0x1000..0x1400).step_by(24).chain([0, 1, u64::MAX, 1 << 63, 0xffff_ffff])
}

/// Any file has an answer for every address, and names are short.
pub fn symbols(bytes: &[u8]) {
    let _ = build_id_of_bytes(bytes.to_vec());
    // No folder: what a file names must not be opened.
    let mut symbolizer = Symbolizer::new(SymbolOptions { debug_dirs: Vec::new(), sysroot: None });
    let path = PathBuf::from("/nonexistent/module");
    let module =
        symbolizer.add_module(ModuleSource { path, embedded: Some(bytes.to_vec()), ..ModuleSource::default() });
    for address in addresses() {
        let frames = symbolizer.frames(module, address);
        assert!(frames.len() <= 300);
        for name in frames.iter().flat_map(|frame| [&frame.function, &frame.file]).flatten() {
            assert!(name.len() < 20_000);
        }
    }
    let _ = symbolizer.note(module);
}
