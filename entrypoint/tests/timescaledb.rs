//! This repository's SQL files beside TimescaleDB: the documented way from a plain table to a hypertable, and an upgrade of
//! the server's image. A server without TimescaleDB is refused.

mod common;

use std::path::Path;

use common::{BootResult, Database, Image, offers_timescaledb, run};
use contract::ExitCode;

/// Reads a file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the SQL below a heading of a document, one text per block.
fn documented_sql(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let (_, section) = text.split_once(&format!("### {heading}\n")).expect("the heading");
    let section = section.split("\n#").next().expect("a section");
    let blocks = section.split("```sql\n").skip(1).map(|block| block.split("```").next().expect("its end").to_owned());
    blocks.collect()
}

/// An image with this repository's files, and `001` replaced by this text.
fn image_with(first: &str) -> Image {
    let image = Image::new();
    for file in ["001_laps.sql", "002_speed.sql", "post-schema/001_unique.sql"] {
        std::fs::remove_file(image.path(&format!("db-init/{file}"))).expect("a file of the image");
    }
    image.write("db-init/001_extensions.sql", first);
    for file in ["002_positions_hypertable.sql", "003_faulty_column.sql"] {
        image.write(&format!("db-init/{file}"), &read(&format!("db-init/{file}")));
    }
    image
}

fn boot(image: &Image, database: &Database) -> BootResult {
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    ended
}

fn assert_warm(image: &Image, database: &Database) {
    let ended = run(image.boot(database.url()).env("PATH", "/nowhere"));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(!ended.output.contains("warning"), "{}", ended.output);
}

#[tokio::test]
async fn plain_table_becomes_a_hypertable_by_the_documented_files() {
    let (database, image) = (Database::bootstrapped().await, image_with("select 'no extension';\n"));
    boot(&image, &database);
    let client = database.connect().await;
    let rows = "insert into positions (device_id, ts, latitude, longitude, altitude, angle, speed, satellites, priority,
                                       codec, attributes)
                select 'd' || n % 7, timestamptz '2026-06-06' + n * interval '5 minutes', 41, 20, 0, 0, n % 100, 9, 0, '8',
                       '{}' from generate_series(1, 3000) n";
    client.batch_execute(rows).await.expect("a table positions");

    let files = documented_sql("docs/change-the-schema.md", "From a plain table to a hypertable");
    assert_eq!(files.len(), 2, "{files:?}");
    image.write("db-init/004_timescaledb.sql", &files[0]);
    image.write("db-init/005_hypertable.sql", &files[1]);
    let ended = run(&mut image.boot(database.url()));
    let count = async || client.query_one("select count(*) from positions", &[]).await.expect("rows").get::<_, i64>(0);
    if !offers_timescaledb(&client).await {
        ended.assert_failed("db-init", ExitCode::DatabaseRefused, &["004_timescaledb.sql", "timescaledb"]);
        assert_eq!(count().await, 3000);
        return;
    }
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert_eq!(count().await, 3000);
    let chunks = "select num_chunks::int from timescaledb_information.hypertables where hypertable_name = 'positions'";
    assert_eq!(client.query_one(chunks, &[]).await.expect("a hypertable").get::<_, i32>(0), 11);
    let indexes = "select count(*) from pg_indexes where tablename = 'positions'";
    assert_eq!(client.query_one(indexes, &[]).await.expect("indexes").get::<_, i64>(0), 3);
    assert_warm(&image, &database);
}

#[tokio::test]
async fn newer_image_of_the_server_needs_an_update_of_the_extension() {
    let (database, image) = (Database::bootstrapped().await, image_with(&read("db-init/001_extensions.sql")));
    let client = database.connect().await;
    if !offers_timescaledb(&client).await {
        let refused = run(&mut image.boot(database.url()));
        refused.assert_failed("db-init", ExitCode::DatabaseRefused, &["the extension timescaledb is not installed"]);
        return;
    }
    boot(&image, &database);
    assert_warm(&image, &database);
    // As after a boot with the version before this server's: both places where the version is noted.
    let version = "select regexp_replace(extversion, '\\d+$', '') || (regexp_substr(extversion, '\\d+$')::int - 1)
                   from pg_extension where extname = 'timescaledb'";
    let older: String = client.query_one(version, &[]).await.expect("a version").get(0);
    let noted = format!(
        "update _timescaledb_catalog.metadata set value = '{older}' where key = 'timescaledb_version';
         update pg_extension set extversion = '{older}' where extname = 'timescaledb'"
    );
    client.batch_execute(&noted).await.expect("the test role is a superuser");
    drop(client);

    let library = format!("$libdir/timescaledb-{older}");
    let refused = run(image.boot(database.url()).env("BOOT_DATABASE_TIMEOUT", "5"));
    refused.assert_failed(
        "database",
        ExitCode::DatabaseRefused,
        &[library.as_str(), "nothing was changed", "psql -X -c 'ALTER EXTENSION timescaledb UPDATE'"],
    );
    let update = database.connect().await.batch_execute("alter extension timescaledb update").await;
    update.expect("the first statement of a session");
    assert_warm(&image, &database);
}
