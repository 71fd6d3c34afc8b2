//! What a person asks of a capture, as plain data. No IO, no text.

pub mod profile;
