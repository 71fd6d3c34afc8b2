//! What `memtrack dump` prints.

use tracker_core::capture::dump::dump;
use tracker_core::capture::meta::{ExitStatus, Meta};

use crate::trace::{Layout, write};

#[track_caller]
fn check(bytes: &[u8], expected: &str) {
    let mut text = Vec::new();
    dump(&bytes, &mut text).expect("a capture");
    let expected: Vec<&str> = expected.lines().skip(1).map(|line| line.trim_start()).collect();
    let is: Vec<String> = String::from_utf8_lossy(&text).lines().map(|line| line.trim_start().to_owned()).collect();
    assert_eq!(is, expected);
}

#[test]
fn all_that_is_there() {
    let trace = "
        t1 alloc a 64 main
        t1 part
        time 9000
        t1 free a
        p2 fork p1
        p2.t1 gap 3";
    let (mut recording, _) = write(trace, Layout::PLAIN);
    recording.meta(&Meta::RootExit { time: 9000, status: ExitStatus::Code(3), max_rss: 0, before: 0 });
    let mut bytes = recording.finish();
    bytes.extend_from_slice(b"MTB1 is no block");
    check(
        &bytes,
        r#"
        capture format 12, session 07070707070707070707070707070707, started 1000 ns after 1970, 878 bytes
        0x40 meta (2), raw (0), 93 of 93 bytes
          session pid 100 exe /bin/prog in  'prog', host "", kernel "", memtrack "", pages of 0, 0 processors, started 0 ns after 1970
        0xed events (1), raw (0), 111 of 111 bytes, stream 1 image 1 thread 1, chunk 0 from 0, 4 records, epoch 0 to 0, time 0 to 0
          +0 image First pid 100 parent none generation 0 /bin/p1 '/bin/p1'
          +35 module 0x10000000-0x20000000 bias 0x10000000 generation 0 build-id  /bin/prog
          +79 stacks from 1 below 0: 0x10000100 0x10
          +102 alloc 0x7f0000000840 size 64 stack 2
        0x1ac meta (2), raw (0), 36 of 36 bytes
          RootExit { time: 9000, status: Code(3), max_rss: 0, before: 0 }
        0x220 events (1), raw (0), 4 of 4 bytes, stream 1 image 1 thread 1, chunk 0 from 111, 2 records, epoch 0 to 0, time 0 to 9000
          +111 time 9000
          +113 free 0x7f0000000840
        0x274 events (1), raw (0), 46 of 46 bytes, stream 2 image 2 thread 1, chunk 0 from 0, 2 records, epoch 0 to 0, time 9000 to 9000
          +0 image Fork pid 101 parent 1 generation 0 /bin/p2 '/bin/p2'
          +35 gap, 3 events lost
        0x2f2 meta (2), raw (0), 28 of 28 bytes
          End { time: 9000, lost_events: 0, unwind_differences: 0 }
        0x35e no whole block, 16 bytes"#,
    );
}
