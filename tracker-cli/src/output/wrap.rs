//! Lists that are longer than a line.

use super::look::columns;

/// `parts` joined by `separator` into lines of at most `width` columns, broken between parts.
pub(crate) fn wrap(parts: &[String], separator: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let len = columns(separator) + columns(part);
        match lines.last_mut() {
            // Room for the separator's end, should another line follow.
            Some(line) if columns(line) + len + columns(separator.trim_end()) <= width => {
                line.extend([separator, part]);
            }
            Some(line) => {
                line.push_str(separator.trim_end());
                lines.push(part.clone());
            }
            None => lines.push(part.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_parts() {
        let parts = ["one", "two", "three", "four"].map(str::to_owned);
        assert_eq!(wrap(&parts, ", ", 10), ["one, two,", "three,", "four"]);
        assert_eq!(wrap(&parts, " ", 80), ["one two three four"]);
        assert_eq!(wrap(&parts, " ", 1), ["one", "two", "three", "four"]);
        assert!(wrap(&[], ", ", 10).is_empty());
    }
}
