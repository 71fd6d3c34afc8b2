//! Names that try to be markup, script, terminal sequences or just too much. Every one is set off by a call of
//! `pwned()`, which a test defines in the page.

use tracker_core::report::profile::{Profile, State, Untracked};

use super::small;

/// Each could be a function, a file, a command or a thread.
pub(crate) const NAMES: [&str; 14] = [
    "<script>pwned()</script>",
    "</script><script>pwned()</script>",
    "<!--<script>pwned()//-->",
    "<img src=x onerror=pwned()>",
    "\"><svg onload=pwned()>",
    "'-pwned()-'",
    "javascript:pwned()",
    "{{ pwned() }}${pwned()}`pwned()`",
    "\u{1b}]8;;http://evil.example\u{7}link\u{1b}]8;;\u{7}\u{1b}[31mred",
    "a\u{2028}pwned()\u{2029}b",
    "\u{202e}gnp.exe\u{202c}\u{0}\u{1}",
    "__proto__",
    "constructor",
    "&lt;script&gt;pwned()&lt;/script&gt;",
];

/// The small profile with hostile names everywhere.
pub(crate) fn hostile() -> Profile {
    let mut profile = small();
    let mut names = NAMES.iter().cycle().map(|name| (*name).to_owned());
    let mut name = || names.next().unwrap_or_default();
    for frame in &mut profile.frames {
        frame.function = Some(name());
        frame.file = Some(name());
    }
    if let Some(frame) = profile.frames.first_mut() {
        frame.function = Some("</script><script>pwned()</script>::".repeat(2000));
    }
    for module in &mut profile.modules {
        module.path = name();
    }
    for process in &mut profile.processes {
        process.exe = name();
        process.command = NAMES.iter().map(|name| (*name).to_owned()).collect();
    }
    for thread in &mut profile.threads {
        thread.name = name();
    }
    profile.session.command = NAMES.iter().map(|name| name.as_bytes().to_vec()).collect();
    profile.session.host = name();
    profile.session.memtrack_version = name();
    profile.warnings = NAMES.iter().map(|name| (*name).to_owned()).collect();
    profile.untracked = vec![Untracked { pid: 1, exe: name(), reason: name() }];
    profile.state = State::Cut;
    profile
}
