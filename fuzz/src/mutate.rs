//! Small changes to bytes, of the kinds that find faults: flipped bits, numbers at their limits, pieces moved, doubled, cut
//! out or taken from another input.

use crate::random::Random;

/// No input grows beyond this: the promises are about a megabyte.
const MAX_LEN: usize = 1 << 20;

/// Numbers at which arithmetic goes wrong.
const LIMITS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Changes `input` in one to eight places; `seeds` lend pieces.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    for _ in 0..1 << random.below(4) {
        step(random, input, seeds);
    }
    input.truncate(MAX_LEN);
}

fn step(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    if input.is_empty() {
        input.push(random.next() as u8);
        return;
    }
    let at = place(random, input);
    match random.below(10) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.next() as u8,
        2 => input[at] = input[at].wrapping_add(if random.one_in(2) { 1 } else { 0xff }),
        3 | 4 => {
            let number = LIMITS[random.index(LIMITS.len())].wrapping_sub(random.below(3));
            let width = 1 << random.below(4);
            overwrite(input, at, &number.to_le_bytes()[..width]);
        }
        5 => {
            let end = at + piece_len(random, input.len() - at);
            input.drain(at..end);
        }
        6 => {
            let from = random.index(input.len());
            let piece = input[from..from + piece_len(random, input.len() - from)].to_vec();
            input.splice(at..at, piece);
        }
        7 => {
            let from = random.index(input.len());
            let piece = input[from..from + piece_len(random, input.len() - from)].to_vec();
            overwrite(input, at, &piece);
        }
        8 => {
            let Some(other) = seeds.get(random.index(seeds.len())).filter(|other| !other.is_empty()) else { return };
            let from = random.index(other.len());
            let piece = other[from..from + piece_len(random, other.len() - from)].to_vec();
            let end = if random.one_in(2) { at } else { (at + piece.len()).min(input.len()) };
            input.splice(at..end, piece);
        }
        _ if random.one_in(8) => input.truncate(at),
        _ => overwrite(input, at, &vec![random.next() as u8; random.index(32)]),
    }
}

/// A place, rather not in the middle of nothing but zeros: files are full of those, and nobody reads them.
fn place(random: &mut Random, input: &[u8]) -> usize {
    let mut at = random.index(input.len());
    for _ in 0..4 {
        let around = at.saturating_sub(8)..input.len().min(at + 8);
        if input[around].iter().any(|byte| *byte != 0) {
            break;
        }
        at = random.index(input.len());
    }
    at
}

/// Short pieces mostly, at least one byte.
fn piece_len(random: &mut Random, most: usize) -> usize {
    let len = if random.one_in(8) { random.index(most) } else { random.index(64) };
    (len + 1).min(most)
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in input[at..].iter_mut().zip(bytes) {
        *to = *from;
    }
}
