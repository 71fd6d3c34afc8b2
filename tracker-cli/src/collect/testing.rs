//! Reads back what was written, for tests only.

use tracker_core::capture::block::{BLOCK_HEADER_LEN, BlockHeader, FILE_HEADER_LEN};

/// Headers and stored payloads.
pub(super) fn blocks(bytes: &[u8]) -> Vec<(BlockHeader, Vec<u8>)> {
    let mut rest = &bytes[FILE_HEADER_LEN..];
    let mut found = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<BLOCK_HEADER_LEN>() {
        let header = BlockHeader::decode(header).expect("a valid header");
        let (payload, behind) = behind.split_at(header.stored_len as usize);
        assert_eq!(header.payload_crc, crc32c::crc32c(payload));
        found.push((header, payload.to_vec()));
        rest = behind;
    }
    assert!(rest.is_empty());
    found
}
