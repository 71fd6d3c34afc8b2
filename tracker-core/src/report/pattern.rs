//! The one way to name functions and modules: filters and suppression files share it.
//!
//! A pattern matches anywhere in a name; `*` stands for any characters, `^` at the front and `$` at the end bind it to
//! the name's ends. This is the language of LeakSanitizer's suppression files. It is not a regular expression on
//! purpose: names of C++ and Rust are full of `(`, `[`, `.`, `+`, `|`, which would all have to be escaped.

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    /// What must follow each other in a name, any characters between them.
    pieces: Vec<String>,
    at_start: bool,
    at_end: bool,
}

impl Pattern {
    /// Compiles `text`. Every text is a pattern; the empty one matches everything.
    pub fn new(text: &str) -> Self {
        let (at_start, rest) = match text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (at_end, rest) = match rest.strip_suffix('$') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let pieces = rest.split('*').map(str::to_owned).collect();
        Self { text: text.to_owned(), pieces, at_start, at_end }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Texts that are in every name that contains it.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().map(String::as_str)
    }

    /// Whether `name` contains it.
    pub fn matches(&self, name: &str) -> bool {
        let Some((first, pieces)) = self.pieces.split_first() else { return true };
        let Some((last, middle)) = pieces.split_last() else {
            return match (self.at_start, self.at_end) {
                (true, true) => name == first,
                (true, false) => name.starts_with(first),
                (false, true) => name.ends_with(first),
                (false, false) => name.contains(first),
            };
        };
        // The earliest place for each piece leaves most room for the later ones, so no step is ever taken back.
        let rest = if self.at_start { name.strip_prefix(first) } else { after(name, first) };
        let Some(mut rest) = rest else { return false };
        for piece in middle {
            match after(rest, piece) {
                Some(later) => rest = later,
                None => return false,
            }
        }
        if self.at_end { rest.ends_with(last) } else { rest.contains(last) }
    }
}

fn after<'n>(name: &'n str, piece: &str) -> Option<&'n str> {
    name.split_once(piece).map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern);
        for name in matching {
            assert!(compiled.matches(name), "{pattern} should match {name}");
        }
        for name in others {
            assert!(!compiled.matches(name), "{pattern} should not match {name}");
        }
    }

    #[test]
    fn patterns() {
        check("parse", &["parse", "reparse_all"], &["pars", "PARSE"]);
        check("^parse", &["parse", "parser"], &["reparse"]);
        check("parse$", &["parse", "reparse"], &["parser"]);
        check("^parse$", &["parse"], &["parser", "reparse", ""]);
        check("a*c", &["abc", "xacx", "a-b-c"], &["ca", "ab"]);
        check("^a*c$", &["ac", "abc", "acc"], &["abcd", "xac"]);
        check("^a*b*c$", &["abc", "a1b2c", "abbc"], &["ac", "acb"]);
        check("^ab*ba$", &["abba", "ab-ba"], &["aba", "ab"]);
        check("*", &["", "anything"], &[]);
        check("", &["", "anything"], &[]);
        check("operator new[](", &["operator new[](unsigned long)"], &["operator new(unsigned)"]);
        check("Vec<T>::*push", &["alloc::Vec<T>::force_push"], &["Vec<T>::pop"]);
        check("^*foo", &["foo", "a foo"], &["fo"]);
        check("naïve*ü", &["naïve über"], &["naïve uber"]);
    }
}
