//! The frames of a capture file, with nothing put right.

use tracker_core::capture::block::{BlockHeader, FILE_HEADER_LEN, FileHeader};
use tracker_core::capture::dump::dump;
use tracker_core::capture::payload::Loader;
use tracker_core::capture::scan::{Piece, Scan};

/// Blocks and holes lie side by side from the file header to the end, every block's header is what its bytes say, and what
/// was loaded is as long as was said.
pub fn blocks(bytes: &[u8]) {
    if let Ok(header) = FileHeader::decode(bytes) {
        assert_eq!(header.encode()[..40], bytes[..40]);
    }
    let mut scan = Scan::new(bytes, bytes.len() as u64);
    let mut loader = Loader::new().expect("a decompressor");
    let mut payload = Vec::new();
    let mut at = FILE_HEADER_LEN as u64;
    while let Some(piece) = scan.next_piece().expect("memory can be read") {
        at = match piece {
            Piece::Block(found) => {
                assert_eq!(found.at, at);
                assert_eq!(BlockHeader::decode(&found.header.encode()), Some(found.header));
                let good = loader.load(&bytes, &found.header, found.payload_at(), &mut payload);
                let good = good.expect("memory can be read");
                assert_eq!(payload.len(), if good { found.header.raw_len as usize } else { 0 });
                found.end()
            }
            Piece::Damage(hole) | Piece::Tail(hole) => {
                assert_eq!(hole.at, at);
                assert!(hole.len > 0);
                hole.at + hole.len
            }
        };
    }
    assert_eq!(at, (bytes.len() as u64).max(FILE_HEADER_LEN as u64));
    let _ = dump(&bytes, &mut std::io::sink());
}
