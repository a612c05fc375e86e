//! Migrations against a real PostgreSQL: files with and without a transaction, lock waits, edited files, and adopting
//! the ledger of an older runner.

mod common;

use std::time::{Duration, Instant};

use common::{Database, Image, boot_lock, log, run};
use contract::{ExitCode, Phase};
use entrypoint::config::Config;
use entrypoint::database::lock_retry::LockRetry;
use entrypoint::database::{Session, state};
use entrypoint::migrations::{
    Acceptance, ApplyContext, ApplyError, Ledger, MigrationFile, MigrationSet, PartialProgress, apply, plan,
    reconcile_ledger,
};
use entrypoint::witness::LastCatalog;
use tokio_postgres::Client;

/// Applies a file while holding the boot lock.
async fn apply_file(
    session: &mut Session,
    config: &Config,
    lock_retry: LockRetry,
    file: &MigrationFile,
) -> Result<(), ApplyError> {
    state::ensure(&session.client).await.expect("the test role may create a schema");
    let lock = boot_lock(config).await;
    let context = ApplyContext {
        phase: Phase::DbInit,
        image: "test",
        database: &config.database,
        lock: &lock,
        last: &LastCatalog::default(),
        only_adds: false,
        lock_retry,
        log: &log(),
    };
    let result = apply(session, file, &context).await;
    lock.release().await;
    result
}

fn parse(sql: &str) -> MigrationFile {
    MigrationFile::parse("001_test.sql", sql.as_bytes()).expect("a good file")
}

async fn apply_sql(database: &Database, session: &mut Session, sql: &str) -> Result<(), ApplyError> {
    let config = database.config();
    apply_file(session, &config, config.lock_retry, &parse(sql)).await
}

async fn tables(session: &Session) -> Vec<String> {
    let query = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    session.client.query(query, &[]).await.expect("a query").iter().map(|row| row.get(0)).collect()
}

async fn ledger_length(client: &Client) -> usize {
    client.query("select from boot.migrations", &[]).await.expect("the ledger is there").len()
}

async fn query_value<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, query: &str) -> T {
    client.query_one(query, &[]).await.expect(query).get(0)
}

