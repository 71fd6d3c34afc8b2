//! Every record, written and read back; and bytes that are none.

use fuzz::Random;
use tracker_core::format::record::{
    MapKind, ModuleFields, UntrackedReason, decode, record_len, tag, write_alloc, write_define, write_free, write_gap,
    write_generation, write_image, write_map, write_module, write_unmap, write_untracked,
};
use tracker_core::format::{
    Called, DecodeError, Deltas, Encoded, Function, ImageKind, MAX_DEFINE_PCS, MAX_EVENT_LEN, MAX_RECORD_LEN, Record,
};

const START: Deltas = Deltas::at_chunk_start(7, 1_000);

/// Writes a record and compares what is read back, alone and with other bytes behind it.
#[track_caller]
fn check(write: impl FnOnce(&mut [u8], &mut Deltas) -> Option<usize>, expected: Record<'_>) {
    let (mut buffer, mut writing) = (vec![0xaa; MAX_RECORD_LEN], START);
    let len = write(&mut buffer, &mut writing).expect("a record fits");
    for bytes in [&buffer[..len], &buffer] {
        let mut reading = START;
        assert_eq!(record_len(bytes), Ok(len));
        assert_eq!(decode(&mut reading, bytes), Ok(Some((expected, len))));
        assert_eq!(reading, writing, "reader and writer step alike");
    }
    for cut in 1..len {
        assert_eq!(decode(&mut START.clone(), &buffer[..cut]), Err(DecodeError::Cut), "cut at {cut}");
    }
}

fn event(event: Encoded, buffer: &mut [u8]) -> Option<usize> {
    let len = usize::from(event.len);
    assert!(len < MAX_EVENT_LEN && event.payload >> (8 * len) == 0);
    buffer[0] = event.tag;
    buffer[1..=len].copy_from_slice(&event.payload.to_le_bytes()[..len]);
    Some(1 + len)
}

#[test]
fn events() {
    let addresses = [0, 0x10, 0x7f0, 0x800, 0x7_fff0, 0x7ff_fff0, 0x1000_0000, 0x7fff_ffff_fff0];
    let sizes = [0, 1, 0xff, 0x100, 0xffff, 0x10000, 0xff_ffff, 0x100_0000, 0xffff_ffff];
    for address in addresses {
        for size in sizes {
            for stack in [0, 1, 127, 128, 255, 256, 0x7fff, 0x8000, 0x7fff_ffff] {
                for realloc in [false, true] {
                    let record = Record::Alloc { address, size, stack, realloc };
                    check(|b, d| event(d.encode_alloc(address, size, stack, realloc).unwrap(), b), record);
                    check(|b, d| write_alloc(b, d, (address, size), stack, realloc), record);
                }
            }
        }
        for realloc in [false, true] {
            let record = Record::Free { address, realloc };
            check(|b, d| event(d.encode_free(address, realloc).unwrap(), b), record);
            check(|b, d| write_free(b, d, address, realloc), record);
        }
    }
    for epoch in [8, 9, 7 + 0xff, 7 + 0x100, 7 + 0xffff, 7 + 0x10000, u64::MAX, 0] {
        check(|b, d| event(d.encode_epoch(epoch), b), Record::Epoch(epoch));
    }
    for step in [0, 1, 0xff, 0x100, 0xffff, 0x10000, 0xffff_ffff, 0x1_0000_0000] {
        let time = 1_000 + step * 1_000;
        check(|b, d| event(d.encode_clock(time), b), Record::Clock(time));
    }
    for (tag, record) in [
        (tag::REALLOC_FAILED, Record::ReallocFailed),
        (tag::REALLOC_FREED, Record::ReallocFreed),
        (tag::FORGET_STACKS, Record::ForgetStacks),
    ] {
        check(|b, _| event(Encoded { tag, len: 0, payload: 0 }, b), record);
    }
}

#[test]
fn what_does_not_fit_the_short_form() {
    let alloc = |address, size| START.clone().encode_alloc(address, size, 1, false);
    assert_eq!([alloc(8, 1), alloc(16, 1 << 32), alloc(1 << 62, 1)], [None; 3]);
    assert_eq!(START.clone().encode_free(0x1008, false), None);
    let (address, size) = (0x7fff_1234_5678, u64::MAX);
    check(
        |b, d| write_alloc(b, d, (address, size), u32::MAX, true),
        Record::Alloc { address, size, stack: u32::MAX, realloc: true },
    );
    check(|b, d| write_free(b, d, u64::MAX, false), Record::Free { address: u64::MAX, realloc: false });
}

