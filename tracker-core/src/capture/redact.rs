//! What may be said of a recording to people who should not know whose machine it was made on. Pure rules on texts.
//!
//! Paths of the system and of package managers stay, because they say which library it is and nobody's name. Below the
//! working folder they become relative to it. Of all others the file's name stays.

use super::strip::{TextKind, Texts};

/// Folders of the system: the same on every machine of its kind.
const SYSTEM: [&str; 14] = [
    "/usr/",
    "/lib/",
    "/lib32/",
    "/lib64/",
    "/libx32/",
    "/bin/",
    "/sbin/",
    "/opt/",
    "/nix/store/",
    "/gnu/store/",
    "/snap/",
    "/rustc/",
    "/proc/self/",
    "/dev/",
];

/// Folders of packages; what is below them says which package.
const PACKAGES: [&str; 6] = [
    "/.cargo/registry/src/",
    "/.cargo/git/checkouts/",
    "/.rustup/toolchains/",
    "/site-packages/",
    "/dist-packages/",
    "/node_modules/",
];

/// Whether it is a file of a package, which somebody else has written, wherever its folder lies.
pub(crate) fn is_of_package(path: &str) -> bool {
    PACKAGES.iter().any(|folder| path.contains(folder))
}

/// Stands for the folders that were left out.
const LEFT_OUT: &str = "…/";

/// The rules, and the working folder that they are applied in.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    folder: Option<String>,
}

impl Redaction {
    /// For texts of a recording made in this folder.
    pub fn of(folder: &[u8]) -> Self {
        let folder = String::from_utf8_lossy(folder);
        let folder = folder.trim_end_matches('/');
        // The home folder itself or one that is shared by all would let everything below it stay.
        let is_project = !folder.is_empty() && !["/home", "/tmp", "/var/tmp"].contains(&folder) && !is_home(folder);
        Self { folder: is_project.then(|| format!("{folder}/")) }
    }

    /// A path without the folders that say whose machine it is.
    pub fn path(&self, path: &str) -> String {
        let is_relative = !path.starts_with('/');
        let climbs = path.split('/').any(|part| part == "..");
        if !path.contains('/') || (!climbs && (is_relative || SYSTEM.iter().any(|start| path.starts_with(start)))) {
            return path.to_owned();
        }
        if let Some(rest) = self.folder.as_deref().and_then(|folder| path.strip_prefix(folder)).filter(|_| !climbs) {
            return format!("./{rest}");
        }
        let package = PACKAGES.iter().find_map(|folder| path.rfind(folder)).filter(|_| !climbs);
        let name = match package {
            Some(at) => path.get(at + 1..).unwrap_or_default(),
            None => path.trim_end_matches('/').rsplit('/').next().unwrap_or_default(),
        };
        format!("{LEFT_OUT}{name}")
    }

    /// A sentence with its paths shortened.
    pub fn sentence(&self, text: &str) -> String {
        text.split(' ').map(|word| self.name(word)).collect::<Vec<_>>().join(" ")
    }

    /// The name of a function with its paths shortened: runtimes put the script behind it, `py::load:/home/…`, `*load file:///home/…`.
    /// A path ends where the next absolute one begins, because folders may have spaces in their names.
    pub fn name(&self, text: &str) -> String {
        let mut shortened = String::with_capacity(text.len());
        let (mut rest, mut before) = (text, None);
        while let Some(at) = [absolute(rest, before), rest.find("../")].into_iter().flatten().min() {
            let (plain, path) = rest.split_at(at);
            // `//home` is the folder `/home`, too, and the host of a URL says as much as a folder.
            let slashes = path.len() - path.trim_start_matches('/').len();
            let (more, path) = path.split_at(slashes.saturating_sub(1));
            let (first, tail) = path.split_at(1);
            let len = absolute(tail, first.chars().next()).map_or(path.len(), |at| at + first.len());
            let (path, behind) = path.split_at(len);
            shortened.extend([plain, more, &self.path(path)]);
            (rest, before) = (behind, path.chars().next_back());
        }
        shortened + rest
    }
}

/// Where the first absolute path of a text begins; `before` is the character in front of the text.
fn absolute(text: &str, mut before: Option<char>) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let inside = before.is_some_and(|c| c.is_alphanumeric() || "/_-.~+@%…".contains(c));
        if c == '/' && !inside && chars.peek().is_some_and(|(_, next)| !next.is_whitespace()) {
            return Some(at);
        }
        before = Some(c);
    }
    None
}

/// Whether it is somebody's home folder.
fn is_home(folder: &str) -> bool {
    folder == "/root" || folder.strip_prefix("/home/").is_some_and(|name| !name.contains('/'))
}