#[tokio::test]
async fn ledger_row_is_written_in_the_transaction_of_the_file() {
    let database = Database::create().await;
    let mut session = database.session().await;
    apply_sql(&database, &mut session, "create table a (id int); create table b (id int);").await.expect("good SQL");
    assert_eq!(tables(&session).await, ["a", "b"]);
    let row =
        session.client.query_one("select phase, filename, length(checksum), image from boot.migrations", &[]).await;
    let row = row.expect("one row");
    let (phase, filename, length, image): (&str, &str, i32, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!((phase, filename, length, image), ("db-init", "001_test.sql", 64, "test"));
}

#[tokio::test]
async fn failed_file_leaves_neither_tables_nor_a_ledger_row() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for sql in [
        "create table a (id int); select 1/0;",
        // A command that would end the boot's transaction, in a string that the scanner does not parse.
        "create table a (id int); do $$ begin execute 'rollback'; end $$;",
        "create table a (id int); create procedure p() language plpgsql as $$ begin commit; end $$; call p();",
    ] {
        let error = apply_sql(&database, &mut session, sql).await.expect_err(sql);
        assert!(matches!(error, ApplyError::Sql { kept: PartialProgress::Nothing, .. }), "{sql}: {error}");
        assert_eq!(tables(&session).await, [""; 0], "{sql}");
        assert_eq!(ledger_length(&session.client).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn commit_that_the_scanner_missed_is_refused_by_the_server() {
    let database = Database::create().await;
    let mut session = database.session().await;
    let config = database.config();
    let mut file = parse("create table a (id int); select 1");
    file.sql = file.sql.replace("select 1", "commit  ");
    let error =
        apply_file(&mut session, &config, config.lock_retry, &file).await.expect_err("it would end the transaction");
    assert!(error.to_string().contains("(0A000)"), "{error}");
    assert_eq!(tables(&session).await, [""; 0]);
}

#[tokio::test]
async fn statement_runs_on_the_results_of_earlier_ones() {
    let database = Database::create().await;
    let mut session = database.session().await;
    let sql = "create schema s; create table s.t (id int); set search_path to s; insert into t values (1);
               alter table t add column v int; reset all; update s.t set v = 2; create index on s.t (v) -- done";
    apply_sql(&database, &mut session, sql).await.expect("good SQL");
    assert_eq!(query_value::<i32>(&session.client, "select v from s.t").await, 2);
}

#[tokio::test]
async fn file_of_ten_thousand_statements_is_applied_within_a_minute() {
    let database = Database::create().await;
    let mut session = database.session().await;
    let began = Instant::now();
    let sql = format!("create table t (id int);{}", "insert into t values (1);\n".repeat(10_000));
    apply_sql(&database, &mut session, &sql).await.expect("good SQL");
    assert_eq!(query_value::<i64>(&session.client, "select count(*) from t").await, 10_000);
    // The bound only excludes quadratic growth: machines are shared.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn statement_timeout_applies_to_its_file_alone_with_and_without_a_transaction() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for (directive, statement) in
        [("", "select pg_sleep(10);"), ("-- no-transaction\n", "do $$ begin commit; perform pg_sleep(10); end $$;")]
    {
        let sql = format!("{directive}-- statement-timeout: 200ms\n{statement}");
        let error = apply_sql(&database, &mut session, &sql).await.expect_err("it takes longer");
        assert!(error.to_string().contains("57014"), "{error}");
        assert_eq!(query_value::<String>(&session.client, "show statement_timeout").await, "0");
        assert_eq!(query_value::<String>(&session.client, "show lock_timeout").await, "0");
    }
}

#[tokio::test]
async fn settings_of_one_file_do_not_reach_the_next() {
    let database = Database::create().await;
    let mut session = database.session().await;
    apply_sql(
        &database,
        &mut session,
        "set search_path to pg_catalog; create role settings_role; set role settings_role;",
    )
    .await
    .expect("good SQL");
    let row = session.client.query_one("select current_setting('search_path'), current_user::text", &[]).await;
    let row = row.expect("a row");
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_ne!(row.get::<_, &str>(1), "settings_role");
    session.client.batch_execute("drop role settings_role").await.expect("the role of this test");
}

#[tokio::test]
async fn lost_connection_rolls_the_migration_back() {
    let database = Database::create().await;
    let mut session = database.session().await;
    let other = database.connect().await;
    let cut = async {
        let query = "select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and wait_event = 'PgSleep'";
        while other.query(query, &[]).await.expect("a query").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let (result, ()) =
        tokio::join!(apply_sql(&database, &mut session, "create table a (id int); select pg_sleep(60);"), cut);
    let error = result.expect_err("the connection was lost");
    assert!(matches!(error, ApplyError::Connection { .. }), "{error:?}");
    assert!(error.to_string().contains("57P01"), "{error}");

    let session = database.session().await;
    assert_eq!(tables(&session).await, [""; 0]);
    assert_eq!(ledger_length(&session.client).await, 0);
}

#[tokio::test]
async fn statements_that_cannot_run_in_a_transaction_need_the_directive() {
    let database = Database::create().await;
    let mut session = database.session().await;
    let setup = "create type mood as enum ('sad'); create table t (m mood); insert into t values ('sad');
                 create procedure public.add_twice() language plpgsql as $$ begin
                     insert into public.t values ('glad'); commit; insert into public.t values ('glad'); rollback;
                 end $$;";
    session.client.batch_execute(setup).await.expect("an empty database");
    let sql = "-- no-transaction
               set search_path to pg_catalog;
               create index concurrently if not exists t_m on public.t (m);
               alter type public.mood add value if not exists 'glad';
               do $$ begin insert into public.t values ('glad'); commit; end $$;
               call public.add_twice();
               vacuum public.t;";
    apply_sql(&database, &mut session, sql).await.expect("good SQL");
    assert_eq!(query_value::<i64>(&session.client, "select count(*) from t").await, 3);
    assert_eq!(ledger_length(&session.client).await, 1);
    // That a procedure commits is only known when it runs; other statements are refused when the file is read.
    let error = apply_sql(&database, &mut session, "call add_twice()").await.expect_err("it needs the directive");
    assert!(matches!(error, ApplyError::Sql { kept: PartialProgress::Nothing, .. }), "{error}");
    assert!(error.to_string().contains("move it into a file with the directive `-- no-transaction`"), "{error}");
}

#[tokio::test]
async fn failure_without_a_transaction_reports_the_part_that_was_kept() {
    let database = Database::create().await;
    let mut session = database.session().await;
    session.client.batch_execute("create table a (id int)").await.expect("an empty database");
    let sql = "-- no-transaction\ncreate index concurrently if not exists a_id on a (id);
create index concurrently if not exists \"ä\" on a\n  ((wrong + 1));\nvacuum a;";
    let error = apply_sql(&database, &mut session, sql).await.expect_err("there is no such column");
    let text = error.to_string();
    assert!(
        text.starts_with("001_test.sql:4:5: ") && text.contains("1 of its 3 statements (to line 2) stay applied"),
        "{text}"
    );
    assert!(query_value::<bool>(&session.client, "select to_regclass('a_id') is not null").await);
    assert_eq!(ledger_length(&session.client).await, 0);
    apply_sql(&database, &mut session, &sql.replace("wrong", "id")).await.expect("it is repeatable");
    assert_eq!(ledger_length(&session.client).await, 1);
}

/// A table with duplicate rows, on which an interrupted `CREATE UNIQUE INDEX CONCURRENTLY` leaves an INVALID index.
const DUPLICATES: &str = "create table t (id int); insert into t values (1), (1)";

#[tokio::test]
async fn invalid_index_is_built_again() {
    let database = Database::create().await;
    let mut session = database.session().await;
    session.client.batch_execute(DUPLICATES).await.expect("an empty database");
    let sql = "-- no-transaction\ncreate unique index concurrently if not exists \"T id\" on t (id);";
    let valid = "select indisvalid from pg_index where indexrelid = '\"T id\"'::regclass";
    for _ in 0..2 {
        let error = apply_sql(&database, &mut session, sql).await.expect_err("two rows are the same");
        assert!(error.to_string().contains("23505"), "{error}");
        assert!(!query_value::<bool>(&session.client, valid).await);
    }
    session.client.batch_execute("delete from t").await.expect("a table");
    apply_sql(&database, &mut session, sql).await.expect("the rows are unique now");
    assert!(query_value::<bool>(&session.client, valid).await);
    assert_eq!(ledger_length(&session.client).await, 1);
}

#[tokio::test]
async fn file_does_not_count_as_applied_while_one_of_its_indexes_is_invalid() {
    let database = Database::create().await;
    let mut session = database.session().await;
    session.client.batch_execute("create table t (id int)").await.expect("an empty database");
    let sql = "-- no-transaction\nvacuum t;\n
               create index concurrently if not exists t_id on public.t (id);
               do $$ begin
                   update pg_index set indisvalid = false where indexrelid = 't_id'::regclass;
                   commit;
               end $$;";
    let error = apply_sql(&database, &mut session, sql).await.expect_err("the index is INVALID");
    let text = error.to_string();
    assert!(text.starts_with("001_test.sql:4:16: public.t_id is INVALID") && text.contains("3 of its 3"), "{text}");
    assert_eq!(ledger_length(&session.client).await, 0);
}

#[tokio::test]
async fn index_build_is_retried_after_a_lock_timeout() {
    let database = Database::create().await;
    let mut session = database.session().await;
    session.client.batch_execute("create table t (id int)").await.expect("an empty database");
    // A transaction that has written to the table: the index waits for its end, and is INVALID meanwhile.
    let other = database.connect().await;
    other.batch_execute("begin; insert into t values (1)").await.expect("a table");
    let config = database.config();
    let lock_retry = LockRetry { timeout: Duration::from_millis(300), tries: 60 };
    let file = parse("-- no-transaction\ncreate index concurrently if not exists t_id on t (id);");
    let commit = async {
        wait_for_failed_try(&database).await;
        other.batch_execute("commit").await.expect("it is open");
    };
    let (result, ()) = tokio::join!(apply_file(&mut session, &config, lock_retry, &file), commit);
    result.expect("the other transaction has ended");
    assert!(
        query_value::<bool>(&session.client, "select indisvalid from pg_index where indexrelid = 't_id'::regclass")
            .await
    );
}

/// Waits until a session of the database was blocked by another one, and is not any more: its lock timeout has passed.
async fn wait_for_failed_try(database: &Database) {
    let client = database.connect().await;
    let is_blocked = "select exists (select from pg_stat_activity
        where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0)";
    for wanted in [true, false] {
        while query_value::<bool>(&client, is_blocked).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Opens a session that holds a lock on a table, like an operator who forgot to commit.
async fn lock_laps(database: &Database) -> Client {
    let holder = database.connect().await;
    holder
        .batch_execute("set application_name = 'psql of the operator'; begin; lock table laps; select 'hunter2'")
        .await
        .expect("a table");
    holder
}

#[tokio::test]
async fn blocked_file_names_the_blocker_and_leaves_nothing() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    for sql in ["alter table laps add column x int;", "-- no-transaction\nreindex table laps;"] {
        image.write("db-init/003_wait.sql", sql);
        let holder = lock_laps(&database).await;
        let mut boot = image.boot(database.url());
        let began = Instant::now();
        let ended = run(boot.env("MIGRATION_LOCK_TIMEOUT", "1").env("MIGRATION_LOCK_TRIES", "2"));
        ended.assert_failed(
            "db-init",
            ExitCode::MigrationBlocked,
            &[
                "003_wait.sql: no lock within 1 s, 2 times",
                "psql of the operator, idle in transaction",
                "end that session",
            ],
        );
        assert!(ended.output.contains("003_wait.sql waits for pid"), "{}", ended.output);
        assert!(ended.output.contains("try 1 of 2"), "{}", ended.output);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        drop(holder);
    }
    let client = database.connect().await;
    assert_eq!(ledger_length(&client).await, 3);
}

#[tokio::test]
async fn lock_that_is_released_in_time_is_not_a_failure() {
    let database = Database::create().await;
    let mut session = database.session().await;
    session.client.batch_execute("create table laps (id int)").await.expect("an empty database");
    let config = database.config();
    let lock_retry = LockRetry { timeout: Duration::from_millis(300), tries: 60 };
    for file in ["alter table laps add column x int;", "-- no-transaction\nreindex table laps;"].map(parse) {
        let holder = lock_laps(&database).await;
        let rollback = async {
            wait_for_failed_try(&database).await;
            holder.batch_execute("rollback").await.expect("it is open");
        };
        let (result, ()) = tokio::join!(apply_file(&mut session, &config, lock_retry, &file), rollback);
        result.expect("the holder has released its lock");
        session.client.batch_execute("truncate boot.migrations").await.expect("the ledger is there");
    }
}

#[tokio::test]
async fn edited_file_is_accepted_by_the_checksum_in_the_boots_message() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    image.write("db-init/002_speed.sql", "alter table laps add column speed double precision;\n");
    let refused = run(&mut image.boot(database.url()));
    refused.assert_failed("db-init", ExitCode::MigrationsInvalid, &["002_speed.sql was edited", "restore it"]);
    let (_, acceptance) = refused.last.message.rsplit_once("MIGRATION_ACCEPT=").expect("the remedy");
    let (acceptance, _) = acceptance.split_once(';').expect("the state of the database");

    let other = run(image.boot(database.url()).env("MIGRATION_ACCEPT", "002_speed.sql:000000000000"));
    other.assert_failed("db-init", ExitCode::MigrationsInvalid, &["MIGRATION_ACCEPT accepts only 000000000000"]);
    let malformed = run(image.boot(database.url()).env("MIGRATION_ACCEPT", "002_speed.sql"));
    malformed.assert_failed("config", ExitCode::Config, &["MIGRATION_ACCEPT is `002_speed.sql`"]);
    let never = run(image.boot(database.url()).env("MIGRATION_LOCK_TRIES", "0").env("MIGRATION_LOCK_TIMEOUT", "x"));
    never.assert_failed("config", ExitCode::Config, &["MIGRATION_LOCK_TRIES is `0`", "MIGRATION_LOCK_TIMEOUT is `x`"]);

    let accepted = run(image.boot(database.url()).env("MIGRATION_ACCEPT", acceptance));
    assert_eq!(accepted.code, 0, "{}", accepted.output);
    assert!(accepted.output.contains("warning: 002_speed.sql is accepted as edited"), "{}", accepted.output);
    let idle = run(image.boot(database.url()).env("MIGRATION_ACCEPT", acceptance));
    assert_eq!(idle.code, 0, "{}", idle.output);
    assert!(idle.output.contains("002_speed.sql, which needs no acceptance: remove it"), "{}", idle.output);
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
}

#[tokio::test]
async fn files_that_an_older_runner_applied_are_adopted() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let client = database.connect().await;
    let checksum = entrypoint::migrations::file::hex_sha256(b"create table laps (id int);\r\n");
    client
        .batch_execute(&format!(
            "create table laps (id int, speed real);
             create table migrations_applied (filename text primary key, sha256 text, applied_at timestamptz);
             insert into migrations_applied values ('db-init/001_laps.sql', upper('{checksum}')),
                 ('db-init/002_speed.sql', null), ('db-init/000_gone.sql', null)"
        ))
        .await
        .expect("an empty database");
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("warning: adopted 2 files of public.migrations_applied"), "{}", ended.output);
    assert!(ended.output.contains("also has db-init/000_gone.sql, which this image lacks"), "{}", ended.output);
    assert!(ended.output.contains("4/8 db-init: 0 applied, 2 skipped"), "{}", ended.output);
    assert_eq!(ledger_length(&client).await, 3);
    assert_eq!(query_value::<i64>(&client, "select count(*) from migrations_applied").await, 3);

    let second = run(&mut image.boot(database.url()));
    assert_eq!(second.code, 0, "{}", second.output);
    assert!(!second.output.contains("adopted"), "{}", second.output);
}

#[tokio::test]
async fn files_that_an_older_runner_applied_in_another_version_can_be_accepted() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let client = database.connect().await;
    client
        .batch_execute(
            "create table laps (id int, speed real);
             create table migrations_applied (version text, checksum text);
             insert into migrations_applied values ('001_laps.sql', repeat('a', 64)), ('002_speed.sql', 'c4ca4238'),
                 ('post-schema/001_unique.sql', null)",
        )
        .await
        .expect("an empty database");
    let refused = run(&mut image.boot(database.url()));
    refused.assert_failed("db-init", ExitCode::MigrationsInvalid, &["001_laps.sql was edited", "aaaaaaaaaaaa"]);
    let has_ledger = query_value::<bool>(&client, "select to_regclass('boot.migrations') is not null").await;
    assert!(!has_ledger, "the refused boot created its schema");
    let (_, acceptance) = refused.last.message.rsplit_once("MIGRATION_ACCEPT=").expect("the remedy");
    let (acceptance, _) = acceptance.split_once(';').expect("the state of the database");
    let accepted = run(image.boot(database.url()).env("MIGRATION_ACCEPT", acceptance));
    assert_eq!(accepted.code, 0, "{}", accepted.output);
    assert!(accepted.output.contains("warning: adopted 3 files"), "{}", accepted.output);
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
}

