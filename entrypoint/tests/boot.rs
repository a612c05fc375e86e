//! Whole boots of the binary against a real PostgreSQL: the log, the state of the database, and the end of each failure.

mod common;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{BootResult, Database, Image, binary, run, server_url};
use contract::{ExitCode, Phase};
use serde_json::json;

/// Counts the rows of a FROM clause.
async fn count(database: &Database, from: &str) -> i64 {
    let client = database.connect().await;
    client.query_one(&format!("select count(*) from {from}"), &[]).await.expect("a table").get(0)
}

#[tokio::test]
async fn first_boot_applies_everything_and_a_second_one_nothing() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let first = run(&mut image.boot(database.url()));
    assert_eq!(first.code, 0, "{}", first.output);
    assert!(first.output.contains("4/8 db-init: 2 applied, 0 skipped"), "{}", first.output);
    assert!(first.output.contains("7/8 post-schema: 1 applied, 0 skipped"), "{}", first.output);
    assert_eq!(count(&database, "boot.migrations").await, 3);
    assert_eq!(count(&database, "boot.snapshots").await, 1);

    let second = run(&mut image.boot(database.url()));
    assert_eq!(second.code, 0, "{}", second.output);
    assert!(second.output.contains("4/8 db-init: 0 applied, 2 skipped"), "{}", second.output);
    assert!(second.output.contains("6/8 schema: no changes"), "{}", second.output);
    assert!(second.output.contains("7/8 post-schema: 0 applied, 1 skipped"), "{}", second.output);
    assert_eq!(count(&database, "boot.snapshots").await, 1);
}

#[tokio::test]
async fn five_boots_at_once_apply_everything_once() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_slow.sql", "select pg_sleep(0.5); create table only_once (id int);");
    let boots: Vec<_> =
        (0..5).map(|_| image.boot(database.url()).stdout(Stdio::piped()).spawn().expect("the binary runs")).collect();
    let ended: Vec<BootResult> =
        boots.into_iter().map(|boot| BootResult::of(boot.wait_with_output().expect("it ends"))).collect();
    for boot in &ended {
        assert_eq!(boot.code, 0, "{}", boot.output);
    }
    for (line, expected) in [("db-init: 3 applied, 0 skipped", 1), ("db-init: 0 applied, 3 skipped", 4)] {
        assert_eq!(ended.iter().filter(|boot| boot.output.contains(line)).count(), expected, "{line}");
    }
    assert!(ended.iter().any(|boot| boot.output.contains("lock: waiting for boot of")), "no boot named the holder");
}

#[tokio::test]
async fn each_boot_warns_of_a_required_extension_that_is_missing() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_maps.sql", "-- requires-extension: maps_of_nowhere (optional: maps.mode=none)\nselect 1");
    image.write("db-init/004_ghost.sql", "-- requires-extension: ghost\n-- requires-extension: plpgsql\nselect 1");
    for _ in 0..2 {
        let ended = run(&mut image.boot(database.url()));
        assert_eq!(ended.code, 0, "{}", ended.output);
        let maps = "no extension maps_of_nowhere, and the SQL files run without it (PGOPTIONS=\"-c maps.mode=none\")";
        assert!(ended.output.contains(maps), "{}", ended.output);
        assert!(ended.output.contains("no extension ghost, which the SQL files require"), "{}", ended.output);
        assert!(!ended.output.contains("plpgsql"), "{}", ended.output);
    }
}

#[tokio::test]
async fn all_missing_variables_are_named_in_the_last_line() {
    let ended = run(binary().args(["boot"]).env("DB_CLIENT", "pg").env("DB_HOST", "db").env("DB_USER", "u"));
    ended.assert_failed("config", ExitCode::Config, &["DB_DATABASE is not set", "SECRET is not set"]);
}

