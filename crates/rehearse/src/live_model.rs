//! The data model of a running server, as far as the samples need it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::Value;
use testbed::api::{Api, items_path};
use testbed::schema::is_system;

use crate::catalog::OwnFields;

/// The data model.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveModel {
    /// Collections with a table, and those of Directus that have own fields.
    pub(crate) collections: Vec<LiveCollection>,
    /// Fields that the data model adds to collections of Directus.
    pub(crate) own_fields: OwnFields,
}

/// A collection with items.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveCollection {
    pub(crate) name: String,
    /// The path of its items in the REST API.
    pub(crate) path: String,
    /// The field of its primary key.
    pub(crate) key: String,
    pub(crate) is_singleton: bool,
    /// The fields to ask for: `*`, or those that are not Directus' own.
    pub(crate) own_fields: String,
    /// Fields that lead to one item of another collection, and that collection.
    related: Vec<(String, String)>,
    /// Fields with a text that a user can write.
    pub(crate) texts: Vec<String>,
}

impl LiveCollection {
    /// Returns false for a collection of Directus.
    pub(crate) fn has_items(&self) -> bool {
        !is_system(&self.name)
    }

    /// The fields to ask for, with those of related items. Of items of Directus only the key: others change by themselves.
    pub(crate) fn fields_with_relations(&self) -> String {
        let related =
            self.related.iter().map(
                |(field, collection)| {
                    if is_system(collection) { format!("{field}.id") } else { format!("{field}.*") }
                },
            );
        std::iter::once(self.own_fields.clone()).chain(related).collect::<Vec<_>>().join(",")
    }
}

impl LiveModel {
    /// Reads the data model of a server.
    pub(crate) async fn read(api: &Api) -> anyhow::Result<LiveModel> {
        let [collections, fields, relations] =
            [api.get("/collections").await?, api.get("/fields").await?, api.get("/relations").await?];
        LiveModel::of(&collections, &fields, &relations)
    }

    fn of(collections: &Value, fields: &Value, relations: &Value) -> anyhow::Result<LiveModel> {
        let [collections, fields, relations] = [collections, fields, relations].map(Value::as_array);
        let collections = collections.context("/collections does not answer with a list")?;
        let fields = fields.context("/fields does not answer with a list")?;
        let relations = relations.context("/relations does not answer with a list")?;
        let mut model = LiveModel::default();
        for field in
            fields.iter().filter(|field| is_system(text(field, "collection")) && field["meta"]["system"] != true)
        {
            let of = model.own_fields.entry(text(field, "collection").to_owned()).or_default();
            of.insert(text(field, "field").to_owned());
        }
        for collection in collections.iter().filter(|collection| !collection["schema"].is_null()) {
            let name = text(collection, "collection");
            let own = model.own_fields.get(name);
            if is_system(name) && own.is_none() || collection["meta"].is_null() {
                continue;
            }
            let of_collection = || fields.iter().filter(|field| text(field, "collection") == name);
            let key = of_collection().find(|field| field["schema"]["is_primary_key"] == true);
            let key = text(key.with_context(|| format!("{name} has no primary key"))?, "field").to_owned();
            let leads = relations.iter().filter(|relation| text(relation, "collection") == name);
            let leads = leads.filter(|relation| relation["related_collection"].is_string());
            model.collections.push(LiveCollection {
                name: name.to_owned(),
                path: items_path(name),
                is_singleton: collection["meta"]["singleton"] == true,
                own_fields: own.map_or_else(|| "*".to_owned(), |own| listed(&key, own)),
                related: leads
                    .map(|relation| {
                        (text(relation, "field").to_owned(), text(relation, "related_collection").to_owned())
                    })
                    .collect(),
                texts: of_collection()
                    .filter(|field| is_writable_text(field))
                    .map(|field| text(field, "field").to_owned())
                    .collect(),
                key,
            });
        }
        Ok(model)
    }
}

/// The key and own fields that have a column, for a query.
fn listed(key: &str, own: &BTreeSet<String>) -> String {
    std::iter::once(key).chain(own.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
}

/// Returns true for a text without further rules, so that every text of the same length is accepted.
fn is_writable_text(field: &Value) -> bool {
    let is_text = matches!(text(field, "type"), "string" | "text");
    let is_free = field["schema"]["is_unique"] != true && field["schema"]["foreign_key_table"].is_null();
    let meta = &field["meta"];
    let is_input = meta["interface"].as_str().is_some_and(|interface| interface.starts_with("input"));
    is_text && is_free && is_input && meta["readonly"] != true && meta["validation"].is_null()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::LiveModel;

    #[test]
    fn collections_have_paths_keys_relations_and_texts() {
        let collections = json!([
            { "collection": "laps", "meta": { "singleton": false }, "schema": {} },
            { "collection": "folder", "meta": {}, "schema": null },
            { "collection": "untracked", "meta": null, "schema": {} },
            { "collection": "directus_users", "meta": { "system": true }, "schema": {} },
            { "collection": "directus_roles", "meta": { "system": true }, "schema": {} },
        ]);
        let key = json!({ "is_primary_key": true });
        let fields = json!([
            { "collection": "laps", "field": "nr", "type": "integer", "meta": {}, "schema": key },
            { "collection": "laps", "field": "note", "type": "string", "meta": { "interface": "input" }, "schema": {} },
            { "collection": "laps", "field": "state", "type": "string", "meta": { "interface": "select-dropdown" }, "schema": {} },
            { "collection": "laps", "field": "by", "type": "uuid", "meta": {}, "schema": {} },
            { "collection": "directus_users", "field": "id", "type": "uuid", "meta": { "system": true }, "schema": key },
            { "collection": "directus_users", "field": "phone", "type": "string", "meta": {}, "schema": {} },
        ]);
        let relations = json!([
            { "collection": "laps", "field": "by", "related_collection": "directus_users" },
            { "collection": "laps", "field": "car", "related_collection": "cars" },
            { "collection": "laps", "field": "any", "related_collection": null },
        ]);
        let model = LiveModel::of(&collections, &fields, &relations).unwrap();
        let [laps, users] = model.collections.as_slice() else { panic!("{:?}", model.collections) };
        assert_eq!(
            (laps.path.as_str(), laps.key.as_str(), laps.texts.join(",")),
            ("/items/laps", "nr", "note".to_owned())
        );
        assert_eq!(laps.fields_with_relations(), "*,by.id,car.*");
        assert_eq!((users.path.as_str(), users.own_fields.as_str(), users.has_items()), ("/users", "id,phone", false));
        assert!(model.own_fields["directus_users"].contains("phone"));
    }
}
