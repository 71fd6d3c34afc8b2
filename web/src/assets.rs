//! The page's own files, built into the program. Nothing is read from disk and nothing from anywhere else.

/// One ES module.
#[derive(Debug)]
pub(crate) struct Module {
    /// What others import, after the `#`; also its path below `assets/js`.
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
}

macro_rules! modules {
    ($($name:literal),* $(,)?) => {
        &[$(Module { name: $name, source: include_str!(concat!("../assets/js/", $name, ".js")) }),*]
    };
}

/// Every module, in the order of the pipeline: data, numbers, layout, drawing, wiring.
pub(crate) const MODULES: &[Module] = modules![
    "source",
    "columns",
    "metrics",
    "functions",
    "leaks",
    "search",
    "units",
    "names",
    "words",
    "state",
    "link",
    "dom",
    "theme",
    "flame/layout",
    "flame/draw",
    "flame/svg",
    "flame/twin",
    "flame/view",
    "timeline/series",
    "timeline/view",
    "view/overview",
    "view/inspector",
    "view/table",
    "view/leaklist",
    "view/tip",
    "keys",
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
        assert_eq!(found, MODULES.iter().map(|module| module.name.to_owned()).collect());
    }

    #[test]
    fn imports_name_modules_that_exist() {
        let names: BTreeSet<&str> = MODULES.iter().map(|module| module.name).collect();
        for module in MODULES {
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
        for module in MODULES {
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
        let all: String = MODULES.iter().map(|module| module.source).chain([STYLE]).collect();
        let compressed = miniz_oxide::deflate::compress_to_vec_zlib(all.as_bytes(), 9).len();
        assert!(compressed <= LIMIT, "{compressed} bytes compressed, at most {LIMIT} wanted");
    }
}