#[tokio::test]
async fn wrong_password_fails_at_once_and_names_the_remedy() {
    let database = Database::create().await;
    let (scheme, rest) = database.url().split_once("://").expect("a URL");
    let (_, host) = rest.rsplit_once('@').expect("with a password");
    let began = Instant::now();
    let image = Image::new();
    let ended = run(&mut image.boot(&format!("{scheme}://no_such_role:hunter2@{host}")));
    ended.assert_failed("database", ExitCode::DatabaseRefused, &["28P01", "correct DB_USER or DB_PASSWORD"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it waited, though the server had answered");
}

#[tokio::test]
async fn missing_database_is_named() {
    let (server, image) = (server_url(), Image::new());
    let (head, _) = server.rsplit_once('/').expect("a URL");
    let ended = run(&mut image.boot(&format!("{head}/no_such_database")));
    ended.assert_failed("database", ExitCode::DatabaseRefused, &["no_such_database", "3D000", "create the database"]);
}

#[test]
fn unknown_host_is_retried_until_the_deadline() {
    let image = Image::new();
    let mut boot = image.boot("postgres://u:hunter2@no-such-host.invalid/d");
    let ended = run(boot.env("BOOT_DATABASE_TIMEOUT", "1"));
    ended.assert_failed("database", ExitCode::DatabaseUnreachable, &["no-such-host.invalid:5432", "correct DB_HOST"]);
    assert!(ended.output.contains("database: waiting for no-such-host.invalid:5432"), "{}", ended.output);
}

#[tokio::test]
async fn lock_timeout_names_the_holder() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let holder = database.connect().await;
    holder.execute("set application_name = 'another boot'", &[]).await.expect("a name");
    let key = contract::LOCK_KEY;
    holder.execute("select pg_advisory_lock($1)", &[&key]).await.expect("free");
    let ended = run(image.boot(database.url()).env("BOOT_LOCK_TIMEOUT", "1"));
    ended.assert_failed("lock", ExitCode::LockTimeout, &["another boot", "BOOT_LOCK_TIMEOUT"]);
}

#[tokio::test]
async fn broken_file_is_named_with_line_and_column_and_leaves_nothing() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_broken.sql", "create table half (id int);\n-- Größe\nselect 'ラリー', a b from from;\n");
    let ended = run(&mut image.boot(database.url()));
    ended.assert_failed("db-init", ExitCode::MigrationFailed, &["003_broken.sql:3:24: syntax error", "42601"]);
    assert!(ended.output.contains("a b from from;"), "the line itself is not shown:\n{}", ended.output);
    assert_eq!(count(&database, "pg_tables where tablename = 'half'").await, 0);
    assert_eq!(count(&database, "boot.migrations").await, 2);

    image.write("db-init/003_broken.sql", "create table half (id int);\n");
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
}

#[tokio::test]
async fn edited_file_is_refused_before_anything_changes() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    image.write("db-init/002_speed.sql", "alter table laps add column speed double precision;\n");
    image.write("db-init/003_new.sql", "create table fresh (id int);\n");
    let ended = run(&mut image.boot(database.url()));
    ended.assert_failed("db-init", ExitCode::MigrationsInvalid, &["002_speed.sql was edited", "restore it"]);
    assert_eq!(count(&database, "pg_tables where tablename = 'fresh'").await, 0);
}

#[tokio::test]
async fn edited_file_of_the_last_phase_is_refused_before_the_first_phase_runs() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    image.write("db-init/post-schema/001_unique.sql", "select 1;\n");
    image.write("db-init/003_new.sql", "create table fresh (id int);\n");
    let ended = run(&mut image.boot(database.url()));
    ended.assert_failed("post-schema", ExitCode::MigrationsInvalid, &["001_unique.sql was edited"]);
    assert_eq!(count(&database, "pg_tables where tablename = 'fresh'").await, 0);
}

#[tokio::test]
async fn invalid_snapshot_stops_the_boot_before_the_sql() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let replies = json!({"read-snapshot": {"error": {"message": "is no YAML: bad indentation in line 3, column 5"}}});
    let ended = image.run_with(&database, &replies);
    ended.assert_failed(
        "schema",
        ExitCode::SnapshotInvalid,
        &["schema.yaml is no YAML", "line 3", "run the previous image"],
    );
    assert_eq!(count(&database, "pg_tables where tablename = 'laps'").await, 0);
}

#[tokio::test]
async fn false_success_of_directus_is_detected() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let replies = json!({"read-snapshot": {"ok": {"directus": "0", "tables": ["events"], "folders": [],
        "columns": [["events", "id"]], "aliases": [], "relations": [["events", "organization"]]}}});
    let ended = image.run_with(&database, &replies);
    ended.assert_failed(
        "schema",
        ExitCode::SchemaDiverged,
        &["no table events", "no column events.id", "no relation events.organization"],
    );

    let change = json!({"entity": "collection", "collection": "events", "diff": [{"kind": "N"}]});
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": [change]}}});
    let ended = image.run_with(&database, &replies);
    ended.assert_failed("schema", ExitCode::SchemaDiverged, &["a new plan still has events"]);

    image.needs_bootstrap();
    let replies = json!({
        "bootstrap": {"ok": {"installed": false, "migrated": 1, "admin": "present"}},
        "applied migrations": [["20200101A"]],
    });
    let ended = image.run_with(&database, &replies);
    ended.assert_failed("bootstrap", ExitCode::BootstrapFailed, &["reports success", Image::PENDING]);
}

