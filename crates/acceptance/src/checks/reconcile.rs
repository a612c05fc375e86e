//! Boots of an up-to-date, an edited and a newer database, and plans, which change nothing.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use contract::{DB_INIT_DIR, ExitCode, Phase, SNAPSHOT_FILE};
use serde_json::{Value, json};

use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::data_integrity;
use crate::database::TestDatabase;
use crate::test_context::TestContext;
use testbed::api::Api;
use testbed::schema::DataModel;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "no-node",
        promise: "A boot with nothing to do starts no Node process and waits for no lock.",
        needs: Need::Nothing,
        run: |test| Box::pin(no_node(test)),
    },
    Check {
        name: "live-edits",
        promise: "The next boot notices every live edit of the schema, and does not mistake changed rows for edits.",
        needs: Need::Nothing,
        run: |test| Box::pin(live_edits(test)),
    },
    Check {
        name: "plan",
        promise: "`entrypoint plan` reports the next boot's changes with an exit code per kind, and changes nothing.",
        needs: Need::Nothing,
        run: |test| Box::pin(plan(test)),
    },
    Check {
        name: "older-image",
        promise: "An older image applies nothing to a newer database and serves it, unless the newer one forbids it.",
        needs: Need::Nothing,
        run: |test| Box::pin(older_image(test)),
    },
];

async fn no_node(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let holder = database.connect().await?;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await?;
    // With this PATH, the boot cannot find node.
    let spec = test.boot("without-node", &database).variable("PATH", "/nowhere").command(["boot"]);
    let ended = test.run(spec).await?;
    ended.expect_success("the boot")?;
    ended.expect(Phase::Lock, "not needed")?;
    ended.expect(Phase::Schema, "no changes")?;
    test.line(ended.last_line());
    test.evidence.boots.push(ended.timeline("without-node"));
    Ok(())
}

