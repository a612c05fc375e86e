//! A field in words: its rules, default, names and choices.

use serde_json::Value;

use crate::markdown::one_line;
use crate::snapshot::{DocumentedCollection, DocumentedField, DocumentedName};

/// The shown name of a folder, or its own.
pub(crate) fn title(folder: &DocumentedCollection) -> String {
    let names = folder.meta.translations.as_deref().unwrap_or_default();
    names.first().map_or_else(|| folder.name.clone(), |name| name.translation.clone())
}

pub(crate) fn names(translations: Option<&[DocumentedName]>) -> String {
    let names = translations.unwrap_or_default().iter();
    names.map(|name| format!("**{}** ({})", name.translation, name.language)).collect::<Vec<_>>().join(", ")
}

/// The rules for the values of a field, in words.
pub(crate) fn rules(field: &DocumentedField) -> Vec<&'static str> {
    let mut rules = Vec::new();
    let column = field.schema.as_ref();
    if column.is_some_and(|column| column.is_primary_key) {
        rules.push("primary key");
    } else {
        if field.meta.required || column.is_some_and(|column| column.must_be_set()) {
            rules.push("required");
        }
        if column.is_some_and(|column| column.is_unique) {
            rules.push("unique");
        }
    }
    if column.is_some_and(|column| column.is_indexed) {
        rules.push("indexed");
    }
    let special = |name: &str| field.meta.special.iter().flatten().any(|special| special == name);
    if special("uuid") {
        rules.push("generated");
    } else if special("date-created") || special("user-created") {
        rules.push("set when created");
    } else if special("date-updated") || special("user-updated") {
        rules.push("set when saved");
    } else if field.meta.readonly {
        rules.push("read-only");
    }
    rules
}

pub(crate) fn default(field: &DocumentedField) -> String {
    match field.schema.as_ref().map(|column| &column.default_value) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(value)) => format!("`{value}`"),
        Some(value) => format!("`{value}`"),
    }
}

/// The names, the note and the choices of a field.
pub(crate) fn meaning(field: &DocumentedField) -> String {
    let note = field.meta.note.as_deref().unwrap_or_default().trim().to_owned();
    let parts = [names(field.meta.translations.as_deref()), note, choices(field)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    one_line(&parts.join(" · "))
}

fn choices(field: &DocumentedField) -> String {
    let options = field.meta.options.as_ref();
    let choices = options.and_then(|options| options["choices"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let words: Vec<String> = choices
        .iter()
        .filter_map(|choice| {
            let value = match &choice["value"] {
                Value::String(value) => value.clone(),
                Value::Null => return None,
                value => value.to_string(),
            };
            Some(match choice["text"].as_str() {
                Some(text) if text != value => format!("`{value}` ({text})"),
                _ => format!("`{value}`"),
            })
        })
        .collect();
    if words.is_empty() { String::new() } else { format!("One of {}", words.join(", ")) }
}
