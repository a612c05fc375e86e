//! Decisions from the state of a database: nothing to do, an older image, a newer Directus, a variable of the operator.
//! `plan` and `status` report them and change nothing.

mod common;

use std::process::Command;

use common::{Database, Image, run};
use contract::ExitCode;
use serde_json::{Value, json};

/// Boots an image, so that the next boot has nothing to do.
async fn booted() -> (Database, Image) {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    (database, image)
}

/// Boots with a PATH that has no Node.
fn run_without_node(image: &Image, database: &Database) -> common::BootResult {
    run(image.boot(database.url()).env("PATH", "/nowhere"))
}

/// Runs a subcommand that prints JSON, and returns its exit code and the document.
fn run_json(command: &mut Command) -> (i32, Value) {
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{command:?} did not print JSON ({error}): {text}\n{}", String::from_utf8_lossy(&output.stderr))
    });
    (output.status.code().expect("it exits"), document)
}

fn plan(image: &Image, database: &Database) -> (i32, Value) {
    run_json(&mut image.command(database.url(), &["plan", "--json"]))
}

#[tokio::test]
async fn boot_with_nothing_to_do_starts_no_node_and_takes_no_lock() {
    let (database, image) = booted().await;
    let holder = database.connect().await;
    let key = contract::LOCK_KEY;
    holder.execute("select pg_advisory_lock($1)", &[&key]).await.expect("free");
    let ended = run_without_node(&image, &database);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("3/8 lock: not needed"), "{}", ended.output);
    assert!(ended.output.contains("4/8 db-init: 0 applied, 2 skipped"), "{}", ended.output);
}

#[tokio::test]
async fn edit_of_the_schema_makes_directus_compare_again() {
    for edit in [
        "update directus_collections set note = 'edited'",
        "insert into directus_fields (collection, field) values ('laps', 'x')",
        "delete from directus_relations",
        "alter table laps add column x int",
        "alter table laps alter column speed set not null",
        "alter table laps alter column speed type double precision",
        "alter table laps alter column speed set default 1",
        "create unique index on laps (speed)",
        "alter table laps rename column speed to velocity",
        "alter table laps rename to rounds",
        "comment on column laps.speed is 'km/h'",
        "create index on directus_users (role)",
    ] {
        let (database, image) = (Database::bootstrapped().await, Image::new());
        let client = database.connect().await;
        client
            .batch_execute(
                "insert into directus_collections values ('laps'); insert into directus_relations
                 (many_collection, many_field) values ('laps', 'entry')",
            )
            .await
            .expect("tables");
        assert_eq!(run(&mut image.boot(database.url())).code, 0);
        assert_eq!(run_without_node(&image, &database).code, 0);
        client.batch_execute(edit).await.unwrap_or_else(|error| panic!("{edit}: {error}"));
        let ended = run_without_node(&image, &database);
        ended.assert_failed("schema", ExitCode::SchemaFailed, &["cannot start node"]);
        // After a comparison without differences the new state is recorded.
        let compared = run(&mut image.boot(database.url()));
        assert_eq!(compared.code, 0, "{edit}: {}", compared.output);
        assert_eq!(run_without_node(&image, &database).code, 0, "{edit}");
    }
}

#[tokio::test]
async fn edit_of_the_ledger_is_noticed() {
    let (database, image) = booted().await;
    let client = database.connect().await;
    client.execute("update boot.migrations set checksum = repeat('0', 64)", &[]).await.expect("rows");
    run_without_node(&image, &database).assert_failed("db-init", ExitCode::MigrationsInvalid, &["was edited after"]);

    let (database, image) = booted().await;
    let client = database.connect().await;
    let forgotten = "delete from boot.migrations where filename = '002_speed.sql'";
    assert_eq!(client.execute(forgotten, &[]).await.expect("rows"), 1);
    let ended = run_without_node(&image, &database);
    assert!(!ended.output.contains("3/8 lock: not needed"), "{}", ended.output);

    let (database, image) = booted().await;
    let client = database.connect().await;
    let more = "insert into boot.migrations (phase, filename, checksum, duration_ms, image)
                values ('db-init', '000_more.sql', '', 0, 'another')";
    client.execute(more, &[]).await.expect("a row");
    let expected = ["000_more.sql was applied, but is not in this image"];
    run_without_node(&image, &database).assert_failed("db-init", ExitCode::MigrationsInvalid, &expected);
}

