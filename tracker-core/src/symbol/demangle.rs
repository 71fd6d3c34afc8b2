//! Mangled names to source names. Names that are not mangled come back exactly as they are.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use cpp_demangle::{BorrowedSymbol, DemangleOptions, ParseOptions};
use rustc_hash::FxHashMap;

use super::limits::{MAX_KEPT_NAMES, MAX_MANGLED, MAX_NAME, MAX_NESTING, MAX_WASTED, SLOW_NAME, cut_name};

/// Whether `name` looks like a C++ or Rust linkage name.
pub(super) fn is_mangled(name: &str) -> bool {
    name.starts_with("_Z") || name.starts_with("_R")
}

/// A mangled name without what compilers append for parts and copies of a function (`.cold`, `.isra.0`), which the
/// source does not know.
pub(super) fn without_clone(name: &str) -> &str {
    if !is_mangled(name) || is_legacy_rust(name) {
        return name;
    }
    name.split_once('.').map_or(name, |(name, _)| name)
}

/// Demangles each name once: the same few functions are found at most addresses, and a long C++ name takes 20 µs.
#[derive(Debug, Default)]
pub(super) struct Demangler {
    kept: FxHashMap<String, String>,
    /// Time spent on names that took absurdly long.
    wasted: Duration,
}

impl Demangler {
    /// `name` as [`demangle`] gives it; as it is when the module's names have wasted too much time.
    pub(super) fn demangle(&mut self, name: String) -> String {
        if !is_mangled(&name) {
            return demangle(&name);
        }
        if self.wasted > MAX_WASTED {
            return cut_name(name);
        }
        if let Some(readable) = self.kept.get(&name) {
            return readable.clone();
        }
        let start = Instant::now();
        let readable = demangle(&name);
        self.wasted += Some(start.elapsed()).filter(|took| *took > SLOW_NAME).unwrap_or_default();
        if self.kept.len() >= MAX_KEPT_NAMES {
            self.kept.clear();
        }
        self.kept.insert(name, readable.clone());
        readable
    }
}

/// `name` as the source says it, without Rust's hashes; cut to [`MAX_NAME`].
pub fn demangle(name: &str) -> String {
    let readable = if name.len() > MAX_MANGLED {
        None
    } else if name.starts_with("_R") || is_legacy_rust(name) {
        rust(name)
    } else if name.starts_with("_Z") || name.starts_with("_GLOBAL_") {
        cpp(name)
    } else {
        None
    };
    readable.unwrap_or_else(|| cut_name(name.to_owned()))
}

/// Rust's first scheme is C++'s with a last component `17h` and sixteen hexadecimal digits.
fn is_legacy_rust(name: &str) -> bool {
    let is_hash = |tail: &str| {
        let hash = tail.get(..17).unwrap_or_default();
        hash.ends_with('E') && hash.len() == 17 && hash.bytes().take(16).all(|byte| byte.is_ascii_hexdigit())
    };
    name.starts_with("_ZN") && name.match_indices("17h").any(|(at, _)| name.get(at + 3..).is_some_and(is_hash))
}

fn rust(name: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    Bounded::collect(|to| write!(to, "{symbol:#}"))
}

fn cpp(name: &str) -> Option<String> {
    let bounds = ParseOptions::default().recursion_limit(MAX_NESTING);
    let (symbol, rest) = BorrowedSymbol::with_tail_and_options(name.as_bytes(), &bounds).ok()?;
    let mut options = DemangleOptions::new().hide_expression_literal_types();
    if !rest.is_empty() {
        // Older compilers mangle some return types (`std::swap`'s, `std::make_shared`'s) in a way that nobody else
        // reads. The name with its scope comes before.
        options = options.no_params().no_return_type();
    }
    Bounded::collect(|to| symbol.structured_demangle(to, &options))
}

/// Text that refuses to grow beyond what is shown: a short mangled name can stand for gigabytes.
#[derive(Default)]
struct Bounded {
    text: String,
}

impl Bounded {
    /// What `write` writes; `None` when it fails before the text is full.
    fn collect(write: impl FnOnce(&mut Self) -> fmt::Result) -> Option<String> {
        let mut bounded = Self::default();
        let complete = write(&mut bounded).is_ok();
        (complete || bounded.text.len() > MAX_NAME).then(|| cut_name(bounded.text))
    }
}

impl Write for Bounded {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        if self.text.len() > MAX_NAME {
            return Err(fmt::Error);
        }
        let room = piece.floor_char_boundary(MAX_NAME + 8);
        self.text.push_str(piece.get(..room).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[(&str, &str)]) {
        for (mangled, readable) in names {
            assert_eq!(demangle(mangled), *readable, "{mangled}");
        }
    }

    #[test]
    fn rust_names_lose_their_hash() {
        check(&[
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE.llvm.77", "core::fmt::Write::write_fmt"),
            ("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"),
            ("_RNCNvC4main3run0", "main::run::{closure#0}"),
        ]);
    }

    #[test]
    fn cpp_names_show_their_signature() {
        check(&[
            ("_Znwm", "operator new(unsigned long)"),
            ("_ZN3Foo3barEv", "Foo::bar()"),
            ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"),
            ("_ZZ4mainENKUlvE_clEv", "main::{lambda()#1}::operator()() const"),
            ("_ZL6helperi.constprop.0", "helper(int) [clone .constprop.0]"),
            ("_ZSt3getILm0EJiiEEvRSt5tupleIJDpT0_EE", "void std::get<0, int, int>(std::tuple<int, int>&)"),
            (
                "_ZSt4swapIN2n72K7EENSt9enable_ifIXsrSt6__and_IJSt6__not_ISt15__is_tuple_likeIT_EEEE5valueEvE4typeERS6_S_",
                "std::swap<n7::K7>",
            ),
            (
                "_ZSt11make_sharedIiJRKSt6localeEESt10shared_ptrINSt9enable_ifIXntsrSt8is_arrayIT_E5valueES5_E4typeEEDpOT0_",
                "std::make_shared<int, std::locale const&>",
            ),
        ]);
    }

    #[test]
    fn clones_are_the_function_itself() {
        let rust = "_ZN50_$LT$alloc..vec..Vec$GT$3foo17h0123456789abcdefE.llvm.1";
        let names =
            [("_Z1fv.isra.0.cold", "_Z1fv"), ("_RNvC1a1b.llvm.1", "_RNvC1a1b"), (rust, rust), ("f.part.0", "f.part.0")];
        for (linked, function) in names {
            assert_eq!(without_clone(linked), function);
        }
    }

    #[test]
    fn other_names_stay() {
        for name in
            ["main", "", "_start", "<script>alert(1)</script>", "a\"b'c", "_Zap", "_Rest", "_ZN", "foo.part.0", "ünï"]
        {
            check(&[(name, name)]);
        }
    }

    #[test]
    fn names_are_bounded() {
        let long = "x".repeat(1 << 20);
        assert_eq!(demangle(&long).len(), MAX_NAME + '…'.len_utf8());
        // Each substitution doubles the name.
        let mut bomb = String::from("_Z1fSt4pairIiiE");
        for _ in 0..60 {
            bomb.push_str("St4pairIS_S_E");
        }
        assert!(demangle(&bomb).len() <= MAX_NAME + 3);
        let args = "_ZN1a1bI".to_owned() + &"1x".repeat(4000) + "EEvv";
        assert!(demangle(&args).len() <= MAX_NAME + 3);
    }
}
