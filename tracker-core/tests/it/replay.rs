//! Traces and what they replay to.

use crate::check::check;

#[test]
fn one_thread() {
    check(
        "t1 alloc a 64 main>parse
         t1 alloc b 100 main>parse
         t1 free a
         t1 alloc c 0 main>run",
        "3/164 peak 2/164 leaked 2/100 temporary 1/64 frees 1
         p1.t1 main>parse: 2/164 peak 2/164 leaked 1/100 temporary 1/64
         p1.t1 main>run: 1/0 leaked 1/0",
    );
}

#[test]
fn of_equal_peaks_the_first_counts() {
    check(
        "time 1000
         t1 alloc a 10 one
         time 2000
         t1 free a
         t1 alloc b 4 two
         t1 alloc b2 6 two",
        "3/20 peak 1/10 leaked 2/10 temporary 1/10 frees 1 peak-at 1000
         p1.t1 one: 1/10 peak 1/10 temporary 1/10 at 1000-1000
         p1.t1 two: 2/10 leaked 2/10 at 2000-2000",
    );
}

#[test]
fn a_row_keeps_what_it_held_at_the_last_maximum() {
    check(
        "t1 alloc a 10 one
         t1 alloc b 20 two
         t1 free a
         t1 alloc c 40 three
         t1 free b
         t1 alloc d 10 one
         t1 free c",
        // 60 bytes with b and c, before d.
        "4/80 peak 2/60 leaked 1/10 temporary 3/70 frees 3
         p1.t1 one: 2/20 leaked 1/10 temporary 1/10
         p1.t1 three: 1/40 peak 1/40 temporary 1/40
         p1.t1 two: 1/20 peak 1/20 temporary 1/20",
    );
}

/// Only a damaged or forged capture has such sizes. A sum that had been cut would be too small after the free.
#[test]
fn no_more_is_live_than_can_be_added_up() {
    check(
        "t1 alloc a 18446744073709551610 main
         t1 alloc b 100 main
         t1 alloc c 100 main
         t1 free a",
        "3/18446744073709551615 peak 2/18446744073709551615 leaked 2/5 frees 1
         p1.t1 main: 3/18446744073709551615 peak 2/18446744073709551615 leaked 2/5",
    );
}

#[test]
fn temporary_counts_the_allocations_of_the_same_thread_between() {
    check(
        "t1 alloc a 1 zero-between
         t1 free a
         t1 alloc b 2 one-between
         t1 alloc c 4 two-between
         t1 free b
         t1 alloc d 8 kept
         t2 alloc e 16 other-thread
         t1 alloc f 32 kept
         t1 free c
         epoch
         t2 free e
         t1 free d",
        "6/63 peak 4/60 leaked 1/32 temporary 4/27 frees 5 error 8192
         p1.t1 kept: 2/40 peak 2/40 leaked 1/32 temporary 1/8
         p1.t1 one-between: 1/2 temporary 1/2
         p1.t1 two-between: 1/4 peak 1/4
         p1.t1 zero-between: 1/1 temporary 1/1
         p1.t2 other-thread: 1/16 peak 1/16 temporary 1/16",
    );
}

#[test]
fn frees_across_threads_belong_to_the_allocating_row() {
    check(
        "t1 alloc a 8 make
         t1 alloc b 8 make
         t1 alloc c 8 make
         epoch
         t2 free a
         epoch
         t1 free b",
        "3/24 peak 3/24 leaked 1/8 temporary 1/8 frees 2
         p1.t1 make: 3/24 peak 3/24 leaked 1/8 temporary 1/8",
    );
}

#[test]
fn realloc_moves_a_block() {
    check(
        "t1 alloc a 10 first
         t1 realloc a b 20 grow
         t1 realloc b b 30 grow
         t1 free b",
        "3/60 peak 1/30 temporary 3/60 frees 3 reallocations 2
         p1.t1 first: 1/10 temporary 1/10
         p1.t1 grow: 2/50 peak 1/30 temporary 2/50",
    );
}

