//! The witness and the attic against a real PostgreSQL: a loss of data is detected before COMMIT, from its effects and
//! not from the text of the file, and a declared loss can be restored.

mod common;

use common::{Database, boot_lock, log};
use contract::{ExitCode, Phase};
use entrypoint::attic::{AtticRequest, run as attic};
use entrypoint::config::{Config, Env};
use entrypoint::database::{BootLock, Session, state};
use entrypoint::error::BootError;
use entrypoint::migrations::{ApplyContext, ApplyError, MigrationFile, apply};
use entrypoint::witness::LastCatalog;
use tokio_postgres::Client;

/// Tables with rows: among them a partitioned one, and a pair with a cascading foreign key.
const ROWS: &str = "
    create table laps (id int primary key, driver text not null, speed numeric(6, 2), note varchar(50));
    insert into laps select n, 'driver ' || n, n + 0.25, case when n < 3 then 'a long note of lap ' || n end
        from generate_series(1, 5) n;
    create table pits (id int primary key, lap int not null references laps on delete cascade);
    insert into pits values (1, 1), (2, 2);
    create table plain (a int, b text);
    insert into plain values (1, 'x'), (2, 'y');
    create table empty (id int primary key, never text);
    create table points (ts date not null, car int) partition by range (ts);
    create table points_may partition of points for values from ('2026-05-01') to ('2026-06-01');
    create table points_june partition of points for values from ('2026-06-01') to ('2026-07-01');
    insert into points values ('2026-05-03', 1), ('2026-06-01', 2), ('2026-06-02', 3);
    create table base (id int primary key, remark text);
    create table heir (extra text) inherits (base);
    insert into base values (1, 'one');
    insert into heir values (2, 'two', 'x'), (3, 'three', 'y');
    create view fast as select driver from laps;
    create type mood as enum ('good', 'bad');
    create table logs (id int primary key generated always as identity, mood mood default 'good');
    insert into logs (mood) values ('good'), ('bad');
    create function doubled(int) returns int immutable language sql as 'select 2 * $1';
    create function forget() returns trigger language plpgsql as 'begin delete from plain; return null; end';
    create constraint trigger forget after update of driver on laps deferrable initially deferred
        for each row execute function forget();
    create domain pace as real;
    create table sums (id int primary key, twice int generated always as (doubled(id)) stored, pace pace);
    insert into sums (id, pace) values (1, 1.5), (2, 2.5);";

async fn filled() -> (Database, Session) {
    let database = Database::create().await;
    let session = database.session().await;
    session.client.batch_execute(ROWS).await.expect("good SQL");
    state::ensure(&session.client).await.expect("the test role may create a schema");
    (database, session)
}

/// Applies a file while the lock is held. The file must be valid.
async fn apply_under(
    lock: &BootLock,
    config: &Config,
    last: &LastCatalog,
    session: &mut Session,
    name: &str,
    sql: &str,
) -> Result<(), ApplyError> {
    let file = MigrationFile::parse(name, sql.as_bytes()).expect(sql);
    let context = ApplyContext {
        phase: Phase::DbInit,
        image: "test@1",
        database: &config.database,
        lock,
        last,
        only_adds: false,
        lock_retry: config.lock_retry,
        log: &log(),
    };
    apply(session, &file, &context).await
}

async fn apply_as(database: &Database, session: &mut Session, name: &str, sql: &str) -> Result<(), ApplyError> {
    let config = database.config();
    let lock = boot_lock(&config).await;
    let result = apply_under(&lock, &config, &LastCatalog::default(), session, name, sql).await;
    lock.release().await;
    result
}

async fn apply_sql(database: &Database, session: &mut Session, sql: &str) -> Result<(), ApplyError> {
    apply_as(database, session, "004_test.sql", sql).await
}

