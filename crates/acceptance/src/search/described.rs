//! Compares a database with a snapshot, property by property and independently of Directus and the bridge.

use serde_json::Value;

use super::case::{List, name_of, text};
use super::state::{DatabaseState, Row, StateTable};

/// Returns the properties of the snapshot that the database does not have, except for those that a warning in the log
/// explains. `before` is the state without the boot's schema phase: keys that the snapshot lacks keep their value.
pub(super) fn contradictions(
    snapshot: &Value,
    before: &DatabaseState,
    after: &DatabaseState,
    log: &[String],
) -> Vec<String> {
    let snapshot = snapshot.get("data").unwrap_or(snapshot);
    let mut found = Vec::new();
    for (list, table) in [
        (List::Collections, "directus_collections"),
        (List::Fields, "directus_fields"),
        (List::Relations, "directus_relations"),
    ] {
        for entry in snapshot[list.key()].as_array().into_iter().flatten() {
            let name = name_of(entry);
            let (old, new) = (row(before, table, &name), row(after, table, &name));
            if !is_explained(log, &name) {
                found.extend(meta(entry, after.table(table), old, new));
            }
        }
    }
    for field in snapshot["fields"].as_array().into_iter().flatten() {
        let name = name_of(field);
        if !is_explained(log, &name) {
            found.extend(column(field, after).into_iter().map(|problem| format!("{name}: {problem}")));
        }
    }
    for relation in snapshot["relations"].as_array().into_iter().flatten() {
        let name = name_of(relation);
        if !is_explained(log, &name) {
            found.extend(foreign_key(relation, after).map(|problem| format!("relation {name}: {problem}")));
        }
    }
    found
}

/// Returns true if a warning in the log is about the entry.
fn is_explained(log: &[String], name: &str) -> bool {
    let name = format!("{name}:");
    log.iter().any(|line| line.contains("warning: ") && line.contains(&name))
}

/// Returns Directus' row about an entry.
fn row<'a>(state: &'a DatabaseState, table: &str, name: &str) -> Option<&'a Row> {
    let keys: &[&str] = match table {
        "directus_collections" => &["collection"],
        "directus_fields" => &["collection", "field"],
        _ => &["many_collection", "many_field"],
    };
    state.table(table)?.rows.iter().find(|row| {
        let values = keys.iter().map(|key| row.get(*key).and_then(Value::as_str).unwrap_or_default());
        values.collect::<Vec<_>>().join(".") == name
    })
}

/// Returns the differences between `meta` of an entry and its row, `new`, in a table of Directus.
fn meta(entry: &Value, table: Option<&StateTable>, old: Option<&Row>, new: Option<&Row>) -> Vec<String> {
    let name = name_of(entry);
    let wanted = entry.get("meta").and_then(Value::as_object);
    let Some(new) = new else {
        return wanted.map(|_| format!("{name} has no row of Directus")).into_iter().collect();
    };
    let is_alias = entry["type"] == "alias" || entry.get("schema").is_none_or(Value::is_null);
    let mut found = Vec::new();
    for (key, value) in new {
        if ["id", "collection", "field", "many_collection", "many_field", "one_collection"].contains(&key.as_str()) {
            continue;
        }
        let kept = old.and_then(|old| old.get(key));
        match wanted.and_then(|meta| meta.get(key)) {
            // Directus ignores null for a column that is NOT NULL.
            Some(Value::Null) if is_not_null(table, key) => {}
            // Directus always marks an alias in this column.
            Some(_) if key == "special" && is_alias => {}
            Some(wanted) if same(key, wanted, value) => {}
            Some(wanted) => found.push(format!("{name} meta.{key} is {value}, but {wanted} in the snapshot")),
            None if old.is_none() || kept == Some(value) => {}
            None => {
                found.push(format!("{name} meta.{key} changed from {kept:?} to {value}, but is not in the snapshot"))
            }
        }
    }
    found
}

