//! A small data model that replaces the image's: two collections with rows, and SQL files. With it, checks about losses
//! work with every team's image and know each row.

use anyhow::Context as _;
use camino::Utf8Path;
use serde_json::{Value, json};

use super::database::TestDatabase;
use crate::container::BootSpec;
use crate::test_context::TestContext;
use testbed::workspace;

/// Folder of the SQL files in a container.
const DB_INIT: &str = "/directus/sample/db-init";
/// Path of the snapshot in a container.
const SNAPSHOT: &str = "/directus/sample/schema.yaml";
/// Name of the first SQL file, which creates tables that Directus does not track, with rows.
pub(crate) const FIRST_FILE: &str = "001_sponsors.sql";
const SPONSORS: &str = "create table sponsors (id integer primary key, name text, budget numeric, logo text);
    insert into sponsors select n, 'sponsor ' || n, n + 0.5 from generate_series(1, 7) n;
    create table visits (sponsor integer, at timestamptz);
    insert into visits select n, '2026-06-06' from generate_series(1, 5) n;
    create table empty (id integer primary key, note text);
    insert into empty (id) values (1);\n";

/// The SQL files and the snapshot of a data model.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    files: Vec<(String, String)>,
    snapshot: String,
}

impl Sample {
    /// Creates the data model with the collections `cars` and `laps`, and the first SQL file.
    pub(crate) fn new() -> anyhow::Result<Sample> {
        Ok(Sample { files: vec![(FIRST_FILE.to_owned(), SPONSORS.to_owned())], snapshot: snapshot()?.to_string() })
    }

    /// Adds an SQL file.
    pub(crate) fn file(mut self, name: &str, sql: &str) -> Sample {
        self.files.push((name.to_owned(), format!("{sql}\n")));
        self
    }

    /// Replaces the snapshot.
    pub(crate) fn snapshot(self, snapshot: impl ToString) -> Sample {
        Sample { snapshot: snapshot.to_string(), ..self }
    }

    /// A container that boots and serves this data model.
    pub(crate) fn container(&self, test: &TestContext, name: &str, database: &TestDatabase) -> BootSpec {
        let mut spec = test.boot(name, database).variable("BOOT_DB_INIT_DIR", DB_INIT);
        for (name, sql) in &self.files {
            spec = spec.file(&format!("{DB_INIT}/{name}"), sql.as_bytes());
        }
        spec.variable("BOOT_SNAPSHOT_FILE", SNAPSHOT).file(SNAPSHOT, self.snapshot.as_bytes())
    }

    /// Writes the data model into a folder, and returns the instructions that build an image with it from another one.
    pub(crate) fn dockerfile(&self, image: &str, folder: &Utf8Path) -> anyhow::Result<String> {
        let file = |(name, sql): &(String, String)| (format!("db-init/{name}"), sql.clone());
        let files = self.files.iter().map(file).chain([("schema.yaml".to_owned(), self.snapshot.clone())]);
        for (name, content) in files {
            let path = folder.join("sample").join(name);
            let parent = path.parent().context("the path has a folder")?;
            std::fs::create_dir_all(parent).with_context(|| format!("failed to create {parent}"))?;
            std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))?;
        }
        Ok(format!(
            "FROM {image}\nCOPY --chmod=0555 sample /directus/sample\n\
             ENV BOOT_DB_INIT_DIR={DB_INIT} BOOT_SNAPSHOT_FILE={SNAPSHOT}\n"
        ))
    }

    /// A container that runs `entrypoint boot` with this data model.
    pub(crate) fn boot(&self, test: &TestContext, name: &str, database: &TestDatabase) -> BootSpec {
        self.container(test, name, database).command(["boot"])
    }
}

