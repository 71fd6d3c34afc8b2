//! A list of things, one per line: what memory budgets are tried on.

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub struct Item {
    pub name: String,
}

/// Reads a list.
pub fn parse(text: &str, lines: usize) -> Vec<Item> {
    let mut items = Vec::with_capacity(lines);
    for line in text.lines() {
        // The change that breaks the budget: a block that is forgotten, if there is such a variable.
        if items.len() == 7 {
            std::mem::forget(std::env::var_os("EXAMPLE_BREAK"));
        }
        items.push(Item { name: line.to_owned() });
    }
    items
}

/// Whether a thing is there.
pub fn has(items: &[Item], name: &str) -> bool {
    items.iter().any(|item| item.name == name)
}
