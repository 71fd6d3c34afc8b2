//! Memory that is recorded twice, as arenas and as the objects in them, counts once, whichever is chosen.

use tracker_core::report::profile::Pymalloc;

use crate::check::check_counted;

#[track_caller]
fn check(trace: &str, objects: &str, arenas: &str) {
    check_counted(trace, Pymalloc::Objects, objects);
    check_counted(trace, Pymalloc::Arenas, arenas);
}

#[test]
fn an_arena_or_the_objects_in_it() {
    check(
        "t1 alloc raw 100 main
         t1 arena 0-9 main
         t1 object a 64 main>f
         t1 object b 32 main>f
         t1 free a
         t1 outside large 600 main>f
         t1 object c 16 main
         t1 free c
         t1 free b
         t1 unmap 0-9",
        "5/812 peak 4/748 leaked 2/700 temporary 2/80 frees 3
         p1.t1 main: 1/100 peak 1/100 leaked 1/100
         p1.t1 main: 1/16 peak 1/16 temporary 1/16
         p1.t1 main>f: 3/696 peak 2/632 leaked 1/600 temporary 1/64",
        "3/41660 peak 3/41660 leaked 2/700 temporary 1/40960 frees 1
         p1.t1 main: 1/100 peak 1/100 leaked 1/100
         p1.t1 main>[pymalloc arena]: 1/40960 peak 1/40960 temporary 1/40960
         p1.t1 main>f: 1/600 peak 1/600 leaked 1/600",
    );
}

#[test]
fn an_object_that_grows_out_of_its_arena_is_a_new_block_where_arenas_count() {
    check(
        "t1 arena 0-9 main
         t1 object a 64 main
         t1 intent a
         t1 grown b 600 main>grow
         t1 intent b
         t1 grown c 700 main>grow
         t1 free c",
        "3/1364 peak 1/700 temporary 3/1364 frees 3 reallocations 2
         p1.t1 main: 1/64 temporary 1/64
         p1.t1 main>grow: 2/1300 peak 1/700 temporary 2/1300",
        "3/42260 peak 2/41660 leaked 1/40960 temporary 2/1300 frees 2 reallocations 1
         p1.t1 main>[pymalloc arena]: 1/40960 peak 1/40960 leaked 1/40960
         p1.t1 main>grow: 2/1300 peak 1/700 temporary 2/1300",
    );
}

#[test]
fn a_child_lives_in_arenas_that_it_inherits() {
    check(
        "t1 arena 0-9 main
         t1 object a 64 main
         epoch
         p2 fork p1
         epoch
         p2.t1 object b 32 main
         p2.t1 free b
         p2 ends",
        "2/96 peak 2/96 leaked 1/64 temporary 1/32 frees 1
         process 1: 1/64 peak 1/64 leaked 1/64
         process 2 of 1: 1/32 peak 1/32 temporary 1/32 frees 1
         p1.t1 main: 1/64 peak 1/64 leaked 1/64
         p2.t1 main: 1/32 peak 1/32 temporary 1/32",
        "1/40960 peak 1/40960 leaked 1/40960
         process 1: 1/40960 peak 1/40960 leaked 1/40960
         process 2 of 1: 0/0
         p1.t1 main>[pymalloc arena]: 1/40960 peak 1/40960 leaked 1/40960",
    );
}
