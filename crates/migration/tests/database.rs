//! The lint with a database, and the list, on a real PostgreSQL.

use std::sync::atomic::{AtomicU32, Ordering};

use contract::Phase;
use entrypoint::migrations::MigrationFile;
use migration::database::{connect, ledger};
use migration::lint::collections::Collections;
use migration::lint::measure::{self, FileRun};
use migration::lint::shipped::Shipped;
use migration::lint::{LintFile, LintInput, check};
use tokio_postgres::Client;

const ASSERTION: &str = "\ndo $assert$ begin if false then raise exception 'no'; end if; end $assert$;\n";
/// Two tables with rows, one without.
const TABLES: &str =
    "create table public.laps (id int, speed int); insert into public.laps select n, n from generate_series(1, 1000) n;
                      create table public.cars (id int); insert into public.cars values (1), (2);
                      create table public.pits (id int);";

/// A database for one test, removed at its end.
struct LintDatabase {
    name: String,
    url: String,
}

impl LintDatabase {
    async fn create() -> LintDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("lint_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let server = server_url();
        let admin = connect(&server).await.expect("the test server answers");
        admin.batch_execute(&format!("create database {name} template template0")).await.expect("a superuser");
        let (head, _) = server.rsplit_once('/').expect("a URL with a database");
        let database = LintDatabase { url: format!("{head}/{name}"), name };
        database.client().await.batch_execute(TABLES).await.expect("an empty database");
        database
    }

    async fn client(&self) -> Client {
        connect(&self.url).await.expect("the database is there")
    }

    async fn count(&self, table: &str) -> i64 {
        let row = self.client().await.query_one(&format!("select count(*) from {table}"), &[]).await;
        row.expect("the table is there").get(0)
    }

    async fn remove(self) {
        let admin = connect(&server_url()).await.expect("the test server answers");
        admin.batch_execute(&format!("drop database {} with (force)", self.name)).await.expect("a superuser");
    }
}

fn server_url() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL is not set: run `cargo xtask test -p migration`")
}

fn file(name: &str, sql: &str) -> LintFile {
    let file = MigrationFile::parse(name, format!("{sql}{ASSERTION}").as_bytes()).expect("a good file");
    LintFile { path: format!("db-init/{name}"), phase: Phase::DbInit, file }
}

/// Lints files that no image has shipped, with that database. Returns `rule: reason` of each finding, and the notes.
async fn lint(database: &LintDatabase, files: &[LintFile]) -> Vec<String> {
    let mut client = database.client().await;
    let measured = measure::run(&mut client, files).await.expect("the database answers");
    let input = LintInput {
        files: files.to_vec(),
        shipped: Some(Shipped { revisions: vec!["v1".to_owned()], ..Shipped::default() }),
        collections: Collections::default(),
        measured: Some(measured),
    };
    check(&input)
        .into_iter()
        .map(|finding| format!("{}:{} {}: {}", finding.file, finding.line, finding.rule, finding.reason))
        .collect()
}

#[tokio::test]
async fn a_lock_counts_on_a_table_with_rows_and_has_its_measurements() {
    let database = LintDatabase::create().await;
    let index = |table: &str| format!("select 1;\ncreate index if not exists by_id on public.{table} (id);");
    let found = lint(&database, &[file("001_a.sql", &index("laps"))]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("db-init/001_a.sql:2 require-concurrent-index-creation: "), "{found:?}");
    assert!(found[0].contains("(measured: ShareLock on laps (1000 rows) for 0."), "{found:?}");
    assert!(found[0].contains("which blocks writes)"), "{found:?}");
    assert_eq!(lint(&database, &[file("001_a.sql", &index("pits"))]).await, [""; 0], "a table without rows");
    // A block that asks first locks nothing if the index is there.
    database.client().await.batch_execute("create index by_id on public.laps (id)").await.unwrap();
    let guarded = "do $$ begin if to_regclass('public.by_id') is null then create index by_id on public.laps (id); end if; end $$;";
    assert_eq!(lint(&database, &[file("001_a.sql", guarded)]).await, [""; 0]);
    database.remove().await;
}

