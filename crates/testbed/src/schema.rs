//! A schema as Directus describes it in snapshots and in its REST API, and the differences between two of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::Api;
use crate::workspace;

/// Collections, fields and relations.
#[derive(Clone, Debug, Deserialize)]
pub struct DataModel {
    collections: Vec<ModelCollection>,
    fields: Vec<ModelField>,
    relations: Vec<ModelRelation>,
}

#[derive(Clone, Debug, Deserialize)]
struct ModelCollection {
    collection: String,
    /// `None` for a folder of the menu, which has no table.
    schema: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct ModelField {
    collection: String,
    field: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    meta: Option<FieldMeta>,
    schema: Option<ModelColumn>,
}

#[derive(Clone, Debug, Deserialize)]
struct FieldMeta {
    required: Option<bool>,
    readonly: Option<bool>,
    interface: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct ModelColumn {
    data_type: String,
    max_length: Option<i64>,
    is_nullable: bool,
    is_unique: bool,
    is_primary_key: bool,
    default_value: Option<Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct ModelRelation {
    collection: String,
    field: String,
    related_collection: Option<String>,
    schema: Option<ForeignKey>,
}

#[derive(Clone, Debug, Deserialize)]
struct ForeignKey {
    foreign_key_table: String,
    foreign_key_column: String,
    on_delete: Option<String>,
}

fn read_snapshot<T: DeserializeOwned>() -> anyhow::Result<T> {
    let path = workspace::path(contract::in_tree(contract::SNAPSHOT_FILE));
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{path} is not a snapshot"))
}

/// The properties of a collection, field or relation, by name.
type Properties = BTreeMap<&'static str, String>;

impl DataModel {
    /// Reads the checkout's snapshot.
    pub fn snapshot() -> anyhow::Result<DataModel> {
        read_snapshot()
    }

    /// Reads the checkout's snapshot with all its properties, as a document to edit.
    pub fn snapshot_document() -> anyhow::Result<Value> {
        read_snapshot()
    }

    /// Returns the Directus type of a collection's primary key.
    #[must_use]
    pub fn key_type(&self, collection: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|field| field.collection == collection);
        let key = fields.find(|field| field.schema.as_ref().is_some_and(|column| column.is_primary_key))?;
        key.kind.as_deref()
    }

    /// Reads a running server's schema.
    pub async fn live(api: &Api) -> anyhow::Result<DataModel> {
        async fn all<T: DeserializeOwned>(api: &Api, path: &str) -> anyhow::Result<Vec<T>> {
            serde_json::from_value(api.get(path).await?).with_context(|| format!("{path} has an unexpected answer"))
        }
        Ok(DataModel {
            collections: all(api, "/collections").await?,
            fields: all(api, "/fields").await?,
            relations: all(api, "/relations").await?,
        })
    }

    /// Returns the collections that have a table and do not belong to Directus.
    pub fn tables(&self) -> BTreeSet<&str> {
        let tables = self.collections.iter().filter(|collection| collection.schema.is_some());
        tables.map(|collection| collection.collection.as_str()).filter(|name| !is_system(name)).collect()
    }

    /// Returns the number of collections, folders included, that do not belong to Directus.
    #[must_use]
    pub fn own_collections(&self) -> usize {
        self.collections.iter().filter(|collection| !is_system(&collection.collection)).count()
    }

    /// Returns the collections that have fields here: those of [`DataModel::tables`], and extended ones of Directus.
    pub fn with_fields(&self) -> BTreeSet<&str> {
        self.fields.iter().map(|field| field.collection.as_str()).collect()
    }

    /// Returns the numbers of fields and relations.
    pub fn size(&self) -> (usize, usize) {
        (self.fields.len(), self.relations.len())
    }

    /// Describes each difference of a live schema from this snapshot. Fields of Directus' own collections that the
    /// snapshot does not contain are ignored.
    pub fn differences(&self, live: &DataModel) -> Vec<String> {
        let mut found = Vec::new();
        for ((kind, expected), (_, live)) in self.properties().iter().zip(live.properties()) {
            for (name, expected) in expected {
                let Some(actual) = live.get(name) else {
                    found.push(format!("there is no {kind} {name}"));
                    continue;
                };
                let differing = expected.iter().filter(|(property, value)| actual.get(*property) != Some(value));
                found.extend(differing.map(|(property, value)| {
                    let actual = actual.get(property).map_or("absent", String::as_str);
                    format!("{kind} {name}: {property} is {actual}, not {value}")
                }));
            }
            let extra = live.keys().filter(|name| !is_system(name) && !expected.contains_key(*name));
            found.extend(extra.map(|name| format!("{kind} {name} is not in the snapshot")));
        }
        found
    }

