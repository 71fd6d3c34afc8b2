//! Much of the standard library in one program: generics, closures, iterators, threads, formatting.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::mpsc;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Word {
    Number(u64),
    Name(String),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Number(number) => write!(f, "{number:>8}"),
            Word::Name(name) => f.pad(name),
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = Word> + '_ {
    let word = |part: &str| part.parse().map_or_else(|_| Word::Name(part.to_owned()), Word::Number);
    text.lines().filter_map(|line| line.split_once(' ')).flat_map(|(first, rest)| [first, rest]).map(word)
}

fn counted<T: Ord + Clone + std::hash::Hash>(all: &[T]) -> (BTreeMap<T, usize>, HashMap<T, usize>) {
    let (mut sorted, mut hashed) = (BTreeMap::new(), HashMap::new());
    for one in all {
        *sorted.entry(one.clone()).or_default() += 1;
        *hashed.entry(one.clone()).or_insert(0) += 1;
    }
    (sorted, hashed)
}

fn main() {
    let text: String = (0..200).map(|n| format!("{} name{}\n", n * 7 % 31, n % 13)).collect();
    let mut all: Vec<Word> = words(&text).collect();
    all.sort_by(|a, b| b.cmp(a));
    all.dedup();
    let (sorted, hashed) = counted(&all);
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|n| {
            let (sender, all) = (sender.clone(), all.clone());
            std::thread::spawn(move || sender.send(all.into_iter().skip(n).step_by(3).collect::<VecDeque<_>>()))
        })
        .collect();
    drop(sender);
    let heap: BinaryHeap<Word> = receiver.into_iter().flatten().collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    let set: BTreeSet<&Word> = heap.iter().chain(sorted.keys()).chain(hashed.keys()).collect();
    let mut out = String::new();
    for word in set {
        writeln!(out, "{word} {word:?}").unwrap();
    }
    print!("{out}");
}
