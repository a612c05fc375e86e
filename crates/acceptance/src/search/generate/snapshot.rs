//! Edits of the snapshot, and of Directus' rows in the database.

use grammar::EditKind;
use serde_json::{Value, json};

use super::super::case::{List, SearchEdit, name_of, text};
use super::super::model::Model;
use super::super::rng::Rng;
use super::values::{TYPES, default, meta};

/// Lists whose entries have `meta`.
const WITH_META: [List; 3] = [List::Collections, List::Fields, List::Relations];

/// Returns one edit of a kind, or several that belong together.
pub(super) fn edit(rng: &mut Rng, model: &Model, kind: EditKind) -> Vec<SearchEdit> {
    match kind {
        EditKind::Live => vec![live(rng, model)],
        EditKind::Meta | EditKind::Sql => vec![edit_meta(rng, model)],
        EditKind::Keys => vec![edit_key(rng, model)],
        EditKind::Columns => edit_column(rng, model),
        EditKind::Entities => edit_entity(rng, model),
        EditKind::Relations => edit_relation(rng, model),
    }
}

fn words<const N: usize>(path: [&str; N]) -> Vec<String> {
    path.map(str::to_owned).to_vec()
}

fn set<const N: usize>(list: List, entry: &str, path: [&str; N], value: Value) -> SearchEdit {
    SearchEdit::Set { list, entry: entry.to_owned(), path: words(path), value }
}

fn set_schema(field: &str, key: &str, value: Value) -> SearchEdit {
    set(List::Fields, field, ["schema", key], value)
}

fn entry<'a>(rng: &mut Rng, model: &'a Model, list: List) -> &'a Value {
    rng.pick(model.entries(list))
}

fn edit_meta(rng: &mut Rng, model: &Model) -> SearchEdit {
    let list = *rng.pick(&[List::Collections, List::Fields, List::Fields, List::Relations]);
    let name = name_of(entry(rng, model, list));
    let (key, value) = meta(rng, list);
    set(list, &name, ["meta", key], value)
}

/// Collects the paths of all values below a value; `path` is its own.
fn paths(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        path.push(key);
        found.push(path.clone());
        paths(value, path, found);
        path.pop();
    }
}

fn edit_key(rng: &mut Rng, model: &Model) -> SearchEdit {
    match rng.below(20) {
        0 => return SearchEdit::RemoveList { list: *rng.pick(&List::ALL) },
        1 => return SearchEdit::Envelope,
        _ => {}
    }
    let list = *rng.pick(&[List::Collections, List::Fields, List::Fields, List::Relations]);
    let chosen = entry(rng, model, list);
    let name = name_of(chosen);
    match rng.below(10) {
        0 => {
            let key = *rng.pick(&["meta", "schema", "type", "related_collection"]);
            SearchEdit::Remove { list, entry: name, path: words([key]) }
        }
        1 => {
            let (group, key) = *rng.pick(&[
                ("meta", "not_of_this_version"),
                ("meta", "status"),
                ("schema", "comment"),
                ("schema", "schema"),
            ]);
            set(list, &name, [group, key], rng.pick(&[Value::Null, json!("new"), json!({ "a": 1 })]).clone())
        }
        2 => set(list, &name, ["meta", "translations", "0", "plural"], json!("Plurals")),
        kind => {
            let mut found = Vec::new();
            paths(chosen, &mut Vec::new(), &mut found);
            // The names identify the entry.
            found.retain(|path| !(path.len() == 1 && ["collection", "field"].contains(&path[0].as_str())));
            let nested: Vec<Vec<String>> = found.iter().filter(|path| path.len() > 2).cloned().collect();
            let pool = if kind < 5 && !nested.is_empty() { &nested } else { &found };
            let path = rng.pick(pool).clone();
            if rng.chance(70) {
                SearchEdit::Remove { list, entry: name, path }
            } else {
                SearchEdit::Set { list, entry: name, path, value: Value::Null }
            }
        }
    }
}

fn edit_column(rng: &mut Rng, model: &Model) -> Vec<SearchEdit> {
    let columns = model.columns();
    let field = *rng.pick(&columns);
    let name = name_of(field);
    match rng.below(9) {
        flag @ 0..=2 => {
            let key = ["is_nullable", "is_unique", "is_indexed"][flag];
            vec![set_schema(&name, key, json!(field["schema"][key] != true))]
        }
        3 => vec![set_schema(&name, "default_value", default(rng, field["type"].as_str().unwrap_or("string")))],
        4 => {
            let lengths = [json!(5), json!(40), json!(255), json!(1000), Value::Null];
            vec![set_schema(&name, "max_length", rng.pick(&lengths).clone())]
        }
        5 => {
            let key = *rng.pick(&["numeric_precision", "numeric_scale"]);
            vec![set_schema(&name, key, rng.pick(&[json!(3), json!(12), Value::Null]).clone())]
        }
        _ => {
            let (to, data_type) = *rng.pick(TYPES);
            let length = if data_type == "character varying" { json!(255) } else { Value::Null };
            let kind = set(List::Fields, &name, ["type"], json!(to));
            let data = set_schema(&name, "data_type", json!(data_type));
            // An edit by hand may omit one half.
            match rng.below(6) {
                0 => vec![kind],
                1 => vec![data],
                _ => vec![kind, data, set_schema(&name, "max_length", length)],
            }
        }
    }
}