/// Returns every row of every table, as text.
async fn content(client: &Client) -> String {
    let tables = "select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace
                  and relkind in ('r', 'p') order by 1";
    let mut lines = Vec::new();
    for row in client.query(tables, &[]).await.expect("a catalog") {
        let table: String = row.get(0);
        let query = format!(
            "select coalesce(string_agg(to_jsonb(t)::text, ',' order by to_jsonb(t)::text), '') from {table} t"
        );
        let rows: String = client.query_one(&query, &[]).await.expect("a table").get(0);
        lines.push(format!("{table}: {rows}"));
    }
    lines.join("\n")
}

/// Files that destroy data, and the losses that the error must name.
const DESTRUCTIVE: &[(&str, &str)] = &[
    ("drop table pits", "table pits (2 rows)"),
    ("drop table laps cascade", "table laps (5 rows)"),
    ("do $$ begin execute 'drop ' || 'table plain'; end $$", "table plain (2 rows)"),
    ("alter table laps drop column note", "column laps.note (2 values)"),
    ("alter table laps drop column driver cascade", "column laps.driver (5 values)"),
    ("delete from plain where a = 1", "rows of plain (1 row)"),
    ("delete from plain", "rows of plain (2 rows)"),
    ("truncate plain", "rows of plain (2 rows)"),
    ("truncate laps cascade", "rows of laps (5 rows)"),
    ("delete from laps where id = 1", "rows of laps (1 row), rows of pits (1 row)"),
    (
        "alter table laps alter note type varchar(5) using left(note, 5)",
        "column laps.note (varying(50) to varying(5)) (2 values)",
    ),
    ("alter table laps alter speed type int", "column laps.speed (numeric(6,2) to integer) (5 values)"),
    ("alter table laps alter speed type boolean using false", "column laps.speed (numeric(6,2) to boolean) (5 values)"),
    ("alter table laps alter note type varchar(50) using left(note, 2)", "rows of laps (2 rows)"),
    ("drop table heir", "table heir (2 rows)"),
    ("drop table base cascade", "table base (1 row), table heir (2 rows)"),
    ("truncate base", "rows of base (1 row), rows of heir (2 rows)"),
    ("delete from base where id > 1", "rows of heir (2 rows)"),
    (
        "alter table base alter remark type varchar(1) using left(remark, 1)",
        "column base.remark (text to varying(1)) (1 value), column heir.remark (text to varying(1)) (2 values)",
    ),
    (
        "alter table laps alter note type varchar(2) using left(note, 2); alter table laps alter note type varchar(50)",
        "rows of laps (2 rows)",
    ),
    ("drop table points_june", "rows of points (2 rows)"),
    ("delete from points where car = 1", "rows of points (1 row)"),
    ("truncate points_may", "rows of points (1 row)"),
    ("drop type mood cascade", "column logs.mood (2 values)"),
    (
        "create table copy as select * from plain; drop table plain; alter table copy rename to plain",
        "table plain (2 rows)",
    ),
    ("with gone as (delete from plain returning *) insert into empty select a from gone", "rows of plain (2 rows)"),
    ("merge into plain using (values (1)) v (a) on plain.a = v.a when matched then delete", "rows of plain (1 row)"),
    // PostgreSQL counts a row that an UPDATE moves to another partition as deleted and inserted.
    ("update points set ts = '2026-06-03' where car = 1", "rows of points (1 row)"),
    ("drop schema public cascade; create schema public", "table laps (5 rows)"),
    // These do not lock the table before they drop a part of it.
    ("drop function doubled cascade", "column sums.twice (2 values)"),
    ("drop domain pace cascade", "column sums.pace (2 values)"),
    ("drop table plain; alter schema public rename to old; alter schema old rename to public", "table plain (2 rows)"),
    // A deferred trigger, which would run at COMMIT if the boot did not run it before.
    ("update laps set driver = 'unknown' where id = 1", "rows of plain (2 rows)"),
    // An edit of the catalog itself by a superuser.
    (
        "update pg_attribute set attisdropped = true, atttypid = 0 where attrelid = 'plain'::regclass and attname = 'b'",
        "column plain.b (2 values)",
    ),
];

