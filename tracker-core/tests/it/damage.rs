//! Captures that are cut, damaged or made up: they open as far as they go, say what is missing, and never panic.

use fuzz::{Random, assert_sums, repair};
use tracker_core::capture::block::{BLOCK_HEADER_LEN, FILE_HEADER_LEN};
use tracker_core::capture::dump::dump;
use tracker_core::capture::reader::ReadError;
use tracker_core::report::OpenOptions;
use tracker_core::report::names::NoSymbols;
use tracker_core::report::open::read;
use tracker_core::report::profile::{Profile, State};

use crate::check::plain_profile;
use crate::trace::{Layout, write};

const TRACE: &str = "
    t1 alloc a 64 main>parse
    t1 alloc b 10 main>run
    t1 part
    epoch
    time 3000
    t2 alloc c 5 main>thread>work
    t2 free a
    t1 realloc b d 20 main>run
    t2 chunk
    epoch
    p2 fork p1
    p2.t1 alloc a 100 main>child
    p2.t1 free c
    t2 alloc e 7 main>thread>work
    t2 part
    t2 free e
    p2 ends
    p3 exec p1
    p3.t1 alloc a 9 main
";

fn try_profile(bytes: &[u8], held: bool) -> Result<Profile, ReadError> {
    // The dump goes over the same bytes by another way.
    let mut text = Vec::new();
    let _ = dump(&bytes, &mut text);
    let profile = read(&bytes, held, &OpenOptions::default(), &mut NoSymbols, &mut |_, _| {})?;
    assert_sums(&profile);
    Ok(profile)
}

fn captures() -> impl Iterator<Item = Vec<u8>> {
    [Layout::PLAIN, Layout::ALL[1], Layout::ALL[2], Layout::ALL[3]]
        .map(|layout| write(TRACE, layout).0.finish())
        .into_iter()
}

#[test]
fn a_capture_cut_anywhere_opens() {
    for whole in captures() {
        let full = plain_profile(&whole);
        assert_eq!(full.state, State::Complete);
        let mut allocations = 0;
        for len in 0..whole.len() {
            match try_profile(&whole[..len], false) {
                Err(error) => {
                    assert!(len < FILE_HEADER_LEN && matches!(error, ReadError::Empty), "{len}: {error}");
                }
                Ok(profile) => {
                    assert_eq!(profile.state, State::Cut, "{len}");
                    assert!(!profile.warnings.is_empty());
                    let now = profile.totals.metrics.allocations;
                    assert!(now >= allocations, "a longer file has no fewer events");
                    allocations = now;
                }
            }
        }
        assert_eq!(allocations, full.totals.metrics.allocations);
    }
}

/// A program that was moved to a machine that started later.
#[test]
fn a_clock_that_goes_back_changes_no_number() {
    const HOUR: u64 = 3_600_000_000_000;
    let moved =
        TRACE.replace("t1 part", &format!("time {}\n    t1 part\n    t1 alloc z 1 main\n    t1 free z", 2 * HOUR));
    let steady = plain_profile(&write(&moved.replace(&format!("time {}", 2 * HOUR), ""), Layout::PLAIN).0.finish());
    assert!(steady.warnings.is_empty());
    for layout in [Layout::PLAIN, Layout::ALL[1], Layout::ALL[2], Layout::ALL[3]] {
        let profile = plain_profile(&write(&moved, layout).0.finish());
        assert_sums(&profile);
        assert_eq!(profile.totals.metrics, steady.totals.metrics);
        assert_eq!(profile.state, State::Complete);
        assert!(profile.rows.iter().all(|row| row.first_ns <= row.last_ns && row.last_ns <= profile.duration_ns));
        let [remark] = &profile.warnings[..] else { panic!("{:?}", profile.warnings) };
        assert!(remark.starts_with("the clock went back by 7200 s "), "{remark}");
    }
}

