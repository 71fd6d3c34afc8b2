//! Mapped memory and what it counts as. Pages are 4096 bytes: `0-9` are 40960.

use crate::check::check;

#[test]
fn one_is_a_block_until_its_last_page_is_gone() {
    check(
        "t1 map 0-9 main
         t1 unmap 0-1
         t1 unmap 4-5
         t1 map 20-20 main>more
         t1 unmap 20-20
         t1 unmap 0-9
         t1 map 40-41 main",
        "3/53248 peak 1/40960 leaked 1/8192 temporary 1/4096 frees 2
         p1.t1 main: 2/49152 peak 1/40960 leaked 1/8192
         p1.t1 main>more: 1/4096 temporary 1/4096",
    );
}

#[test]
fn a_part_leaks_alone() {
    check(
        "t1 map 0-9 main
         t1 unmap 3-7",
        "1/40960 peak 1/40960 leaked 1/20480
         p1.t1 main: 1/40960 peak 1/40960 leaked 1/20480",
    );
}

#[test]
fn a_fixed_one_replaces_what_was_there() {
    check(
        "t1 map 0-3 main
         t1 map 2-5 main>fixed
         t1 file 0-1 main>file",
        "2/32768 peak 2/24576 leaked 1/16384 frees 1
         p1.t1 main: 1/16384 peak 1/8192
         p1.t1 main>fixed: 1/16384 peak 1/16384 leaked 1/16384",
    );
}

#[test]
fn files_and_reserved_addresses_are_no_memory() {
    check(
        "t1 reserve 0-99 main
         t1 map 10-11 main>commit
         t1 file 200-299 main
         t1 unmap 200-299
         t1 move 50-59
         t1 moved 300-399 main>grow",
        "1/8192 peak 1/8192 leaked 1/8192
         p1.t1 main>commit: 1/8192 peak 1/8192 leaked 1/8192",
    );
}

#[test]
fn one_that_moves_is_reallocated() {
    check(
        "t1 map 0-3 main
         t1 move 0-3
         t1 moved 10-19 main>grow
         t1 unmap 0-3",
        "2/57344 peak 1/40960 leaked 1/40960 temporary 1/16384 frees 1 reallocations 1
         p1.t1 main: 1/16384 temporary 1/16384
         p1.t1 main>grow: 1/40960 peak 1/40960 leaked 1/40960",
    );
}

#[test]
fn one_that_cannot_move_stays() {
    check(
        "t1 map 0-3 main
         t1 move 0-3
         t1 failed
         t1 unmap 0-2",
        "1/16384 peak 1/16384 leaked 1/4096
         p1.t1 main: 1/16384 peak 1/16384 leaked 1/4096",
    );
}

#[test]
fn they_end_with_their_image() {
    check(
        "t1 map 0-3 main
         p2 exec p1
         p2.t1 unmap 0-3",
        "1/16384 peak 1/16384 leaked 1/16384
         p1.t1 main: 1/16384 peak 1/16384 leaked 1/16384",
    );
}
