//! Whether a database is what a snapshot describes, property by property, without asking Directus or the bridge.

use serde_json::Value;

use super::case::{List, name_of};
use super::state::{Row, State, Table};

/// Properties of the snapshot that the database does not have, but for those that a line of the log explains. `before` is the
/// state without the boot's schema phase: a key that the snapshot lacks keeps its value.
pub(super) fn contradictions(snapshot: &Value, before: &State, after: &State, log: &[String]) -> Vec<String> {
    let snapshot = snapshot.get("data").unwrap_or(snapshot);
    let explained =
        |name: &str| log.iter().any(|line| line.contains("warning: ") && line.contains(&format!("{name}:")));
    let mut found = Vec::new();
    for (list, table) in [
        (List::Collections, "directus_collections"),
        (List::Fields, "directus_fields"),
        (List::Relations, "directus_relations"),
    ] {
        for entry in snapshot[list.key()].as_array().into_iter().flatten() {
            let name = name_of(entry);
            let (old, new) = (row(before, table, &name), row(after, table, &name));
            let required = |key: &str| {
                after
                    .table(table)
                    .is_some_and(|table| table.columns.values().any(|column| column.name == key && column.not_null))
            };
            found.extend(meta(entry, &name, old, new, &required).filter(|_| !explained(&name)));
        }
    }
    for field in snapshot["fields"].as_array().into_iter().flatten() {
        let name = name_of(field);
        if !explained(&name) {
            found.extend(column(field, after).into_iter().map(|problem| format!("{name}: {problem}")));
        }
    }
    for relation in snapshot["relations"].as_array().into_iter().flatten() {
        let name = name_of(relation);
        if !explained(&name) {
            found.extend(foreign_key(relation, after).map(|problem| format!("relation {name}: {problem}")));
        }
    }
    found
}

fn row<'a>(state: &'a State, table: &str, name: &str) -> Option<&'a Row> {
    let text = |row: &Row, key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    state.table(table)?.rows.iter().find(|row| {
        let own = match table {
            "directus_collections" => text(row, "collection"),
            "directus_fields" => format!("{}.{}", text(row, "collection"), text(row, "field")),
            _ => format!("{}.{}", text(row, "many_collection"), text(row, "many_field")),
        };
        own == name
    })
}

/// Differences of `meta`.
fn meta<'a>(
    entry: &'a Value,
    name: &'a str,
    old: Option<&'a Row>,
    new: Option<&'a Row>,
    required: &'a dyn Fn(&str) -> bool,
) -> impl Iterator<Item = String> + 'a {
    let wanted = entry.get("meta").and_then(Value::as_object);
    let missing = (wanted.is_some() && new.is_none()).then(|| format!("{name} has no row of Directus"));
    let differences = new.into_iter().flat_map(move |new| {
        new.iter().filter_map(move |(key, value)| {
            if matches!(
                key.as_str(),
                "id" | "collection" | "field" | "many_collection" | "many_field" | "one_collection"
            ) {
                return None;
            }
            let wanted = wanted.and_then(|meta| meta.get(key));
            let kept = old.and_then(|old| old.get(key));
            match wanted {
                // NULL in a column that cannot hold it means nothing.
                Some(Value::Null) if required(key) => None,
                // An alias always is marked as one.
                Some(_)
                    if key == "special"
                        && (entry["type"] == "alias" || entry.get("schema").is_none_or(Value::is_null)) =>
                {
                    None
                }
                Some(wanted) if same(key, wanted, value) => None,
                Some(wanted) => Some(format!("{name} meta.{key} is {value}, and {wanted} in the snapshot")),
                None if old.is_none() || kept == Some(value) => None,
                None => {
                    Some(format!("{name} meta.{key} was {kept:?} and is {value}, and the snapshot does not have it"))
                }
            }
        })
    });
    missing.into_iter().chain(differences)
}

/// Lists are texts with commas in two of the columns, where empty means null.
fn same(key: &str, one: &Value, other: &Value) -> bool {
    let list = |value: &Value| match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        _ => String::new(),
    };
    if ["special", "one_allowed_collections"].contains(&key) {
        return list(one) == list(other);
    }
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    one == other || !one.is_null() && plain(one) == plain(other)
}

/// Differences of a column.
fn column(field: &Value, after: &State) -> Vec<String> {
    let schema = &field["schema"];
    let (collection, name) = (field["collection"].as_str().unwrap_or(""), field["field"].as_str().unwrap_or(""));
    let (Some(schema), Some(table)) = (schema.as_object(), after.table(collection)) else { return Vec::new() };
    let has = |key: &str| schema.get(key);
    if has("is_generated") == Some(&Value::Bool(true)) || field["type"] == "unknown" || field["type"] == "alias" {
        return Vec::new();
    }
    let Some(column) = table.columns.values().find(|column| column.name == name) else {
        return vec!["it has no column".to_owned()];
    };
    let is_key = table.key.iter().any(|key| key == name);
    let mut found = Vec::new();
    let mut check = |key: &str, actual: bool| {
        if has(key).is_some_and(|wanted| wanted.is_boolean() && *wanted != actual) {
            found.push(format!("{key} is {actual} in the database"));
        }
    };
    if !is_key {
        check("is_nullable", !column.not_null);
        check("is_unique", has_rule(after, table, name, true));
        check("is_indexed", has_rule(after, table, name, false));
    }
    let (length, wanted) = (column.length, has("max_length").and_then(Value::as_i64));
    if field["type"] == "string" && wanted.is_some_and(|wanted| wanted > 0 && length != Some(wanted)) {
        found.push(format!("max_length is {length:?} in the database, not {wanted:?}"));
    }
    let data_type = has("data_type").and_then(Value::as_str).unwrap_or_default();
    if !data_type.is_empty()
        && !column.data_type.replace(char::is_numeric, "").starts_with(data_type)
        && column.data_type != data_type
    {
        found.push(format!("data_type is {} in the database", column.data_type));
    }
    found
}

/// Whether there is a unique constraint, or an index that is none, over that column alone.
fn has_rule(state: &State, table: &Table, column: &str, unique: bool) -> bool {
    state.rules.iter().any(|rule| {
        let is_unique = rule.kind == "u" || rule.definition.starts_with("CREATE UNIQUE");
        rule.table == table.name && rule.columns.len() == 1 && rule.columns[0] == column && is_unique == unique && ["u", "i"].contains(&rule.kind.as_str())
            // A partial index or one over an expression is not the column's own.
            && !rule.definition.contains(" WHERE ")
    })
}

fn foreign_key(relation: &Value, after: &State) -> Option<String> {
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
