//! A case as data: the edits before a boot. Cases can be saved, replayed and minimised.

use std::fmt;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A list of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum List {
    Collections,
    Fields,
    SystemFields,
    Relations,
}

impl List {
    pub(super) const ALL: [List; 4] = [List::Collections, List::Fields, List::SystemFields, List::Relations];

    pub(super) fn key(self) -> &'static str {
        match self {
            List::Collections => "collections",
            List::Fields => "fields",
            List::SystemFields => "systemFields",
            List::Relations => "relations",
        }
    }
}

/// The folder of a SQL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SqlFolder {
    DbInit,
    PostSchema,
}

/// One edit. Entries of a snapshot are named `articles` or `articles.title`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub(super) enum SearchEdit {
    /// Sets a value in an entry of the snapshot and creates missing objects on the path.
    Set {
        list: List,
        entry: String,
        path: Vec<String>,
        value: Value,
    },
    /// Removes a key of an entry; without a path, the whole entry.
    Remove {
        list: List,
        entry: String,
        path: Vec<String>,
    },
    Add {
        list: List,
        value: Value,
    },
    RemoveList {
        list: List,
    },
    /// Removes a collection with its fields and relations.
    RemoveCollection {
        collection: String,
    },
    /// Removes a field with its relation.
    RemoveField {
        collection: String,
        field: String,
    },
    /// Wraps the snapshot in the envelope of the REST API, `{"data": …}`.
    Envelope,
    /// SQL that changes the database before the boot, as a user of the admin app would. `touches` names columns and
    /// relations that the boot resets to the snapshot.
    Live {
        sql: String,
        touches: Vec<String>,
    },
    /// A new SQL file. `changes` names the columns whose values it changes without loss: `sites.name`, `sites.*`.
    Sql {
        folder: SqlFolder,
        text: String,
        changes: Vec<String>,
    },
}

/// Edits, and their origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SearchCase {
    /// For example `seed 7, case 3`, or the name of a fixed case.
    pub(super) name: String,
    pub(super) edits: Vec<SearchEdit>,
}

/// A SQL file of a case.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct File {
    /// Path relative to db-init.
    pub(super) path: String,
    pub(super) folder: SqlFolder,
    pub(super) text: String,
    pub(super) changes: Vec<String>,
}

