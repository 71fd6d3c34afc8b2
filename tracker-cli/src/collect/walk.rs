//! Steps over the records of a chunk: how far they are whole, how many they are, and what they say about epochs,
//! times, images and modules. Pure; the bytes come from the recorded program and may be anything.

use tracker_core::format::record::{self, tag};
use tracker_core::format::{Deltas, Record};

/// What a walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    /// Bytes of whole records.
    pub(super) len: usize,
    /// Their number.
    pub(super) records: u32,
    pub(super) allocations: u64,
    pub(super) frees: u64,
    /// Behind `len` there is something that is no record.
    pub(super) damaged: bool,
}

/// Walks from the front of `bytes` to the first byte that nothing was committed to. Steps epoch and time of `deltas`
/// and shows `visit` the images and modules; the other delta-coded fields are left alone, they are the readers'.
pub(super) fn walk(bytes: &[u8], deltas: &mut Deltas, mut visit: impl FnMut(&Record<'_>, u64)) -> Walked {
    let mut walked = Walked::default();
    loop {
        let rest = bytes.get(walked.len..).unwrap_or_default();
        let (Some(&first), len) = (rest.first(), record::record_len(rest)) else { return walked };
        let len = match len {
            Ok(0) => return walked,
            Ok(len) => len,
            Err(_) => return Walked { damaged: true, ..walked },
        };
        match first {
            0x80.. | tag::ALLOC => walked.allocations += 1,
            0x40.. | tag::FREE => walked.frees += 1,
            // The hot tags below 0x40 are epochs and clocks. Definitions are long and none of our business.
            0x10..0x18 | tag::IMAGE | tag::MODULE => match record::decode(deltas, rest) {
                Ok(Some((record, _))) => visit(&record, deltas.time),
                _ => return Walked { damaged: true, ..walked },
            },
            _ => {}
        }
        walked.len += len;
        walked.records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_core::format::ImageKind;

    fn bytes() -> Vec<u8> {
        let mut deltas = Deltas::default();
        let mut bytes = Vec::new();
        let mut push = |e: tracker_core::format::Encoded| {
            bytes.push(e.tag);
            bytes.extend_from_slice(&e.payload.to_le_bytes()[..usize::from(e.len)]);
        };
        push(deltas.encode_epoch(9));
        push(deltas.encode_alloc(0x1000, 24, 1, false).unwrap());
        push(deltas.encode_clock(5_000_000));
        push(deltas.encode_free(0x1000, false).unwrap());
        let mut image = [0; 200];
        let len =
            record::write_image(&mut image, ImageKind::First, (42, u32::MAX, 0), b"/bin/x", [].into_iter()).unwrap();
        bytes.extend_from_slice(&image[..len]);
        bytes
    }

    #[test]
    fn counts_and_steps() {
        let mut deltas = Deltas::default();
        let mut pids = Vec::new();
        let bytes = bytes();
        let walked = walk(&bytes, &mut deltas, |record, time| {
            if let Record::Image { pid, .. } = record {
                pids.push((*pid, time));
            }
        });
        assert_eq!(walked, Walked { len: bytes.len(), records: 5, allocations: 1, frees: 1, damaged: false });
        assert_eq!((deltas.epoch, deltas.time), (9, 5_000_000));
        assert_eq!(pids, [(42, 5_000_000)]);
    }

    #[test]
    fn stops_at_the_first_zero_tag() {
        let mut bytes = bytes();
        let len = bytes.len();
        bytes.push(0);
        bytes.extend_from_slice(&[0x80; 30]);
        let walked = walk(&bytes, &mut Deltas::default(), |_, _| ());
        assert_eq!((walked.len, walked.damaged), (len, false));
    }

    #[test]
    fn a_cut_record_is_damage_behind_the_whole_ones() {
        let bytes = bytes();
        let mut seen = 0;
        for end in 0..bytes.len() {
            let walked = walk(&bytes[..end], &mut Deltas::default(), |_, _| ());
            assert!(walked.len <= end);
            assert_eq!(walked.damaged, walked.len != end);
            seen = seen.max(walked.records);
        }
        assert_eq!(seen, 4);
    }

    #[test]
    fn any_bytes_are_walked_without_panic() {
        let mut state = 1u64;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..97)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            assert!(walk(&bytes, &mut Deltas::default(), |_, _| ()).len <= bytes.len());
        }
    }
}