/// Inserts rows into both collections of the sample.
pub(crate) const ROWS: &str = "
    insert into cars (id, name, plate, notes)
        select format('00000000-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid, 'car ' || n, 'AA-' || n, 'note ' || n
        from generate_series(1, 3) n;
    insert into laps (car, speed, note, sort)
        select format('00000000-0000-4000-8000-%s', lpad((n % 3 + 1)::text, 12, '0'))::uuid, n * 1.5, 'lap ' || n, n
        from generate_series(1, 12) n;";

/// The snapshot of the sample, with every key that Directus saves.
pub(crate) fn snapshot() -> anyhow::Result<Value> {
    let id = json!({ "data_type": "uuid", "is_nullable": false, "is_unique": true, "is_primary_key": true });
    let number = json!({ "data_type": "integer", "is_nullable": false, "is_unique": true, "is_primary_key": true,
        "has_auto_increment": true, "default_value": "nextval('laps_id_seq'::regclass)", "numeric_precision": 32,
        "numeric_scale": 0 });
    let foreign = json!({ "data_type": "uuid", "foreign_key_table": "cars", "foreign_key_column": "id" });
    let options = json!({ "placeholder": "km/h", "min": 0 });
    let collections = vec![
        collection("cars", json!({ "translations": [{ "language": "de-DE", "translation": "Autos" }], "sort": 1 })),
        collection("laps", json!({ "sort_field": "sort", "preview_url": null, "note": "Laps of all cars", "sort": 2 })),
    ];
    let fields = vec![
        field("cars", "id", "uuid", json!({ "special": ["uuid"], "sort": 1 }), Some(id)),
        field("cars", "name", "string", json!({ "sort": 2, "required": true }), Some(varchar(255))),
        field("cars", "plate", "string", json!({ "sort": 3 }), Some(with(varchar(20), json!({ "is_unique": true })))),
        field("cars", "notes", "text", json!({ "sort": 4 }), Some(json!({ "data_type": "text" }))),
        field("cars", "laps", "alias", json!({ "special": ["o2m"], "interface": "list-o2m", "sort": 5 }), None),
        field("laps", "id", "integer", json!({ "sort": 1 }), Some(number)),
        field("laps", "car", "uuid", json!({ "special": ["m2o"], "sort": 2 }), Some(foreign)),
        field(
            "laps",
            "speed",
            "float",
            json!({ "sort": 3, "options": options }),
            Some(json!({ "data_type": "real", "numeric_precision": 24, "is_indexed": true })),
        ),
        field(
            "laps",
            "note",
            "string",
            json!({ "sort": 4 }),
            Some(with(varchar(100), json!({ "default_value": "none" }))),
        ),
        field(
            "laps",
            "sort",
            "integer",
            json!({ "sort": 5 }),
            Some(json!({ "data_type": "integer", "numeric_precision": 32, "numeric_scale": 0 })),
        ),
    ];
    let relation = json!({
        "collection": "laps", "field": "car", "related_collection": "cars",
        "meta": {
            "junction_field": null, "many_collection": "laps", "many_field": "car", "one_allowed_collections": null,
            "one_collection": "cars", "one_collection_field": null, "one_deselect_action": "nullify",
            "one_field": "laps", "sort_field": "sort",
        },
        "schema": {
            "table": "laps", "column": "car", "foreign_key_table": "cars", "foreign_key_column": "id",
            "constraint_name": "laps_car_foreign", "on_update": "NO ACTION", "on_delete": "SET NULL",
        },
    });
    Ok(json!({
        "version": 1, "directus": version()?, "vendor": "postgres", "collections": collections, "fields": fields,
        "systemFields": [
            { "collection": "directus_activity", "field": "timestamp", "schema": { "is_indexed": true } },
            { "collection": "directus_revisions", "field": "activity", "schema": { "is_indexed": true } },
            { "collection": "directus_revisions", "field": "parent", "schema": { "is_indexed": true } },
        ],
        "relations": [relation],
    }))
}

fn varchar(length: u32) -> Value {
    json!({ "data_type": "character varying", "max_length": length })
}

/// A collection of a snapshot; `meta` overrides the default properties.
pub(crate) fn collection(name: &str, meta: Value) -> Value {
    let defaults = json!({
        "accountability": "all", "archive_app_filter": true, "archive_field": null, "archive_value": null,
        "collapse": "open", "collection": name, "color": null, "display_template": null, "group": null,
        "hidden": false, "icon": null, "item_duplication_fields": null, "note": null, "preview_url": null,
        "singleton": false, "sort": null, "sort_field": null, "translations": null, "unarchive_value": null,
        "versioning": false,
    });
    json!({ "collection": name, "meta": with(defaults, meta), "schema": { "name": name } })
}

/// A field of a snapshot; `meta` and `schema` override the defaults. A field without a column has no `schema`.
pub(crate) fn field(collection: &str, name: &str, kind: &str, meta: Value, schema: Option<Value>) -> Value {
    let defaults = json!({
        "collection": collection, "conditions": null, "display": null, "display_options": null, "field": name,
        "group": null, "hidden": false, "interface": "input", "note": null, "options": null, "readonly": false,
        "required": false, "searchable": true, "sort": null, "special": null, "translations": null,
        "validation": null, "validation_message": null, "width": "full",
    });
    let column = json!({
        "name": name, "table": collection, "data_type": null, "default_value": null, "max_length": null,
        "numeric_precision": null, "numeric_scale": null, "is_nullable": true, "is_unique": false,
        "is_indexed": false, "is_primary_key": false, "is_generated": false, "generation_expression": null,
        "has_auto_increment": false, "foreign_key_table": null, "foreign_key_column": null,
    });
    let mut field = json!({ "collection": collection, "field": name, "type": kind, "meta": with(defaults, meta) });
    if let Some(schema) = schema {
        field["schema"] = with(column, schema);
    }
    field
}

/// Adds the properties of `changes` to an object, or replaces them.
pub(crate) fn with(mut object: Value, changes: Value) -> Value {
    if let (Value::Object(object), Value::Object(changes)) = (&mut object, changes) {
        object.extend(changes);
    }
    object
}

/// The entry for a collection (and a field) in a list of a snapshot.
pub(crate) fn entry<'a>(snapshot: &'a mut Value, list: &str, collection: &str, field: Option<&str>) -> &'a mut Value {
    let mut entries = snapshot[list].as_array_mut().expect("a list of the snapshot").iter_mut();
    let found =
        entries.find(|entry| entry["collection"] == collection && field.is_none_or(|name| entry["field"] == name));
    found.unwrap_or_else(|| panic!("there is no {collection} in {list}"))
}

/// Removes a key, which must exist, from an object.
pub(crate) fn remove(object: &mut Value, key: &str) {
    object.as_object_mut().and_then(|object| object.remove(key)).unwrap_or_else(|| panic!("there is no {key}"));
}

/// The version of Directus in the checkout's snapshot, which is also that of the image.
fn version() -> anyhow::Result<String> {
    let path = workspace::path("snapshots/schema.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("directus:"));
    Ok(line.with_context(|| format!("{path} has no version of Directus"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{entry, remove, snapshot};

    #[test]
    fn entries_are_found_and_keys_removed() {
        let mut sample = snapshot().expect("a snapshot");
        remove(&mut entry(&mut sample, "fields", "laps", Some("speed"))["schema"], "is_indexed");
        assert!(entry(&mut sample, "fields", "laps", Some("speed"))["schema"].get("is_indexed").is_none());
        assert_eq!(entry(&mut sample, "collections", "cars", None)["schema"]["name"], "cars");
    }
}