impl Texts for Redaction {
    fn text(&mut self, kind: TextKind, text: &[u8]) -> Option<Vec<u8>> {
        let lossy = String::from_utf8_lossy(text);
        match kind {
            TextKind::Argument | TextKind::Host => None,
            TextKind::Folder => {
                *self = Self::of(text);
                None
            }
            TextKind::System | TextKind::Thread | TextKind::Region => Some(text.to_vec()),
            TextKind::Function => Some(self.name(&lossy).into_bytes()),
            TextKind::Program | TextKind::Module | TextKind::EmbeddedModule | TextKind::Source => {
                Some(self.path(&lossy).into_bytes())
            }
            TextKind::Remark => Some(self.sentence(&lossy).into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(folder: &str, paths: &[(&str, &str)]) {
        let redaction = Redaction::of(folder.as_bytes());
        for (path, expected) in paths {
            assert_eq!(redaction.path(path), *expected, "{path} in {folder}");
        }
    }

    #[test]
    fn folders_of_people_are_left_out() {
        check(
            "/home/ada/secret/engine",
            &[
                ("/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
                ("/home/ada/secret/engine/target/debug/app", "./target/debug/app"),
                ("/home/ada/secret/other/lib.c", "…/lib.c"),
                (
                    "/home/ada/.cargo/registry/src/index.crates.io-1/serde-1.0/src/de.rs",
                    "…/.cargo/registry/src/index.crates.io-1/serde-1.0/src/de.rs",
                ),
                ("/home/ada/venv/lib/python3.11/site-packages/numpy/core.so", "…/site-packages/numpy/core.so"),
                (
                    "/rustc/59807616e1fa/library/alloc/src/vec/mod.rs",
                    "/rustc/59807616e1fa/library/alloc/src/vec/mod.rs",
                ),
                ("/srv/builds/ada/app/", "…/app"),
                ("src/main.c", "src/main.c"),
                ("./app", "./app"),
                ("../ada/app", "…/app"),
                ("/usr/../home/ada/app", "…/app"),
                ("/home/ada/secret/engine/../../keys", "…/keys"),
                ("[vdso]", "[vdso]"),
                ("", ""),
            ],
        );
    }

    #[test]
    fn a_home_folder_is_no_project() {
        for folder in ["/home/ada", "/root/", "/", "/tmp", ""] {
            check(folder, &[("/home/ada/secret/app", "…/app"), ("/root/x/y", "…/y"), ("/tmp/ada/y", "…/y")]);
        }
    }

    #[test]
    fn sentences_keep_their_words() {
        let redaction = Redaction::of(b"/home/ada/engine");
        let check = |text: &str, expected: &str| assert_eq!(redaction.sentence(text), expected);
        check("jemalloc is linked in", "jemalloc is linked in");
        check("\"/home/ada/x/libm.so\": cannot be read, 3 bytes/s", "\"…/libm.so\": cannot be read, 3 bytes/s");
        check("(/home/ada/engine/app)", "(./app)");
        check("/usr/lib/x.so:/home/ada/hidden/y.so src/../../ada/z", "/usr/lib/x.so:…/y.so src/…/z");
    }

    #[test]
    fn names_of_functions_keep_what_is_no_path() {
        let redaction = Redaction::of(b"/home/ada/engine");
        let check = |text: &str, expected: &str| assert_eq!(redaction.name(text), expected);
        for same in ["main", "operator/(ada::V const&, int)", "java.lang.String.hashCode()", "a/b.Open", "", "f /"] {
            check(same, same);
        }
        check("JS:*hot /home/ada/secret/jit.js:1:13", "JS:*hot …/jit.js:1:13");
        check("JS:*hot /home/ada/engine/src/jit.js:1:13", "JS:*hot ./src/jit.js:1:13");
        check("JS:~run file:///home/ada/secret/jit.mjs:1:1", "JS:~run file://…/jit.mjs:1:1");
        check("JS:~run //home/ada/x.js", "JS:~run /…/x.js");
        check("JS:^f ../ada/x.js:2", "JS:^f …/x.js:2");
        check("py::load:/home/ada lovelace/shop.py", "py::load:…/shop.py");
        check("TRACE_1::/usr/share/x.lua:3", "TRACE_1::/usr/share/x.lua:3");
        check("[/opt/x.dll] /home/ada/y.dll", "[/opt/x.dll] …/y.dll");
        check("é/home/ada (/home/é/ü)", "é/home/ada (…/ü)");
    }

    #[test]
    fn each_kind_of_text() {
        let mut redaction = Redaction::default();
        let mut check = |kind, text: &str, expected: Option<&str>| {
            let found = redaction.text(kind, text.as_bytes());
            assert_eq!(found.as_deref().map(String::from_utf8_lossy).as_deref(), expected, "{text}");
        };
        check(TextKind::Folder, "/home/ada/engine", None);
        check(TextKind::Host, "adas-laptop", None);
        check(TextKind::Argument, "--password=x", None);
        check(TextKind::Program, "/home/ada/engine/app", Some("./app"));
        check(TextKind::Thread, "worker/0", Some("worker/0"));
        check(TextKind::Function, "f:/home/ada/x.py", Some("f:…/x.py"));
        check(TextKind::System, "6.1.0", Some("6.1.0"));
    }
}
