//! Creates the items that are missing. An item that exists is not changed.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::Builder;

use super::data::{CollectionItems, SeedContent};
use super::step::SeedStep;
use crate::api::{Api, ApiResponse, items_path};

/// Checks that the server has every collection and field of the items.
pub(super) async fn check_model(api: &Api, content: &SeedContent) -> anyhow::Result<()> {
    let fields = api.get("/fields").await?;
    let text = |field: &Value, name: &str| field[name].as_str().unwrap_or_default().to_owned();
    let known: BTreeSet<(String, String)> =
        fields.as_array().into_iter().flatten().map(|f| (text(f, "collection"), text(f, "field"))).collect();
    let missing = missing_fields(content, &known);
    if !missing.is_empty() {
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        bail!("the stack has another data model than the demo data: it lacks the field {}", missing.join(", "));
    }
    Ok(())
}

fn missing_fields(content: &SeedContent, known: &BTreeSet<(String, String)>) -> BTreeSet<String> {
    let used = content.collections.iter().flat_map(|part| {
        let names = part.items.values().flat_map(Map::keys);
        names.map(|field| (part.collection.clone(), field.clone()))
    });
    let missing = used.filter(|field| !known.contains(field));
    missing.map(|(collection, field)| format!("{collection}.{field}")).collect()
}

/// Creates the missing items of one collection, all or none.
pub(super) async fn create_missing(
    api: &Api,
    content: &SeedContent,
    part: &CollectionItems,
) -> anyhow::Result<SeedStep> {
    let (collection, path) = (&part.collection, items_path(&part.collection));
    let keys: Vec<String> = part.items.keys().map(|name| key(&content.name, name)).collect();
    // `filter[id][_in]`, whose brackets a URL cannot contain.
    let found = api.get(&format!("{path}?filter%5Bid%5D%5B_in%5D={}&fields=id&limit=-1", keys.join(","))).await?;
    let found: BTreeSet<&str> = found.as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()).collect();
    let missing = part.items.iter().zip(&keys).filter(|(_, key)| !found.contains(key.as_str()));
    let items = missing.map(|((_, item), id)| {
        let mut item = resolved(content, &Value::Object(item.clone()))?;
        item["id"] = Value::String(id.clone());
        Ok(item)
    });
    let items: Vec<Value> =
        items.collect::<anyhow::Result<_>>().with_context(|| format!("demo data of {collection}"))?;
    let step = SeedStep { name: collection.clone(), created: items.len() as u64, present: found.len() as u64 };
    if !items.is_empty() {
        let answer = api.call("POST", &path, Some(Value::Array(items))).await?;
        if !matches!(answer.status, 200 | 204) {
            bail!("failed to create {} items of {collection}: {}", step.created, refusal(&answer));
        }
    }
    Ok(step)
}

/// Returns the key of an item, which is the same in every database.
fn key(set: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("{set}/{name}"));
    let bytes = std::array::from_fn(|index| hash[index]);
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// Replaces references (`@name`) by keys.
fn resolved(content: &SeedContent, value: &Value) -> anyhow::Result<Value> {
    Ok(match value {
        Value::String(text) => match text.strip_prefix('@') {
            Some(name) if content.collections.iter().any(|part| part.items.contains_key(name)) => {
                Value::String(key(&content.name, name))
            }
            Some(name) => bail!("there is no item {name}"),
            None => value.clone(),
        },
        Value::Array(values) => values.iter().map(|value| resolved(content, value)).collect::<anyhow::Result<_>>()?,
        Value::Object(object) => {
            let pairs = object.iter().map(|(name, value)| Ok((name.clone(), resolved(content, value)?)));
            Value::Object(pairs.collect::<anyhow::Result<_>>()?)
        }
        _ => value.clone(),
    })
}

/// Returns Directus' reason, with the way out if another item is in the way.
fn refusal(answer: &ApiResponse) -> String {
    let error = &answer.body["errors"][0];
    let reason = error["message"].as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
    if error["extensions"]["code"] == "RECORD_NOT_UNIQUE" {
        return format!("{reason} Another item has this value: delete it, or change it");
    }
    format!("{reason} (HTTP {})", answer.status)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::data::{DemoData, SeedContent};
    use super::{key, missing_fields, refusal, resolved};
    use crate::api::ApiResponse;

    #[test]
    fn every_reference_is_to_an_earlier_item() {
        let content = DemoData::own().unwrap().content;
        let mut earlier = SeedContent { collections: Vec::new(), ..content.clone() };
        for part in content.collections {
            for (name, item) in &part.items {
                resolved(&earlier, &json!(item)).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
            earlier.collections.push(part);
        }
    }

    #[test]
    fn names_of_items_are_unique() {
        let content = DemoData::own().unwrap().content;
        let names: Vec<_> = content.collections.iter().flat_map(|part| part.items.keys()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_key_is_always_the_same_and_a_reference_becomes_one() {
        let content: SeedContent = serde_json::from_value(json!({
            "name": "set", "title": "", "settings": {}, "presets": [],
            "collections": [{ "collection": "laps", "items": { "first": { "number": 1 } } }],
        }))
        .unwrap();
        let (first, other) = (key("set", "first"), key("set", "second"));
        assert_eq!(first.len(), 36);
        assert_ne!(first, other);
        assert_eq!(resolved(&content, &json!([{ "lap": "@first" }])).unwrap(), json!([{ "lap": first }]));
        assert_eq!(resolved(&content, &json!("@second")).unwrap_err().to_string(), "there is no item second");
        let known = BTreeSet::from([("laps".to_owned(), "id".to_owned())]);
        assert_eq!(missing_fields(&content, &known), BTreeSet::from(["laps.number".to_owned()]));
    }

    #[test]
    fn a_refusal_names_the_reason_and_the_way_out() {
        let error = |code: &str| ApiResponse {
            status: 400,
            body: json!({ "errors": [{ "message": "Not good.", "extensions": { "code": code } }] }),
        };
        assert_eq!(refusal(&error("FORBIDDEN")), "Not good. (HTTP 400)");
        assert!(refusal(&error("RECORD_NOT_UNIQUE")).ends_with("delete it, or change it"));
    }
}
