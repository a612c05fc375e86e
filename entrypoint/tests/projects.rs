//! Two projects in one database: the ledger belongs to one of them.

mod common;

use common::{Database, Image, run};
use contract::ExitCode;

/// Installs another Directus in the schema `other`.
async fn install_other(database: &Database) {
    let client = database.connect().await;
    let install = format!("create schema other; set search_path to other; {}", include_str!("common/bootstrapped.sql"));
    client.batch_execute(&install).await.expect("a free schema");
}

#[tokio::test]
async fn second_project_is_refused_by_name_and_the_first_goes_on() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    install_other(&database).await;
    let refused = run(image.boot(database.url()).env("DB_SEARCH_PATH", "other"));
    let words = ["belongs to the Directus in the schema `public`", "DB_DATABASE", "DB_SEARCH_PATH=public"];
    refused.assert_failed("lock", ExitCode::DatabaseRefused, &words);
    let again = run(&mut image.boot(database.url()));
    assert!(again.output.contains("everything is in place"), "{}", again.output);
}

#[tokio::test]
async fn second_project_is_refused_before_it_is_installed_if_the_history_is_of_an_older_boot() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    let client = database.connect().await;
    client
        .batch_execute("create schema other; alter table boot.snapshots drop column schema_name")
        .await
        .expect("a free schema");
    let refused = run(image.boot(database.url()).env("DB_SEARCH_PATH", "other"));
    refused.assert_failed("lock", ExitCode::DatabaseRefused, &["in the schema `public`", "nothing was changed"]);
}

#[tokio::test]
async fn schema_that_was_renamed_is_the_same_project() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    assert_eq!(run(&mut image.boot(database.url())).code, 0);
    let client = database.connect().await;
    client.batch_execute("alter schema public rename to rally").await.expect("its owner");
    image.write("db-init/003_pits.sql", "create table pits (id int);");
    let ended = run(image.boot(database.url()).env("DB_SEARCH_PATH", "rally"));
    assert_eq!(ended.code, 0, "{}", ended.output);
    let row = client.query_one("select schema_name from boot.snapshots", &[]).await.expect("one row");
    assert_eq!(row.get::<_, &str>(0), "rally");
}