#[test]
fn files_of_this_repository_are_valid() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../db-init");
    let files = MigrationSet::read(&dir).expect("valid files");
    assert!(!files.db_init.is_empty() && !files.post_schema.is_empty());
    assert!(files.owned_tables().any(|table| table == "positions"));
}

#[tokio::test]
async fn planning_writes_nothing() {
    let database = Database::create().await;
    let client = database.connect().await;
    let db_init = ["001_a.sql", "002_b.sql"].map(|name| MigrationFile::parse(name, b"select 1").expect("a good file"));
    let files = MigrationSet { db_init: db_init.into(), post_schema: Vec::new() };
    client.batch_execute("set default_transaction_read_only = on").await.expect("a setting");
    let ledger = Ledger::read(&client, &files).await.expect("an empty database has an empty ledger");
    assert_eq!(plan(&files.db_init, ledger.of(Phase::DbInit), None).expect("a consistent ledger").apply.len(), 2);

    let other = database.connect().await;
    other
        .batch_execute(
            "create table migrations_applied (file text); insert into migrations_applied values ('001_a.sql')",
        )
        .await
        .expect("an empty database");
    let ledger = Ledger::read(&client, &files).await.expect("it only reads");
    let adopted = plan(&files.db_init, ledger.of(Phase::DbInit), None).expect("a consistent ledger");
    assert_eq!((adopted.apply.len(), adopted.skipped), (1, 1));
    assert!(query_value::<bool>(&client, "select to_regnamespace('boot') is null").await);
}

