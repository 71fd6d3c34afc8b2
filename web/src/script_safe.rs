//! JSON that may stand inside a `<script>` element, whatever the names in it are.
//!
//! `<`, `>`, `&` and the two line separators of old JavaScript are written as `\u` escapes, which are the same
//! JSON. So no name can end the element, start a comment or become markup.

use serde::Serialize;
use tracker_core::report::escaping::to_writer_without;

/// Compact JSON of `value` with the escapes above.
///
/// # Errors
/// Only what `value` itself refuses to serialize.
pub(crate) fn to_vec<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    to_writer_without(is_special, &mut out, value)?;
    Ok(out)
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
