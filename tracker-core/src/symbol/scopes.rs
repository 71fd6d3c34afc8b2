//! Full names of inlined C++ functions that the debug data gives without linkage name: gcc does so for lambdas and for
//! templates over local types, and `operator()` alone says nothing. The scopes around the declaration say the rest.

use gimli::{AttributeValue, DwAt, DwLang, UnitOffset, UnitRef};
use rustc_hash::FxHashMap;

use super::demangle::demangle;
use super::limits::{MAX_KEPT_NAMES, cut_name};
use super::reader::SectionReader;

/// How far declarations refer to one another, and scopes contain one another.
const MAX_STEPS: usize = 32;

/// Names that were looked up, and the scopes of the units they are in.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    units: FxHashMap<UnitKey, Vec<Scope>>,
    names: FxHashMap<(UnitKey, usize), Option<String>>,
}

/// A unit's offset, and its id if it is a split one: those all have offset 0.
type UnitKey = (Option<usize>, Option<u64>);

/// A namespace, class or function, and the entries inside it. Sorted by start; nested, never crossing.
#[derive(Debug)]
struct Scope {
    start: usize,
    end: usize,
    parent: Option<usize>,
}

impl Scopes {
    /// The full name of the function whose entry is `entry` of `unit`, when its scopes are known.
    pub(super) fn qualify(&mut self, unit: UnitRef<'_, SectionReader>, entry: UnitOffset<usize>) -> Option<String> {
        let key = (unit.header.debug_info_offset().map(|offset| offset.0), unit.dwo_id.map(|id| id.0));
        if let Some(known) = self.names.get(&(key, entry.0)) {
            return known.clone();
        }
        let scopes = self.units.entry(key).or_insert_with(|| read_scopes(unit).unwrap_or_default());
        let name = qualified(unit, scopes, entry).map(cut_name);
        if self.names.len() >= MAX_KEPT_NAMES {
            self.names.clear();
        }
        self.names.insert((key, entry.0), name.clone());
        name
    }
}

/// Whether functions of this language have scopes.
pub(super) fn has_scopes(language: Option<DwLang>) -> bool {
    use gimli::constants as lang;
    matches!(
        language,
        Some(
            lang::DW_LANG_C_plus_plus
                | lang::DW_LANG_C_plus_plus_03
                | lang::DW_LANG_C_plus_plus_11
                | lang::DW_LANG_C_plus_plus_14
                | lang::DW_LANG_C_plus_plus_17
                | lang::DW_LANG_C_plus_plus_20
        )
    )
}

fn qualified(unit: UnitRef<'_, SectionReader>, scopes: &[Scope], entry: UnitOffset<usize>) -> Option<String> {
    let declaration = declaration(unit, entry)?;
    let mut name = attribute(unit, declaration, gimli::DW_AT_name)?;
    let after = scopes.partition_point(|scope| scope.start < declaration.0);
    let mut around = after.checked_sub(1);
    for _ in 0..MAX_STEPS {
        let Some(scope) = around.and_then(|index| scopes.get(index)) else { break };
        around = scope.parent;
        if scope.end <= declaration.0 {
            continue;
        }
        let nameless = if name == "operator()" { "{lambda}" } else { "(anonymous class)" };
        let (scope_name, is_whole) = scope_name(unit, UnitOffset(scope.start), nameless)?;
        name = format!("{scope_name}::{name}");
        if is_whole {
            break;
        }
    }
    Some(name)
}

/// A scope's name (`nameless` for a class without one), and whether it includes the names of the scopes around it.
fn scope_name(unit: UnitRef<'_, SectionReader>, scope: UnitOffset<usize>, nameless: &str) -> Option<(String, bool)> {
    let tag = unit.entry(scope).ok()?.tag();
    if tag == gimli::DW_TAG_subprogram {
        let function = declaration(unit, scope)?;
        return match attribute(unit, function, gimli::DW_AT_linkage_name) {
            Some(linked) => Some((demangle(&linked), true)),
            None => Some((attribute(unit, function, gimli::DW_AT_name)?, false)),
        };
    }
    let name = attribute(unit, scope, gimli::DW_AT_name);
    let nameless = if tag == gimli::DW_TAG_namespace { "(anonymous namespace)" } else { nameless };
    Some((name.unwrap_or_else(|| nameless.to_owned()), false))
}

/// Follows an entry to what it is an instance of, and that to where it is declared.
fn declaration(unit: UnitRef<'_, SectionReader>, mut entry: UnitOffset<usize>) -> Option<UnitOffset<usize>> {
    for _ in 0..MAX_STEPS {
        let found = unit.entry(entry).ok()?;
        let origin = found.attr_value(gimli::DW_AT_abstract_origin);
        match origin.or_else(|| found.attr_value(gimli::DW_AT_specification)) {
            Some(AttributeValue::UnitRef(next)) => entry = next,
            // In another unit (link-time optimization): its scopes are not known here.
            Some(_) => return None,
            None => return Some(entry),
        }
    }
    None
}

fn attribute(unit: UnitRef<'_, SectionReader>, entry: UnitOffset<usize>, name: DwAt) -> Option<String> {
    use gimli::Reader as _;
    let value = unit.entry(entry).ok()?.attr_value(name)?;
    let text = unit.attr_string(value).ok()?;
    Some(text.to_string_lossy().ok()?.into_owned()).filter(|text| !text.is_empty())
}

fn read_scopes(unit: UnitRef<'_, SectionReader>) -> gimli::Result<Vec<Scope>> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut open: Vec<(isize, usize)> = Vec::new();
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset().0, entries.next_depth());
        while let Some((_, index)) = open.pop_if(|(open_depth, _)| *open_depth >= depth) {
            if let Some(scope) = scopes.get_mut(index) {
                scope.end = offset;
            }
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        let is_scope = matches!(
            abbreviation.tag(),
            gimli::DW_TAG_namespace
                | gimli::DW_TAG_class_type
                | gimli::DW_TAG_structure_type
                | gimli::DW_TAG_union_type
                | gimli::DW_TAG_subprogram
        );
        if is_scope && abbreviation.has_children() {
            let parent = open.last().map(|(_, index)| *index);
            open.push((depth, scopes.len()));
            scopes.push(Scope { start: offset, end: usize::MAX, parent });
        }
        entries.skip_attributes(abbreviation.attributes())?;
    }
    Ok(scopes)
}