#[test]
fn a_failed_realloc_keeps_its_block() {
    check(
        "t1 alloc a 10 first
         t1 intent a
         t1 failed
         t1 free a",
        "1/10 peak 1/10 temporary 1/10 frees 1
         p1.t1 first: 1/10 peak 1/10 temporary 1/10",
    );
}

#[test]
fn a_realloc_to_nothing_frees() {
    check(
        "t1 alloc a 10 first
         t1 intent a
         t1 freed
         t1 alloc a 3 second",
        "2/13 peak 1/10 leaked 1/3 temporary 1/10 frees 1
         p1.t1 first: 1/10 peak 1/10 temporary 1/10
         p1.t1 second: 1/3 leaked 1/3",
    );
}

#[test]
fn a_thread_killed_inside_realloc_leaves_its_old_block() {
    check(
        "t1 alloc a 10 first
         t1 intent a",
        "1/10 peak 1/10 leaked 1/10
         p1.t1 first: 1/10 peak 1/10 leaked 1/10",
    );
}

#[test]
fn the_old_address_of_a_realloc_may_be_given_out_before_its_result() {
    check(
        "t1 alloc a 10 first
         epoch
         t1 intent a
         t2 alloc a 5 other
         t1 result b 20 grow
         t2 free a",
        "3/35 peak 2/25 leaked 1/20 temporary 2/15 frees 2 reallocations 1 error 8192
         p1.t1 first: 1/10 temporary 1/10
         p1.t1 grow: 1/20 peak 1/20 leaked 1/20
         p1.t2 other: 1/5 peak 1/5 temporary 1/5",
    );
}

#[test]
fn unknown_frees_are_counted() {
    check(
        "t1 free a
         t1 intent b
         t1 result c 5 grow
         t1 intent d
         t1 failed
         t1 free c
         t1 free c",
        "1/5 peak 1/5 temporary 1/5 frees 1 reallocations 1 unmatched 3
         p1.t1 grow: 1/5 peak 1/5 temporary 1/5",
    );
}

#[test]
fn an_address_given_out_twice_had_a_free_in_between_that_is_missing() {
    check(
        "t1 alloc a 10 main
         t1 gap 1
         t1 alloc a 20 main",
        "2/30 peak 1/20 leaked 1/20 unmatched 1 lost 1
         p1.t1 main: 2/30 peak 1/20 leaked 1/20",
    );
}

#[test]
fn two_recorders_of_a_thread_are_one_thread() {
    check(
        "t1 alloc a 10 main
         epoch
         t1+ alloc b 5 main>handler
         epoch
         t1 free a",
        "2/15 peak 2/15 leaked 1/5 temporary 1/10 frees 1
         p1.t1 main: 1/10 peak 1/10 temporary 1/10
         p1.t1 main>handler: 1/5 peak 1/5 leaked 1/5",
    );
}

mod shared_epoch {
    use super::check;

    #[test]
    fn allocations_come_first() {
        check(
            "t1 alloc a 10 one
             epoch
             t1 free a
             t2 alloc b 5 two",
            "2/15 peak 2/15 leaked 1/5 temporary 1/10 frees 1 error 8192
             p1.t1 one: 1/10 peak 1/10 temporary 1/10
             p1.t2 two: 1/5 peak 1/5 leaked 1/5",
        );
    }

    #[test]
    fn but_not_before_the_free_of_their_address() {
        check(
            "t1 alloc a 10 one
             epoch
             t1 free a
             t2 alloc a 5 two",
            "2/15 peak 1/10 leaked 1/5 temporary 1/10 frees 1 error 8192
             p1.t1 one: 1/10 peak 1/10 temporary 1/10
             p1.t2 two: 1/5 leaked 1/5",
        );
    }

    #[test]
    fn a_free_waits_for_the_allocation_of_another_thread() {
        check(
            "t1 alloc x 1 one
             epoch
             t2 alloc a 10 two
             t1 free a
             t2 free x
             t2 alloc b 5 two",
            "3/16 peak 2/11 leaked 1/5 temporary 2/11 frees 2 error 8192
             p1.t1 one: 1/1 peak 1/1 temporary 1/1
             p1.t2 two: 2/15 peak 1/10 leaked 1/5 temporary 1/10",
        );
    }

