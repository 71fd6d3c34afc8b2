//! JSON in which certain characters of names stand as `\u` escapes: the same JSON to whoever reads it, and nothing to
//! whoever only looks at it.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::harmful::is_harmful;

/// Writes `value`, compact, without any [harmful](is_harmful) character.
///
/// # Errors
/// Those of `out`, and what `value` itself refuses.
pub fn to_writer(out: impl io::Write, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    write_as(CompactFormatter, is_harmful, out, value)
}

/// The same, indented.
///
/// # Errors
/// As [`to_writer`].
pub fn to_writer_pretty(out: impl io::Write, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    write_as(PrettyFormatter::new(), is_harmful, out, value)
}

/// Writes `value`, compact, without characters that are special. These are no characters of JSON's own.
///
/// # Errors
/// As [`to_writer`].
pub fn to_writer_without(
    is_special: fn(char) -> bool,
    out: impl io::Write,
    value: &(impl Serialize + ?Sized),
) -> serde_json::Result<()> {
    write_as(CompactFormatter, is_special, out, value)
}

fn write_as(
    layout: impl Formatter,
    is_special: fn(char) -> bool,
    out: impl io::Write,
    value: &(impl Serialize + ?Sized),
) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Escaping { layout, is_special }))
}

struct Escaping<F> {
    layout: F,
    is_special: fn(char) -> bool,
}

/// What the layout decides.
macro_rules! laid_out {
    ($($name:ident($($argument:ident: $type:ty),*)),* $(,)?) => {$(
        fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W, $($argument: $type),*) -> io::Result<()> {
            self.layout.$name(writer, $($argument),*)
        }
    )*};
}

impl<F: Formatter> Formatter for Escaping<F> {
    laid_out! {
        begin_array(), end_array(), begin_array_value(first: bool), end_array_value(),
        begin_object(), end_object(), begin_object_key(first: bool), begin_object_value(), end_object_value(),
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(self.is_special) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            for unit in chars.next().into_iter().flat_map(|special| special.encode_utf16(&mut [0; 2]).to_vec()) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_same_json_without_them() {
        let text = "user\u{202e}gnp.\u{feff}\u{9b}31m \n é \u{1f600}";
        let value = BTreeMap::from([(text, [text, ""])]);
        let (mut compact, mut pretty) = (Vec::new(), Vec::new());
        to_writer(&mut compact, &value).unwrap();
        to_writer_pretty(&mut pretty, &value).unwrap();
        assert_eq!(pretty.iter().filter(|byte| **byte == b'\n').count(), 5);
        for json in [compact, pretty] {
            let json = String::from_utf8(json).unwrap();
            assert!(!json.contains(|c| c != '\n' && is_harmful(c)), "{json}");
            assert!(json.contains("user\\u202egnp.\\ufeff\\u009b31m \\n é \u{1f600}"), "{json}");
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&json).unwrap(),
                serde_json::json!({text: [text, ""]})
            );
        }
        let mut wide = Vec::new();
        to_writer_without(|c| c == '\u{1f600}', &mut wide, text).unwrap();
        assert!(wide.ends_with(b" \\ud83d\\ude00\""), "{wide:?}");
    }
}
