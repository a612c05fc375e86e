//! Snapshots: edits are applied as edits, and every snapshot that Directus saved boots on an empty database.

use anyhow::{Context as _, ensure};
use contract::Phase;
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::container::EndedContainer;
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::end_state::EndState;
use crate::sample::{self, Sample, entry, remove, with};
use crate::test_context::TestContext;
use testbed::api::Api;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "edits-are-edits",
        promise: "Adding, removing or omitting a nested key is applied as an edit and keeps tables, columns and rows.",
        needs: Need::Nothing,
        run: |test| Box::pin(edits_are_edits(test)),
    },
    Check {
        name: "sound-snapshots",
        promise: "Every snapshot that Directus saved boots on an empty database, and the second boot has no changes.",
        needs: Need::Nothing,
        run: |test| Box::pin(sound_snapshots(test)),
    },
    Check {
        name: "adopted-table",
        promise: "A table that SQL created and that was then managed in Directus boots on an empty database, with its rows.",
        needs: Need::Nothing,
        run: |test| Box::pin(adopted_table(test)),
    },
];

/// A table of every kind that Directus can manage, with rows, and a reference to another one of its kind.
const BY_SQL: &str = "create table stations (id integer generated always as identity primary key, name varchar(40) unique);
    create table weather (id uuid primary key default gen_random_uuid(), station integer not null references stations,
        degrees numeric(4,1) default 0, wet boolean not null default false, seen timestamptz default now(), extra jsonb);
    create index weather_of_station on weather (station, seen);
    insert into stations (name) values ('pass'), ('lake');
    insert into weather (station, degrees) select n % 2 + 1, n from generate_series(1, 5) n;";

/// Manages both tables in Directus on one database, saves the snapshot there, and boots it on an empty one.
async fn adopted_table(test: &mut TestContext) -> anyhow::Result<()> {
    let clicked = test.empty_database("clicked").await?;
    let sample = Sample::new()?.file("002_weather.sql", BY_SQL);
    let server = test.start(sample.container(test, "clicked", &clicked)).await?;
    server.serving().await?;
    let api = server.api().await?;
    for table in ["stations", "weather"] {
        api.patch(&format!("/collections/{table}"), json!({ "meta": { "icon": "cloud", "note": "made by SQL" } }))
            .await?;
    }
    let options = json!({ "meta": { "interface": "slider", "options": { "minValue": -40 }, "note": "in Celsius" } });
    api.patch("/fields/weather/degrees", options).await?;
    let relation = json!({ "collection": "weather", "field": "station", "related_collection": "stations",
        "meta": { "one_deselect_action": "delete" } });
    api.patch("/relations/weather/station", relation).await?;
    let snapshot = api.get("/schema/snapshot").await?;
    for table in ["stations", "weather"] {
        let saved = entry(&mut snapshot.clone(), "collections", table, None).clone();
        ensure!(saved["meta"]["note"] == "made by SQL", "{table} is saved as {saved}");
    }

    let sample = sample.snapshot(snapshot);
    let database = test.empty_database("fresh").await?;
    let first = boot(test, "first", &sample, &database).await?;
    test.line(first.schema_message());
    boot(test, "second", &sample, &database).await?.expect(Phase::Schema, "no changes")?;
    let note = "select note from directus_fields where collection = 'weather' and field = 'degrees'";
    for (query, expected) in [
        ("select count(*) from weather join stations on stations.id = station", "5"),
        ("select count(*) from pg_indexes where indexname = 'weather_of_station'", "1"),
        ("select count(*) from pg_constraint where conrelid = 'weather'::regclass and contype = 'f'", "1"),
        (note, "in Celsius"),
    ] {
        let found = database.value(query).await?;
        ensure!(found == expected, "{query} is `{found}`, not `{expected}`");
    }
    // The database where it was clicked has nothing to do either.
    boot(test, "where it was clicked", &sample, &clicked).await?.expect(Phase::Schema, "no changes")?;
    test.figure("rows of the adopted tables", "7, all kept");
    Ok(())
}

/// Edits of the database through the admin UI or SQL, which the next boot reverts.
const LIVE_EDITS: &[&str] = &[
    // Directus' own apply would delete the collection, because a nested key is removed (directus 27877).
    r#"update directus_collections set translations =
        '[{"language": "de-DE", "translation": "Autos", "singular": "Auto", "plural": "Autos"}]' where collection = 'cars'"#,
    "update directus_collections set preview_url = 'https://example.com', note = null where collection = 'laps'",
    r#"update directus_fields set options = '{"placeholder": "km/h"}' where collection = 'laps' and field = 'speed'"#,
    r#"update directus_fields set options = '{"trim": true}' where collection = 'laps' and field = 'note'"#,
    "update directus_relations set sort_field = null where many_collection = 'laps'",
    "drop index laps_speed_index",
    "alter table laps alter note drop default",
];