    #[test]
    fn a_wrong_guess_among_allocations_costs_no_count() {
        // t1 frees x, t2 gets it and frees it, t1 gets it back. Guessed first: t1 gets it back at once.
        check(
            "t1 alloc x 10 old
             epoch
             t1 free x
             t2 alloc x 20 other
             t2 free x
             t1 alloc x 30 back",
            "3/60 peak 2/50 leaked 1/30 temporary 2/30 frees 2 error 8192
             p1.t1 back: 1/30 peak 1/30 leaked 1/30
             p1.t1 old: 1/10 temporary 1/10
             p1.t2 other: 1/20 peak 1/20 temporary 1/20",
        );
    }

    #[test]
    fn a_wrong_guess_among_frees_costs_no_count() {
        // t2 gets x, t1 frees it and gets it again, t2 frees it.
        check(
            "t1 alloc y 1 keep
             epoch
             t2 alloc x 20 first
             t1 free x
             t1 alloc x 30 again
             t2 free x",
            "3/51 peak 2/31 leaked 1/1 temporary 2/50 frees 2 error 8192
             p1.t1 again: 1/30 peak 1/30 temporary 1/30
             p1.t1 keep: 1/1 peak 1/1 leaked 1/1
             p1.t2 first: 1/20 temporary 1/20",
        );
    }

    #[test]
    fn a_realloc_may_pay_for_a_free_that_was_guessed_too_early() {
        // t1 gets b, t2 reallocates it in place, t1 reallocates it to nothing. Guessed first: all that t1 did.
        check(
            "t1 alloc a 13 one
             t1 alloc b 17 one
             t2 intent b
             t2 result b 22 two
             t1 intent b
             t1 freed",
            "3/52 peak 2/35 leaked 1/13 temporary 2/39 frees 2 reallocations 1 error 8192
             p1.t1 one: 2/30 peak 1/13 leaked 1/13 temporary 1/17
             p1.t2 two: 1/22 peak 1/22 temporary 1/22",
        );
    }

    #[test]
    fn a_realloc_that_failed_keeps_its_block_among_doubles() {
        check(
            "t2 alloc a 0 two
             t1 alloc b 21 one
             t2 intent a
             t2 failed
             t1 intent b
             t2 free a
             t2 alloc b 5 two
             t2 free b
             t1 result a 34 one
             t2 free a",
            "4/60 peak 2/39 temporary 4/60 frees 4 reallocations 1 error 8192
             p1.t1 one: 1/21 temporary 1/21
             p1.t1 one: 1/34 peak 1/34 temporary 1/34
             p1.t2 two: 2/5 peak 1/5 temporary 2/5",
        );
    }

    #[test]
    fn an_intent_waits_for_the_allocation_of_another_thread() {
        check(
            "t1 alloc a 1 one
             epoch
             t1 intent b
             t2 alloc b 7 two
             epoch
             t1 failed
             epoch
             t2 free b",
            "2/8 peak 2/8 leaked 1/1 temporary 1/7 frees 1 error 8192
             p1.t1 one: 1/1 peak 1/1 leaked 1/1
             p1.t2 two: 1/7 peak 1/7 temporary 1/7",
        );
    }

    #[test]
    fn what_is_missing_is_still_noticed() {
        check(
            "t1 alloc a 1 one
             epoch
             t1 free nobody
             t1 alloc nobody 5 one
             t2 alloc a 7 two
             t2 free a",
            "3/13 peak 3/13 leaked 2/6 temporary 1/7 frees 1 unmatched 1 error 8192
             p1.t1 one: 2/6 peak 2/6 leaked 2/6
             p1.t2 two: 1/7 peak 1/7 temporary 1/7",
        );
    }
}

mod processes {
    use super::check;