#[test]
fn rare_records() {
    check(|b, _| write_gap(b, 5), Record::Gap { lost: 5 });
    check(|b, _| write_generation(b, 6), Record::Generation(6));
    let path = &[b'x'; 2048][..];
    let build_id = &[7; 20][..];
    let module = ModuleFields { generation: 3, start: 1, end: u64::MAX, bias: 9, build_id, path };
    check(
        |b, _| write_module(b, &module),
        Record::Module { generation: 3, start: 1, end: u64::MAX, bias: 9, build_id, path },
    );
    let untracked = Record::Untracked { pid: 9, reason: UntrackedReason::Musl as u8, path };
    check(|b, _| write_untracked(b, 9, UntrackedReason::Musl, path), untracked);
    for kind in [MapKind::Memory, MapKind::File, MapKind::Reserved, MapKind::Moved] {
        check(|b, _| write_map(b, (1, 2), 3, kind), Record::Map { address: 1, len: 2, stack: 3, kind });
    }
    for moves in [false, true] {
        check(|b, _| write_unmap(b, (1, 2), moves), Record::Unmap { address: 1, len: 2, moves });
    }
}

#[test]
fn definitions() {
    let far: Vec<u64> = (0..MAX_DEFINE_PCS as u64).map(|n| n << 56 | 0x5555_5555).collect();
    for pcs in [&[][..], &[16], &[0x1000, 0xfff, u64::MAX, 0], &far] {
        let mut buffer = [0; MAX_RECORD_LEN];
        let len = write_define(&mut buffer, 9, 8, pcs.iter().copied()).expect("the longest definition fits");
        let Ok(Some((Record::Define { first: 9, parent: 8, pcs: read }, used))) = decode(&mut START.clone(), &buffer)
        else {
            panic!("no definition")
        };
        assert_eq!((used, read.len(), read.iter().collect::<Vec<_>>().as_slice()), (len, pcs.len(), pcs));
    }
}

#[test]
fn images_and_arguments_that_do_not_fit() {
    let long = [b'l'; 1500];
    for (arguments, kept) in [(vec![&b"a"[..], b"", b"c d"], 3), (vec![&long[..], &long, &long], 1), (vec![], 0)] {
        let mut buffer = [0; MAX_RECORD_LEN];
        let numbers = (1, u32::MAX, 2);
        write_image(&mut buffer, ImageKind::Fork, numbers, &long, arguments.iter().copied()).expect("an image fits");
        let Ok(Some((Record::Image { kind, pid, parent, generation, exe, arguments: read }, _))) =
            decode(&mut START.clone(), &buffer)
        else {
            panic!("no image")
        };
        assert_eq!((kind, (pid, parent, generation), exe), (ImageKind::Fork, numbers, &long[..1024]));
        assert_eq!(read.iter().collect::<Vec<_>>(), arguments[..kept]);
        assert_eq!(read.cut, kept < arguments.len());
    }
}

#[test]
fn functions_have_markers() {
    let all = Function::ALL.into_iter().flat_map(|function| [false, true].map(|twice| Called { function, twice }));
    for called in all {
        assert_eq!(Called::from_marker(called.marker()), Some(called));
    }
    assert_eq!([0, 15, 34, 47, 66, 80, u64::MAX].map(Called::from_marker), [None; 7]);
}

#[test]
fn bytes_that_are_no_record() {
    assert_eq!(decode(&mut START.clone(), &[]), Ok(None));
    assert_eq!(decode(&mut START.clone(), &[0, 1, 2]), Ok(None));
    assert_eq!(decode(&mut START.clone(), &[0x1b]), Err(DecodeError::BadTag(0x1b)));
    assert_eq!(decode(&mut START.clone(), &[0x41, 0]), Err(DecodeError::BadTag(0x41)));
    // A definition below itself; an image of no kind; a module without its fields.
    assert_eq!(
        decode(&mut START.clone(), &[0x22, 10, 0, 5, 0, 0, 0, 5, 0, 0, 0, 0, 0]),
        Err(DecodeError::BadPayload(0x22))
    );
    assert_eq!(decode(&mut START.clone(), &[0x26, 1, 0, 9]), Err(DecodeError::BadPayload(0x26)));
    assert_eq!(decode(&mut START.clone(), &[0x25, 0, 0]), Err(DecodeError::BadPayload(0x25)));
    let later = Record::Unknown { tag: 0x3f, payload: &[1, 2] };
    assert_eq!(decode(&mut START.clone(), &[0x3f, 2, 0, 1, 2, 9]), Ok(Some((later, 5))));
}

#[test]
fn random_bytes_never_panic_and_lengths_agree() {
    let mut random = Random::new(1);
    for _ in 0..200_000 {
        let bytes: Vec<u8> = (0..random.below(40)).map(|_| random.next() as u8).collect();
        let mut deltas = Deltas::at_chunk_start(random.next(), random.next());
        let len = record_len(&bytes);
        match decode(&mut deltas, &bytes) {
            Ok(Some((record, used))) => {
                assert_eq!(len, Ok(used));
                // Whatever it is can be looked at.
                let _ = format!("{record:?}");
            }
            Ok(None) => assert_eq!(len, Ok(0)),
            Err(DecodeError::BadPayload(_)) => assert!(len.is_ok()),
            Err(error) => assert_eq!(len, Err(error)),
        }
    }
}
