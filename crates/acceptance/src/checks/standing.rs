//! What a boot makes of a database that is ahead, edited, or only to be looked at.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use contract::{DB_INIT_DIR, ExitCode, Phase, SNAPSHOT_FILE};
use serde_json::{Value, json};

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::database::Database;
use crate::rows;
use crate::setting::PATIENCE;
use testbed::api::Api;
use testbed::schema::Schema;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "no-node",
        promise: "A boot with nothing to do starts no Node process and waits for no lock.",
        needs: Need::Nothing,
        run: |case| Box::pin(no_node(case)),
    },
    Check {
        name: "live-edits",
        promise: "Whatever is edited live in the schema is noticed by the next boot, and rows are not taken for edits.",
        needs: Need::Nothing,
        run: |case| Box::pin(live_edits(case)),
    },
    Check {
        name: "plan",
        promise: "plan says what a boot would do, with an exit code for each kind, and changes nothing.",
        needs: Need::Nothing,
        run: |case| Box::pin(plan(case)),
    },
    Check {
        name: "older-image",
        promise: "An older image on a newer database applies nothing and serves, unless the newer one forbids it.",
        needs: Need::Nothing,
        run: |case| Box::pin(older_image(case)),
    },
];

async fn no_node(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let holder = database.connect().await?;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await?;
    // Where there is no PATH, there is no node to be found.
    let spec = case.boot("without-node", &database).variable("PATH", "/nowhere").command(["boot"]);
    let ended = case.start(spec).await?.ended(PATIENCE).await?;
    ensure!(ended.code == 0, "it ended with {}: {}", ended.code, ended.last_line());
    ended.expect(Phase::Lock, "not needed")?;
    ended.expect(Phase::Schema, "no changes")?;
    case.line(ended.last_line());
    case.evidence.boots.push(ended.timeline("without-node"));
    Ok(())
}

