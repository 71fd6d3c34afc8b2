//! Steps over the records of a chunk: how far they are whole, how many they are, and what they say about epochs,
//! times, images and modules. Pure; the bytes come from the recorded program and may be anything.

use tracker_core::format::record::{self, tag};
use tracker_core::format::{DecodeError, Deltas, MAX_EVENT_LEN, Record};

/// What a walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Walked {
    /// Bytes of whole records.
    pub(super) len: usize,
    /// Their number.
    pub(super) records: u32,
    pub(super) allocations: u64,
    /// Records that are neither allocations nor frees.
    others: u64,
    /// Behind `len` there is something that is no record.
    pub(super) damaged: bool,
}

impl Walked {
    pub(super) fn frees(&self) -> u64 {
        self.events() - self.allocations
    }

    /// Allocations and frees.
    pub(super) fn events(&self) -> u64 {
        u64::from(self.records) - self.others
    }
}

/// Steps from record to record.
#[derive(Debug, Clone)]
pub(super) struct Walker {
    /// Length of the allocations and frees that a tag alone tells everything about; 0 for all other tags.
    hot: [u8; 256],
}

impl Walker {
    pub(super) fn new() -> Self {
        let mut hot = [0; 256];
        // Behind a tag, zeros are as good as any payload: these lengths depend on the tag only.
        let mut bytes = [0; MAX_EVENT_LEN];
        for tag in 0x40..=u8::MAX {
            bytes[0] = tag;
            let len = record::record_len(&bytes).ok().and_then(|len| u8::try_from(len).ok());
            hot[usize::from(tag)] = len.unwrap_or(0);
        }
        Self { hot }
    }

    /// Walks from the front of `bytes` to the first byte that nothing was committed to. Steps epoch and time of
    /// `deltas` and shows `visit` the images and modules; the other delta-coded fields are left alone, they are the
    /// readers'.
    pub(super) fn walk(&self, bytes: &[u8], deltas: &mut Deltas, mut visit: impl FnMut(&Record<'_>, u64)) -> Walked {
        let mut walked = Walked::default();
        while let Some(&first) = bytes.get(walked.len) {
            let hot = usize::from(self.hot[usize::from(first)]);
            if hot != 0 && walked.len + hot <= bytes.len() {
                walked.len += hot;
                walked.records += 1;
                walked.allocations += u64::from(first >> 7);
                continue;
            }
            match cold(bytes.get(walked.len..).unwrap_or_default(), deltas, &mut visit) {
                Ok(0) => break,
                Ok(len) => walked.len += len,
                Err(_) => {
                    walked.damaged = true;
                    break;
                }
            }
            walked.records += 1;
            walked.allocations += u64::from(first == tag::ALLOC);
            walked.others += u64::from(first != tag::ALLOC && first != tag::FREE);
        }
        walked
    }
}

/// One record that is neither a short allocation nor a short free; answers its length.
fn cold(bytes: &[u8], deltas: &mut Deltas, visit: &mut impl FnMut(&Record<'_>, u64)) -> Result<usize, DecodeError> {
    match bytes.first() {
        // The tags from 0x10 are epochs and clocks. Definitions are long and none of our business.
        Some(0x10..0x18) | Some(&tag::IMAGE) | Some(&tag::MODULE) => match record::decode(deltas, bytes)? {
            Some((record, len)) => {
                visit(&record, deltas.time);
                Ok(len)
            }
            None => Ok(0),
        },
        _ => record::record_len(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracker_core::format::ImageKind;

    fn walk(bytes: &[u8], deltas: &mut Deltas, visit: impl FnMut(&Record<'_>, u64)) -> Walked {
        Walker::new().walk(bytes, deltas, visit)
    }

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
        assert_eq!(walked, Walked { len: bytes.len(), records: 5, allocations: 1, others: 3, damaged: false });
        assert_eq!(walked.frees(), 1);
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