fn new_field(rng: &mut Rng, collection: &str, field: &str) -> Value {
    let (kind, data_type) = *rng.pick(TYPES);
    let value = default(rng, kind);
    let schema = json!({
        "name": field, "table": collection, "data_type": data_type, "default_value": value,
        "max_length": if kind == "string" { json!(255) } else { Value::Null }, "numeric_precision": null, "numeric_scale": null,
        "is_nullable": rng.chance(80), "is_unique": rng.chance(10), "is_indexed": rng.chance(20), "is_primary_key": false,
        "is_generated": false, "generation_expression": null, "has_auto_increment": false,
        "foreign_key_table": null, "foreign_key_column": null,
    });
    let mut entry = json!({ "collection": collection, "field": field, "type": kind, "meta": { "collection": collection, "field": field, "hidden": false }, "schema": schema });
    if rng.chance(10) {
        entry["meta"] = Value::Null;
    }
    entry
}

fn edit_entity(rng: &mut Rng, model: &Model) -> Vec<SearchEdit> {
    let tables = model.tables();
    let table = *rng.pick(&tables);
    match rng.below(12) {
        0..=2 => {
            let field = format!("new_{}", rng.below(3));
            let collection = if rng.chance(15) { "directus_users" } else { table };
            vec![SearchEdit::Add { list: List::Fields, value: new_field(rng, collection, &field) }]
        }
        3..=5 => {
            vec![remove_field(entry(rng, model, List::Fields))]
        }
        6 => vec![SearchEdit::RemoveCollection { collection: table.to_owned() }],
        7 => {
            // The fields of the removed entry stay: the snapshot contradicts itself.
            let list = *rng.pick(&WITH_META);
            vec![SearchEdit::Remove { list, entry: name_of(entry(rng, model, list)), path: Vec::new() }]
        }
        8 => {
            let name = format!("new_collection_{}", rng.below(2));
            let key = json!({
                "collection": name, "field": "id", "type": "integer", "meta": { "collection": name, "field": "id", "hidden": true },
                "schema": { "name": "id", "table": name, "data_type": "integer", "is_nullable": false, "is_primary_key": true, "has_auto_increment": true },
            });
            let collection = json!({ "collection": name, "meta": { "collection": name, "icon": "flag" }, "schema": { "name": name } });
            vec![
                SearchEdit::Add { list: List::Collections, value: collection },
                SearchEdit::Add { list: List::Fields, value: key },
                SearchEdit::Add { list: List::Fields, value: new_field(rng, &name, "title") },
            ]
        }
        9 => {
            // A rename is a removal and an addition.
            let columns = model.columns();
            let field = *rng.pick(&columns);
            let mut renamed = field.clone();
            let name = format!("{}_renamed", text(field, "field"));
            renamed["field"] = json!(name);
            renamed["meta"]["field"] = json!(name);
            renamed["schema"]["name"] = json!(name);
            vec![remove_field(field), SearchEdit::Add { list: List::Fields, value: renamed }]
        }
        10 => {
            let folder = *rng.pick(&["editorial", "reference", "articles", "site"]);
            let value =
                if ["editorial", "reference"].contains(&folder) { json!({ "name": folder }) } else { Value::Null };
            vec![set(List::Collections, folder, ["schema"], value)]
        }
        _ => {
            let system = entry(rng, model, List::SystemFields);
            let name = name_of(system);
            vec![match rng.below(3) {
                0 => SearchEdit::Remove { list: List::SystemFields, entry: name, path: Vec::new() },
                1 => set(List::SystemFields, &name, ["schema", "is_indexed"], json!(false)),
                _ => SearchEdit::Add {
                    list: List::SystemFields,
                    value: json!({ "collection": "directus_users", "field": "last_name", "schema": { "is_indexed": true } }),
                },
            }]
        }
    }
}

fn remove_field(field: &Value) -> SearchEdit {
    SearchEdit::RemoveField { collection: text(field, "collection").to_owned(), field: text(field, "field").to_owned() }
}

