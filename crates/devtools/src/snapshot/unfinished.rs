//! Recognizes a schema in the middle of an edit.
//!
//! The admin UI saves a relational field in several requests: collections first, then fields, then relations. Each is a
//! transaction of its own, so an export between two of them has a field whose relation does not exist yet.

use std::collections::BTreeSet;

use serde_json::Value;
use testbed::schema::is_system;

/// Specials of a field that holds the reference of a relation.
const REFERENCES: [&str; 2] = ["m2o", "file"];
/// Specials of a field at the other end of a relation.
const LISTS: [&str; 5] = ["o2m", "m2m", "m2a", "files", "translations"];

/// Lists the parts of a document that are not complete.
pub(super) fn unfinished(document: &Value) -> BTreeSet<String> {
    let list = |name: &str| document[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let (fields, relations) = (list("fields"), list("relations"));
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let keyed: BTreeSet<String> = fields
        .iter()
        .filter(|field| field["schema"]["is_primary_key"] == true)
        .map(|field| text(field, "collection"))
        .collect();
    let known: BTreeSet<String> =
        fields.iter().map(|field| text(field, "collection") + "." + &text(field, "field")).collect();
    let mut found = BTreeSet::new();
    for collection in list("collections").iter().filter(|collection| collection["schema"].is_object()) {
        let name = text(collection, "collection");
        if !keyed.contains(&name) {
            found.insert(format!("the collection {name} has no primary key"));
        }
    }
    let mut ends = BTreeSet::new();
    for relation in relations {
        let name = text(relation, "collection") + "." + &text(relation, "field");
        let one = (relation["meta"]["one_collection"].as_str(), relation["meta"]["one_field"].as_str());
        if let (Some(collection), Some(field)) = one {
            let other = format!("{collection}.{field}");
            if !known.contains(&other) && !is_system(collection) {
                found.insert(format!("the relation {name} has no field {other}"));
            }
            ends.insert(other);
        }
        ends.insert(name);
    }
    for field in fields {
        let name = text(field, "collection") + "." + &text(field, "field");
        let specials = field["meta"]["special"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_end =
            specials.iter().filter_map(Value::as_str).any(|word| REFERENCES.contains(&word) || LISTS.contains(&word));
        if is_end && !ends.contains(&name) {
            found.insert(format!("the field {name} has no relation"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::super::file::SavedSchema;
    use super::unfinished;

    fn document() -> Value {
        json!({
            "collections": [
                { "collection": "laps", "schema": { "name": "laps" } },
                { "collection": "office", "schema": null },
            ],
            "fields": [
                { "collection": "laps", "field": "id", "meta": { "special": ["uuid"] }, "schema": { "is_primary_key": true } },
                { "collection": "laps", "field": "entry", "meta": { "special": ["m2o"] }, "schema": {} },
                { "collection": "laps", "field": "parts", "meta": { "special": ["o2m"] }, "schema": null },
            ],
            "relations": [
                { "collection": "laps", "field": "entry", "meta": { "one_collection": "directus_users", "one_field": "laps" } },
                { "collection": "laps", "field": "lap", "meta": { "one_collection": "laps", "one_field": "parts" } },
            ],
        })
    }

    fn after(edit: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut document = document();
        edit(&mut document);
        unfinished(&document).into_iter().collect()
    }

    #[test]
    fn a_complete_schema_with_folders_and_references_to_directus_is_finished() {
        assert_eq!(after(|_| {}), [""; 0]);
    }

    #[test]
    fn the_snapshots_of_all_kinds_of_relations_are_finished() {
        for file in ["snapshots/schema.yaml", "crates/acceptance/src/versions/11.17.4.yaml"] {
            let document = SavedSchema::read(file).unwrap().document;
            assert_eq!(unfinished(&document), BTreeSet::new(), "{file}");
            assert!(!document["relations"].as_array().unwrap().is_empty());
        }
    }

    #[test]
    fn a_field_before_its_relation_and_a_relation_before_its_field_are_unfinished() {
        let expected = ["the field laps.entry has no relation", "the field laps.parts has no relation"];
        assert_eq!(after(|document| document["relations"] = json!([])), expected);
        let found = after(|document| drop(document["fields"].as_array_mut().unwrap().pop()));
        assert_eq!(found, ["the relation laps.lap has no field laps.parts"]);
    }

    #[test]
    fn a_table_without_a_primary_key_is_unfinished() {
        let found = after(|document| document["fields"][0]["schema"]["is_primary_key"] = json!(false));
        assert_eq!(found, ["the collection laps has no primary key"]);
    }
}