/// Returns true if the server has the statement: MERGE came with PostgreSQL 15.
fn is_known(session: &Session, sql: &str) -> bool {
    !(sql.starts_with("merge ") && session.server_version.starts_with("14."))
}

#[tokio::test]
async fn destructive_file_is_rolled_back_and_each_loss_named() {
    let (database, mut session) = filled().await;
    let before = content(&session.client).await;
    for (sql, loss) in DESTRUCTIVE {
        if !is_known(&session, sql) {
            continue;
        }
        let error = apply_sql(&database, &mut session, sql).await.expect_err(sql);
        let ApplyError::Destroys { losses, .. } = &error else { panic!("{sql}: {error}") };
        for loss in loss.split("), ") {
            let loss = loss.replace("varying", "character varying");
            assert!(losses.to_string().contains(loss.trim_end_matches(')')), "{sql}: {losses:?} without {loss}");
        }
        assert_eq!(BootError::from(error).exit_code(), ExitCode::SchemaRefused);
        assert_eq!(content(&session.client).await, before, "{sql}");
    }
    let ledger = session.client.query("select from boot.migrations", &[]).await.expect("a table");
    assert!(ledger.is_empty());
}

#[tokio::test]
async fn suggested_directive_allows_the_file() {
    for (sql, _) in DESTRUCTIVE {
        // Also for a file that drops the whole schema `public`: the attic has its own schema.
        let (database, mut session) = filled().await;
        if !is_known(&session, sql) {
            continue;
        }
        let Err(ApplyError::Destroys { directives: Some(directives), .. }) =
            apply_sql(&database, &mut session, sql).await
        else {
            panic!("{sql} was not refused");
        };
        let declared = format!("-- destroys: {directives}\n{sql}");
        apply_sql(&database, &mut session, &declared).await.expect(&declared);
    }
}

/// Files that destroy nothing, but look as if they did.
const HARMLESS: &[&str] = &[
    "drop table empty",
    "alter table empty drop column never; truncate empty",
    "delete from laps where id = 99",
    "update laps set speed = 1, note = null",
    "alter table laps rename to rounds; alter table rounds rename column note to remark",
    "create schema old; alter table plain set schema old",
    "alter table laps alter speed type numeric(10, 4)",
    "alter table laps alter note type text; alter table laps alter id type bigint",
    "alter table laps alter note type varchar(20) using nullif(note, 'x') || ''",
    "alter table plain add column added timestamptz default clock_timestamp()",
    "create table new (id int primary key); insert into new values (1); delete from new; drop table new",
    // Rows that are inserted again.
    "delete from laps where id = 5; insert into laps values (5, 'driver 5', 5.25)",
    "create temporary table t as select * from laps where id > 2; delete from laps where id > 2; insert into laps select * from t",
    // Deletions that a savepoint rolls back.
    "do $$ begin delete from plain; raise exception 'no'; exception when others then null; end $$",
    "do $$ begin delete from laps; raise exception 'no'; exception when others then null; end $$; insert into laps values (6, 'x')",
    "alter table points detach partition points_may",
    "drop view fast; drop index if exists none; alter table laps alter driver drop not null",
];

#[tokio::test]
async fn harmless_file_needs_no_directive() {
    for sql in HARMLESS {
        let (database, mut session) = filled().await;
        // One of the files casts notes to varchar(20), which would cut longer ones.
        session.client.batch_execute("update laps set note = left(note, 20)").await.expect("good SQL");
        apply_sql(&database, &mut session, sql).await.expect(sql);
    }
}

#[tokio::test]
async fn losses_of_objects_that_another_session_added_between_two_files_are_noticed() {
    let (database, mut session) = filled().await;
    let (config, last, other) = (database.config(), LastCatalog::default(), database.session().await);
    let lock = boot_lock(&config).await;
    for (name, sql) in
        [("004_first.sql", "create table first (id int)"), ("005_second.sql", "create table second (id int)")]
    {
        apply_under(&lock, &config, &last, &mut session, name, sql).await.expect("nothing is destroyed");
    }
    other
        .client
        .batch_execute("alter table plain add column c int default 3; create table heats as select 1 as id")
        .await
        .expect("good SQL");
    for (sql, loss) in
        [("alter table plain drop column c", "column plain.c (2 values)"), ("drop table heats", "table heats (1 row)")]
    {
        let result = apply_under(&lock, &config, &last, &mut session, "006_third.sql", sql).await;
        let error = result.expect_err(sql);
        let ApplyError::Destroys { losses, .. } = error else { panic!("{sql}: {error}") };
        assert_eq!(losses.to_string(), loss);
    }
    lock.release().await;
}

