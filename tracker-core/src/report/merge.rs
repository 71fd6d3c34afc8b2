//! A native stack and a Python stack put together: each eval loop's Python frames stand right inside the native frame
//! that runs them.

use crate::format::python::Place;

/// A frame's place in one of the two stacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A native frame. `runs`: it is an eval loop whose Python frames stand inside it.
    Native {
        location: usize,
        runs: bool,
    },
    Python {
        location: usize,
    },
}

/// The whole stack, innermost first, of locations innermost first. Python frames that no place takes stand outside of all
/// native ones: their loops are in a part of the native stack that was not walked.
pub(super) fn merged(native: &[usize], python: &[usize], places: &[Place]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(native.len() + python.len());
    let (mut native, mut python) = (native.iter(), python.iter());
    'places: for place in places {
        for _ in 0..place.repeat {
            for _ in 0..place.skip {
                let Some(&location) = native.next() else { break 'places };
                parts.push(Part::Native { location, runs: false });
            }
            let Some(&location) = native.next() else { break 'places };
            let frames = python.by_ref().take(place.frames as usize);
            parts.extend(frames.map(|&location| Part::Python { location }));
            parts.push(Part::Native { location, runs: true });
        }
    }
    parts.extend(native.map(|&location| Part::Native { location, runs: false }));
    parts.extend(python.map(|&location| Part::Python { location }));
    parts
}

#[cfg(test)]
mod tests {
    use super::{Part, merged};
    use crate::format::python::Place;

    /// Locations innermost first: native ones as letters, eval loops capital, Python ones as digits.
    #[track_caller]
    fn check(native: usize, python: usize, places: &[(u32, u32, u32)], expected: &str) {
        let places: Vec<_> = places.iter().map(|&(skip, frames, repeat)| Place { skip, frames, repeat }).collect();
        let (native, python): (Vec<_>, Vec<_>) = ((0..native).collect(), (0..python).collect());
        let letter = |start: u8, location: usize| char::from(start + location as u8);
        let text: String = merged(&native, &python, &places)
            .into_iter()
            .map(|part| match part {
                Part::Native { location, runs: false } => letter(b'a', location),
                Part::Native { location, runs: true } => letter(b'A', location),
                Part::Python { location } => letter(b'0', location),
            })
            .collect();
        assert_eq!(text, expected);
    }

    #[test]
    fn frames_stand_inside_their_loops() {
        check(5, 0, &[], "abcde");
        check(5, 3, &[(2, 3, 1)], "ab012Cde");
        check(5, 3, &[(0, 1, 1), (1, 2, 1)], "0Ab12Cde");
        check(6, 3, &[(1, 1, 3)], "a0Bc1De2F");
        check(4, 1, &[(1, 0, 1), (0, 1, 1)], "aB0Cd");
    }

    #[test]
    fn what_has_no_place_stands_outside() {
        check(3, 2, &[], "abc01");
        check(3, 3, &[(1, 1, 1)], "a0Bc12");
        check(0, 2, &[(0, 2, 1)], "01");
        // Places that do not fit the stacks are a sign of damage.
        check(2, 2, &[(5, 1, 1)], "ab01");
        check(2, 1, &[(0, 7, u32::MAX)], "0AB");
    }
}