    /// The properties of every item by its full name, for each kind of item.
    fn properties(&self) -> [(&'static str, BTreeMap<String, Properties>); 3] {
        let collections = self.collections.iter().map(|item| (item.collection.clone(), item.properties()));
        let fields = self.fields.iter().map(|item| (format!("{}.{}", item.collection, item.field), item.properties()));
        let relations =
            self.relations.iter().map(|item| (format!("{}.{}", item.collection, item.field), item.properties()));
        [("collection", collections.collect()), ("field", fields.collect()), ("relation", relations.collect())]
    }
}

impl ModelCollection {
    fn properties(&self) -> Properties {
        Properties::from([("table", self.schema.is_some().to_string())])
    }
}

impl ModelField {
    fn properties(&self) -> Properties {
        let mut properties = Properties::from([("type", text(self.kind.as_ref()))]);
        if let Some(meta) = &self.meta {
            properties.insert("required", meta.required.unwrap_or_default().to_string());
            properties.insert("readonly", meta.readonly.unwrap_or_default().to_string());
            properties.insert("interface", text(meta.interface.as_ref()));
        }
        if let Some(column) = &self.schema {
            properties.insert("data type", column.data_type.clone());
            properties.insert("max length", text(column.max_length.as_ref()));
            properties.insert("nullable", column.is_nullable.to_string());
            properties.insert("unique", column.is_unique.to_string());
            properties.insert("primary key", column.is_primary_key.to_string());
            properties.insert("default", text(column.default_value.as_ref()));
        }
        properties
    }
}

impl ModelRelation {
    fn properties(&self) -> Properties {
        let mut properties = Properties::from([("related collection", text(self.related_collection.as_ref()))]);
        if let Some(key) = &self.schema {
            properties.insert("refers to", format!("{}.{}", key.foreign_key_table, key.foreign_key_column));
            properties.insert("on delete", text(key.on_delete.as_ref()));
        }
        properties
    }
}

/// Returns true for a collection of Directus itself.
#[must_use]
pub fn is_system(name: &str) -> bool {
    name.starts_with("directus_")
}

fn text(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::DataModel;

    fn schema(nullable: bool, on_delete: &str) -> serde_json::Value {
        json!({
            "collections": [{ "collection": "laps", "meta": {}, "schema": { "name": "laps" } }],
            "fields": [
                { "collection": "laps", "field": "entry", "type": "uuid", "meta": { "required": true },
                  "schema": { "data_type": "uuid", "is_nullable": nullable, "is_unique": false, "is_primary_key": false } },
                { "collection": "directus_users", "field": "phone", "type": "string", "meta": null, "schema": null },
            ],
            "relations": [{ "collection": "laps", "field": "entry", "related_collection": "entries",
                "schema": { "foreign_key_table": "entries", "foreign_key_column": "id", "on_delete": on_delete } }],
        })
    }

    fn parsed(value: serde_json::Value) -> DataModel {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_checkouts_snapshot_is_read_and_equals_itself() {
        let snapshot = DataModel::snapshot().unwrap();
        assert_eq!((snapshot.tables().len(), snapshot.with_fields().len()), (11, 12));
        assert_eq!(snapshot.differences(&snapshot), [""; 0]);
    }

    #[test]
    fn a_changed_property_of_a_column_or_foreign_key_is_named() {
        let found = parsed(schema(false, "RESTRICT")).differences(&parsed(schema(true, "CASCADE")));
        assert_eq!(
            found,
            [
                "field laps.entry: nullable is true, not false",
                "relation laps.entry: on delete is CASCADE, not RESTRICT"
            ]
        );
    }

    #[test]
    fn missing_and_extra_fields_are_named_except_extra_ones_of_directus() {
        let (full, mut less) = (schema(false, "RESTRICT"), schema(false, "RESTRICT"));
        less["fields"] = json!([]);
        let found = parsed(full.clone()).differences(&parsed(less.clone()));
        assert_eq!(found, ["there is no field directus_users.phone", "there is no field laps.entry"]);
        assert_eq!(parsed(less).differences(&parsed(full)), ["field laps.entry is not in the snapshot"]);
    }
}