fn edit_relation(rng: &mut Rng, model: &Model) -> Vec<SearchEdit> {
    let relation = entry(rng, model, List::Relations);
    let name = name_of(relation);
    let relations = List::Relations;
    let actions = ["CASCADE", "SET NULL", "NO ACTION", "RESTRICT", "SET DEFAULT", "cascade"];
    match rng.below(9) {
        0 | 1 => vec![set(relations, &name, ["schema", "on_delete"], json!(rng.pick(&actions)))],
        2 => vec![set(relations, &name, ["schema", "on_update"], json!(rng.pick(&actions)))],
        3 => vec![SearchEdit::Remove { list: relations, entry: name, path: Vec::new() }],
        4 => vec![SearchEdit::Remove {
            list: relations,
            entry: name,
            path: words([*rng.pick(&["schema", "meta", "related_collection"])]),
        }],
        5 => {
            let target = *rng.pick(&["articles", "topics", "venues", "directus_users", "letters"]);
            vec![
                set(relations, &name, ["related_collection"], json!(target)),
                set(relations, &name, ["meta", "one_collection"], json!(target)),
                set(relations, &name, ["schema", "foreign_key_table"], json!(target)),
            ]
        }
        6 => {
            // A relation on a column without one; its values may refer to missing rows.
            let (collection, field, target) = *rng.pick(&[
                ("block_quote", "id", "articles"),
                ("types_nullable", "a_uuid", "directus_users"),
                ("types_unique", "an_integer", "topics"),
                ("topics", "sort", "topics"),
            ]);
            let value = json!({
                "collection": collection, "field": field, "related_collection": target,
                "meta": { "many_collection": collection, "many_field": field, "one_collection": target, "one_field": null, "one_deselect_action": "nullify" },
                "schema": { "table": collection, "column": field, "foreign_key_table": target, "foreign_key_column": "id",
                    "on_update": "NO ACTION", "on_delete": "SET NULL", "constraint_name": null },
            });
            vec![SearchEdit::Add { list: relations, value }]
        }
        7 => {
            let (key, value) = meta(rng, relations);
            vec![set(relations, &name, ["meta", key], value)]
        }
        _ => {
            // The database loses the foreign key.
            let (table, column) = name.split_once('.').unwrap_or_default();
            let sql = format!(
                "do $$ begin execute (select coalesce(min(format('alter table %s drop constraint %I', conrelid::regclass, conname)), 'select 1') from pg_constraint
                 where contype = 'f' and conrelid = '{table}'::regclass and conkey = array[(select attnum from pg_attribute where attrelid = conrelid and attname = '{column}')]); end $$"
            );
            vec![SearchEdit::Live { sql, touches: vec![name] }]
        }
    }
}

/// Returns a value as a literal of PostgreSQL.
fn literal(value: &Value) -> String {
    let text = match value {
        Value::Null => return "null".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns an edit of the running database, as in the admin app; the snapshot does not contain it.
fn live(rng: &mut Rng, model: &Model) -> SearchEdit {
    let list = *rng.pick(&WITH_META);
    let name = name_of(entry(rng, model, list));
    let (collection, field) = name.split_once('.').unwrap_or((&name, ""));
    let filter = match list {
        List::Collections => format!("directus_collections set KEY where collection = '{collection}'"),
        List::Relations => {
            format!("directus_relations set KEY where many_collection = '{collection}' and many_field = '{field}'")
        }
        _ => format!("directus_fields set KEY where collection = '{collection}' and field = '{field}'"),
    };
    let columns = model.columns();
    let column = *rng.pick(&columns);
    let (table, of) = (text(column, "collection"), text(column, "field"));
    let touches = vec![format!("{table}.{of}")];
    match rng.below(12) {
        0 => {
            // A field with values that only this database has.
            let sql = format!(
                "alter table \"{table}\" add column live_{of} text default 'live'; insert into directus_fields (collection, field, special) values ('{table}', 'live_{of}', null)"
            );
            SearchEdit::Live { sql, touches: Vec::new() }
        }
        1 => SearchEdit::Live { sql: format!("alter table \"{table}\" alter column \"{of}\" drop not null"), touches },
        2 => SearchEdit::Live { sql: format!("alter table \"{table}\" alter column \"{of}\" drop default"), touches },
        3 => SearchEdit::Live {
            sql: format!("create index on \"{table}\" (\"{of}\", ctid)").replace(", ctid", ""),
            touches,
        },
        4 => SearchEdit::Live {
            sql: format!("alter table \"{table}\" add column untracked_{of} text default 'unknown to Directus'"),
            touches: Vec::new(),
        },
        5 => {
            let sql = "create table live_table (id serial primary key, name text); insert into live_table (name) values ('one'), ('two');
                       insert into directus_collections (collection) values ('live_table') on conflict do nothing";
            SearchEdit::Live { sql: sql.replace("create table", "create table if not exists"), touches: Vec::new() }
        }
        6 => SearchEdit::Live { sql: format!("delete from {}", filter.replace(" set KEY", "")), touches: Vec::new() },
        _ => {
            let (key, value) = meta(rng, list);
            // These columns store lists as text with commas.
            let value = match (&value, ["special", "one_allowed_collections"].contains(&key)) {
                (Value::Array(items), true) => {
                    json!(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
                }
                _ => value,
            };
            let nullable = !["hidden", "readonly", "required", "searchable", "singleton", "versioning"].contains(&key);
            let text = if nullable || !value.is_null() { literal(&value) } else { "false".to_owned() };
            let key = format!("\"{key}\" = {text}");
            SearchEdit::Live { sql: format!("update {}", filter.replace("KEY", &key)), touches: Vec::new() }
        }
    }
}