#[test]
fn a_capture_that_still_grows_is_running_and_its_last_block_is_no_damage() {
    let whole = write(TRACE, Layout::PLAIN).0.cut();
    let so_far = write(TRACE, Layout::ALL[2]).0.take_written();
    for bytes in [&whole, &whole[..whole.len() - 1], &whole[..whole.len() - 30], &so_far] {
        let profile = try_profile(bytes, true).unwrap();
        assert_eq!((profile.state, profile.warnings.len()), (State::Running, 0));
    }
    let profile = try_profile(&whole, false).unwrap();
    assert_eq!(profile.state, State::Cut);
    assert_eq!(profile.warnings, ["the capture has no end: its collector was killed, or the file was cut"]);
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_and_costs_one_block() {
    for whole in captures() {
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            match try_profile(&bytes, false) {
                Err(_) => assert!(at < FILE_HEADER_LEN, "byte {at}"),
                Ok(profile) => {
                    // Blocks are checked by sums over all their bytes, so a flip never goes unnoticed.
                    assert_eq!(profile.state, State::Cut, "byte {at}");
                    assert!(!profile.warnings.is_empty(), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn bytes_between_blocks_and_behind_them_are_stepped_over() {
    let whole = write(TRACE, Layout::ALL[1]).0.finish();
    let full = plain_profile(&whole);
    // Behind the first block, the session's.
    let first = FILE_HEADER_LEN + BLOCK_HEADER_LEN + u32::from_le_bytes(whole[72..76].try_into().unwrap()) as usize;
    for junk in [&b"MTB1"[..], &[0; 500], &whole[first..first + BLOCK_HEADER_LEN - 1]] {
        let mut bytes = whole.clone();
        bytes.splice(first..first, junk.iter().copied());
        let profile = try_profile(&bytes, false).unwrap();
        assert_eq!(profile.totals, full.totals);
        assert_eq!(profile.warnings, [format!("{} bytes in 1 place of the file are damaged", junk.len())]);
        let mut bytes = whole.clone();
        bytes.extend_from_slice(junk);
        // Behind the end: an index that was not finished.
        let profile = try_profile(&bytes, false).unwrap();
        assert_eq!((profile.totals, profile.state, profile.warnings.len()), (full.totals, State::Complete, 0));
    }
}

#[test]
fn files_that_are_no_capture_are_told_apart() {
    let check = |bytes: &[u8], expected: &str| {
        let error = try_profile(bytes, false).expect_err("no capture");
        assert!(error.to_string().starts_with(expected), "{error}");
    };
    let whole = write(TRACE, Layout::PLAIN).0.finish();
    check(b"", "is empty");
    check(b"MEM", "is empty");
    check(&whole[..40], "is empty");
    check(b"\x7fELF\x02\x01\x01", "is not a memtrack capture");
    let with = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    let mut newer = with(8, 99);
    let sum = crc32c::crc32c(&newer[..60]);
    newer[60..64].copy_from_slice(&sum.to_le_bytes());
    check(&newer, "has capture format 99, this memtrack reads format ");
    for at in [8, 20] {
        check(&with(at, 77), "starts like a memtrack capture, but its header is damaged");
    }
}

/// Random changes to a capture, with all check sums put right again, so that what lies behind them is reached.
#[test]
fn made_up_records_never_panic() {
    let mut random = Random::new(5);
    for round in 0..3000 {
        let layout = Layout { chunk_len: 100 + random.below(400) as usize, ..Layout::PLAIN };
        let mut bytes = write(TRACE, layout).0.finish();
        for _ in 0..=random.below(6) {
            let at = FILE_HEADER_LEN + random.below((bytes.len() - FILE_HEADER_LEN) as u64) as usize;
            bytes[at] = match random.below(4) {
                0 => random.next() as u8,
                1 => bytes[at].wrapping_add(1),
                2 => 0xff,
                _ => bytes[at] ^ 1 << random.below(8),
            };
        }
        repair(&mut bytes);
        let profile = try_profile(&bytes, round % 2 == 0);
        assert!(profile.is_ok());
    }
}
