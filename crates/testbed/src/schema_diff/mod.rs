//! Differences of two schema documents, which are snapshots or answers of `GET /schema/snapshot`, down to single
//! properties.

mod list;

use std::collections::BTreeMap;

use serde_json::Value;

pub use self::list::list;

/// A part of a schema that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    /// A property of the document itself, such as the version of Directus.
    Header,
    /// A table, or a folder of the menu.
    Collection,
    /// A field of a collection.
    Field,
    /// An index on a field of Directus' own collections.
    SystemField,
    /// A relation, with the name of the field that holds the reference.
    Relation,
}

impl ItemKind {
    /// The kinds that are lists in a document.
    pub const LISTS: [ItemKind; 4] = [ItemKind::Collection, ItemKind::Field, ItemKind::SystemField, ItemKind::Relation];

    /// The key of the list in a document.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            ItemKind::Header => "",
            ItemKind::Collection => "collections",
            ItemKind::Field => "fields",
            ItemKind::SystemField => "systemFields",
            ItemKind::Relation => "relations",
        }
    }

    /// The words before the name in a list.
    pub(crate) fn label(self) -> &'static str {
        match self {
            ItemKind::Header => "",
            ItemKind::Collection => "collection ",
            ItemKind::Field => "field ",
            ItemKind::SystemField => "index of ",
            ItemKind::Relation => "relation ",
        }
    }
}

/// Collection and, for all but collections, field.
type Name = (String, Option<String>);

/// An item that is not the same in two documents.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaChange {
    /// The kind of the item.
    pub kind: ItemKind,
    /// The collection; of [`ItemKind::Header`], the key.
    pub collection: String,
    /// `None` for a collection.
    pub field: Option<String>,
    /// The difference.
    pub edit: Edit,
    /// Rows of the table, or non-null values of the column, if the caller has counted them.
    pub count: Option<i64>,
}

/// The difference of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// The item is only in the second document.
    Added(Value),
    /// The item is only in the first document.
    Removed(Value),
    /// The properties that differ; at least one.
    Changed(Vec<LeafChange>),
}

/// A property that differs. A missing property is `None`, which is not the same as null: it means "unspecified".
#[derive(Clone, Debug, PartialEq)]
pub struct LeafChange {
    /// JSON pointer inside the item, e.g. `/meta/options/choices/0/text`.
    pub pointer: String,
    /// The value in the first document.
    pub old: Option<Value>,
    /// The value in the second document.
    pub new: Option<Value>,
}

/// Lists the differences of two documents: collections first, each kind in the order of the names.
#[must_use]
pub fn changes(old: &Value, new: &Value) -> Vec<SchemaChange> {
    let (old, mut new) = (items(old), items(new));
    let mut found = Vec::new();
    for (key, before) in old {
        let edit = match new.remove(&key) {
            None => Edit::Removed(before.clone()),
            Some(after) => {
                let mut leaves = Vec::new();
                compare(String::new(), Some(before), Some(after), &mut leaves);
                if leaves.is_empty() {
                    continue;
                }
                Edit::Changed(leaves)
            }
        };
        found.push(change(key, edit));
    }
    found.extend(new.into_iter().map(|(key, after)| change(key, Edit::Added(after.clone()))));
    // A document without a version is empty or incomplete, and then every item of the other one differs.
    found.retain(|change| change.kind != ItemKind::Header || matches!(change.edit, Edit::Changed(_)));
    found.sort_by(|a, b| (a.kind, &a.collection, &a.field).cmp(&(b.kind, &b.collection, &b.field)));
    found
}

/// Lists the changes from `base` to `side` that `other`, which also began as `base`, does not contain. The version of
/// Directus, and a property that only one of `base` and `side` specifies, count as unchanged: an older Directus saves
/// fewer properties, and a missing one means "unspecified".
#[must_use]
pub fn changes_missing_in(base: &Value, side: &Value, other: &Value) -> Vec<SchemaChange> {
    let other = items(other);
    let missing = changes(base, side).into_iter().filter_map(|mut change| {
        let there = other.get(&(change.kind, (change.collection.clone(), change.field.clone())));
        let is_missing = match &mut change.edit {
            _ if change.kind == ItemKind::Header => false,
            Edit::Added(item) => there != Some(&&*item),
            Edit::Removed(_) => there.is_some(),
            Edit::Changed(leaves) => {
                leaves.retain(|LeafChange { pointer, old, new }| {
                    let is_edit = old.is_some() && new.is_some();
                    is_edit && there.and_then(|item| item.pointer(pointer)) != new.as_ref()
                });
                !leaves.is_empty()
            }
        };
        is_missing.then_some(change)
    });
    missing.collect()
}

fn change((kind, (collection, field)): (ItemKind, Name), edit: Edit) -> SchemaChange {
    SchemaChange { kind, collection, field, edit, count: None }
}

