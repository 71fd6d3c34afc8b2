//! What makes a stack the same stack in another build: the names of the functions that are a program's own, and of the
//! programs or libraries they lie in. No line, no address, nothing of the runtime libraries, which differ between machines.

use crate::report::name::base_name;
use crate::report::profile::{Frame, FrameKind, Profile, Stack};

/// The name by which baselines and reports of other tools know a stack: 16 hexadecimal digits.
pub fn fingerprint(profile: &Profile, stack: &Stack) -> String {
    let frames = || stack.frames.iter().filter_map(|&id| profile.frame(id));
    let own =
        |frame: &&Frame| !profile.is_runtime(frame) && !profile.is_interpreter(frame) && frame.kind != FrameKind::Task;
    let any_own = frames().any(|frame| own(&frame) && frame.kind != FrameKind::Marker);
    // FNV-1a: it must not change with a library's version.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for frame in frames().filter(|frame| !any_own || own(frame)) {
        let place = profile.module_path(frame).or(frame.script()).unwrap_or_default();
        add(without_cargo_hash(base_name(place)));
        add(frame.function.as_deref().unwrap_or_default());
    }
    format!("{hash:016x}")
}

/// A program's file name without the hash that cargo puts behind it, which differs between builds.
pub(super) fn without_cargo_hash(name: &str) -> &str {
    let is_hash = |end: &str| end.len() == 16 && end.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    match name.rsplit_once('-') {
        Some((stem, end)) if !stem.is_empty() && is_hash(end) => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sketch::{Numbers, Sketch};

    fn of(stack: &str) -> String {
        let profile = Sketch::new("/build/app-0123456789abcdef").row(stack, Numbers::default()).build();
        fingerprint(&profile, &profile.stacks[0])
    }

    #[test]
    fn lines_hashes_and_runtimes_do_not_matter() {
        let one = of("malloc: read@src/a.c:7 main@src/a.c:9 __libc_start_main!/lib/libc.so.6");
        assert_eq!(one, of("malloc: read@b.c:1 main __libc_start_main_impl!/lib64/libc.so.6"));
        assert_eq!(one, of("malloc: read!/other/app-fedcba9876543210 main"));
        assert_eq!(one, of("malloc: read main [task_crawler]"));
        assert_ne!(one, of("malloc: write main"));
        assert_ne!(one, of("malloc: read main!/lib/libother.so"));
        assert_ne!(of("malloc: a!/lib/libc.so.6"), of("malloc: b!/lib/libc.so.6"));
    }

    #[test]
    fn cargo_hashes() {
        for (name, stem) in [
            ("app-0123456789abcdef", "app"),
            ("my-app", "my-app"),
            ("-0123456789abcdef", "-0123456789abcdef"),
            ("app-0123456789ABCDEF", "app-0123456789ABCDEF"),
        ] {
            assert_eq!(without_cargo_hash(name), stem);
        }
    }
}