#[tokio::test]
async fn database_of_an_earlier_boot_version_is_compared_once() {
    let (database, image) = booted().await;
    let client = database.connect().await;
    client.execute("alter table boot.snapshots drop column ledger", &[]).await.expect("a column");
    for expected in ["3/8 lock: free", "3/8 lock: not needed"] {
        let ended = run_without_node(&image, &database);
        assert_eq!(ended.code, 0, "{}", ended.output);
        assert!(ended.output.contains(expected), "{}", ended.output);
    }
}

#[tokio::test]
async fn rows_of_users_and_of_tracked_tables_are_not_an_edit() {
    let (database, image) = booted().await;
    let client = database.connect().await;
    client
        .batch_execute(
            "insert into laps values (1, 2); analyze laps; create table elsewhere (id int);
             insert into directus_users values (gen_random_uuid(), null, 'active')",
        )
        .await
        .expect("tables");
    client.batch_execute("vacuum analyze").await.expect("outside a transaction");
    assert_eq!(run_without_node(&image, &database).code, 0);
}

#[tokio::test]
async fn sql_alone_needs_no_node_unless_it_touches_the_schema() {
    let (database, image) = booted().await;
    image.write("db-init/003_other.sql", "create table other (id int);");
    let ended = run_without_node(&image, &database);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("4/8 db-init: 1 applied, 2 skipped"), "{}", ended.output);
    assert_eq!(run_without_node(&image, &database).code, 0);

    image.write("db-init/004_touches.sql", "update directus_collections set note = note; create table directus_x ();");
    run_without_node(&image, &database).assert_failed("schema", ExitCode::SchemaFailed, &["cannot start node"]);
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
}

#[tokio::test]
async fn post_schema_sql_that_changes_a_table_of_the_snapshot_is_detected() {
    let (database, image) = booted().await;
    image.write("db-init/post-schema/002_drops.sql", "create table directus_y ();");
    let drops = json!({"entity": "field", "collection": "laps", "field": "speed", "diff": [{"kind": "N"}]});
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": [drops]}}});
    let ended = image.run_with(&database, &replies);
    ended.assert_failed("post-schema", ExitCode::SchemaDiverged, &["the SQL after the schema changed laps.speed"]);
}

#[tokio::test]
async fn older_image_applies_nothing_warns_and_succeeds() {
    let (database, image) = booted().await;
    image.write("schema.yaml", "version: 1 # newer\n");
    image.write("db-init/003_newer.sql", "create table newer (id int);\n");
    assert_eq!(run(image.boot(database.url()).env("BOOT_IMAGE", "2.0@new")).code, 0);

    let older = Image::new();
    let ended = run_without_node(&older, &database);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("warning: this image is older than the database"), "{}", ended.output);
    assert!(ended.output.contains("which 2.0@new brought to snapshot"), "{}", ended.output);
    assert!(ended.output.contains("6/8 schema: older image, nothing applied"), "{}", ended.output);
    let (code, document) = plan(&older, &database);
    assert_eq!((code, &document["schema"]["state"]), (0, &json!("older")));

    // The newer image still has nothing to do.
    assert_eq!(run_without_node(&image, &database).code, 0);
}

#[tokio::test]
async fn older_image_is_refused_after_a_file_that_breaks_older_images() {
    let (database, image) = booted().await;
    image.write("db-init/003_newer.sql", "-- breaks-older-images\ncreate table newer (id int);\n");
    assert_eq!(run(image.boot(database.url()).env("BOOT_IMAGE", "2.0@new")).code, 0);
    let ended = run_without_node(&Image::new(), &database);
    ended.assert_failed("db-init", ExitCode::ImageTooOld, &["003_newer.sql", "breaks older images", "2.0@new"]);
}

#[tokio::test]
async fn image_with_an_earlier_snapshot_and_a_new_file_is_not_older() {
    let (database, image) = booted().await;
    image.write("schema.yaml", "version: 1 # second\n");
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    image.write("schema.yaml", "version: 1\n");
    image.write("db-init/003_new.sql", "create table fresh (id int);\n");
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("6/8 schema: no changes"), "{}", ended.output);
    assert_eq!(run_without_node(&image, &database).code, 0);
}

