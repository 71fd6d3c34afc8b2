//! What somebody probably meant.

/// The name that is most like `typed`, unless none is much like it.
pub(super) fn nearest<'n>(typed: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&typed.to_lowercase(), name);
    let far = typed.chars().count().max(3) / 3;
    let near = names.into_iter().map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, _)| *distance <= far).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        let names = ["peak", "leaked", "leaked_blocks", "suppressions"];
        for (typed, meant) in [
            ("peek", Some("peak")),
            ("Leaked", Some("leaked")),
            ("leaked_block", Some("leaked_blocks")),
            ("supressions", Some("suppressions")),
            ("speed", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }
}
