//! JSON that may stand inside a `<script>` element, whatever the names in it are.
//!
//! `<`, `>`, `&` and the two line separators of old JavaScript are written as `\u` escapes, which are the same
//! JSON. So no name can end the element, start a comment or become markup.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Compact JSON of `value` with the escapes above.
///
/// # Errors
/// Only what `value` itself refuses to serialize.
pub(crate) fn to_vec<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, ScriptSafe))?;
    Ok(out)
}

struct ScriptSafe;

impl Formatter for ScriptSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_special) {
            let (plain, tail) = rest.split_at(at);
            let mut chars = tail.chars();
            let special = chars.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{special:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn is_special(c: char) -> bool {
    matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_survives_and_stays_inside() {
        let text = "</script><!-- & \u{2028}\u{2029} \" \\ \u{1b}[31m é";
        let json = to_vec(&[text]).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(!json.contains(is_special), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }

    #[test]
    fn keys_are_escaped_too() {
        let json = to_vec(&std::collections::BTreeMap::from([("<b>", 1)])).unwrap();
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"\u003cb\u003e":1}"#);
    }
}
