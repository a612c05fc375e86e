//! Answers of GraphQL: the types, and a list of each collection.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testbed::api::Api;

use super::ITEMS;
use crate::live_model::LiveModel;

const INTROSPECTION: &str = "{ __schema { types { name kind
    fields(includeDeprecated: true) { name args { name type { ...ref } } type { ...ref } }
    inputFields { name type { ...ref } } enumValues { name } } } }
    fragment ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// The endpoint of items.
const ITEMS_PATH: &str = "/graphql";
/// The endpoint of Directus' own collections.
const SYSTEM_PATH: &str = "/graphql/system";

/// The types of the data model: every field of a type with its own type.
pub(super) async fn types(api: &Api) -> anyhow::Result<BTreeMap<String, String>> {
    let mut names = names_of(&introspect(api, ITEMS_PATH).await?);
    // The other endpoint has them, too.
    names.retain(|name, _| !name.contains("directus_"));
    Ok(names)
}

/// The types of Directus' own collections.
pub(super) async fn system_types(api: &Api) -> anyhow::Result<BTreeMap<String, String>> {
    Ok(names_of(&introspect(api, SYSTEM_PATH).await?))
}

fn names_of(types: &[Value]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for described in types.iter().filter(|described| !name(described).starts_with("__")) {
        let of = name(described);
        for field in list(&described["fields"]).iter().chain(list(&described["inputFields"])) {
            names.insert(format!("{of}.{}", name(field)), shown(&field["type"]));
            for argument in list(&field["args"]) {
                names.insert(format!("{of}.{}({})", name(field), name(argument)), shown(&argument["type"]));
            }
        }
        for value in list(&described["enumValues"]) {
            names.insert(format!("{of}.{}", name(value)), String::new());
        }
    }
    names
}

/// A query for each collection that GraphQL offers: its values, and the keys of related items.
pub(super) async fn queries(api: &Api, model: &LiveModel) -> anyhow::Result<Vec<String>> {
    let types = introspect(api, ITEMS_PATH).await?;
    let by_name: BTreeMap<&str, &Value> = types.iter().map(|described| (name(described), described)).collect();
    let collections = model.collections.iter().filter(|collection| collection.has_items());
    let queries = collections.filter_map(|collection| {
        let described = by_name.get(collection.name.as_str())?;
        let selected = list(&described["fields"]).iter().filter_map(|field| selection(field, model));
        let selected = selected.collect::<Vec<_>>().join(" ");
        let arguments = if collection.is_singleton {
            String::new()
        } else {
            format!("(limit: {ITEMS}, sort: [\"{}\"])", collection.key)
        };
        Some(format!("{{ {}{arguments} {{ {selected} }} }}", collection.name))
    });
    Ok(queries.collect())
}

/// The selection of a field: itself, or the key of the item that it leads to.
fn selection(field: &Value, model: &LiveModel) -> Option<String> {
    let nullable = if field["type"]["kind"] == "NON_NULL" { &field["type"]["ofType"] } else { &field["type"] };
    match nullable["kind"].as_str()? {
        "SCALAR" | "ENUM" => Some(name(field).to_owned()),
        "OBJECT" => {
            let related = model.collections.iter().find(|collection| collection.name == name(nullable))?;
            Some(format!("{} {{ {} }}", name(field), related.key))
        }
        _ => None,
    }
}

/// The answer to a query: its data, or its errors.
pub(super) async fn ask(api: &Api, query: &str) -> anyhow::Result<Value> {
    let answer = api.call("POST", ITEMS_PATH, Some(json!({ "query": query }))).await?;
    let messages: Vec<&Value> = list(&answer.body["errors"]).iter().map(|error| &error["message"]).collect();
    Ok(if messages.is_empty() { answer.body["data"].clone() } else { json!({ "errors": messages }) })
}

async fn introspect(api: &Api, path: &str) -> anyhow::Result<Vec<Value>> {
    let answer = api.call("POST", path, Some(json!({ "query": INTROSPECTION }))).await?;
    ensure!(answer.status == 200, "{path} answers {} to an introspection: {}", answer.status, answer.body);
    let types = answer.body["data"]["__schema"]["types"].as_array().cloned();
    types.with_context(|| format!("{path} has no types: {}", answer.body["errors"]))
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A type as in GraphQL's own language: `[laps!]!`.
fn shown(reference: &Value) -> String {
    match reference["kind"].as_str() {
        Some("NON_NULL") => format!("{}!", shown(&reference["ofType"])),
        Some("LIST") => format!("[{}]", shown(&reference["ofType"])),
        _ => name(reference).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::shown;

    #[test]
    fn a_type_is_shown_in_the_language_of_graphql() {
        let named = json!({ "kind": "OBJECT", "name": "laps", "ofType": null });
        let list = json!({ "kind": "LIST", "ofType": { "kind": "NON_NULL", "ofType": named } });
        assert_eq!(shown(&json!({ "kind": "NON_NULL", "ofType": list })), "[laps!]!");
    }
}