#[tokio::test]
async fn a_long_lock_is_found_where_the_text_does_not_show_it() {
    let database = LintDatabase::create().await;
    let sql = |seconds: &str| {
        format!(
            "do $$ begin execute 'lock table public.laps in access exclusive mode'; perform pg_sleep({seconds}); end $$;"
        )
    };
    let found = lint(&database, &[file("001_a.sql", &sql("0.3"))]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("lock-on-rows: it takes AccessExclusiveLock on laps (1000 rows) for 0."), "{found:?}");
    assert!(found[0].ends_with("which blocks reads and writes"), "{found:?}");
    assert_eq!(lint(&database, &[file("001_a.sql", &sql("0"))]).await, [""; 0]);
    database.remove().await;
}

#[tokio::test]
async fn losses_are_those_that_happen() {
    let database = LintDatabase::create().await;
    for (sql, expected) in [
        ("do $$ begin execute 'drop table public.laps'; end $$;", "it destroys table laps (1000 rows)"),
        ("do $$ begin execute 'truncate public.cars'; end $$;", "it destroys rows of cars (2 rows)"),
        ("do $$ begin execute 'delete from public.laps where id < 4'; end $$;", "it destroys rows of laps (3 rows)"),
        (
            "do $$ begin execute 'alter table public.laps drop speed'; end $$;",
            "it destroys column laps.speed (1000 rows)",
        ),
    ] {
        let found = lint(&database, &[file("001_a.sql", sql)]).await;
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        assert!(found[0].contains("undeclared-loss: in the database ") && found[0].contains(expected), "{found:?}");
    }
    let empty = "do $$ begin execute 'drop table public.pits'; end $$;";
    assert_eq!(lint(&database, &[file("001_a.sql", empty)]).await, [""; 0]);
    let rewritten = "do $$ begin execute 'alter table public.laps alter speed type bigint'; end $$;";
    assert_eq!(lint(&database, &[file("001_a.sql", rewritten)]).await, [""; 0]);

    let declared = "-- destroys: rows of laps\ndo $$ begin execute 'delete from public.laps where id < 4'; end $$;";
    assert_eq!(lint(&database, &[file("001_a.sql", declared)]).await, [""; 0]);
    let vain = "-- destroys: table cars\ndo $$ begin execute 'delete from public.pits'; end $$;";
    let found = lint(&database, &[file("001_a.sql", vain)]).await;
    assert!(
        found.len() == 1 && found[0].contains(":1 announces-nothing: `-- destroys: table cars`: the file left"),
        "{found:?}"
    );
    database.remove().await;
}

#[tokio::test]
async fn partitions_and_heirs_belong_to_their_table() {
    let database = LintDatabase::create().await;
    let tables = "create table public.days (day int) partition by list (day);
                  create table public.day_1 partition of public.days for values in (1);
                  create table public.day_2 partition of public.days for values in (2);
                  insert into public.days values (1), (1), (2);
                  create table public.base (id int); create table public.heir () inherits (public.base);
                  insert into public.heir values (1);";
    database.client().await.batch_execute(tables).await.unwrap();
    for (sql, expected) in [
        ("delete from public.days where day = 1", "rows of days (2 rows)"),
        ("drop table public.day_1", "rows of days (2 rows)"),
        ("truncate public.days", "rows of days (3 rows)"),
        ("truncate public.day_2", "rows of days (1 row)"),
        ("drop table public.days", "table days (3 rows)"),
        ("delete from public.base", "rows of base (1 row)"),
        ("alter table public.base drop id", "column base.id (1 row)"),
    ] {
        let found = lint(&database, &[file("001_a.sql", &format!("do $$ begin execute '{sql}'; end $$;"))]).await;
        assert!(found.len() == 1 && found[0].contains(expected), "{sql}: {found:?}");
    }
    let index = "create index if not exists by_day on public.days (day);";
    let found = lint(&database, &[file("001_a.sql", index)]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].matches("ShareLock on days (3 rows)").count(), 1, "{found:?}");
    database.remove().await;
}

