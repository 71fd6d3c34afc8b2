//! Makes names from a capture safe to print: a program may choose its names to repaint a terminal.

pub(crate) use tracker_core::report::harmful::escaped as clean;
use tracker_core::report::harmful::is_harmful;

/// A command line as a shell would take it.
pub(crate) fn command_line<S: AsRef<str>>(arguments: &[S]) -> String {
    let quoted: Vec<_> = arguments.iter().map(|argument| quote(argument.as_ref())).collect();
    quoted.join(" ")
}

/// One word for a shell, quoted when it has to be; safe to print.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if word.chars().any(is_harmful) {
        // Bash's form for what cannot be typed.
        let escaped = word.replace('\\', "\\\\").replace('\'', "\\'");
        let mut text = String::from("$'");
        for c in escaped.chars() {
            if is_harmful(c) && u32::from(c) < 0x80 {
                text += &format!("\\x{:02x}", u32::from(c));
            } else if is_harmful(c) {
                text += &format!("\\u{:04x}", u32::from(c));
            } else {
                text.push(c);
            }
        }
        return text + "'";
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn harmless_names_stay() {
        for name in ["operator new[](unsigned long)", "naïve::größe<δ>", "a\\b", ""] {
            assert!(matches!(clean(name), Cow::Borrowed(same) if same == name));
        }
    }

    #[test]
    fn terminals_are_not_told_anything() {
        assert_eq!(clean("a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(clean("line\nbreak\rover"), "line\\nbreak\\rover");
        assert_eq!(clean("c1\u{9b}2J"), "c1\\u{9b}2J");
        assert_eq!(clean("user\u{202e}gnp.exe"), "user\\u{202e}gnp.exe");
    }

    #[test]
    fn words_for_a_shell() {
        let line = ["./app", "", "a b", "it's", "x=1", "tab\there"];
        assert_eq!(command_line(&line), r#"./app '' 'a b' 'it'\''s' x=1 $'tab\x09here'"#);
    }
}