async fn edits_are_edits(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("main").await?;
    let sample = Sample::new()?;
    boot(test, "first", &sample, &database).await?;
    database.execute(sample::ROWS).await?;
    let rows = data_integrity::fingerprints(&database).await?;
    let state = EndState::of(&database).await?;

    let first = sample::snapshot()?.to_string();
    let unspecified = unspecified(sample::snapshot()?).to_string();
    let nested = nested(sample::snapshot()?).to_string();
    // The comment gives the snapshot a new digest: with the first one it would be that of an older image.
    let back = format!("# Without the nested keys\n{first}");
    for (name, edits, snapshot, is_edited) in [
        ("live edits", LIVE_EDITS, first, true),
        ("keys that the snapshot lacks", &[], unspecified, false),
        ("nested keys of the snapshot", &[], nested, true),
        ("without the nested keys", &[], back, true),
    ] {
        for edit in edits {
            database.execute(edit).await?;
        }
        let sample = Sample::new()?.snapshot(snapshot);
        let ended = boot(test, name, &sample, &database).await?;
        let expected = if is_edited { "applied " } else { "no changes" };
        ended.expect(Phase::Schema, expected).with_context(|| name.to_owned())?;
        test.line(format!("{name}: {}", ended.schema_message()));
        let again = boot(test, &format!("{name}, second boot"), &sample, &database).await?;
        again.expect(Phase::Schema, "no changes").with_context(|| format!("{name}, second boot"))?;
        data_integrity::unchanged(&rows, &data_integrity::fingerprints(&database).await?)
            .with_context(|| name.to_owned())?;
        let now = EndState::of(&database).await?.without("last snapshot");
        if name == "nested keys of the snapshot" {
            expect_nested(&database).await?;
            for part in ["columns", "constraints", "indexes", "relations"] {
                ensure!(now.part(part) == state.part(part), "{name}: the {part} have changed");
            }
        } else {
            now.ensure_same_as(&state.clone().without("last snapshot")).with_context(|| name.to_owned())?;
        }
    }
    test.figure("live edits reverted", LIVE_EDITS.len().to_string());
    test.figure("kept", data_integrity::describe(&rows));
    Ok(())
}

/// Removes keys, like a tool that trims null and false, or a version of Directus that does not have these keys.
fn unspecified(mut snapshot: Value) -> Value {
    for (list, collection, field, group, key) in [
        ("collections", "laps", None, "meta", "preview_url"),
        ("collections", "cars", None, "meta", "translations"),
        ("collections", "cars", None, "meta", "versioning"),
        ("fields", "laps", Some("speed"), "schema", "is_indexed"),
        ("fields", "cars", Some("notes"), "schema", "is_indexed"),
        ("fields", "cars", Some("plate"), "schema", "is_unique"),
        ("fields", "cars", Some("notes"), "meta", "searchable"),
        ("fields", "laps", Some("speed"), "meta", "options"),
        ("relations", "laps", Some("car"), "meta", "sort_field"),
        ("relations", "laps", Some("car"), "schema", "on_update"),
    ] {
        remove(&mut entry(&mut snapshot, list, collection, field)[group], key);
    }
    snapshot
}

/// Adds and removes keys below the properties of `meta`.
fn nested(mut snapshot: Value) -> Value {
    let cars = &mut entry(&mut snapshot, "collections", "cars", None)["meta"]["translations"][0];
    *cars = with(cars.take(), json!({ "singular": "Auto", "plural": "Autos" }));
    let options = &mut entry(&mut snapshot, "fields", "laps", Some("speed"))["meta"]["options"];
    remove(options, "min");
    options["max"] = json!(300);
    entry(&mut snapshot, "fields", "laps", Some("note"))["meta"]["options"] = json!({ "iconLeft": "flag" });
    snapshot
}

/// Checks that the edits of [`nested`] are in the database.
async fn expect_nested(database: &TestDatabase) -> anyhow::Result<()> {
    for (query, expected) in [
        ("select translations -> 0 ->> 'plural' from directus_collections where collection = 'cars'", "Autos"),
        ("select options ->> 'max' from directus_fields where collection = 'laps' and field = 'speed'", "300"),
        ("select options ->> 'min' from directus_fields where collection = 'laps' and field = 'speed'", ""),
        ("select options ->> 'iconLeft' from directus_fields where collection = 'laps' and field = 'note'", "flag"),
    ] {
        let found = database.value(query).await?;
        ensure!(found == expected, "an edit was not applied: {query} is `{found}`, not `{expected}`");
    }
    Ok(())
}

