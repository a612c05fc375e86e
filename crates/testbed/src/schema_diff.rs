//! Differences of two schema documents, which are snapshots or answers of `GET /schema/snapshot`, down to single
//! properties.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Longest value in a line of the list, in characters.
const LONGEST_VALUE: usize = 70;
/// Characters that two long values keep of their common beginning.
const CONTEXT: usize = 12;

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

    /// Describes an added or removed item, and its rows or values, in brackets.
    fn details(&self, item: &Value) -> String {
        let mut details = Vec::new();
        if let Some(count) = self.count {
            let unit = if self.kind == ItemKind::Collection { "row" } else { "value" };
            details.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
        let property = |name: &str| item["schema"][name].as_bool().unwrap_or_default();
        match self.kind {
            ItemKind::Collection if !item["schema"].is_object() => details.push("a folder".to_owned()),
            ItemKind::Field => {
                let length = item["schema"]["max_length"].as_u64().map(|length| format!("({length})"));
                let kind = item["type"].as_str().unwrap_or("no type");
                details.push(format!("{kind}{}", length.unwrap_or_default()));
                if property("is_primary_key") {
                    details.push("primary key".to_owned());
                } else {
                    details.extend(property("is_unique").then(|| "unique".to_owned()));
                    details.extend((item["schema"]["is_nullable"] == false).then(|| "not null".to_owned()));
                }
            }
            ItemKind::Relation => {
                details.push(format!("to {}", item["related_collection"].as_str().unwrap_or("several collections")));
                let on_delete = item["schema"]["on_delete"].as_str();
                details.extend(on_delete.map(|action| format!("on delete {}", action.to_lowercase())));
            }
            _ => {}
        }
        if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) }
    }
}

impl fmt::Display for SchemaChange {
    /// One line, and one more for each differing property.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, details) = match &self.edit {
            Edit::Added(item) => ('+', self.details(item)),
            Edit::Removed(item) => ('-', self.details(item)),
            Edit::Changed(_) => ('~', String::new()),
        };
        let field = self.field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
        write!(f, "{sign} {}{}{field}{details}", self.kind.label(), self.collection)?;
        let Edit::Changed(leaves) = &self.edit else { return Ok(()) };
        leaves.iter().try_for_each(|leaf| write!(f, "\n    {leaf}"))
    }
}

impl fmt::Display for LeafChange {
    /// `property: old → new`; of lists, the elements that only one of them has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
        let label = if path.is_empty() { String::new() } else { format!("{path}: ") };
        if let (Some(Value::Array(old)), Some(Value::Array(new))) = (&self.old, &self.new) {
            let only = |these: &[Value], those: &[Value], sign: &str| {
                let only = these.iter().filter(|value| !those.contains(value));
                only.map(|value| format!("{sign} {}", cut(&value.to_string(), 0))).collect::<Vec<_>>()
            };
            let parts = [only(old, new, "-"), only(new, old, "+")].concat();
            if !parts.is_empty() {
                return write!(f, "{label}{}", parts.join(", "));
            }
        }
        let [old, new] = [&self.old, &self.new].map(|value| value.as_ref().map(Value::to_string));
        let [old, new] = [old, new].map(|text| text.unwrap_or_else(|| "absent".to_owned()));
        let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(CONTEXT);
        write!(f, "{label}{} → {}", cut(&old, from), cut(&new, from))
    }
}

/// Shortens a long text to the part that begins at a character.
fn cut(text: &str, from: usize) -> String {
    if text.chars().count() <= LONGEST_VALUE {
        return text.to_owned();
    }
    let start = if from == 0 { "" } else { "…" };
    let part: String = text.chars().skip(from).take(LONGEST_VALUE).collect();
    let end = if text.chars().count() > from + LONGEST_VALUE { "…" } else { "" };
    format!("{start}{part}{end}")
}

/// Formats changes as a list for a reviewer, with a summary as its last line. A removed collection stands for its fields
/// and relations.
#[must_use]
pub fn list(changes: &[SchemaChange]) -> String {
    let is_removed = |change: &SchemaChange| matches!(change.edit, Edit::Removed(_));
    let collections = changes.iter().filter(|change| change.kind == ItemKind::Collection && is_removed(change));
    let removed: Vec<&str> = collections.map(|change| change.collection.as_str()).collect();
    let is_implied = |change: &SchemaChange| {
        is_removed(change) && change.field.is_some() && removed.contains(&change.collection.as_str())
    };
    let lines =
        changes.iter().filter(|change| !is_implied(change)).map(|change| format!("  {change}").replace('\n', "\n  "));
    let count = |is: fn(&Edit) -> bool| changes.iter().filter(|change| is(&change.edit)).count();
    let summary = format!(
        "  {} added, {} changed, {} removed",
        count(|edit| matches!(edit, Edit::Added(_))),
        count(|edit| matches!(edit, Edit::Changed(_))),
        count(|edit| matches!(edit, Edit::Removed(_))),
    );
    lines.chain([summary]).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{changes, changes_missing_in, list};

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
    fn a_longer_list_is_reported_by_its_new_elements() {
        let new = edited(|document| document["fields"][0]["meta"]["options"]["choices"] = json!([{ "value": "b" }]));
        assert_eq!(lines(&document(), &new), ["~ field laps.status\n    meta.options.choices: - {\"value\":\"a\"}"]);
    }

    #[test]
    fn long_values_are_cut_to_the_part_that_differs() {
        let note = |end: &str| edited(|document| document["fields"][0]["meta"]["note"] = json!("x".repeat(200) + end));
        let found = lines(&note("one"), &note("two"));
        let expected = "~ field laps.status\n    meta.note: …xxxxxxxxxxxxone\" → …xxxxxxxxxxxxtwo\"";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn added_items_have_their_type_and_removed_collections_stand_for_their_fields() {
        let mut found = changes(&json!({}), &document());
        found[0].count = Some(1);
        let expected = "  + collection laps (1 row)\n  + collection office (a folder)\n  \
                        + field laps.status (string(16), unique, not null)\n  \
                        + relation laps.entry (to entries, on delete set null)\n  4 added, 0 changed, 0 removed";
        assert_eq!(list(&found), expected);
        let expected = "  - collection laps\n  - collection office (a folder)\n  0 added, 0 changed, 4 removed";
        assert_eq!(list(&changes(&document(), &json!({}))), expected);
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
