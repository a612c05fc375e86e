//! What a boot may change: what the case itself edits, and what the boot announced and the operator allowed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{Case, Edit, List, name_of};
use super::oracle::Lost;
use super::state::State;

/// Directus' rows about the schema; compared with the snapshot, not with the rows before.
pub(super) const METADATA: [&str; 3] = ["directus_collections", "directus_fields", "directus_relations"];
/// Directus' rows about items, which it deletes with their collection.
const ABOUT_ITEMS: [&str; 4] = ["directus_activity", "directus_permissions", "directus_presets", "directus_revisions"];

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Permits {
    /// `laps.speed` with a property of its schema; `*` stands for all of them, and `relation` for its foreign key.
    touched: BTreeSet<(String, String)>,
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    narrowed: BTreeSet<String>,
    relations: BTreeSet<String>,
    /// Definitions or names in words, as the boot announced them.
    words: Vec<String>,
}

impl Permits {
    /// What the edits of a case change by themselves.
    pub(super) fn of(case: &Case) -> Permits {
        let mut permits = Permits::default();
        for edit in &case.edits {
            permits.add_edit(edit);
        }
        permits
    }

    fn add_edit(&mut self, edit: &Edit) {
        let mut touch = |entry: &str, key: &str| {
            self.touched.insert((entry.to_owned(), key.to_owned()));
        };
        match edit {
            Edit::Set { list: List::Fields, entry, path, .. } => {
                match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                    ["schema", key] => touch(entry, key),
                    ["type"] => touch(entry, "data_type"),
                    _ => {}
                }
            }
            Edit::Set { list: List::Relations, entry, path, .. } if path.first().is_some_and(|key| key != "meta") => {
                touch(entry, "relation")
            }
            Edit::Set { list: List::SystemFields, entry, .. }
            | Edit::Remove { list: List::SystemFields, entry, .. } => touch(entry, "is_indexed"),
            Edit::Add { list: List::SystemFields, value } => touch(&name_of(value), "is_indexed"),
            Edit::Live { touches, .. } => touches.iter().for_each(|entry| touch(entry, "*")),
            _ => {}
        }
    }

    /// Reads the refusal of a boot: `this would delete collection laps (12 rows); narrow field laps.speed: …; nothing of …`.
    /// Returns the number of items that were understood.
    pub(super) fn announce(&mut self, message: &str) -> usize {
        let list = message.split("; the plan was not").next().unwrap_or(message);
        let list = list.split("; everything was rolled back").next().unwrap_or(list);
        let mut understood = 0;
        for item in list.split("; ") {
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
            understood += 1;
            self.words.push(item.to_owned());
        }
        understood
    }

    /// Announced deletions that contradict the snapshot, which has the thing.
    pub(super) fn contradictions(&self, snapshot: &Value, state: &State) -> Vec<String> {
        let entries = |list: List| snapshot.get(list.key()).and_then(Value::as_array);
        let has = |list: List, name: &String| {
            entries(list).is_none_or(|entries| entries.iter().any(|entry| name_of(entry) == *name))
        };
        let kind =
            |list: List, name: &String| entries(list).and_then(|all| all.iter().find(|entry| name_of(entry) == *name));
        // A folder that becomes a table is another thing; so is an alias that becomes a column.
        let becomes_folder =
            |name: &String| kind(List::Collections, name).is_some_and(|entry| !entry["schema"].is_object());
        let becomes_table = |name: &String| ["editorial", "reference"].iter().any(|folder| name.starts_with(folder));
        // What a SQL file took away leaves a row of Directus behind.
        let has_table = |name: &str| state.table(name).is_some();
        let tables = self.tables.iter().filter(|name| {
            has_table(name) && has(List::Collections, name) && !becomes_folder(name) && !becomes_table(name)
        });
        let columns = self
            .columns
            .iter()
            .filter(|name| has_table(name.split('.').next().unwrap_or_default()) && has(List::Fields, name));
        let relations = self.relations.iter().filter(|name| has(List::Relations, name));
        let words = |what: &'static str| {
            move |name: &String| format!("it announces to delete the {what} {name}, which the snapshot has")
        };
        tables
            .map(words("collection"))
            .chain(columns.map(words("field")))
            .chain(relations.map(words("relation")))
            .collect()
    }

    /// Returns true if the loss is one that the boot may cause.
    pub(super) fn allow(&self, lost: &Lost) -> bool {
        let table = lost.table();
        let touches = |column: &str, keys: &[&str]| {
            let entry = format!("{table}.{column}");
            keys.iter().chain(&["*"]).any(|key| self.touched.contains(&(entry.clone(), (*key).to_owned())))
        };
        let removed = |column: &str| self.columns.contains(&format!("{table}.{column}"));
        let narrowed = |column: &str| self.narrowed.contains(&format!("{table}.{column}"));
        match lost {
            Lost::Rows { .. } | Lost::Values { .. } if METADATA.contains(&table) => true,
            Lost::Rows { .. } if ABOUT_ITEMS.contains(&table) => !self.tables.is_empty(),
            Lost::Table { table, .. } => self.tables.contains(table),
            Lost::Rows { .. } => false,
            Lost::Column { column, .. } => removed(column),
            Lost::Values { column, .. } => narrowed(column),
            Lost::Type { column, .. } => {
                narrowed(column) || touches(column, &["max_length", "numeric_precision", "numeric_scale"])
            }
            Lost::NotNull { column, .. } => narrowed(column) || touches(column, &["is_nullable"]),
            Lost::Default { column, .. } => narrowed(column) || touches(column, &["default_value", "max_length"]),
            Lost::Rule(rule) => {
                let keys: &[&str] = match rule.kind.as_str() {
                    "u" => &["is_unique"],
                    "i" => &["is_indexed", "is_unique"],
                    "f" => &["relation"],
                    _ => &[],
                };
                let is_rewired = rule.kind == "f"
                    && rule.columns.iter().any(|column| self.relations.contains(&format!("{table}.{column}")));
                let target_goes =
                    self.tables.iter().any(|gone| rule.definition.contains(&format!("REFERENCES {gone}(")));
                // An expression of an index is written with the type of its column.
                let is_of_narrowed = self.narrowed.iter().any(|name| {
                    let column = name.strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
                    column.is_some_and(|column| rule.definition.contains(column))
                });
                let goes_with_column =
                    |column: &String| removed(column) || rule.columns.len() == 1 && touches(column, keys);
                is_rewired || target_goes || is_of_narrowed || rule.columns.iter().any(goes_with_column)
            }
            // Sequences, triggers and policies go with their table or column.
            Lost::Object(object) => {
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
