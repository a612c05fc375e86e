//! A type's name is unique in the workspace, so that a search for it finds one definition.

use std::collections::BTreeMap;

use crate::{read, relative, root, sources};

/// The folders with the sources of all packages.
const SOURCES: [&str; 3] = ["crates", "entrypoint", "xtask"];

/// Associated types that implementations of the standard library's traits must have.
const ASSOCIATED: [&str; 6] = ["Err", "Error", "IntoIter", "Item", "Output", "Target"];

#[test]
fn the_name_of_a_type_is_unique_in_the_workspace() {
    let mut repeated = Vec::new();
    for (name, files) in definitions() {
        if files.len() > 1 {
            repeated.push(format!("`{name}` is defined in {}", files.join(" and in ")));
        }
    }
    let repeated = repeated.join("\n");
    assert!(repeated.is_empty(), "rename one of each, with the noun of its module as prefix:\n{repeated}");
}

#[test]
fn definitions_are_found_with_any_visibility_and_associated_types_are_not() {
    let found = |line: &str| defined(line).map(str::to_owned);
    assert_eq!(found("pub struct Alpha<'a> {").as_deref(), Some("Alpha"));
    assert_eq!(found("    pub(crate) enum Beta {").as_deref(), Some("Beta"));
    assert_eq!(found("type Gamma = u8;").as_deref(), Some("Gamma"));
    assert_eq!(found("pub(in crate::a) trait Delta: Send {").as_deref(), Some("Delta"));
    assert_eq!(found("    type Output = u8;"), None);
    assert_eq!(found("// struct Alpha"), None);
    assert_eq!(found("structure(Alpha)"), None);
}

/// The files that define each type of the workspace, relative to its root.
fn definitions() -> BTreeMap<String, Vec<String>> {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in SOURCES.iter().flat_map(|folder| sources(&root().join(folder))) {
        for name in read(&file).lines().filter_map(defined) {
            definitions.entry(name.to_owned()).or_default().push(relative(&file).to_string());
        }
    }
    assert!(definitions.len() > 100, "only {} types were found", definitions.len());
    definitions
}

/// The name of the type that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    let (keyword, rest) = line.split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    let is_type = matches!(keyword, "struct" | "enum" | "trait" | "type" | "union");
    (is_type && name.starts_with(char::is_uppercase) && !ASSOCIATED.contains(&name)).then_some(name)
}