/// Live edits of a schema, through Directus or behind its back.
const EDITS: &[(&str, LiveEdit)] = &[
    (
        "a collection is created",
        LiveEdit::Post(
            "/collections",
            r#"{"collection": "live", "meta": {}, "schema": {}, "fields": [
        {"field": "id", "type": "integer", "meta": {}, "schema": {"is_primary_key": true, "has_auto_increment": true}}]}"#,
        ),
    ),
    ("a folder is created", LiveEdit::Post("/collections", r#"{"collection": "folder", "meta": {}, "schema": null}"#)),
    ("a collection's note is changed", LiveEdit::Patch("/collections/{a}", r#"{"meta": {"note": "edited"}}"#)),
    ("a field is created", LiveEdit::Post("/fields/{a}", r#"{"field": "live", "type": "string", "schema": {}}"#)),
    (
        "an alias field is created",
        LiveEdit::Post(
            "/fields/{a}",
            r#"{"field": "line", "type": "alias", "meta": {"special": ["alias", "no-data"], "interface": "presentation-divider"}}"#,
        ),
    ),
    ("a field's interface is changed", LiveEdit::Patch("/fields/{a}/live", r#"{"meta": {"interface": "input-code"}}"#)),
    ("a field is made longer", LiveEdit::Patch("/fields/{a}/live", r#"{"schema": {"max_length": 300}}"#)),
    ("a field is made required", LiveEdit::Patch("/fields/{a}/live", r#"{"schema": {"is_nullable": false}}"#)),
    ("a field gets a default", LiveEdit::Patch("/fields/{a}/live", r#"{"schema": {"default_value": "x"}}"#)),
    ("a field is made unique", LiveEdit::Patch("/fields/{a}/live", r#"{"schema": {"is_unique": true}}"#)),
    (
        "a field for a foreign key is created",
        LiveEdit::Post("/fields/live", r#"{"field": "event", "type": "{key}", "meta": {}, "schema": {}}"#),
    ),
    (
        "a relation is created",
        LiveEdit::Post(
            "/relations",
            r#"{"collection": "live", "field": "event", "related_collection": "{a}", "schema": {}, "meta": {}}"#,
        ),
    ),
    ("a relation's rule is changed", LiveEdit::Patch("/relations/live/event", r#"{"schema": {"on_delete": "CASCADE"}}"#)),
    ("a relation is deleted", LiveEdit::Delete("/relations/live/event")),
    ("a field is deleted", LiveEdit::Delete("/fields/{a}/live")),
    ("a collection is deleted", LiveEdit::Delete("/collections/live")),
    (
        "a field of a system collection is created",
        LiveEdit::Post("/fields/directus_users", r#"{"field": "badge", "type": "string", "schema": {}}"#),
    ),
    ("SQL: a column is added", LiveEdit::Sql("alter table {b} add column behind int")),
    ("SQL: a column's type is changed", LiveEdit::Sql("alter table {b} alter column behind type bigint")),
    ("SQL: a column is renamed", LiveEdit::Sql("alter table {b} rename column behind to renamed")),
    ("SQL: a column is commented on", LiveEdit::Sql("comment on column {b}.renamed is 'seen'")),
    (
        "SQL: a column becomes generated",
        LiveEdit::Sql("alter table {b} add column twice int generated always as (renamed * 2) stored"),
    ),
    ("SQL: an index is created", LiveEdit::Sql("create index live_index on {b} (renamed)")),
    ("SQL: an index is dropped", LiveEdit::Sql("drop index live_index")),
    ("SQL: a column is dropped", LiveEdit::Sql("alter table {b} drop column renamed cascade")),
    (
        "SQL: a foreign key is dropped",
        LiveEdit::Sql(
            "do $$ begin execute (select format('alter table %s drop constraint %I', conrelid::regclass, conname)
         from pg_constraint join pg_class c on c.oid = conrelid
         where contype = 'f' and relnamespace = 'public'::regnamespace and relname not like 'directus%' limit 1); end $$",
        ),
    ),
    ("SQL: a table is renamed", LiveEdit::Sql("alter table {b} rename to renamed_table")),
    (
        "SQL: a row of directus_fields is deleted",
        LiveEdit::Sql("delete from directus_fields where id = (select min(id) from directus_fields)"),
    ),
    ("SQL: a table is renamed back", LiveEdit::Sql("alter table renamed_table rename to {b}")),
    ("SQL: a table is dropped", LiveEdit::Sql("drop table {b} cascade")),
];

/// One live edit; paths, bodies and statements contain placeholders of [`EditTargets`].
enum LiveEdit {
    Post(&'static str, &'static str),
    Patch(&'static str, &'static str),
    Delete(&'static str),
    Sql(&'static str),
}

async fn live_edits(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let container = test.start(test.boot("directus", &database)).await?;
    container.serving().await?;
    let api = container.api().await?;
    let (state, mut before) = schema_status(&container).await?;
    ensure!(state == "in place", "before any edit the schema is reported as {state}");

    // Rows and statistics are no part of the schema: they must not change its fingerprint.
    data_integrity::fill(&database).await?;
    database.execute("vacuum analyze").await?;
    let (state, after) = schema_status(&container).await?;
    ensure!(
        state == "in place" && after == before,
        "rows are taken for an edit of the schema, which is reported as {state}"
    );

    let targets = EditTargets::of_snapshot()?;
    // Directus refuses to make a field required or unique if existing rows violate that.
    database.execute(&targets.fill_in("truncate {a} cascade")).await?;
    for (name, edit) in EDITS {
        apply(edit, &targets, &api, &database).await.with_context(|| (*name).to_owned())?;
        let (state, after) = schema_status(&container).await?;
        ensure!(state == "applied, and edited since", "{name}, but the schema is reported as {state}");
        ensure!(after != before, "{name}, but the fingerprint is still {after}");
        before = after;
    }
    test.figure("edits noticed", format!("{} of {}", EDITS.len(), EDITS.len()));
    for (name, _) in EDITS {
        test.line(*name);
    }
    Ok(())
}

async fn apply(edit: &LiveEdit, targets: &EditTargets, api: &Api, database: &TestDatabase) -> anyhow::Result<()> {
    match edit {
        LiveEdit::Post(path, body) => api.post(&targets.fill_in(path), targets.json(body)?).await.map(drop),
        LiveEdit::Patch(path, body) => api.patch(&targets.fill_in(path), targets.json(body)?).await.map(drop),
        LiveEdit::Delete(path) => api.delete(&targets.fill_in(path)).await,
        LiveEdit::Sql(statement) => database.execute(&targets.fill_in(statement)).await,
    }
}

/// The state and the fingerprint of the schema, as `status` reports them.
async fn schema_status(container: &Container) -> anyhow::Result<(String, String)> {
    let document = report(container, "status", 0).await?;
    let fields = document["schema"].as_str().zip(document["fingerprint"].as_str());
    let (state, fingerprint) = fields.with_context(|| format!("status has no schema or no fingerprint: {document}"))?;
    Ok((state.to_owned(), fingerprint.to_owned()))
}

/// Runs `plan` or `status` in a container, and checks the exit code.
async fn report(container: &Container, command: &str, exit: i64) -> anyhow::Result<Value> {
    let (code, document) = container.json(&[command, "--json"]).await?;
    ensure!(code == exit, "{command} ended with {code}, not {exit}: {document}");
    Ok(document)
}

/// A container in which `plan` can be run, without a boot.
fn idle(test: &TestContext, name: &str, database: &TestDatabase) -> BootSpec {
    test.boot(name, database).command(["sleep", "600"])
}

async fn plan(test: &mut TestContext) -> anyhow::Result<()> {
    let pending = i64::from(ExitCode::ChangesPending.code());

    let empty = test.empty_database("empty").await?;
    let container = test.start(idle(test, "empty", &empty)).await?;
    let before = test.dump(&empty).await?;
    let document = report(&container, "plan", pending).await?;
    ensure!(document["bootstrap"]["install"] == true, "the plan for an empty database has no installation: {document}");
    test.expect_same_dump(&empty, &before, "plan has changed an empty database").await?;
    test.figure("empty database", "exit code 2, everything pending, pg_dump identical before and after");

    let database = test.booted_database("booted").await?;
    data_integrity::fill(&database).await?;
    let server = test.start(test.boot("directus", &database)).await?;
    server.serving().await?;
    let before = test.dump(&database).await?;
    let began = Instant::now();
    report(&server, "plan", 0).await?;
    test.figure("up to date", format!("exit code 0 after {}", ui::seconds(began.elapsed())));

    let file = format!("{DB_INIT_DIR}/900_new.sql");
    let spec = idle(test, "new-migration", &database).file(&file, "create table fresh (id int);\n");
    let document = report(&test.start(spec).await?, "plan", pending).await?;
    ensure!(document["dbInit"]["apply"] == json!(["900_new.sql"]), "the new file is not pending: {document}");
    test.figure("new migration", "exit code 2");

    let spec = idle(test, "new-snapshot", &database).file(SNAPSHOT_FILE, newer_snapshot()?);
    let document = report(&test.start(spec).await?, "plan", pending).await?;
    let changes = document["schema"]["changes"].as_array().map_or(0, Vec::len);
    ensure!(changes > 0 && document["schema"]["drift"] == false, "the new snapshot changes nothing: {document}");
    test.figure("new snapshot", format!("exit code 2, {changes} changes"));
    test.expect_same_dump(&database, &before, "plan has changed a database").await?;

    let api = server.api().await?;
    let EditTargets { a, .. } = EditTargets::of_snapshot()?;
    api.patch(&format!("/collections/{a}"), json!({ "meta": { "note": "edited" } })).await?;
    let before = test.dump(&database).await?;
    report(&server, "plan", i64::from(ExitCode::Drift.code())).await?;
    api.post(&format!("/fields/{a}"), json!({ "field": "live", "type": "string", "meta": {}, "schema": {} })).await?;
    let after_edit = test.dump(&database).await?;
    ensure!(after_edit != before, "pg_dump does not contain the edit");
    let document = report(&server, "plan", i64::from(ExitCode::SchemaRefused.code())).await?;
    let losses = document["schema"]["losses"].to_string();
    ensure!(
        losses.contains(&format!("delete field {a}.live (no values)")),
        "the refusal does not name the deleted field: {losses}"
    );
    test.expect_same_dump(&database, &after_edit, "plan has changed an edited database").await?;
    test.figure("edited live", "exit code 3 for a note, 43 for a field");
    test.figure("pg_dump", "identical before and after each plan");
    Ok(())
}

async fn older_image(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    data_integrity::fill(&database).await?;
    let file = format!("{DB_INIT_DIR}/900_newer.sql");
    let spec = test.boot("newer", &database).command(["boot"]).variable("BOOT_IMAGE", "2.0@newer");
    let spec = spec.file(&file, "create table newer (id int);\n").file(SNAPSHOT_FILE, newer_snapshot()?);
    test.run(spec).await?.expect_success("the newer image")?;
    let before = data_integrity::fingerprints(&database).await?;

    let container = test.start(test.boot("older", &database)).await?;
    container.serving().await?;
    container.api().await?;
    let log = container.log().await?;
    for words in ["warning: this image is older than the database", "2.0@newer", "older image, nothing applied"] {
        test.line_with(&log, words).context("the older image")?;
    }
    let icons =
        database.value(&format!("select count(*) from directus_collections where icon = '{NEWER_ICON}'")).await?;
    ensure!(icons == "1", "the older image has reverted the schema: {icons} collections have the newer icon");
    data_integrity::unchanged(&before, &data_integrity::fingerprints(&database).await?)
        .context("after the older image's boot")?;

    let database = test.booted_database("refused").await?;
    let spec = test.boot("breaking", &database).command(["boot"]).variable("BOOT_IMAGE", "3.0@breaking");
    let spec = spec.file(&file, "-- breaks-older-images\ncreate table newer (id int);\n");
    test.run(spec).await?.expect_success("the breaking image")?;
    let refused = test.run(test.boot("refused", &database)).await?;
    refused.expect_failure(Phase::DbInit, ExitCode::ImageTooOld, &["900_newer.sql", "3.0@breaking"])?;
    test.line(refused.last_line());
    Ok(())
}

const NEWER_ICON: &str = "sports_score";

/// The checkout's snapshot with another icon on a collection: a change without any loss.
fn newer_snapshot() -> anyhow::Result<String> {
    let mut snapshot = DataModel::snapshot_document()?;
    let EditTargets { a, .. } = EditTargets::of_snapshot()?;
    let collections = snapshot["collections"].as_array_mut().context("the snapshot has no collections")?;
    let collection = collections
        .iter_mut()
        .find(|item| item["collection"] == *a)
        .with_context(|| format!("the snapshot has no {a}"))?;
    collection["meta"]["icon"] = json!(NEWER_ICON);
    Ok(snapshot.to_string())
}

/// The collections that live edits change.
struct EditTargets {
    a: String,
    /// Directus' type of the primary key of `a`.
    key: String,
    b: String,
}

impl EditTargets {
    fn of_snapshot() -> anyhow::Result<EditTargets> {
        let snapshot = DataModel::snapshot()?;
        let tables = snapshot.tables();
        let ends = tables.first().zip(tables.last());
        let (a, b) = ends.context("the snapshot has no collection with a table")?;
        let key = snapshot.key_type(a).with_context(|| format!("{a} has no primary key"))?;
        Ok(EditTargets { a: (*a).to_owned(), key: key.to_owned(), b: (*b).to_owned() })
    }

    /// Replaces the placeholders in a text.
    fn fill_in(&self, text: &str) -> String {
        text.replace("{a}", &self.a).replace("{b}", &self.b).replace("{key}", &self.key)
    }

    fn json(&self, text: &str) -> serde_json::Result<Value> {
        serde_json::from_str(&self.fill_in(text))
    }
}
