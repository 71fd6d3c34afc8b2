//! The tests, with a region around what each of them is about.

use inventory::{has, parse};
use memtrack_region::within;

fn text() -> String {
    (0..100).map(|number| format!("item {number}\n")).collect()
}

#[test]
fn a_list_is_parsed() {
    let text = text();
    let items = within("parse", || parse(&text, 100).len());
    assert_eq!(items, 100);
}

#[test]
fn a_lookup_allocates_nothing() {
    let items = parse(&text(), 100);
    assert!(within("lookup", || has(&items, "item 99")));
}