async fn sound_snapshots(test: &mut TestContext) -> anyhow::Result<()> {
    let source = test.empty_database("source").await?;
    let server = test.start(Sample::new()?.container(test, "source", &source)).await?;
    server.serving().await?;
    let api = server.api().await?;
    let snapshot = rich_snapshot(&api, &source).await?;
    server.stop().await?;
    let whole = Sample::new()?.snapshot(&snapshot);
    let ended = boot(test, "on its own database", &whole, &source).await?;
    ended.expect(Phase::Schema, "no changes").context("on the database that the snapshot was saved from")?;

    let database = boots_twice(test, "as saved", snapshot.clone()).await?;
    let title = "insert into stages (title) values (default) returning title";
    let client = database.connect().await?;
    let title: String = client.query_one(title, &[]).await.context("failed to insert a row")?.get(0);
    ensure!(title == "it's", "the default value `it's` has become `{title}`");

    let mut bare = snapshot;
    remove(&mut bare, "systemFields");
    remove(&mut bare, "relations");
    let database = boots_twice(test, "envelope", json!({ "data": bare.clone() })).await?;
    let indexes = database.value(SYSTEM_INDEXES).await?;
    ensure!(indexes == "3", "without systemFields, {indexes} of Directus' 3 indexes exist");
    remove(&mut bare, "fields");
    boots_twice(test, "without fields and relations", bare).await?;

    let unreadable = Sample::new()?.snapshot("collections: [\n  - {{{");
    let spec = unreadable.boot(test, "unreadable", &source).variable("SCHEMA_APPLY_MODE", "skip");
    test.run(spec).await?.expect_success("skip with an unreadable snapshot")?;
    let spec = whole.boot(test, "no-snapshot", &source).variable("SCHEMA_APPLY_MODE", "skip");
    let spec = spec.variable("BOOT_SNAPSHOT_FILE", "/nowhere/schema.yaml");
    test.run(spec).await?.expect_success("skip without a snapshot")?;
    test.figure("SCHEMA_APPLY_MODE=skip", "needs no readable snapshot");
    Ok(())
}

/// Number of the indexes in the `systemFields` of a snapshot that exist.
const SYSTEM_INDEXES: &str = "select count(*) from pg_indexes where schemaname = 'public' and indexdef ~
    'directus_activity USING btree \\(\"timestamp\"\\)|directus_revisions USING btree \\((activity|parent)\\)'";

/// Creates a schema that earlier versions of the image could not boot, and has Directus save its snapshot.
async fn rich_snapshot(api: &Api, database: &TestDatabase) -> anyhow::Result<Value> {
    let stages = json!({
        "collection": "stages", "meta": {}, "schema": {}, "fields": [
            column("id", "integer", json!({ "is_primary_key": true, "has_auto_increment": true })),
            column("title", "string", json!({ "default_value": "it's" })),
            column("data", "json", json!({})),
            column("lap", "integer", json!({})),
        ],
    });
    api.post("/collections", stages).await?;
    let relation =
        json!({ "collection": "stages", "field": "lap", "related_collection": "laps", "meta": {}, "schema": {} });
    api.post("/relations", relation).await?;
    database
        .execute(
            "alter table stages drop constraint stages_lap_foreign;
             update directus_fields set special = null where collection = 'stages' and field = 'data';
             alter table stages add column seen timestamptz default now(), add column rank smallint default 3,
                 add column extra jsonb default '{}';
             insert into directus_fields (collection, field, interface) values
                 ('stages', 'seen', 'datetime'), ('stages', 'rank', 'input'), ('stages', 'extra', 'input-code')",
        )
        .await?;
    api.post("/utils/cache/clear?system", json!({})).await?;
    let mut snapshot = api.get("/schema/snapshot").await?;
    let relation = entry(&mut snapshot, "relations", "stages", Some("lap"));
    ensure!(relation["schema"].is_null(), "the saved relation has a foreign key: {relation}");
    for (field, kind) in [("data", "json"), ("seen", "timestamp"), ("rank", "integer"), ("extra", "json")] {
        let saved = entry(&mut snapshot, "fields", "stages", Some(field));
        ensure!(saved["type"] == kind, "stages.{field} is saved as {}", saved["type"]);
        ensure!(saved["meta"]["special"].is_null(), "stages.{field} is saved with a special: {saved}");
    }
    Ok(snapshot)
}

/// A field for the API.
fn column(name: &str, kind: &str, schema: Value) -> Value {
    json!({ "field": name, "type": kind, "meta": {}, "schema": schema })
}

/// Boots a snapshot twice on an empty database.
async fn boots_twice(test: &mut TestContext, name: &str, snapshot: Value) -> anyhow::Result<TestDatabase> {
    let database = test.empty_database(name).await?;
    let sample = Sample::new()?.snapshot(snapshot);
    let ended = boot(test, name, &sample, &database).await?;
    test.line(format!("{name}: {}", ended.schema_message()));
    let again = boot(test, &format!("{name}, second boot"), &sample, &database).await?;
    again.expect(Phase::Schema, "no changes").with_context(|| format!("{name}, second boot"))?;
    Ok(database)
}

/// Boots; the exit code must be 0.
async fn boot(
    test: &mut TestContext,
    name: &str,
    sample: &Sample,
    database: &TestDatabase,
) -> anyhow::Result<EndedContainer> {
    let ended = test.run(sample.boot(test, &name.replace([' ', ','], "-"), database)).await?;
    ended.expect_success(name)?;
    Ok(ended)
}