#[tokio::test]
async fn dropping_the_attic_or_the_ledger_is_noticed() {
    let (database, mut session) = filled().await;
    apply_sql(&database, &mut session, "-- destroys: rows of plain\ndelete from plain").await.expect("declared");
    let file = MigrationFile::parse("005_next.sql", b"-- destroys: table attic.plain_1\ndrop table attic.plain_1");
    assert_eq!(file.expect("good SQL").directives.destroys.len(), 1);
    for sql in ["drop schema attic cascade", "delete from boot.migrations", "truncate boot.attic"] {
        let error = apply_sql(&database, &mut session, sql).await.expect_err(sql);
        assert!(matches!(error, ApplyError::Destroys { .. }), "{sql}: {error}");
    }
}

/// Returns the variables with which `attic` connects to a database.
fn env(database: &Database, image: &common::Image) -> Env {
    [
        ("DB_CLIENT", "pg".to_owned()),
        ("DB_CONNECTION_STRING", database.url().to_owned()),
        ("SECRET", "s".to_owned()),
        ("BOOT_DB_INIT_DIR", image.path("db-init")),
        ("BOOT_SNAPSHOT_FILE", image.path("schema.yaml")),
        ("BOOT_SCRIPTS_DIR", image.path("scripts")),
        ("BOOT_DIRECTUS_DIR", image.path("directus")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Files with a declared loss, which the attic must be able to undo.
const DECLARED: &[&str] = &[
    "-- destroys: table pits\ndrop table pits",
    "-- destroys: table plain\ndrop table if exists public.plain",
    "-- destroys: table plain\ndo $$ begin execute 'drop table plain'; end $$",
    "-- destroys: column laps.note\nalter table laps drop column note",
    "-- destroys: column laps.speed\nalter table laps alter speed type int",
    "-- destroys: column laps.note\nalter table laps alter note type varchar(5) using left(note, 5)",
    "-- destroys: rows of plain\ndelete from plain where a = 2",
    "-- destroys: rows of plain\ntruncate plain",
    "-- destroys: rows of points\ndelete from points where car > 1",
    "-- destroys: table pits\ndrop table pits cascade",
    "-- destroys: table pits, table plain\ndrop table pits, \"plain\"",
    "-- destroys: table logs\ndrop table logs",
    "-- destroys: table logs\ndo $$ begin execute 'drop table logs'; end $$",
    "-- destroys: table logs\ndelete from logs where id = 1; drop table logs",
    "-- destroys: table plain\ntruncate plain; drop table plain",
    "-- destroys: rows of points\ndrop table points_june; create table points_june partition of points for values from ('2026-06-01') to ('2026-07-01')",
    "-- destroys: table points\ndrop table points",
    "-- destroys: table base, table heir\ndrop table base cascade",
    "-- destroys: rows of base, rows of heir\ntruncate base",
    "-- destroys: rows of heir\ndelete from base where id = 2",
    "-- destroys: rows of plain\nalter table plain disable trigger all; delete from plain; alter table plain enable trigger all",
    "-- destroys: rows of plain\nalter table plain add column c int default 3; delete from plain; alter table plain drop column c",
];

#[tokio::test]
async fn declared_losses_can_be_restored() {
    for sql in DECLARED {
        let (database, mut session) = filled().await;
        let image = common::Image::new();
        let before = content(&session.client).await;
        apply_sql(&database, &mut session, sql).await.expect(sql);
        assert_ne!(content(&session.client).await, before, "{sql}");
        let env = env(&database, &image);
        let listed = attic(&AtticRequest::List { json: false }, &env, &log()).await.expect("a list");
        assert!(listed.contains("by test@1, 004_test.sql"), "{sql}: {listed}");
        for line in listed.lines() {
            let id = line.split_whitespace().next().and_then(|id| id.parse().ok()).expect("a number");
            let restored = attic(&AtticRequest::Restore(id), &env, &log()).await.expect(sql);
            assert!(restored.starts_with("restored "), "{sql}: {restored}");
        }
        let after = content(&session.client).await;
        assert_eq!(without_partitions(&after), without_partitions(&before), "{sql}: {listed}");
    }
}

/// Drops the lines of partitions: a table that was restored from a copy has none.
fn without_partitions(content: &str) -> Vec<&str> {
    content.lines().filter(|line| !line.starts_with("points_")).collect()
}

#[tokio::test]
async fn restored_table_has_its_foreign_keys() {
    let (database, mut session) = filled().await;
    let image = common::Image::new();
    apply_sql(&database, &mut session, "-- destroys: table pits\ndrop table pits").await.expect("declared");
    let keys = "select count(*) from pg_constraint where contype = 'f' and conrelid = to_regclass('pits')";
    attic(&AtticRequest::Restore(1), &env(&database, &image), &log()).await.expect("an entry");
    assert_eq!(session.client.query_one(keys, &[]).await.expect("a catalog").get::<_, i64>(0), 1);
    let again =
        attic(&AtticRequest::Restore(1), &env(&database, &image), &log()).await.expect_err("it was restored already");
    assert!(again.to_string().contains("no entry 1"), "{again}");
}

#[tokio::test]
async fn restored_copy_has_its_key_and_continues_its_sequences() {
    let (database, mut session) = filled().await;
    let image = common::Image::new();
    session
        .client
        .batch_execute("create table serials (id serial primary key, at date default '2026-05-01')")
        .await
        .expect("good SQL");
    session.client.batch_execute("insert into serials select from generate_series(1, 3)").await.expect("good SQL");
    let sql = "-- destroys: table logs, table serials\ndo $$ begin execute 'drop table logs'; execute 'drop table serials'; end $$";
    apply_sql(&database, &mut session, sql).await.expect("declared");
    for id in 1..=2 {
        attic(&AtticRequest::Restore(id), &env(&database, &image), &log()).await.expect("an entry");
    }
    let insert = "with a as (insert into logs default values returning id), b as (insert into serials default values returning id, at)
                  select (select id from a), (select id from b), (select at::text from b)";
    let row = session.client.query_one(insert, &[]).await.expect("both sequences continue");
    let (log_id, serial, at): (i32, i32, String) = (row.get(0), row.get(1), row.get(2));
    assert_eq!((log_id, serial, at.as_str()), (3, 4, "2026-05-01"));
}

#[tokio::test]
async fn file_cannot_switch_the_row_counts_off() {
    let (database, mut session) = filled().await;
    let before = content(&session.client).await;
    let sql = "do $$ begin execute 'set local ' || 'track_' || 'counts = off'; delete from plain; end $$";
    let error = apply_sql(&database, &mut session, sql).await.expect_err("nothing is counted");
    assert!(error.to_string().contains("track_counts"), "{error}");
    assert_eq!(content(&session.client).await, before);
}

#[tokio::test]
async fn table_that_a_view_reads_is_not_moved_to_the_attic() {
    let (database, mut session) = filled().await;
    let before = content(&session.client).await;
    let sql = "-- destroys: table laps, table pits\ndrop table pits; drop table laps";
    let error = apply_sql(&database, &mut session, sql).await.expect_err("the view `fast` reads it");
    assert!(error.to_string().contains("the view fast reads it"), "{error}");
    assert_eq!(content(&session.client).await, before);
}

#[tokio::test]
async fn directive_without_a_loss_leaves_nothing_in_the_attic() {
    let (database, mut session) = filled().await;
    let image = common::Image::new();
    apply_sql(&database, &mut session, "-- destroys: table plain, rows of laps\nselect 1").await.expect("harmless");
    let listed = attic(&AtticRequest::List { json: false }, &env(&database, &image), &log()).await.expect("a list");
    assert_eq!(listed, "the attic is empty");
}

#[tokio::test]
async fn attic_is_purged_by_number_and_by_age() {
    let (database, mut session) = filled().await;
    let image = common::Image::new();
    let env = env(&database, &image);
    apply_sql(&database, &mut session, "-- destroys: rows of plain\ndelete from plain").await.expect("declared");
    apply_as(&database, &mut session, "005_more.sql", "-- destroys: table pits\ndrop table pits")
        .await
        .expect("declared");
    attic(&AtticRequest::Purge(Some(1)), &env, &log()).await.expect("an entry");
    let listed = attic(&AtticRequest::List { json: false }, &env, &log()).await.expect("a list");
    assert!(listed.contains("table pits  (2 rows") && !listed.contains("plain"), "{listed}");
    entrypoint::attic::purge(&session.client, 1, &log()).await.expect("nothing is a day old");
    assert!(attic(&AtticRequest::List { json: false }, &env, &log()).await.expect("a list").contains("pits"));
    entrypoint::attic::purge(&session.client, 0, &log()).await.expect("every entry is older than zero days");
    assert_eq!(attic(&AtticRequest::List { json: false }, &env, &log()).await.expect("a list"), "the attic is empty");
    let gone = attic(&AtticRequest::Restore(2), &env, &log()).await.expect_err("it was purged");
    assert!(gone.to_string().contains("no entry 2"), "{gone}");
}

#[tokio::test]
async fn no_file_can_release_the_boot_lock() {
    let (database, mut session) = filled().await;
    let config = database.config();
    let lock = boot_lock(&config).await;
    for (number, sql) in [
        "select pg_advisory_unlock_all()",
        "do $$ begin perform pg_advisory_unlock_all(); end $$",
        "-- no-transaction\nreset all",
        "-- no-transaction\ndo $$ begin perform pg_advisory_unlock_all(); commit; end $$",
    ]
    .iter()
    .enumerate()
    {
        apply_under(&lock, &config, &LastCatalog::default(), &mut session, &format!("{number}_a.sql"), sql)
            .await
            .expect(sql);
        let held = "select count(*) from pg_locks where locktype = 'advisory' and granted
                    and database = (select oid from pg_database where datname = current_database())";
        let other = database.connect().await;
        assert_eq!(other.query_one(held, &[]).await.expect("a catalog").get::<_, i64>(0), 1, "{sql}");
    }
    lock.release().await;
}

#[tokio::test]
async fn file_that_ends_the_locks_session_is_rolled_back() {
    let (database, mut session) = filled().await;
    let sql = "create table late (id int); select pg_terminate_backend(pid, 9000) from pg_locks
               where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";
    let error = apply_sql(&database, &mut session, sql).await.expect_err("the lock was lost");
    assert!(matches!(error, ApplyError::LockLost { .. }), "{error}");
    assert_eq!(BootError::from(error).exit_code(), ExitCode::DatabaseLost);
    let late = session.client.query_one("select to_regclass('late') is null", &[]).await.expect("a query");
    assert!(late.get::<_, bool>(0));
}

#[tokio::test]
async fn table_is_moved_to_the_attic_without_copying_its_rows() {
    let (database, mut session) = filled().await;
    session
        .client
        .batch_execute("create table many (id int primary key); insert into many select generate_series(1, 200000)")
        .await
        .expect("good SQL");
    let filenode =
        "select relfilenode from pg_class where relname like 'many%' and relkind = 'r' order by relname desc";
    let before: u32 = session.client.query_one(filenode, &[]).await.expect("a table").get(0);
    apply_sql(&database, &mut session, "-- destroys: table many\ndrop table many").await.expect("declared");
    let after: u32 = session.client.query_one(filenode, &[]).await.expect("it is in the attic").get(0);
    assert_eq!(before, after);
}
