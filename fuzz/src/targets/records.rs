//! The record decoder.

use tracker_core::format::record::{Record, decode, record_len};
use tracker_core::format::{DecodeError, Deltas};

/// The decoder and the one that only steps agree on every record's length, and what a record lends out ends.
pub fn records(bytes: &[u8]) {
    let mut deltas = Deltas::at_chunk_start(1, 1);
    let mut rest = bytes;
    loop {
        let len = record_len(rest);
        match decode(&mut deltas, rest) {
            Ok(Some((record, decoded))) => {
                assert_eq!(len, Ok(decoded));
                look(&record);
                rest = &rest[decoded..];
            }
            Ok(None) => {
                assert_eq!(len, Ok(0));
                break;
            }
            // A payload is judged by the decoder alone.
            Err(DecodeError::BadPayload(_)) => {
                assert!(len.is_ok_and(|len| len > 0));
                break;
            }
            Err(error) => {
                assert_eq!(len, Err(error));
                break;
            }
        }
    }
}

fn look(record: &Record<'_>) {
    match record {
        Record::Define { pcs, .. } => assert_eq!(pcs.iter().count(), pcs.len()),
        Record::Image { arguments, .. } => assert!(arguments.iter().count() <= usize::from(u16::MAX)),
        _ => {}
    }
}