#[tokio::test]
async fn ledger_without_a_later_column_is_read_and_upgraded() {
    let database = Database::create().await;
    let mut session = database.session().await;
    state::ensure(&session.client).await.expect("the test role may create a schema");
    session
        .client
        .batch_execute(
            "alter table boot.migrations drop column breaks_older_images;
             insert into boot.migrations (phase, filename, checksum, duration_ms, image) values ('db-init', 'x', 'y', 0, 'z')",
        )
        .await
        .expect("the ledger is there");
    let set = MigrationSet::default();
    let ledger = Ledger::read(&session.client, &set).await.expect("the older form can be read");
    assert!(!ledger.of(Phase::DbInit)[0].breaks_older_images);
    apply_sql(&database, &mut session, "-- breaks-older-images\nselect 1").await.expect("good SQL");
    let ledger = Ledger::read(&session.client, &set).await.expect("the ledger is there");
    let flags: Vec<_> = ledger.of(Phase::DbInit).iter().map(|row| row.breaks_older_images).collect();
    assert_eq!(flags, [true, false]);
    let idle = Acceptance::parse("001_a.sql:0123456789ab").expect("well formed");
    reconcile_ledger(&mut session.client, &ledger, &[], Some(&idle), &log()).await.expect("there is nothing to do");
}

#[tokio::test]
async fn schema_boot_is_created_once_and_without_notices() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for _ in 0..2 {
        state::ensure(&session.client).await.expect("the test role may create a schema");
    }
    assert_eq!(session.take_notices(), []);
    for digest in ["d1", "d1", "d2", "d1"] {
        state::record_snapshot(&session.client, digest, "11.17.4", "test").await.expect("a table");
    }
    let history = state::snapshot_history(&session.client).await.expect("a table");
    let digests: Vec<&str> = history.iter().map(|row| row.digest.as_str()).collect();
    assert_eq!(digests, ["d1", "d2", "d1"]);
}
