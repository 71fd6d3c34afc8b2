//! How a rule names functions, files, modules, programs and tests: as filters do, or with a regular expression.

use std::fmt;

use regex_lite::Regex;

use crate::report::pattern::Pattern;

/// A pattern, or after `re:` a regular expression. Both match a part of a name.
#[derive(Debug, Clone)]
pub enum Matcher {
    Pattern(Pattern),
    Regex(Regex),
    /// Exactly this name.
    Name(String),
}

/// A text that names nothing, or not what its author thinks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatcherError {
    /// It would match every name.
    Everything,
    /// It is meant as a regular expression.
    LooksLikeRegex,
    /// It is meant as a glob of a shell's.
    OtherGlob,
    /// The regular expression is wrong.
    Regex(String),
}

impl fmt::Display for MatcherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("matches every name; leave the key out, or write a part of a name"),
            Self::LooksLikeRegex => f.write_str(
                "looks like a regular expression, which begins with `re:`; in a pattern `*` stands for any characters",
            ),
            Self::OtherGlob => f.write_str(
                "has signs that stand for nothing: `*` is for any characters, the rest is a part of a name; `re:` begins a regular expression",
            ),
            Self::Regex(reason) => write!(f, "is no regular expression: {reason}"),
        }
    }
}

impl Matcher {
    /// Compiles `text`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn new(text: &str) -> Result<Self, MatcherError> {
        if let Some(regex) = text.strip_prefix("re:") {
            let regex = Regex::new(regex).map_err(|error| MatcherError::Regex(error.to_string()))?;
            return if regex.as_str().is_empty() { Err(MatcherError::Everything) } else { Ok(Self::Regex(regex)) };
        }
        if text.chars().all(|c| "*^$".contains(c)) {
            return Err(MatcherError::Everything);
        }
        // Neither stands in a name.
        if [".*", ".+", "\\"].iter().any(|sign| text.contains(sign)) {
            return Err(MatcherError::LooksLikeRegex);
        }
        Ok(Self::Pattern(Pattern::new(text)))
    }

    /// Compiles `text`, which names files.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn of_files(text: &str) -> Result<Self, MatcherError> {
        // Functions have such signs in their names, files have not.
        match Self::new(text)? {
            Self::Pattern(_) if text.contains(['?', '{', '}']) => Err(MatcherError::OtherGlob),
            matcher => Ok(matcher),
        }
    }

    /// Whether a part of `name` matches.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(name),
            Self::Regex(regex) => regex.is_match(name),
            Self::Name(own) => own == name,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => f.write_str(pattern.as_str()),
            Self::Regex(regex) => write!(f, "re:{}", regex.as_str()),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match() {
        for (text, name, expected) in [
            ("serde_json::de::*", "serde_json::de::from_str", true),
            ("^parse$", "reparse", false),
            ("re:^parse(_all)?$", "parse_all", true),
            ("re:^parse(_all)?$", "reparse", false),
            ("operator()(std::vector<T>&)", "f::operator()(std::vector<T>&)", true),
        ] {
            assert_eq!(Matcher::new(text).unwrap().matches(name), expected, "{text} {name}");
        }
    }

    #[test]
    fn wrong_ones_say_why() {
        for (text, part) in [
            ("", "matches every name"),
            ("^*$", "matches every name"),
            ("re:", "matches every name"),
            ("json::.*", "begins with `re:`"),
            ("re:(", "is no regular expression: "),
            ("re:[a-", "is no regular expression: "),
        ] {
            let message = Matcher::new(text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
            assert_eq!(Matcher::of_files(text).unwrap_err().to_string(), message);
        }
        for (text, is_glob) in
            [("src/?.c", true), ("src/{a,b}.c", true), ("re:^src/(a)?b{2}", false), ("app/[id]/", false)]
        {
            assert_eq!(Matcher::of_files(text).err() == Some(MatcherError::OtherGlob), is_glob, "{text}");
        }
    }
}
