//! Random numbers that nobody else on the machine can know, and their comparison.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _};

/// 128 random bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub(super) struct Secret([u8; 16]);

impl Secret {
    /// A new one, from the kernel.
    pub(super) fn new() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Whether `text` is this secret; the time it takes says nothing about where they differ.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let own = self.to_string();
        let differing = own.bytes().zip(text).fold(0, |all, (left, right)| black_box(all | (left ^ right)));
        differing == 0 && text.len() == own.len()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_matches() {
        let secret = Secret([0xab; 16]);
        let text = secret.to_string();
        assert_eq!(text, "ab".repeat(16));
        assert!(secret.matches(text.as_bytes()));
        for wrong in ["", "3", &text[..31], &format!("{text}0"), &text.to_uppercase(), &format!("{}7", &text[..31])] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn no_two_are_alike() {
        assert_ne!(Secret::new().unwrap().to_string(), Secret::new().unwrap().to_string());
    }
}
