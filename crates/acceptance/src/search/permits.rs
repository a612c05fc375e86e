//! Changes that a boot is permitted to make: the edits of the case, and the losses that the boot announced and the
//! operator allowed.

use std::collections::BTreeSet;

use contract::failure::RemainingState;
use serde_json::Value;

use super::case::{List, SearchCase, SearchEdit, name_of};
use super::oracle::StateLoss;
use super::state::DatabaseState;

/// Directus' tables about the schema; their rows are compared with the snapshot, not with the rows before.
pub(super) const METADATA: [&str; 3] = ["directus_collections", "directus_fields", "directus_relations"];
/// Directus' tables about items; it deletes their rows with the collection.
const ABOUT_ITEMS: [&str; 4] = ["directus_activity", "directus_permissions", "directus_presets", "directus_revisions"];

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Permits {
    /// `laps.speed` with a property of its schema; `*` means all of them, `relation` the foreign key.
    touched: BTreeSet<(String, String)>,
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    narrowed: BTreeSet<String>,
    relations: BTreeSet<String>,
}

impl Permits {
    /// Returns the changes that follow from the edits of a case.
    pub(super) fn of(case: &SearchCase) -> Permits {
        let mut permits = Permits::default();
        for edit in &case.edits {
            permits.add_edit(edit);
        }
        permits
    }