    #[test]
    fn fork_starts_with_nothing_of_its_own() {
        check(
            "t1 alloc a 100 main
             t1 alloc b 100 main
             epoch
             p2 fork p1
             p2.t1 free a
             p2.t1 alloc c 60 main>child
             p2.t1 free nobody
             p2 ends
             epoch
             time 1000
             t1 free a
             t1 free b",
            "3/260 peak 3/260 leaked 1/60 temporary 2/200 frees 2 inherited 2
             process 1: 2/200 peak 2/200 temporary 2/200 frees 2
             process 2 of 1: 1/60 peak 1/60 leaked 1/60 inherited 2
             p1.t1 main: 2/200 peak 2/200 temporary 2/200
             p2.t1 main>child: 1/60 peak 1/60 leaked 1/60",
        );
    }

    #[test]
    fn exec_ends_the_image_before() {
        check(
            "t1 alloc a 100 main
             epoch
             p2 exec p1
             p2.t1 alloc a 80 main",
            "2/180 peak 1/100 own-peak 2/180 leaked 2/180
             process 1: 1/100 peak 1/100 leaked 1/100
             process 2 of 1: 1/80 own-peak 1/80 leaked 1/80
             p1.t1 main: 1/100 peak 1/100 leaked 1/100
             p2.t1 main: 1/80 own-peak 1/80 leaked 1/80",
        );
    }

    #[test]
    fn exec_comes_after_all_that_the_image_before_did_in_its_epoch() {
        check(
            "t1 alloc a 100 main
             epoch
             t1 alloc b 20 main
             t1 free a
             p2 exec p1
             p2.t1 alloc a 80 main",
            "3/200 peak 2/120 own-peak 3/200 leaked 2/100 temporary 1/100 frees 1
             process 1: 2/120 peak 2/120 leaked 1/20 temporary 1/100 frees 1
             process 2 of 1: 1/80 own-peak 1/80 leaked 1/80
             p1.t1 main: 2/120 peak 2/120 leaked 1/20 temporary 1/100
             p2.t1 main: 1/80 own-peak 1/80 leaked 1/80",
        );
    }

    #[test]
    fn exec_in_another_process_ends_nobody() {
        check(
            "t1 alloc a 100 main
             epoch
             p2 spawn p1
             p2.t1 alloc a 80 main",
            "2/180 peak 2/180 leaked 2/180
             process 1: 1/100 peak 1/100 leaked 1/100
             process 2 of 1: 1/80 peak 1/80 leaked 1/80
             p1.t1 main: 1/100 peak 1/100 leaked 1/100
             p2.t1 main: 1/80 peak 1/80 leaked 1/80",
        );
    }

    #[test]
    fn an_ended_process_holds_nothing() {
        check(
            "t1 alloc a 1 main
             epoch
             p2 spawn p1
             p2.t1 alloc b 50 main
             time 5000
             p2 ends
             epoch
             time 6000
             t1 alloc c 52 main",
            "3/103 peak 2/53 own-peak 3/103 leaked 3/103 peak-at 6000
             process 1: 2/53 peak 2/53 leaked 2/53 peak-at 6000
             process 2 of 1: 1/50 own-peak 1/50 leaked 1/50
             p1.t1 main: 2/53 peak 2/53 leaked 2/53 at 0-6000
             p2.t1 main: 1/50 own-peak 1/50 leaked 1/50",
        );
    }

    #[test]
    fn images_without_events_have_no_row() {
        check(
            "t1 alloc a 1 main
             epoch
             p2 fork p1
             epoch
             p3 exec p2
             p3.t1 alloc a 2 main
             p4 fork p1",
            "2/3 peak 2/3 leaked 2/3
             process 1: 1/1 peak 1/1 leaked 1/1
             process 2 of 1: 1/2 peak 1/2 leaked 1/2
             p1.t1 main: 1/1 peak 1/1 leaked 1/1
             p2.t1 main: 1/2 peak 1/2 leaked 1/2",
        );
    }
}

mod stacks {
    use super::check;