#[tokio::test]
async fn missing_administrator_is_a_warning_or_with_admin_email_a_failure() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let client = database.connect().await;
    client.batch_execute("update directus_users set status = 'suspended'").await.expect("a table");
    let none = json!({"bootstrap": {"ok": {"installed": false, "migrated": 0, "admin": "none"}}});
    let mut boot = image.boot(database.url());
    boot.env("BRIDGE_REPLIES", none.to_string());
    let ended = run(&mut boot);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("warning: there is no administrator"), "{}", ended.output);

    // Also if the boot has nothing else to do.
    let ended = run(boot.env("ADMIN_EMAIL", "a@b.c").env("ADMIN_PASSWORD", "hunter2"));
    ended.assert_failed("bootstrap", ExitCode::BootstrapFailed, &["there is no administrator a@b.c"]);
}

#[tokio::test]
async fn destructive_plan_is_refused_until_its_digest_allows_it() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let change = json!({"entity": "collection", "collection": "laps", "diff": [{"kind": "D"}]});
    let replies = json!({"plan": {"ok": {"directus": "0", "changes": [change]}}});
    let ended = image.run_with(&database, &replies);
    ended.assert_failed("schema", ExitCode::SchemaRefused, &["delete collection laps", "the step was rolled back"]);
    let (_, digest) = ended.last.message.rsplit_once('=').expect("the remedy names the digest");

    let mut boot = image.boot(database.url());
    boot.env("BRIDGE_REPLIES", replies.to_string());
    let other = run(boot.env("SCHEMA_ALLOW_DESTRUCTIVE", "0"));
    other.assert_failed("schema", ExitCode::SchemaRefused, &[]);
    // The allowed plan is applied; the second plan finds that this bridge changed nothing.
    let allowed = run(boot.env("SCHEMA_ALLOW_DESTRUCTIVE", digest));
    allowed.assert_failed("schema", ExitCode::SchemaDiverged, &["a new plan still has laps"]);
}

#[tokio::test]
async fn directus_waits_for_locks_as_files_do() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.needs_bootstrap();
    let failure = json!({"error": {"message": "canceling statement due to lock timeout", "code": "55P03"}});
    let words = ["no lock within 1 s, 2 times", "the step was rolled back", "end that session"];
    let mut boot = image.boot(database.url());
    boot.env("MIGRATION_LOCK_TIMEOUT", "1").env("MIGRATION_LOCK_TRIES", "2");
    let bootstrap = run(boot.env("BRIDGE_REPLIES", json!({"bootstrap": failure}).to_string()));
    bootstrap.assert_failed("bootstrap", ExitCode::MigrationBlocked, &words);
    assert!(bootstrap.output.contains("Directus' migrations: canceling statement"), "{}", bootstrap.output);
    let client = database.connect().await;
    client.execute("insert into directus_migrations values ($1)", &[&Image::PENDING]).await.expect("a table");
    let schema = run(boot.env("BRIDGE_REPLIES", json!({"plan": failure}).to_string()));
    schema.assert_failed("schema", ExitCode::MigrationBlocked, &words);
    assert!(schema.output.contains("try 1 of 2"), "{}", schema.output);
}

#[tokio::test]
async fn bridge_that_exits_or_sends_garbage_ends_the_boot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.needs_bootstrap();
    let exited = image.run_with(&database, &json!({"bootstrap": "exit"}));
    exited.assert_failed("bootstrap", ExitCode::BootstrapFailed, &["ended unexpectedly", "3"]);
    let garbage = image.run_with(&database, &json!({"bootstrap": "garbage"}));
    garbage.assert_failed("bootstrap", ExitCode::BootstrapFailed, &["an invalid reply"]);
    let client = database.connect().await;
    client.execute("insert into directus_migrations values ($1)", &[&Image::PENDING]).await.expect("a table");
    let exited = image.run_with(&database, &json!({"plan": "exit"}));
    exited.assert_failed("schema", ExitCode::SchemaFailed, &["ended unexpectedly"]);
}

#[tokio::test]
async fn lost_connection_of_directus_is_reported_as_such() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let lost = json!({"plan": {"error": {"message": "Connection terminated", "code": "connection-lost"}}});
    let ended = image.run_with(&database, &lost);
    let words = ["the connection to PostgreSQL was lost", "Directus' connection: Connection terminated", "start again"];
    ended.assert_failed("schema", ExitCode::DatabaseLost, &words);
}