#[tokio::test]
async fn nothing_of_a_run_remains_and_files_build_on_each_other() {
    let database = LintDatabase::create().await;
    let files = [
        file("001_a.sql", "-- owns-table: gates\ncreate table if not exists public.gates (id int);"),
        file(
            "002_b.sql",
            "insert into public.gates values (1); delete from public.gates;\n-- lint: allow undeclared-loss (made here)",
        ),
        file("003_c.sql", "insert into public.cars values (3);\nselect 1 / 0;"),
        file(
            "0033_s.sql",
            "set search_path to pg_catalog; set statement_timeout to '1min'; create role lint_role; set role lint_role;",
        ),
        file(
            "004_d.sql",
            "do $$ begin if (select count(*) from public.cars) <> 2 then raise exception 'not rolled back'; end if; end $$;",
        ),
    ];
    let without = LintFile {
        file: MigrationFile::parse("005_e.sql", b"-- no-transaction\nvacuum public.cars;").expect("a good file"),
        path: "db-init/005_e.sql".to_owned(),
        phase: Phase::DbInit,
    };
    let files = [&files[..], &[without]].concat();
    let measured = measure::run(&mut database.client().await, &files).await.expect("the database answers");
    let skipped = |path: &str| match &measured.files[path] {
        FileRun::Skipped(reason) => reason.clone(),
        FileRun::Ran(_) => "ran".to_owned(),
    };
    assert_eq!(skipped("db-init/001_a.sql"), "ran");
    assert_eq!(skipped("db-init/002_b.sql"), "ran");
    assert_eq!(skipped("db-init/003_c.sql"), "the statement of line 2 failed: division by zero (22012)");
    assert_eq!(skipped("db-init/0033_s.sql"), "ran");
    assert_eq!(skipped("db-init/004_d.sql"), "ran");
    assert_eq!(skipped("db-init/005_e.sql"), "its statements cannot run in a transaction");
    assert_eq!(database.count("public.cars").await, 2);
    let gates = database.client().await.query_one("select to_regclass('public.gates') is null", &[]).await.unwrap();
    assert!(gates.get::<_, bool>(0), "the table is still there");
    database.remove().await;
}

#[tokio::test]
async fn files_of_the_ledger_are_listed_and_not_run_again() {
    let database = LintDatabase::create().await;
    let client = database.client().await;
    assert_eq!(ledger(&client).await.unwrap(), []);
    client
        .batch_execute(
            "create schema boot; create table boot.migrations (phase text, filename text, checksum text, applied_at timestamptz, image text);
             insert into boot.migrations values ('db-init', '001_a.sql', 'abc', '2026-11-26 10:00:00+00', '1.0')",
        )
        .await
        .unwrap();
    let applied = ledger(&client).await.unwrap();
    assert_eq!((applied[0].filename.as_str(), applied[0].at.as_str()), ("001_a.sql", "2026-11-26 10:00:00"));
    let files = [file("001_a.sql", "select 1 / 0;")];
    let measured = measure::run(&mut database.client().await, &files).await.expect("the database answers");
    assert!(
        matches!(&measured.files["db-init/001_a.sql"], FileRun::Skipped(reason) if reason == "the database has it already")
    );
    database.remove().await;
}

#[tokio::test]
async fn an_address_that_is_wrong_is_an_error_without_its_password() {
    let error = connect("not a url").await.unwrap_err();
    assert!(error.to_string().contains("postgres://user:password@localhost:5432/directus"), "{error}");
    let url = server_url();
    let (head, _) = url.rsplit_once('/').unwrap();
    let error = format!("{:#}", connect(&format!("{head}/no_such_database")).await.unwrap_err());
    assert!(error.contains("failed to connect to database no_such_database without TLS"), "{error}");
    assert!(!error.contains("test:test"), "{error}");
}
