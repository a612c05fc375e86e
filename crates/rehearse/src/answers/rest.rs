//! Answers of the REST API: lists, items with their relations, the schema, the endpoints.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use testbed::api::Api;

use super::ITEMS;
use crate::live_model::LiveModel;

/// The paths that describe the schema, and the keys that name an entry.
const SCHEMA: [(&str, &[&str]); 3] = [
    ("/collections", &["collection"]),
    ("/fields", &["collection", "field"]),
    ("/relations", &["collection", "field"]),
];

/// A list of each collection, and one item of it with its relations.
pub(super) async fn items(api: &Api, model: &LiveModel) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut answers = BTreeMap::new();
    for collection in &model.collections {
        let path = &collection.path;
        let list = if collection.is_singleton {
            format!("{path}?fields={}", collection.own_fields)
        } else {
            format!("{path}?limit={ITEMS}&sort={}&fields={}", collection.key, collection.own_fields)
        };
        let answer = ask(api, &list).await?;
        let first = answer.as_array().and_then(|items| items.first()).map(|item| item[&collection.key].clone());
        answers.insert(list, answer);
        // Relations of an extended collection of Directus lead to rows that change with each login.
        if let (Some(key), true) = (first, collection.has_items()) {
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            let item = format!("{path}/{key}?fields={}", collection.fields_with_relations());
            let answer = ask(api, &item).await?;
            answers.insert(item, answer);
        }
    }
    Ok(answers)
}

/// The `data` of an answer; of a refusal, its status and code.
pub(super) async fn ask(api: &Api, path: &str) -> anyhow::Result<Value> {
    let answer = api.call("GET", path, None).await?;
    Ok(match answer.status {
        200 => answer.body["data"].clone(),
        status => json!({ "status": status, "code": answer.body["errors"][0]["extensions"]["code"] }),
    })
}

/// The entries of everything that does not belong to Directus, by name.
pub(super) async fn schema(api: &Api) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut answers = BTreeMap::new();
    for (path, keys) in SCHEMA {
        let answer = api.get(path).await?;
        let entries = answer.as_array().with_context(|| format!("{path} does not answer with a list"))?;
        let own = entries.iter().filter(|entry| entry["meta"]["system"] != true);
        let named = own.map(|entry| {
            let name = keys.iter().filter_map(|key| entry[*key].as_str()).collect::<Vec<_>>().join(".");
            (name, without_ids(entry.clone()))
        });
        answers.insert(path.to_owned(), Value::Object(named.collect::<Map<_, _>>()));
    }
    Ok(answers)
}

/// Removes numbers that say nothing about the schema.
fn without_ids(mut entry: Value) -> Value {
    if let Some(meta) = entry["meta"].as_object_mut() {
        meta.remove("id");
    }
    entry
}

/// The endpoints of the OpenAPI description: `GET /items/laps`.
pub(super) async fn endpoints(api: &Api) -> anyhow::Result<BTreeMap<String, String>> {
    const PATH: &str = "/server/specs/oas";
    let answer = api.call("GET", PATH, None).await?;
    let paths = answer.body["paths"].as_object();
    let paths = paths.with_context(|| format!("{PATH} answers {} without paths", answer.status))?;
    let endpoints = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flat_map(Map::keys);
        methods.map(move |method| (format!("{} {path}", method.to_uppercase()), String::new()))
    });
    Ok(endpoints.collect())
}