#[tokio::test]
async fn directus_older_than_that_of_the_database_is_refused_before_any_change() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let client = database.connect().await;
    client.batch_execute("insert into directus_migrations values ('20990101A')").await.expect("a table");
    let ended = run(&mut image.boot(database.url()));
    ended.assert_failed(
        "bootstrap",
        ExitCode::ImageTooOld,
        &["this image with Directus 0 lacks: 20990101A", "start an image with the Directus or the custom migrations"],
    );
    let schemas = client.query_one("select count(*) from pg_namespace where nspname = 'boot'", &[]).await;
    assert_eq!(schemas.expect("a catalog").get::<_, i64>(0), 0, "the refused boot created its schema");
}

#[tokio::test]
async fn schema_apply_mode_decides_what_phase_6_may_do() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let change = json!({"entity": "collection", "collection": "laps", "diff": [{"kind": "D"}]});
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": [change]}}, "apply": "exit"}).to_string();
    let mut boot = image.boot(database.url());
    let planned = run(boot.env("BRIDGE_REPLIES", &replies).env("SCHEMA_APPLY_MODE", "plan"));
    assert_eq!(planned.code, 0, "{}", planned.output);
    assert!(planned.output.contains("6/8 schema: - collection laps"), "{}", planned.output);
    assert!(planned.output.contains("6/8 schema: not applied: 1 collection"), "{}", planned.output);

    let mut boot = image.boot(database.url());
    let skipped = run(boot.env("SCHEMA_APPLY_MODE", "skip").env("PATH", "/nowhere"));
    assert_eq!(skipped.code, 0, "{}", skipped.output);
    assert!(skipped.output.contains("warning: SCHEMA_APPLY_MODE=skip"), "{}", skipped.output);

    let mut boot = image.boot(database.url());
    let unknown = run(boot.env("SCHEMA_APPLY_MODE", "maybe"));
    unknown.assert_failed("config", ExitCode::Config, &["SCHEMA_APPLY_MODE is `maybe`", "auto, plan or skip"]);
}

#[tokio::test]
async fn table_that_db_init_owns_may_not_be_in_the_snapshot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_positions.sql", "-- owns-table: positions\ncreate table positions (at int);\n");
    let snapshot = json!({"read-snapshot": {"ok": {"directus": "0", "tables": ["positions"], "folders": [],
        "columns": [], "aliases": [], "relations": []}}});
    let ended = image.run_with(&database, &snapshot);
    ended.assert_failed("schema", ExitCode::SnapshotInvalid, &["holds the table positions, which db-init owns"]);
    let client = database.connect().await;
    let exists = client.query_one("select to_regclass('positions') is not null", &[]).await.expect("a query");
    assert!(!exists.get::<_, bool>(0), "the SQL ran before the refusal");
}

#[tokio::test]
async fn refusal_contains_the_numbers_of_affected_rows() {
    let (database, image) = booted().await;
    let client = database.connect().await;
    client.batch_execute("insert into laps values (1, null), (2, 7), (3, 8)").await.expect("a table");
    client.batch_execute("insert into directus_collections values ('laps')").await.expect("a table");
    let changes = json!([
        {"entity": "collection", "collection": "laps", "diff": [{"kind": "D"}]},
        {"entity": "field", "collection": "laps", "field": "speed", "diff": [{"kind": "D"}]},
        {"entity": "relation", "collection": "laps", "field": "entry", "diff": [{"kind": "D"}]},
    ]);
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": changes}}});
    let ended = image.run_with(&database, &replies);
    let words =
        ["delete collection laps (3 rows)", "delete field laps.speed (2 values)", "delete relation laps.entry;"];
    ended.assert_failed("schema", ExitCode::SchemaRefused, &words);

    let mut command = image.command(database.url(), &["plan", "--json"]);
    let (code, document) = run_json(command.env("BRIDGE_REPLIES", replies.to_string()));
    assert_eq!((code, &document["verdict"]), (43, &json!("refused")));
    assert_eq!(document["schema"]["losses"][0], "delete collection laps (3 rows)");
    let digest = document["schema"]["digest"].as_str().expect("a digest");
    assert!(ended.last.message.ends_with(&format!("SCHEMA_ALLOW_DESTRUCTIVE={digest}")), "{}", ended.last.message);
}

