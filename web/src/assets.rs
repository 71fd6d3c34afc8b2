//! The page's own files, built into the program. Nothing is read from disk and nothing from anywhere else.
//!
//! What travels is the files without their comments and indentation, line by line: a fifth of their size, and an error's
//! line is still the file's.

use std::sync::LazyLock;

/// One ES module.
#[derive(Debug)]
pub(crate) struct Module {
    /// What others import, after the `#`; also its path below `assets/js`.
    pub(crate) name: &'static str,
    pub(crate) source: String,
}

/// Every module.
pub(crate) static MODULES: LazyLock<Vec<Module>> =
    LazyLock::new(|| FILES.iter().map(|&(name, source)| Module { name, source: lean(source) }).collect());

/// Removes doc comments, lines that are comments, and indentation; lines stay lines. Strings with `/**` in them and
/// texts of several lines would suffer: a test says that there are none.
fn lean(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, comment)) = rest.split_once("/**") {
        let (comment, after) = comment.split_once("*/").unwrap_or((comment, ""));
        code.push_str(before);
        code.extend(comment.matches('\n'));
        rest = after;
    }
    code.push_str(rest);
    let line = |line: &str| {
        let line = line.trim();
        if line.starts_with("//") { "\n".to_owned() } else { format!("{line}\n") }
    };
    code.lines().map(line).collect()
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../assets/js/", $name, ".js")))),*]
    };
}

/// Name and text of each module, in the order of the pipeline: data, numbers, layout, drawing, wiring.
const FILES: &[(&str, &str)] = files![
    "source",
    "columns",
    "slices",
    "shape",
    "metrics",
    "functions",
    "tables",
    "leaks",
    "habits",
    "modules",
    "search",
    "collapsed",
    "units",
    "names",
    "words",
    "state",
    "derive",
    "link",
    "dom",
    "theme",
    "spark",
    "flame/layout",
    "flame/draw",
    "flame/svg",
    "flame/twin",
    "flame/crumbs",
    "flame/view",
    "timeline/series",
    "timeline/brush",
    "timeline/view",
    "view/find",
    "view/controls",
    "view/overview",
    "view/inspector",
    "view/table",
    "view/leaklist",
    "view/histograms",
    "view/tip",
    "keys",
    "diff/columns",
    "diff/view",
    "diff/main",
    "main",
];

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("../assets/css/page.css");

/// A short name for a content (64-bit FNV-1a): addresses change exactly when files do.
pub(crate) fn content_hash(content: &str) -> String {
    let hash = content
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn comments_go_and_lines_stay() {
        let source = "// a\nlet x = /** @type {A} */ (b); // c\n  /**\n   * d\n   */\n  f('//');\n";
        assert_eq!(lean(source), "\nlet x =  (b); // c\n\n\n\nf('//');\n");
    }

    #[test]
    fn nothing_but_comments_looks_like_one() {
        for (name, source) in FILES {
            for (number, line) in source.lines().enumerate() {
                let comment = line.trim_start().starts_with(['*', '/']);
                assert!(
                    comment || line.matches('`').count() % 2 == 0,
                    "{name}:{}: a text of several lines",
                    number + 1
                );
                let before = line.split("/**").next().unwrap_or("");
                let quoted = line.contains("/**") && before.matches('\'').count() % 2 == 1;
                assert!(!quoted, "{name}:{}: a comment in a text", number + 1);
            }
        }
    }

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(content_hash(""), "cbf29ce484222325");
        assert_eq!(content_hash("a"), "af63dc4c8601ec8c");
    }

    #[test]
    fn every_script_on_disk_is_in_the_table() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/js");
        let mut found = BTreeSet::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "js") {
                    found.insert(path.strip_prefix(&root).unwrap().with_extension("").display().to_string());
                }
            }
        }
        assert_eq!(found, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn imports_name_modules_that_exist() {
        let names: BTreeSet<&str> = MODULES.iter().map(|module| module.name).collect();
        for module in MODULES.iter() {
            for line in module.source.lines().filter(|line| line.starts_with("import ")) {
                let name = line.split(" from '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
                assert!(name.strip_prefix('#').is_some_and(|name| names.contains(name)), "{}: {line}", module.name);
            }
        }
    }

    /// Names from captures are hostile: no module may turn text into markup or code, or fetch from elsewhere.
    #[test]
    fn scripts_cannot_turn_text_into_markup_or_reach_the_network() {
        const FORBIDDEN: [&str; 20] = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "setHTMLUnsafe",
            "parseHTMLUnsafe",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "javascript:",
            "https://",
            "http:",
            "//cdn",
            "importScripts",
            "XMLHttpRequest",
            "WebSocket",
            "sendBeacon",
            "setAttribute('on",
        ];
        for module in MODULES.iter() {
            // The namespace of SVG looks like an address and is none.
            let source = module.source.replace("http://www.w3.org/2000/svg", "");
            for word in FORBIDDEN {
                assert!(!source.contains(word), "{} contains {word}", module.name);
            }
        }
        for word in ["url(", "@import", "http:", "https:", "expression("] {
            assert!(!STYLE.contains(word), "page.css contains {word}");
        }
    }

    #[test]
    fn assets_stay_small() {
        const LIMIT: usize = 60_000;
        let all: String = MODULES.iter().map(|module| module.source.as_str()).chain([STYLE]).collect();
        let compressed = miniz_oxide::deflate::compress_to_vec_zlib(all.as_bytes(), 9).len();
        assert!(compressed <= LIMIT, "{compressed} bytes compressed, at most {LIMIT} wanted");
    }
}
