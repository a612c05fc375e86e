//! The settings of the project, and list layouts and bookmarks for all users.

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::data::SeedContent;
use super::step::SeedStep;
use crate::api::Api;

/// Changes the settings that still have their default.
pub(super) async fn set_up_project(api: &Api, content: &SeedContent) -> anyhow::Result<SeedStep> {
    let (current, fields) = (api.get("/settings").await?, api.get("/fields/directus_settings").await?);
    let default = |name: &str| {
        let field = fields.as_array().into_iter().flatten().find(|field| field["field"] == *name)?;
        Some(field["schema"]["default_value"].clone())
    };
    let (mut changes, mut present) = (Map::new(), 0);
    for (name, wanted) in &content.settings {
        let default = default(name).with_context(|| format!("Directus has no setting {name}"))?;
        if current[name].is_null() || current[name] == default {
            changes.insert(name.clone(), wanted.clone());
        } else {
            present += 1;
        }
    }
    let step = SeedStep { name: "settings".to_owned(), created: changes.len() as u64, present };
    if !changes.is_empty() {
        api.patch("/settings", Value::Object(changes)).await?;
    }
    Ok(step)
}

/// Creates the missing list layouts and bookmarks.
pub(super) async fn create_presets(api: &Api, content: &SeedContent) -> anyhow::Result<SeedStep> {
    // Those of all users: neither `user` nor `role` is set.
    let path = "/presets?filter%5Buser%5D%5B_null%5D=true&filter%5Brole%5D%5B_null%5D=true&limit=-1";
    let found = api.get(path).await?;
    let found: Vec<_> = found.as_array().into_iter().flatten().filter_map(Value::as_object).map(place).collect();
    let missing: Vec<Value> =
        content.presets.iter().filter(|preset| !found.contains(&place(preset))).cloned().map(Value::Object).collect();
    let created = missing.len() as u64;
    if created > 0 {
        api.post("/presets", Value::Array(missing)).await?;
    }
    Ok(SeedStep { name: "presets".to_owned(), created, present: content.presets.len() as u64 - created })
}

/// Returns the collection of a preset, and its name if it is a bookmark.
fn place(preset: &Map<String, Value>) -> [Option<String>; 2] {
    ["collection", "bookmark"].map(|name| preset.get(name).and_then(Value::as_str).map(str::to_owned))
}