#[tokio::test]
async fn hanging_directus_is_ended_at_the_deadline() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let mut boot = image.boot(database.url());
    let ended = run(boot.env("BRIDGE_REPLIES", r#"{"plan": "hang"}"#).env("BOOT_DIRECTUS_TIMEOUT", "1"));
    ended.assert_failed("schema", ExitCode::SchemaFailed, &["did not finish within 1 s", "BOOT_DIRECTUS_TIMEOUT"]);
}

/// Starts a boot that hangs in Directus, and waits until it has applied its SQL.
async fn hanging_boot(database: &Database, image: &Image) -> std::process::Child {
    let mut boot = image.boot(database.url());
    boot.env("BRIDGE_REPLIES", r#"{"plan": "hang"}"#).env("HOSTNAME", "hanging");
    let child = boot.stdout(Stdio::piped()).spawn().expect("the binary runs");
    let deadline = Instant::now() + Duration::from_secs(30);
    while count(database, "pg_tables where tablename = 'laps'").await == 0 {
        assert!(Instant::now() < deadline, "the boot did not get to its SQL");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child
}

#[tokio::test]
async fn lost_lock_connection_ends_the_boot_and_its_node_process_at_once() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let boot = hanging_boot(&database, &image).await;
    let began = Instant::now();
    let killed = count(
        &database,
        "(select pg_terminate_backend(pid) from pg_stat_activity
          where application_name = 'boot of hanging' and datname = current_database()
            and pid in (select pid from pg_locks where locktype = 'advisory')) killed",
    )
    .await;
    assert_eq!(killed, 1);
    let ended = BootResult::of(boot.wait_with_output().expect("it ends"));
    assert_eq!(ended.code, i32::from(ExitCode::DatabaseLost.code()), "{}", ended.output);
    assert!(ended.last.phase >= Phase::DbInit, "{}", ended.output);
    assert!(ended.last.message.contains("57P01"), "{}", ended.output);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
}

#[tokio::test]
async fn server_shutdown_during_a_migration_names_the_file() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_slow.sql", "create table half (id int); select pg_sleep(60);");
    let boot = image.boot(database.url()).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let sleeping = "(select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and wait_event = 'PgSleep') killed";
    while count(&database, sleeping).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = BootResult::of(boot.wait_with_output().expect("it ends"));
    ended.assert_failed("db-init", ExitCode::DatabaseLost, &["in 003_slow.sql", "57P01", "start again"]);
    assert_eq!(count(&database, "pg_tables where tablename = 'half'").await, 0);
}

#[tokio::test]
async fn frozen_server_ends_a_migration_in_bounded_time() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_slow.sql", "create table half (id int); select pg_sleep(60);");
    let frozen = Arc::new(AtomicBool::new(false));
    let mut boot = image.boot(&database.behind_a_freezer(&frozen));
    let boot = boot.env("BOOT_DATABASE_TIMEOUT", "1").stdout(Stdio::piped()).spawn().expect("the binary runs");
    let sleeping = "pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'";
    while count(&database, sleeping).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    frozen.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let ended = BootResult::of(boot.wait_with_output().expect("it ends"));
    ended.assert_failed("db-init", ExitCode::DatabaseLost, &["no answer for 1 s", "start again"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[tokio::test]
async fn migration_may_take_longer_than_the_database_timeout() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_slow.sql", "select pg_sleep(3);");
    let ended = run(image.boot(database.url()).env("BOOT_DATABASE_TIMEOUT", "1"));
    assert_eq!(ended.code, 0, "{}", ended.output);
}

#[tokio::test]
async fn boot_after_sigterm_or_sigint_succeeds() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    for (signal, exit) in [("TERM", ExitCode::Terminated), ("INT", ExitCode::Interrupted)] {
        let boot = hanging_boot(&database, &image).await;
        let sent =
            Command::new("kill").args([format!("-{signal}"), boot.id().to_string()]).status().expect("kill is there");
        assert!(sent.success());
        let ended = BootResult::of(boot.wait_with_output().expect("it ends"));
        assert_eq!(ended.code, i32::from(exit.code()), "{}", ended.output);
        assert!(ended.last.message.contains(&format!("SIG{signal}")), "{}", ended.output);
    }
    let next = run(&mut image.boot(database.url()));
    assert_eq!(next.code, 0, "{}", next.output);
}

#[test]
fn unknown_first_argument_is_executed_without_a_boot() {
    let output = binary().args(["echo", "hello"]).output().expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    let missing = binary().arg("no-such-command").output().expect("the binary runs");
    assert_eq!(missing.status.code(), Some(127));
}
