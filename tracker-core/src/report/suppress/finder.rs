//! Which of many patterns may match a name, without trying each: a pattern that has three characters in a row can only
//! match where these are.

use rustc_hash::FxHashMap;

type Gram = [u8; 3];

/// Patterns by number.
#[derive(Debug, Default)]
pub(super) struct Finder {
    by_gram: FxHashMap<Gram, Vec<u32>>,
    /// Those without three characters in a row.
    short: Vec<u32>,
}

fn grams(text: &str) -> impl Iterator<Item = Gram> {
    text.as_bytes().windows(3).filter_map(|window| window.first_chunk().copied())
}

impl Finder {
    /// Adds a pattern that matches only names with all of `pieces` in them. It is found by those three characters that
    /// the fewest others are found by.
    pub(super) fn add<'p>(&mut self, number: u32, pieces: impl Iterator<Item = &'p str>) {
        let load = |gram: &Gram| self.by_gram.get(gram).map_or(0, Vec::len);
        match pieces.flat_map(grams).min_by_key(load) {
            Some(gram) => self.by_gram.entry(gram).or_default().push(number),
            None => self.short.push(number),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.by_gram.is_empty() && self.short.is_empty()
    }

    /// The numbers of those that may match `name`, ascending.
    pub(super) fn candidates(&self, name: &str) -> Vec<u32> {
        let mut found = self.short.clone();
        found.extend(grams(name).filter_map(|gram| self.by_gram.get(&gram)).flatten());
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_match_is_found() {
        let mut finder = Finder::default();
        assert!(finder.is_empty());
        for (number, pattern) in (0..).zip(["parse", "^pa", "a*b", "lib*.so", "pars*node", "übe"]) {
            finder.add(number, pattern.trim_start_matches('^').split('*'));
        }
        for (name, candidates) in
            [("reparse_node", &[0, 1, 2, 4][..]), ("/usr/lib/x.so", &[1, 2, 3]), ("übel", &[1, 2, 5]), ("", &[1, 2])]
        {
            assert_eq!(finder.candidates(name), candidates, "{name}");
        }
    }

    #[test]
    fn patterns_of_one_kind_are_spread() {
        let mut finder = Finder::default();
        (0..5000).for_each(|number| finder.add(number, format!("cache_{number:04}_new").split('*')));
        let most = finder.by_gram.values().map(Vec::len).max();
        assert!(most < Some(20), "{most:?}");
    }
}