/// All items of a document by kind and name.
fn items(document: &Value) -> BTreeMap<(ItemKind, Name), &Value> {
    let mut items = BTreeMap::new();
    for kind in ItemKind::LISTS {
        for item in document[kind.list()].as_array().into_iter().flatten() {
            let text = |key: &str| item[key].as_str().map(str::to_owned);
            let field = if kind == ItemKind::Collection { None } else { text("field") };
            items.insert((kind, (text("collection").unwrap_or_default(), field)), item);
        }
    }
    let lists = ItemKind::LISTS.map(ItemKind::list);
    for (key, value) in document.as_object().into_iter().flatten() {
        if !lists.contains(&key.as_str()) {
            items.insert((ItemKind::Header, (key.clone(), None)), value);
        }
    }
    items
}

/// Adds the differing properties of two values. A list is compared element by element if its length is the same, and
/// otherwise as a whole.
fn compare(pointer: String, old: Option<&Value>, new: Option<&Value>, leaves: &mut Vec<LeafChange>) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                compare(format!("{pointer}/{escaped}"), old.get(key), new.get(key), leaves);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                compare(format!("{pointer}/{index}"), Some(old), Some(new), leaves);
            }
        }
        (old, new) if old != new => {
            leaves.push(LeafChange { pointer, old: old.cloned(), new: new.cloned() });
        }
        _ => {}
    }
}

impl SchemaChange {
    /// Returns the table or column of the item; `None` for all but collections and fields that have one.
    #[must_use]
    pub fn stored(&self) -> Option<(&str, Option<&str>)> {
        let item = match &self.edit {
            Edit::Added(item) | Edit::Removed(item) => item,
            Edit::Changed(_) => return None,
        };
        let is_stored = matches!(self.kind, ItemKind::Collection | ItemKind::Field) && item["schema"].is_object();
        is_stored.then_some((self.collection.as_str(), self.field.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{changes, changes_missing_in};

    fn document() -> Value {
        json!({
            "directus": "11.17.4",
            "collections": [
                { "collection": "laps", "meta": { "icon": "flag", "a/b": 1 }, "schema": { "name": "laps" } },
                { "collection": "office", "meta": { "icon": "folder" } },
            ],
            "fields": [{
                "collection": "laps", "field": "status", "type": "string",
                "meta": { "note": null, "options": { "choices": [{ "value": "a" }, { "value": "b" }] } },
                "schema": { "max_length": 16, "is_nullable": false, "is_unique": true },
            }],
            "relations": [{ "collection": "laps", "field": "entry", "related_collection": "entries",
                "schema": { "on_delete": "SET NULL" } }],
        })
    }

    fn edited(edit: impl FnOnce(&mut Value)) -> Value {
        let mut document = document();
        edit(&mut document);
        document
    }

    fn lines(old: &Value, new: &Value) -> Vec<String> {
        changes(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn equal_documents_have_no_changes_in_any_order_of_their_items() {
        let turned = edited(|document| document["collections"].as_array_mut().unwrap().reverse());
        assert_eq!(lines(&document(), &turned), [""; 0]);
    }

    #[test]
    fn each_differing_property_is_listed_with_its_path_and_both_values() {
        let new = edited(|document| {
            document["directus"] = json!("12.4.1");
            document["collections"][0]["meta"]["a/b"] = json!(2);
            document["fields"][0]["meta"] =
                json!({ "note": "A \"note\"", "options": { "choices": [{ "value": "a" }, { "value": "c" }] } });
            document["fields"][0]["schema"].as_object_mut().unwrap().remove("max_length");
        });
        let expected = [
            "~ directus\n    \"11.17.4\" → \"12.4.1\"",
            "~ collection laps\n    meta.a/b: 1 → 2",
            "~ field laps.status\n    meta.note: null → \"A \\\"note\\\"\"\n    meta.options.choices.1.value: \"b\" → \"c\"\n    \
             schema.max_length: 16 → absent",
        ];
        assert_eq!(lines(&document(), &new), expected);
    }

    #[test]
    fn only_changes_that_the_other_side_lacks_are_missing() {
        let base = document();
        let side = edited(|document| {
            document["collections"][0]["meta"]["icon"] = json!("timer");
            document["fields"][0]["schema"]["max_length"] = json!(32);
            document["relations"] = json!([]);
        });
        let other = edited(|document| document["fields"][0]["schema"]["max_length"] = json!(32));
        let missing: Vec<String> = changes_missing_in(&base, &side, &other).iter().map(ToString::to_string).collect();
        let expected = [
            "~ collection laps\n    meta.icon: \"flag\" → \"timer\"",
            "- relation laps.entry (to entries, on delete set null)",
        ];
        assert_eq!(missing, expected);
        assert_eq!(changes_missing_in(&base, &side, &side), []);
        let newer = edited(|document| {
            document["directus"] = json!("12.4.1");
            document["fields"][0]["schema"]["is_indexed"] = json!(false);
        });
        assert_eq!(changes_missing_in(&base, &newer, &base), []);
        assert_eq!(changes_missing_in(&base, &base, &side), []);
    }
}