impl File {
    /// Returns the name of the file in the ledger.
    pub(super) fn filename(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

impl fmt::Display for SearchCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl SearchCase {
    /// Applies the edits to a copy of `base`. Edits of missing entries have no effect.
    ///
    /// # Errors
    /// If a path does not exist in a list, or an index is not a number.
    pub(super) fn snapshot(&self, base: &Value) -> anyhow::Result<Value> {
        let mut snapshot = base.clone();
        for edit in &self.edits {
            edit.apply(&mut snapshot).with_context(|| format!("failed to apply {}", self.name))?;
        }
        let wrapped = self.edits.contains(&SearchEdit::Envelope);
        Ok(if wrapped { serde_json::json!({ "data": snapshot }) } else { snapshot })
    }

    /// Returns the SQL files, in the order in which a boot applies them.
    pub(super) fn files(&self) -> Vec<File> {
        let mut files = Vec::new();
        for (folder, prefix) in [(SqlFolder::DbInit, ""), (SqlFolder::PostSchema, "post-schema/")] {
            let of_folder = self.edits.iter().filter_map(|edit| match edit {
                SearchEdit::Sql { folder: of, text, changes } if *of == folder => Some((text, changes)),
                _ => None,
            });
            for (index, (text, changes)) in of_folder.enumerate() {
                let path = format!("{prefix}{}_case.sql", 101 + index);
                files.push(File { path, folder, text: text.clone(), changes: changes.clone() });
            }
        }
        files
    }

    /// Returns the SQL to run before the boot.
    pub(super) fn live(&self) -> impl Iterator<Item = &str> {
        self.edits
            .iter()
            .filter_map(|edit| if let SearchEdit::Live { sql, .. } = edit { Some(sql.as_str()) } else { None })
    }

    /// Returns true if all edits are SQL files.
    pub(super) fn is_sql_only(&self) -> bool {
        self.edits.iter().all(|edit| matches!(edit, SearchEdit::Sql { .. }))
    }
}

/// Returns the name of an entry: `articles` or `articles.title`.
pub(super) fn name_of(entry: &Value) -> String {
    let collection = text(entry, "collection");
    match entry.get("field") {
        Some(_) => format!("{collection}.{}", text(entry, "field")),
        None => collection.to_owned(),
    }
}

/// Returns the text of a key; empty if it is missing.
pub(super) fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_default()
}

fn list_mut(snapshot: &mut Value, list: List) -> Option<&mut Vec<Value>> {
    snapshot.get_mut(list.key())?.as_array_mut()
}

fn retain(snapshot: &mut Value, list: List, keep: impl Fn(&Value) -> bool) {
    if let Some(entries) = list_mut(snapshot, list) {
        entries.retain(keep);
    }
}

impl SearchEdit {
    fn apply(&self, snapshot: &mut Value) -> anyhow::Result<()> {
        match self {
            SearchEdit::Set { list, entry, path, value } => {
                let Some(mut at) = find(snapshot, *list, entry) else { return Ok(()) };
                for key in path {
                    if !at.is_object() && !at.is_array() {
                        *at = serde_json::json!({});
                    }
                    at = match at {
                        Value::Array(items) => {
                            let index: usize = key.parse().context("the index is not a number")?;
                            items.get_mut(index).context("the index is out of range")?
                        }
                        other => &mut other[key.as_str()],
                    };
                }
                *at = value.clone();
            }
            SearchEdit::Remove { list, entry, path } => {
                let Some((last, parents)) = path.split_last() else {
                    retain(snapshot, *list, |other| name_of(other) != *entry);
                    return Ok(());
                };
                let Some(mut at) = find(snapshot, *list, entry) else { return Ok(()) };
                for key in parents {
                    let next = match at {
                        Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
                        other => other.get_mut(key.as_str()),
                    };
                    let Some(next) = next else { return Ok(()) };
                    at = next;
                }
                match at {
                    Value::Array(items) => {
                        let index: usize = last.parse().context("the index is not a number")?;
                        if index < items.len() {
                            items.remove(index);
                        }
                    }
                    other => drop(other.as_object_mut().and_then(|object| object.remove(last))),
                }
            }
            SearchEdit::Add { list, value } => match list_mut(snapshot, *list) {
                // Two edits may add the same entry.
                Some(entries) if entries.iter().any(|entry| name_of(entry) == name_of(value)) => {}
                Some(entries) => entries.push(value.clone()),
                None => {}
            },
            SearchEdit::RemoveList { list } => {
                let Some(object) = snapshot.as_object_mut() else { bail!("the snapshot is not an object") };
                object.remove(list.key());
            }
            SearchEdit::RemoveCollection { collection } => {
                retain(snapshot, List::Collections, |entry| entry["collection"] != **collection);
                retain(snapshot, List::Fields, |entry| entry["collection"] != **collection);
                retain(snapshot, List::Relations, |entry| {
                    entry["collection"] != **collection && entry["related_collection"] != **collection
                });
            }
            SearchEdit::RemoveField { collection, field } => {
                let name = format!("{collection}.{field}");
                retain(snapshot, List::Fields, |entry| name_of(entry) != name);
                retain(snapshot, List::Relations, |entry| name_of(entry) != name);
            }
            SearchEdit::Envelope | SearchEdit::Live { .. } | SearchEdit::Sql { .. } => {}
        }
        Ok(())
    }
}

fn find<'a>(snapshot: &'a mut Value, list: List, entry: &str) -> Option<&'a mut Value> {
    list_mut(snapshot, list)?.iter_mut().find(|other| name_of(other) == entry)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn base() -> Value {
        json!({
            "collections": [{ "collection": "laps", "meta": { "translations": [{ "language": "en" }] } }],
            "fields": [{ "collection": "laps", "field": "speed", "schema": { "is_nullable": true } }],
            "relations": [{ "collection": "laps", "field": "speed", "related_collection": "cars" }],
        })
    }

    fn edited(edit: SearchEdit) -> Value {
        SearchCase { name: String::new(), edits: vec![edit] }.snapshot(&base()).expect("a legal edit")
    }

    fn words(path: &[&str]) -> Vec<String> {
        path.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn values_are_set_and_keys_are_removed_at_any_depth() {
        let (list, entry) = (List::Collections, "laps".to_owned());
        let path = words(&["meta", "translations", "0", "plural"]);
        let set = edited(SearchEdit::Set { list, entry: entry.clone(), path, value: json!("Laps") });
        assert_eq!(set["collections"][0]["meta"]["translations"][0]["plural"], "Laps");
        let path = words(&["meta", "translations", "0", "language"]);
        let removed = edited(SearchEdit::Remove { list, entry, path });
        assert_eq!(removed["collections"][0]["meta"]["translations"], json!([{}]));
    }

    #[test]
    fn a_field_is_removed_with_its_relation_and_a_collection_with_its_fields() {
        let snapshot = edited(SearchEdit::RemoveField { collection: "laps".to_owned(), field: "speed".to_owned() });
        assert_eq!((&snapshot["fields"], &snapshot["relations"]), (&json!([]), &json!([])));
        let snapshot = edited(SearchEdit::RemoveCollection { collection: "laps".to_owned() });
        assert_eq!((&snapshot["collections"], &snapshot["fields"]), (&json!([]), &json!([])));
    }

    #[test]
    fn a_case_survives_the_round_trip_through_json() {
        let sql = SearchEdit::Sql { folder: SqlFolder::PostSchema, text: "select 1".to_owned(), changes: Vec::new() };
        let case = SearchCase {
            name: "one".to_owned(),
            edits: vec![SearchEdit::RemoveList { list: List::SystemFields }, sql],
        };
        assert_eq!(serde_json::from_str::<SearchCase>(&case.to_string()).expect("its own form"), case);
        assert_eq!(case.files()[0].path, "post-schema/101_case.sql");
    }
}