/// What somebody may do to a schema: through Directus, or behind its back.
const EDITS: &[(&str, Edit)] = &[
    (
        "a collection is made",
        Edit::Post(
            "/collections",
            r#"{"collection": "live", "meta": {}, "schema": {}, "fields": [
        {"field": "id", "type": "integer", "meta": {}, "schema": {"is_primary_key": true, "has_auto_increment": true}}]}"#,
        ),
    ),
    ("a folder is made", Edit::Post("/collections", r#"{"collection": "folder", "meta": {}, "schema": null}"#)),
    ("a collection's note is changed", Edit::Patch("/collections/{a}", r#"{"meta": {"note": "edited"}}"#)),
    ("a field is made", Edit::Post("/fields/{a}", r#"{"field": "live", "type": "string", "schema": {}}"#)),
    (
        "an alias field is made",
        Edit::Post(
            "/fields/{a}",
            r#"{"field": "line", "type": "alias", "meta": {"special": ["alias", "no-data"], "interface": "presentation-divider"}}"#,
        ),
    ),
    ("a field's interface is changed", Edit::Patch("/fields/{a}/live", r#"{"meta": {"interface": "input-code"}}"#)),
    ("a field is made longer", Edit::Patch("/fields/{a}/live", r#"{"schema": {"max_length": 300}}"#)),
    ("a field is made required", Edit::Patch("/fields/{a}/live", r#"{"schema": {"is_nullable": false}}"#)),
    ("a field gets a default", Edit::Patch("/fields/{a}/live", r#"{"schema": {"default_value": "x"}}"#)),
    ("a field is made unique", Edit::Patch("/fields/{a}/live", r#"{"schema": {"is_unique": true}}"#)),
    (
        "a foreign key's field is made",
        Edit::Post("/fields/live", r#"{"field": "event", "type": "{key}", "meta": {}, "schema": {}}"#),
    ),
    (
        "a relation is made",
        Edit::Post(
            "/relations",
            r#"{"collection": "live", "field": "event", "related_collection": "{a}", "schema": {}, "meta": {}}"#,
        ),
    ),
    ("a relation's rule is changed", Edit::Patch("/relations/live/event", r#"{"schema": {"on_delete": "CASCADE"}}"#)),
    ("a relation is deleted", Edit::Delete("/relations/live/event")),
    ("a field is deleted", Edit::Delete("/fields/{a}/live")),
    ("a collection is deleted", Edit::Delete("/collections/live")),
    (
        "a field of a system collection is made",
        Edit::Post("/fields/directus_users", r#"{"field": "badge", "type": "string", "schema": {}}"#),
    ),
    ("SQL: a column is added", Edit::Sql("alter table {b} add column behind int")),
    ("SQL: a column's type is changed", Edit::Sql("alter table {b} alter column behind type bigint")),
    ("SQL: a column is renamed", Edit::Sql("alter table {b} rename column behind to renamed")),
    ("SQL: a column is commented on", Edit::Sql("comment on column {b}.renamed is 'seen'")),
    (
        "SQL: a column becomes generated",
        Edit::Sql("alter table {b} add column twice int generated always as (renamed * 2) stored"),
    ),
    ("SQL: an index is made", Edit::Sql("create index live_index on {b} (renamed)")),
    ("SQL: an index is dropped", Edit::Sql("drop index live_index")),
    ("SQL: a column is dropped", Edit::Sql("alter table {b} drop column renamed cascade")),
    (
        "SQL: a foreign key is dropped",
        Edit::Sql(
            "do $$ begin execute (select format('alter table %s drop constraint %I', conrelid::regclass, conname)
         from pg_constraint join pg_class c on c.oid = conrelid
         where contype = 'f' and relnamespace = 'public'::regnamespace and relname not like 'directus%' limit 1); end $$",
        ),
    ),
    ("SQL: a table is renamed", Edit::Sql("alter table {b} rename to renamed_table")),
    (
        "SQL: a row about a field is lost",
        Edit::Sql("delete from directus_fields where id = (select min(id) from directus_fields)"),
    ),
    ("SQL: a table has its name again", Edit::Sql("alter table renamed_table rename to {b}")),
    ("SQL: a table is dropped", Edit::Sql("drop table {b} cascade")),
];

/// One live edit.
enum Edit {
    Post(&'static str, &'static str),
    Patch(&'static str, &'static str),
    Delete(&'static str),
    Sql(&'static str),
}

async fn live_edits(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let container = case.start(case.boot("directus", &database)).await?;
    container.serving().await?;
    let api = container.api().await?;
    let (state, mut before) = standing(&container).await?;
    ensure!(state == "in place", "before any edit the schema is said to be {state}");

    // Rows are what a database is for: none of this may cost the next boot anything.
    rows::fill(&database).await?;
    database.execute("vacuum analyze").await?;
    let (state, after) = standing(&container).await?;
    ensure!(state == "in place" && after == before, "rows are taken for an edit: {state}");

    let edited = Edited::of_snapshot()?;
    // Directus makes no field required or unique that rows are in the way of.
    database.execute(&edited.fill_in("truncate {a} cascade")).await?;
    for (what, edit) in EDITS {
        make(edit, &edited, &api, &database).await.with_context(|| (*what).to_owned())?;
        let (state, after) = standing(&container).await?;
        ensure!(state == "applied, and edited since", "{what}, and the schema is said to be {state}");
        ensure!(after != before, "{what}, and the fingerprint is still {after}");
        before = after;
    }
    case.figure("edits noticed", format!("{} of {}", EDITS.len(), EDITS.len()));
    for (what, _) in EDITS {
        case.line(*what);
    }
    Ok(())
}

async fn make(edit: &Edit, edited: &Edited, api: &Api, database: &Database) -> anyhow::Result<()> {
    let json = |text: &str| serde_json::from_str(&edited.fill_in(text));
    match edit {
        Edit::Post(path, body) => api.post(&edited.fill_in(path), json(body)?).await.map(drop),
        Edit::Patch(path, body) => api.patch(&edited.fill_in(path), json(body)?).await.map(drop),
        Edit::Delete(path) => api.delete(&edited.fill_in(path)).await,
        Edit::Sql(statement) => database.execute(&edited.fill_in(statement)).await,
    }
}

/// What `status` says of the schema: in words, and its fingerprint.
async fn standing(container: &Container) -> anyhow::Result<(String, String)> {
    let document = report(container, "status", 0).await?;
    let text =
        |name: &str| document[name].as_str().map(str::to_owned).with_context(|| format!("no {name}: {document}"));
    Ok((text("schema")?, text("fingerprint")?))
}

/// Runs `plan` or `status` in a container; the exit code must be this.
async fn report(container: &Container, kind: &str, wanted: i64) -> anyhow::Result<Value> {
    let (code, said) = container.exec(&[contract::BINARY, kind, "--json"]).await?;
    ensure!(code == wanted, "{kind} ended with {code}, not {wanted}: {said}");
    let line =
        said.lines().find(|line| line.starts_with('{')).with_context(|| format!("{kind} wrote no JSON: {said}"))?;
    serde_json::from_str(line).with_context(|| format!("{kind} wrote no JSON: {line}"))
}

async fn plan(case: &mut Case) -> anyhow::Result<()> {
    let idle = |case: &Case, name: &str, database: &Database| case.boot(name, database).command(["sleep", "600"]);
    let pending = i64::from(ExitCode::ChangesPending.code());

    let empty = case.empty_database().await?;
    let container = case.start(idle(case, "empty", &empty)).await?;
    let before = case.dump(&empty).await?;
    let document = report(&container, "plan", pending).await?;
    ensure!(document["bootstrap"]["install"] == true, "an empty database needs no installation: {document}");
    ensure!(case.dump(&empty).await? == before, "plan has changed an empty database");
    case.figure("empty database", "exit 2, all of it pending, pg_dump before and after identical");

    let database = case.booted_database_of("booted").await?;
    rows::fill(&database).await?;
    let server = case.start(case.boot("directus", &database)).await?;
    server.serving().await?;
    let before = case.dump(&database).await?;
    let began = Instant::now();
    report(&server, "plan", 0).await?;
    case.figure("up to date", format!("exit 0 after {}", ui::seconds(began.elapsed())));

    let new = case.start(
        idle(case, "new-migration", &database)
            .file(&format!("{DB_INIT_DIR}/900_new.sql"), "create table fresh (id int);\n"),
    );
    let document = report(&new.await?, "plan", pending).await?;
    ensure!(document["dbInit"]["apply"] == json!(["900_new.sql"]), "the new file is not pending: {document}");
    case.figure("new migration", "exit 2");

    let longer = case.start(idle(case, "new-snapshot", &database).file(SNAPSHOT_FILE, newer_snapshot()?)).await?;
    let document = report(&longer, "plan", pending).await?;
    let changes = document["schema"]["changes"].as_array().map_or(0, Vec::len);
    ensure!(changes > 0 && document["schema"]["drift"] == false, "the new snapshot changes nothing: {document}");
    case.figure("new snapshot", format!("exit 2, {changes} changes"));
    ensure!(case.dump(&database).await? == before, "plan has changed a database");

    let api = server.api().await?;
    let Edited { a, .. } = Edited::of_snapshot()?;
    api.patch(&format!("/collections/{a}"), json!({ "meta": { "note": "edited" } })).await?;
    let before = case.dump(&database).await?;
    report(&server, "plan", i64::from(ExitCode::Drift.code())).await?;
    api.post(&format!("/fields/{a}"), json!({ "field": "live", "type": "string", "meta": {}, "schema": {} })).await?;
    let after_edit = case.dump(&database).await?;
    ensure!(after_edit != before, "pg_dump does not see an edit");
    let document = report(&server, "plan", i64::from(ExitCode::SchemaRefused.code())).await?;
    let losses = document["schema"]["losses"].to_string();
    ensure!(
        losses.contains(&format!("delete field {a}.live (0 values)")),
        "the refusal does not name what it is about: {losses}"
    );
    ensure!(case.dump(&database).await? == after_edit, "plan has changed an edited database");
    case.figure("edited live", "exit 3 for a note, 43 for a field");
    case.figure("pg_dump", "identical before and after each plan");
    Ok(())
}

async fn older_image(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    rows::fill(&database).await?;
    let file = format!("{DB_INIT_DIR}/900_newer.sql");
    let newer = |case: &Case, name: &str, sql: &str| {
        let spec = case.boot(name, &database).command(["boot"]).variable("BOOT_IMAGE", "2.0@newer");
        Ok::<BootSpec, anyhow::Error>(spec.file(&file, sql.to_owned()).file(SNAPSHOT_FILE, newer_snapshot()?))
    };
    let spec = newer(case, "newer", "create table newer (id int);\n")?;
    let ended = case.start(spec).await?.ended(PATIENCE).await?;
    ensure!(ended.code == 0, "the newer image ended with {}: {}", ended.code, ended.last_line());
    let before = rows::fingerprints(&database).await?;

    let container = case.start(case.boot("older", &database)).await?;
    container.serving().await?;
    container.api().await?;
    let log = container.log().await?;
    for words in ["warning: this image is older than the database", "2.0@newer", "older image, nothing applied"] {
        let line = log.iter().find(|line| line.contains(words));
        case.line(line.with_context(|| format!("the older image does not say `{words}`"))?);
    }
    let icons =
        database.value(&format!("select count(*) from directus_collections where icon = '{NEWER_ICON}'")).await?;
    ensure!(icons == "1", "the older image has set the schema back: {icons} collections have the newer icon");
    rows::unchanged(&before, &rows::fingerprints(&database).await?).context("after the older image's boot")?;

    let database = case.booted_database_of("refused").await?;
    let spec = case.boot("breaking", &database).command(["boot"]).variable("BOOT_IMAGE", "3.0@breaking");
    let spec = spec.file(&file, "-- breaks-older-images\ncreate table newer (id int);\n");
    let ended = case.start(spec).await?.ended(PATIENCE).await?;
    ensure!(ended.code == 0, "the breaking image ended with {}: {}", ended.code, ended.last_line());
    let refused = case.start(case.boot("refused", &database)).await?.ended(PATIENCE).await?;
    refused.expect_failure(Phase::DbInit, ExitCode::ImageTooOld, &["900_newer.sql", "3.0@breaking"])?;
    case.line(refused.last_line());
    Ok(())
}

const NEWER_ICON: &str = "sports_score";

/// The checkout's snapshot with another icon on a collection: a change that deletes and narrows nothing.
fn newer_snapshot() -> anyhow::Result<String> {
    let mut snapshot = Schema::snapshot_document()?;
    let Edited { a, .. } = Edited::of_snapshot()?;
    let collections = snapshot["collections"].as_array_mut().context("the snapshot has no collections")?;
    let collection = collections.iter_mut().find(|item| item["collection"] == *a).context("it was found before")?;
    collection["meta"]["icon"] = json!(NEWER_ICON);
    Ok(snapshot.to_string())
}

/// The collections that edits are made of.
struct Edited {
    a: String,
    /// The type of its primary key, in Directus' words.
    key: String,
    b: String,
}

impl Edited {
    fn of_snapshot() -> anyhow::Result<Edited> {
        let snapshot = Schema::snapshot()?;
        let tables = snapshot.tables();
        let a = (*tables.first().context("the snapshot has no collection with a table")?).to_owned();
        let key = snapshot.key_type(&a).with_context(|| format!("{a} has no primary key"))?.to_owned();
        let b = (*tables.last().context("there is a first one")?).to_owned();
        Ok(Edited { a, key, b })
    }

    /// Names them in a text.
    fn fill_in(&self, text: &str) -> String {
        text.replace("{a}", &self.a).replace("{b}", &self.b).replace("{key}", &self.key)
    }
}