#[tokio::test]
async fn plan_describes_the_next_boot_and_its_exit_code_is_the_verdict() {
    let (database, image) = (Database::create().await, Image::new());
    let (code, document) = plan(&image, &database);
    assert_eq!((code, &document["verdict"]), (2, &json!("changes")), "{document}");
    assert_eq!(document["dbInit"]["apply"], json!(["001_laps.sql", "002_speed.sql"]));
    assert_eq!(document["bootstrap"]["install"], json!(true));
    assert_eq!(document["schema"]["state"], "installs");

    let (database, image) = booted().await;
    let (code, document) = plan(&image, &database);
    assert_eq!((code, &document["verdict"]), (0, &json!("nothing")), "{document}");

    image.write("db-init/003_new.sql", "create table fresh (id int);\n");
    image.needs_bootstrap();
    let (code, document) = plan(&image, &database);
    assert_eq!((code, &document["bootstrap"]["migrations"]), (2, &json!([Image::PENDING])), "{document}");

    let (database, image) = booted().await;
    let client = database.connect().await;
    client.batch_execute("create table directus_x ()").await.expect("a table");
    let edit = json!({"entity": "field", "collection": "laps", "field": "x", "diff":
        [{"kind": "E", "path": ["meta", "note"], "lhs": "a", "rhs": "b"}]});
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": [edit]}}}).to_string();
    let mut command = image.command(database.url(), &["plan", "--json"]);
    let (code, document) = run_json(command.env("BRIDGE_REPLIES", &replies));
    assert_eq!((code, &document["verdict"]), (3, &json!("drift")), "{document}");
    assert_eq!(document["schema"]["changes"][0]["collection"], "laps");

    let unreachable =
        image.command("postgres://u:hunter2@127.0.0.1:1/d", &["plan"]).env("BOOT_DATABASE_TIMEOUT", "1").output();
    let unreachable = unreachable.expect("the binary runs");
    assert_eq!(unreachable.status.code(), Some(i32::from(ExitCode::DatabaseUnreachable.code())));
    assert!(unreachable.stdout.is_empty());
    assert!(String::from_utf8_lossy(&unreachable.stderr).contains("2/8 database failed: no connection"));
}

#[tokio::test]
async fn plan_and_status_are_read_only() {
    let (database, image) = (Database::create().await, Image::new());
    plan(&image, &database);
    run_json(&mut image.command(database.url(), &["status", "--json"]));
    let client = database.connect().await;
    let found = client
        .query_one(
            "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where nspname not like 'pg\\_%' and nspname <> 'information_schema'",
            &[],
        )
        .await;
    assert_eq!(found.expect("a catalog").get::<_, i64>(0), 0);
    // Directus' session is read-only, too: the stand-in prints the mode that it was passed.
    let replies = json!({"plan": "mode"}).to_string();
    let (database, image) = booted().await;
    let client = database.connect().await;
    client.batch_execute("create table directus_x ()").await.expect("a table");
    let output = image.command(database.url(), &["plan"]).env("BRIDGE_REPLIES", replies).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("mode read-only"), "{stderr}");
}

#[tokio::test]
async fn status_contains_the_ledger_the_snapshot_history_and_the_lock() {
    let (database, image) = booted().await;
    let holder = database.connect().await;
    holder.execute("set application_name = 'another boot'", &[]).await.expect("a name");
    let key = contract::LOCK_KEY;
    holder.execute("select pg_advisory_lock($1)", &[&key]).await.expect("free");
    let (code, document) = run_json(&mut image.command(database.url(), &["status", "--json"]));
    assert_eq!(code, 0);
    let names: Vec<_> = document["migrations"].as_array().expect("a list").iter().map(|row| &row["filename"]).collect();
    assert_eq!(names, ["001_laps.sql", "002_speed.sql", "001_unique.sql"]);
    assert_eq!(document["schema"], "in place");
    assert_eq!(document["snapshots"].as_array().map(Vec::len), Some(1));
    assert_eq!(document["lock"]["application"], "another boot");
    assert_eq!(document["administrator"], json!(true));

    image.write("db-init/001_laps.sql", "select 'edited'");
    let output = image.command(database.url(), &["status"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("held by another boot"), "{text}");
    assert!(text.contains("refusal      db-init: 001_laps.sql was edited"), "{text}");
}
