//! Suppressions as valgrind writes and reads them: blocks in braces with the functions, libraries and source files of a
//! stack from the leaf on, as far as it has to be like that.
//!
//! Kinds of leaks are valgrind's and not told apart here, so `match-leak-kinds` means nothing.

use super::SuppressionError;
use super::rule::{Line, Rule, Test};

const FRAME: &str = "fun:, obj:, src: or ...";

/// Reads the block that began on line `start`; `None` when it is for another tool or error.
pub(super) fn block<'t>(
    origin: &str,
    start: usize,
    lines: &mut impl Iterator<Item = (usize, &'t str)>,
) -> Result<Option<Rule>, SuppressionError> {
    let wrong = |line, expected, found: &str| SuppressionError::not_expected(origin, line, expected, found);
    let open = || wrong(start, "a `}` for it", "{");
    let (number, name) = lines.next().ok_or_else(open)?;
    if name == "}" {
        return Err(wrong(number, "a name", name));
    }
    let (number, kind) = lines.next().ok_or_else(open)?;
    let (tools, error) = match kind.split_once(':') {
        Some(("fun" | "obj" | "src", _)) | None => return Err(wrong(number, "TOOL:KIND", kind)),
        Some(parts) => parts,
    };
    let about_leaks = tools.split(',').any(|tool| tool.trim() == "Memcheck") && error.trim() == "Leak";
    let mut rule = Rule { name: name.to_owned(), lines: Vec::new(), origin: origin.to_owned(), at: start };
    loop {
        let (number, line) = lines.next().ok_or_else(open)?;
        let unknown = || wrong(number, FRAME, line);
        match line {
            "}" if about_leaks && rule.lines.is_empty() => return Err(unknown()),
            "}" => return Ok(about_leaks.then_some(rule)),
            _ if !about_leaks => {}
            "..." => rule.lines.push(Line::Any),
            line => {
                let (kind, pattern) = line.split_once(':').ok_or_else(unknown)?;
                let pattern = pattern.trim().to_owned();
                rule.lines.push(Line::Frame(match kind {
                    "fun" => Test::function(pattern),
                    "obj" => Test::Object(pattern),
                    "src" => Test::Source(pattern),
                    "match-leak-kinds" => continue,
                    _ => return Err(unknown()),
                }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::suppress::Suppressions;
    use crate::report::suppress::tests::rule;

    #[track_caller]
    fn check(lines: &str, stack: &str, is: bool) {
        let mut suppressions = Suppressions::none();
        let lines = lines.replace(' ', "\n   ");
        let other = "{\n cond\n Memcheck:Cond\n fun:whatever\n}\n";
        suppressions.add_file("x.supp", &format!("{other}{{\n  known\n  Memcheck:Leak\n   {lines}\n}}\n")).unwrap();
        assert_eq!(rule(&suppressions, stack, 1).is_some(), is, "{lines} {stack}");
    }

    #[test]
    fn stacks_from_the_leaf_on() {
        let stack = "malloc: grow@src/list.c:12 push!/opt/libx.so.1 main";
        check("match-leak-kinds:definite fun:malloc fun:grow", stack, true);
        check("fun:malloc fun:push", stack, false);
        check("fun:malloc ... fun:push fun:main", stack, true);
        check("fun:grow obj:*/libx.so*", stack, true);
        check("fun:malloc src:list.c:12 fun:pu?h", stack, true);
        check("src:list.c", stack, true);
        check("... fun:nobody", stack, false);
        check("fun:calloc ...", stack, false);
        check("fun:malloc ... ... fun:main ...", stack, true);
        check("fun:malloc fun:grow fun:push fun:main fun:_start", stack, false);
        check("fun:_ZN3app4loadEv", "malloc: app::load() main", true);
    }
}