fn is_not_null(table: Option<&StateTable>, column: &str) -> bool {
    table.is_some_and(|table| table.columns.values().any(|other| other.name == column && other.not_null))
}

/// Returns true if the values are equal. Two of the columns store lists as text with commas, where empty means null.
fn same(key: &str, one: &Value, other: &Value) -> bool {
    if ["special", "one_allowed_collections"].contains(&key) {
        return with_commas(one) == with_commas(other);
    }
    one == other || !one.is_null() && unquoted(one) == unquoted(other)
}

fn with_commas(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}

fn unquoted(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the differences between `schema` of a field and its column.
fn column(field: &Value, after: &DatabaseState) -> Vec<String> {
    let schema = &field["schema"];
    let (collection, name) = (text(field, "collection"), text(field, "field"));
    let (Some(schema), Some(table)) = (schema.as_object(), after.table(collection)) else { return Vec::new() };
    if schema.get("is_generated") == Some(&Value::Bool(true)) || field["type"] == "unknown" || field["type"] == "alias"
    {
        return Vec::new();
    }
    let Some(column) = table.columns.values().find(|column| column.name == name) else {
        return vec!["it has no column".to_owned()];
    };
    let mut found = Vec::new();
    for (key, actual) in [
        ("is_nullable", !column.not_null),
        ("is_unique", has_rule(after, table, name, true)),
        ("is_indexed", has_rule(after, table, name, false)),
    ] {
        let wanted = schema.get(key).and_then(Value::as_bool);
        if !table.key.iter().any(|key| key == name) && wanted.is_some_and(|wanted| wanted != actual) {
            found.push(format!("{key} is {actual} in the database"));
        }
    }
    let (length, wanted) = (column.length, schema.get("max_length").and_then(Value::as_i64));
    if field["type"] == "string" && wanted.is_some_and(|wanted| wanted > 0 && length != Some(wanted)) {
        found.push(format!("max_length is {length:?} in the database, not {wanted:?}"));
    }
    let data_type = schema.get("data_type").and_then(Value::as_str).unwrap_or_default();
    if !data_type.is_empty()
        && !column.data_type.replace(char::is_numeric, "").starts_with(data_type)
        && column.data_type != data_type
    {
        found.push(format!("data_type is {} in the database", column.data_type));
    }
    found
}

/// Returns true if a unique constraint or index (`unique`), or an index that is not unique, covers this column alone.
fn has_rule(state: &DatabaseState, table: &StateTable, column: &str, unique: bool) -> bool {
    state.rules.iter().any(|rule| {
        let is_unique = rule.kind == "u" || rule.definition.starts_with("CREATE UNIQUE");
        rule.table == table.name && rule.columns.len() == 1 && rule.columns[0] == column && is_unique == unique && ["u", "i"].contains(&rule.kind.as_str())
            // A partial index does not enforce the property.
            && !rule.definition.contains(" WHERE ")
    })
}

fn foreign_key(relation: &Value, after: &DatabaseState) -> Option<String> {
    let schema = relation["schema"].as_object()?;
    let target = relation["related_collection"].as_str()?;
    let (table, column) = (relation["collection"].as_str()?, relation["field"].as_str()?);
    let key = after
        .rules
        .iter()
        .find(|rule| rule.kind == "f" && rule.table == table && rule.columns.len() == 1 && rule.columns[0] == column);
    let Some(key) = key else { return Some("it has no foreign key".to_owned()) };
    if !key.definition.contains(&format!("REFERENCES {target}(")) {
        return Some(format!("it is {}", key.definition));
    }
    let action = schema.get("on_delete").and_then(Value::as_str)?.to_uppercase();
    let is_done = if action == "NO ACTION" {
        !key.definition.contains("ON DELETE")
    } else {
        key.definition.contains(&format!("ON DELETE {action}"))
    };
    (!is_done).then(|| format!("on_delete is {action} in the snapshot, and the database has {}", key.definition))
}