    fn add_edit(&mut self, edit: &SearchEdit) {
        match edit {
            SearchEdit::Set { list: List::Fields, entry, path, .. } => {
                match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["schema", key] => self.touch(entry, key),
                    ["type"] => self.touch(entry, "data_type"),
                    _ => {}
                }
            }
            SearchEdit::Set { list: List::Relations, entry, path, .. }
                if path.first().is_some_and(|key| key != "meta") =>
            {
                self.touch(entry, "relation")
            }
            SearchEdit::Set { list: List::SystemFields, entry, .. }
            | SearchEdit::Remove { list: List::SystemFields, entry, .. } => self.touch(entry, "is_indexed"),
            SearchEdit::Add { list: List::SystemFields, value } => self.touch(&name_of(value), "is_indexed"),
            SearchEdit::Live { touches, .. } => touches.iter().for_each(|entry| self.touch(entry, "*")),
            _ => {}
        }
    }

    fn touch(&mut self, entry: &str, key: &str) {
        self.touched.insert((entry.to_owned(), key.to_owned()));
    }

    /// Parses the last line of a refusal and the lines before it, and returns the number of recognised items. Example:
    /// `this would delete collection laps (12 rows); narrow field laps.speed: …; the step was rolled back, …`.
    pub(super) fn announce(&mut self, message: &str, notes: &[String]) -> usize {
        let (list, _) = message.split_once(RemainingState::StepRolledBack.words()).unwrap_or((message, ""));
        let mut recognised = 0;
        for item in list.split("; ").chain(notes.iter().map(String::as_str)) {
            let item = item.trim_start_matches("this would ");
            let item = item.rsplit_once("announced: ").map_or(item, |(_, item)| item);
            let mut words = item.split_whitespace();
            let (first, second, third) =
                (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
            let name = third.trim_end_matches(':').to_owned();
            match (first, second) {
                ("delete", "collection") => drop(self.tables.insert(name)),
                ("delete", "field") => drop(self.columns.insert(name)),
                ("delete", "relation") => drop(self.relations.insert(name)),
                ("narrow", _) => drop(self.narrowed.insert(name)),
                ("table", table) => drop(self.tables.insert(table.to_owned())),
                ("column", column) => drop(self.columns.insert(column.to_owned())),
                ("drop" | "index" | "check" | "default" | "foreign" | "unique" | "primary" | "NOT", _) => {}
                _ => continue,
            }
            recognised += 1;
        }
        recognised
    }

    /// Returns the announced deletions of entries that the snapshot contains. Tables that a SQL file dropped do not
    /// count: Directus' rows about them remain.
    pub(super) fn contradictions(&self, snapshot: &Value, state: &DatabaseState) -> Vec<String> {
        let tables = self.tables.iter().filter(|name| state.table(name).is_some() && keeps_table(snapshot, name));
        let columns = self.columns.iter().filter(|name| {
            let table = name.split('.').next().unwrap_or_default();
            state.table(table).is_some() && has_entry(snapshot, List::Fields, name)
        });
        let relations = self.relations.iter().filter(|name| has_entry(snapshot, List::Relations, name));
        tables
            .map(|name| ("collection", name))
            .chain(columns.map(|name| ("field", name)))
            .chain(relations.map(|name| ("relation", name)))
            .map(|(kind, name)| format!("the boot announces the deletion of {kind} {name}, which is in the snapshot"))
            .collect()
    }

    /// Returns true if the case edits one of the properties of a column.
    fn is_touched(&self, name: &str, keys: &[&str]) -> bool {
        keys.iter().chain(&["*"]).any(|key| self.touched.contains(&(name.to_owned(), (*key).to_owned())))
    }

    /// Returns true if the boot may cause this loss.
    pub(super) fn allow(&self, lost: &StateLoss) -> bool {
        let table = lost.table();
        let name = format!("{table}.{}", lost.column().unwrap_or_default());
        match lost {
            StateLoss::Rows { .. } | StateLoss::Values { .. } if METADATA.contains(&table) => true,
            StateLoss::Rows { .. } if ABOUT_ITEMS.contains(&table) => !self.tables.is_empty(),
            StateLoss::Table { table, .. } => self.tables.contains(table),
            StateLoss::Rows { .. } => false,
            StateLoss::Column { .. } => self.columns.contains(&name),
            _ if self.narrowed.contains(&name) => true,
            StateLoss::Values { .. } => false,
            StateLoss::Type { .. } => self.is_touched(&name, &["max_length", "numeric_precision", "numeric_scale"]),
            StateLoss::NotNull { .. } => self.is_touched(&name, &["is_nullable"]),
            StateLoss::Default { .. } => self.is_touched(&name, &["default_value", "max_length"]),
            StateLoss::Rule(rule) => {
                let keys: &[&str] = match rule.kind.as_str() {
                    "u" => &["is_unique"],
                    "i" => &["is_indexed", "is_unique"],
                    "f" => &["relation"],
                    _ => &[],
                };
                let names: Vec<String> = rule.columns.iter().map(|column| format!("{table}.{column}")).collect();
                let relation_changes = rule.kind == "f" && names.iter().any(|name| self.relations.contains(name));
                let target_is_deleted =
                    self.tables.iter().any(|gone| rule.definition.contains(&format!("REFERENCES {gone}(")));
                // The definition of an index over an expression contains the type of the column.
                let column_is_narrowed = self.narrowed.iter().any(|name| {
                    let column = name.strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
                    column.is_some_and(|column| rule.definition.contains(column))
                });
                let column_is_deleted = names.iter().any(|name| self.columns.contains(name));
                let column_is_touched = names.len() == 1 && self.is_touched(&names[0], keys);
                relation_changes || target_is_deleted || column_is_narrowed || column_is_deleted || column_is_touched
            }
            // Sequences, triggers and policies are deleted with their table or column.
            StateLoss::Object(object) => {
                let gone = self
                    .tables
                    .iter()
                    .map(String::as_str)
                    .chain(self.columns.iter().filter_map(|name| name.split('.').next()));
                gone.into_iter().any(|name| object.contains(name))
            }
        }
    }
}

fn find_entry<'a>(snapshot: &'a Value, list: List, name: &str) -> Option<&'a Value> {
    snapshot[list.key()].as_array()?.iter().find(|entry| name_of(entry) == name)
}

/// Returns true if the snapshot contains the entry, or lacks the whole list.
fn has_entry(snapshot: &Value, list: List, name: &str) -> bool {
    !snapshot[list.key()].is_array() || find_entry(snapshot, list, name).is_some()
}

/// Returns true if the snapshot keeps a collection as a table. A change between folder and table replaces the
/// collection.
fn keeps_table(snapshot: &Value, name: &str) -> bool {
    let becomes_folder =
        find_entry(snapshot, List::Collections, name).is_some_and(|entry| !entry["schema"].is_object());
    let was_folder = ["editorial", "reference"].iter().any(|folder| name.starts_with(folder));
    has_entry(snapshot, List::Collections, name) && !becomes_folder && !was_folder
}