    #[test]
    fn equal_stacks_of_all_streams_are_one() {
        check(
            "t1 alloc a 1 main>work>malloc-wrapper
             t1 forget
             t1 alloc b 1 main>work>malloc-wrapper
             t1 chunk
             t1 alloc c 1 main>work",
            "3/3 peak 3/3 leaked 3/3
             p1.t1 main>work: 1/1 peak 1/1 leaked 1/1
             p1.t1 main>work>malloc-wrapper: 2/2 peak 2/2 leaked 2/2",
        );
    }

    #[test]
    fn inlined_frames_and_empty_stacks() {
        check(
            "t1 alloc a 1 main>host/inlined>leaf
             t1 raw 0 b 2",
            "2/3 peak 2/3 leaked 2/3
             p1.t1 : 1/2 peak 1/2 leaked 1/2
             p1.t1 main>host>inlined>leaf: 1/1 peak 1/1 leaked 1/1",
        );
    }

    #[test]
    fn markers_stand_for_frames_that_are_not_there() {
        check(
            "t1 alloc a 1 main>[truncated]>deep
             t1 alloc b 1 [not-walked]
             t1 raw 77 c 1",
            "3/3 peak 3/3 leaked 3/3 truncated 3
             p1.t1 [definition lost]: 1/1 peak 1/1 leaked 1/1
             p1.t1 [not walked]: 1/1 peak 1/1 leaked 1/1
             p1.t1 main>[truncated]>deep: 1/1 peak 1/1 leaked 1/1
             ! the stacks of 1 allocation are unknown, because their definition is missing",
        );
    }

    #[test]
    fn addresses_without_names_show_their_module() {
        check(
            "t1 module 0 c0000-d0000 /lib/x
             t1 code a 1 c0010
             t1 code b 1 d0000
             t1 code c 1 d0001
             t1 code d 1 e00000010",
            "4/4 peak 4/4 leaked 4/4 unresolved 3
             p1.t1 [/lib/x+0x10000]: 1/1 peak 1/1 leaked 1/1
             p1.t1 [/lib/x+0x10]: 1/1 peak 1/1 leaked 1/1
             p1.t1 [0xd0001]: 1/1 peak 1/1 leaked 1/1
             p1.t1 jit of 100: 1/1 peak 1/1 leaked 1/1",
        );
    }

    #[test]
    fn a_reused_address_is_named_by_the_module_of_its_time() {
        check(
            "t1 code a 1 c0010
             t1 generation 1
             t1 code b 1 c0010
             t2 generation 2
             t2 module 2 c0000-d0000 /lib/z
             t2 module 0 c0000-d0000 /lib/x
             t2 module 1 c0000-d0000 /lib/y
             epoch
             t2 code c 1 c0010",
            "3/3 peak 3/3 leaked 3/3 unresolved 3
             p1.t1 [/lib/x+0x10]: 1/1 peak 1/1 leaked 1/1
             p1.t1 [/lib/y+0x10]: 1/1 peak 1/1 leaked 1/1
             p1.t2 [/lib/z+0x10]: 1/1 peak 1/1 leaked 1/1",
        );
    }
}

#[test]
fn a_lost_chunk_costs_definitions_but_names_no_other_stack() {
    check(
        "t1 alloc a 1 main
         t1 alloc b 1 main>one
         t1 chunk
         t1 alloc c 1 main>two
         t1 lose
         t1 alloc d 1 main>two
         t1 alloc e 1 main>three
         t1 forget
         t1 alloc f 1 main>two",
        "Cut
         5/5 peak 5/5 leaked 5/5 truncated 2
         p1.t1 [definition lost]: 1/1 peak 1/1 leaked 1/1
         p1.t1 [definition lost]>three: 1/1 peak 1/1 leaked 1/1
         p1.t1 main: 1/1 peak 1/1 leaked 1/1
         p1.t1 main>one: 1/1 peak 1/1 leaked 1/1
         p1.t1 main>two: 1/1 peak 1/1 leaked 1/1
         ! events are missing in 1 place of the threads' streams
         ! the stacks of 1 allocation are unknown, because their definition is missing",
    );
}
