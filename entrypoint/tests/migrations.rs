//! Migrations against a real PostgreSQL: what a transaction keeps, and what a file cannot do to it.

mod common;

use common::{Database, log};
use entrypoint::contract::Phase;
use entrypoint::database::{Session, state};
use entrypoint::migrations::{ApplyError, MigrationFile, apply};

async fn applied(session: &mut Session, sql: &str) -> Result<(), ApplyError> {
    state::ensure(&session.client).await.expect("the test role may create a schema");
    let file = MigrationFile::parse("001_test.sql", sql.as_bytes()).expect("a good file");
    apply(session, Phase::DbInit, &file, "test", &log()).await
}

async fn tables(session: &Session) -> Vec<String> {
    let query = "select tablename::text from pg_tables where schemaname = 'public' order by 1";
    session.client.query(query, &[]).await.expect("a query").iter().map(|row| row.get(0)).collect()
}

async fn ledger_length(session: &Session) -> usize {
    state::ledger(&session.client, Phase::DbInit).await.expect("the ledger is there").len()
}

#[tokio::test]
async fn the_ledger_row_is_written_with_what_the_file_did() {
    let database = Database::create().await;
    let mut session = database.session().await;
    applied(&mut session, "create table a (id int); create table b (id int);").await.expect("good SQL");
    assert_eq!(tables(&session).await, ["a", "b"]);
    let row =
        session.client.query_one("select phase, filename, length(checksum), image from boot.migrations", &[]).await;
    let row = row.expect("one row");
    let (phase, filename, length, image): (&str, &str, i32, &str) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!((phase, filename, length, image), ("db-init", "001_test.sql", 64, "test"));
}

#[tokio::test]
async fn a_file_that_fails_leaves_neither_tables_nor_a_ledger_row() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for sql in [
        "create table a (id int); select 1/0;",
        // Transaction commands of the file's own would end ours; PostgreSQL refuses them inside EXECUTE.
        "create table a (id int); commit; create table b (id int);",
        "create table a (id int); rollback;",
        "create table a (id int); copy a from stdin;",
    ] {
        let error = applied(&mut session, sql).await.expect_err(sql);
        assert!(matches!(error, ApplyError::Sql { .. }), "{sql}: {error}");
        assert_eq!(tables(&session).await, [""; 0], "{sql}");
        assert_eq!(ledger_length(&session).await, 0, "{sql}");
    }
}

#[tokio::test]
async fn a_setting_of_one_file_does_not_reach_the_next() {
    let database = Database::create().await;
    let mut session = database.session().await;
    applied(&mut session, "set search_path to pg_catalog; create role nobody_here; set role nobody_here;")
        .await
        .expect("good SQL");
    let row = session.client.query_one("select current_setting('search_path'), current_user::text", &[]).await;
    let row = row.expect("a row");
    assert_eq!(row.get::<_, &str>(0), "\"$user\", public");
    assert_ne!(row.get::<_, &str>(1), "nobody_here");
    session.client.batch_execute("drop role nobody_here").await.expect("a role of this test");
}

#[tokio::test]
async fn a_connection_that_is_cut_in_a_migration_leaves_nothing_of_it() {
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
    let (result, ()) = tokio::join!(applied(&mut session, "create table a (id int); select pg_sleep(60);"), cut);
    let error = result.expect_err("the connection was cut");
    assert!(matches!(error, ApplyError::Connection { .. }), "{error:?}");
    assert!(error.to_string().contains("57P01"), "{error}");

    let session = database.session().await;
    assert_eq!(tables(&session).await, [""; 0]);
    assert_eq!(ledger_length(&session).await, 0);
}

#[tokio::test]
async fn the_state_is_made_once_and_without_noise() {
    let database = Database::create().await;
    let mut session = database.session().await;
    for _ in 0..2 {
        state::ensure(&session.client).await.expect("the test role may create a schema");
    }
    assert_eq!(session.take_notices(), []);
    for digest in ["d1", "d1", "d2", "d1"] {
        state::record_snapshot(&session.client, digest, "11.17.4", "test").await.expect("a table");
    }
    let lineage = state::lineage(&session.client).await.expect("a table");
    let digests: Vec<&str> = lineage.iter().map(|row| row.digest.as_str()).collect();
    assert_eq!(digests, ["d1", "d2", "d1"]);
}
