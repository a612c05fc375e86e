//! The objects of the SQL files: each boot warns of those that are missing or changed, until they are back or a newer
//! file accepts it.

mod common;

use common::{BootResult, Database, Image, run};
use contract::ExitCode;

/// A file with a table of its own, and everything on it.
const POSITIONS: &str = "-- owns-table: positions
create table positions (id int primary key, ts timestamptz not null default now(), speed real,
                        constraint plausible check (speed < 1000));
create index positions_ts on positions (ts desc);
create function stamp() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger stamp before insert on positions for each row execute function stamp();
";

/// Boots an image with such a file, so that the next boot has nothing to do.
async fn booted() -> (Database, Image) {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_positions.sql", POSITIONS);
    assert_whole(&boot(&image, &database));
    (database, image)
}

fn boot(image: &Image, database: &Database) -> BootResult {
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    ended
}

/// Boots with a PATH that has no Node.
fn boot_without_node(image: &Image, database: &Database) -> BootResult {
    let ended = run(image.boot(database.url()).env("PATH", "/nowhere"));
    assert_eq!(ended.code, 0, "{}", ended.output);
    ended
}

#[track_caller]
fn assert_whole(ended: &BootResult) {
    assert!(!ended.output.contains("warning"), "{}", ended.output);
}

#[track_caller]
fn assert_drift(ended: &BootResult, words: &str) {
    let warnings: Vec<&str> = ended.output.lines().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings.len(), 1, "{}", ended.output);
    assert!(warnings[0].contains(words), "`{words}` is not in: {}", warnings[0]);
}

async fn edit(database: &Database, sql: &str) {
    database.connect().await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn everything_that_is_missing_or_changed_is_named_with_its_remedy() {
    for (sql, words) in [
        ("drop table positions", "the table positions, which the SQL files created, is missing: restore it"),
        ("alter table positions drop column speed", "ALTER TABLE \"positions\" ADD COLUMN \"speed\" real"),
        ("alter table positions alter speed type float8", "is `double precision`, and the SQL files left it as `real`"),
        (
            "alter table positions alter ts drop not null",
            "left it as `timestamp with time zone NOT NULL DEFAULT now()`",
        ),
        ("alter table positions alter ts drop default", "is `timestamp with time zone NOT NULL`, and the SQL files"),
        ("alter table positions drop constraint plausible", "ADD CONSTRAINT \"plausible\" CHECK ((speed < "),
        ("alter table positions drop constraint positions_pkey", "ADD CONSTRAINT \"positions_pkey\" PRIMARY KEY (id)"),
        ("drop index positions_ts", "CREATE INDEX positions_ts ON public.positions USING btree (ts DESC)"),
        ("drop trigger stamp on positions", "is missing: CREATE TRIGGER stamp BEFORE INSERT ON public.positions"),
        ("alter table positions disable trigger stamp", "stamp() (disabled)`, and the SQL files left it as `CREATE"),
    ] {
        let (database, image) = booted().await;
        edit(&database, sql).await;
        // The database is complete for Directus, so this neither starts it nor ends the boot.
        for _ in 0..2 {
            let ended = boot_without_node(&image, &database);
            if sql.contains("drop column speed") {
                assert!(ended.output.contains(words) && ended.output.contains("plausible"), "{}", ended.output);
            } else {
                assert_drift(&ended, words);
            }
        }
    }
}

#[tokio::test]
async fn restored_objects_and_additions_are_no_drift() {
    let (database, image) = booted().await;
    edit(&database, "drop index positions_ts").await;
    assert_drift(&boot_without_node(&image, &database), "positions_ts");
    edit(&database, "create index positions_ts on public.positions using btree (ts desc)").await;
    assert_whole(&boot_without_node(&image, &database));
    edit(&database, "alter table positions add column note text; create index on positions (note)").await;
    assert_whole(&boot_without_node(&image, &database));
    // Created by hand, so it is not one of the files'.
    edit(&database, "alter table positions drop column note").await;
    assert_whole(&boot_without_node(&image, &database));
}

#[tokio::test]
async fn drift_stays_until_a_newer_file_names_the_table() {
    let (database, image) = booted().await;
    edit(&database, "drop index positions_ts").await;
    image.write("db-init/004_other.sql", "create table other (id int);\n");
    assert_drift(&boot(&image, &database), "positions_ts");
    assert_drift(&boot_without_node(&image, &database), "positions_ts");
    image.write("db-init/005_positions.sql", "comment on table positions is 'without an index on ts';\n");
    assert_drift(&boot(&image, &database), "positions_ts");
    assert_whole(&boot_without_node(&image, &database));
    // A file that drops something leaves no drift.
    image.write("db-init/006_trigger.sql", "drop trigger stamp on positions;\n");
    assert_whole(&boot(&image, &database));
    assert_whole(&boot_without_node(&image, &database));
}

#[tokio::test]
async fn objects_of_files_on_tables_of_directus_are_owned_too() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let file = "insert into directus_collections values ('laps'); create index laps_both on laps (id, speed);
                alter table laps add constraint positive check (speed > 0);\n";
    image.write("db-init/post-schema/002_laps.sql", file);
    assert_whole(&boot(&image, &database));
    edit(&database, "create index by_hand on laps (speed, id); alter table laps alter speed type float8").await;
    assert_whole(&boot(&image, &database));
    edit(&database, "drop index by_hand; alter table laps drop constraint positive").await;
    assert_drift(&boot(&image, &database), "ALTER TABLE \"laps\" ADD CONSTRAINT \"positive\" CHECK ((speed > ");
    assert_drift(&boot_without_node(&image, &database), "\"positive\"");
    // Directus drops a whole table by itself, and phase 6 creates it again or refuses.
    edit(&database, "drop table laps; delete from directus_collections").await;
    assert_whole(&boot(&image, &database));
}

#[tokio::test]
async fn plan_and_status_report_drift() {
    let (database, image) = booted().await;
    edit(&database, "drop index positions_ts").await;
    for subcommand in ["plan", "status"] {
        let output = image.command(database.url(), &[subcommand]).output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("drift        the index positions_ts of positions"), "{text}");
        let exit = if subcommand == "plan" { ExitCode::Drift } else { ExitCode::Ok };
        assert_eq!(output.status.code(), Some(exit.code().into()), "{text}");
    }
}

#[tokio::test]
async fn extension_that_is_gone_or_not_loaded_is_named() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write("db-init/003_trgm.sql", "-- requires-extension: pg_trgm\ncreate extension pg_trgm;\n");
    assert_whole(&boot(&image, &database));
    assert_whole(&boot_without_node(&image, &database));
    edit(&database, "drop extension pg_trgm").await;
    assert_drift(&boot_without_node(&image, &database), "the database no longer has the extension pg_trgm: restore");

    // As if the server had preloaded the library at the last boot.
    edit(
        &database,
        "create extension pg_trgm; update boot.owned set definition = 'pg_trgm.preloaded' where kind = 'extension'",
    )
    .await;
    let unloaded = "the server no longer loads the extension pg_trgm, which the database uses";
    assert_drift(&boot_without_node(&image, &database), unloaded);
    image.write("db-init/004_other.sql", "create table other (id int);\n");
    let refused = run(&mut image.boot(database.url()));
    refused.assert_failed(
        "db-init",
        ExitCode::DatabaseRefused,
        &[unloaded, "nothing was changed: add it to shared_preload_libraries, and restart the server"],
    );
}

#[tokio::test]
async fn objects_of_an_interrupted_boot_are_recorded_by_the_next_one() {
    let (database, image) = booted().await;
    edit(&database, "create index by_hand on positions (speed)").await;
    image.write("db-init/004_note.sql", "alter table positions add note text;\n");
    image.write("db-init/post-schema/002_fails.sql", "select 1 / 0;\n");
    let failed = run(&mut image.boot(database.url()));
    failed.assert_failed("post-schema", ExitCode::MigrationFailed, &["division by zero"]);
    image.write("db-init/post-schema/002_fails.sql", "select 1;\n");
    assert_whole(&boot(&image, &database));
    edit(&database, "alter table positions drop column note").await;
    assert_drift(&boot_without_node(&image, &database), "the column note of positions");
}

#[tokio::test]
async fn older_image_does_not_miss_objects_of_a_newer_one() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    boot(&image, &database);
    let newer = Image::new();
    newer.write("db-init/003_positions.sql", POSITIONS);
    assert_whole(&boot(&newer, &database));
    let older = boot(&image, &database);
    assert!(!older.output.contains("positions, which"), "{}", older.output);
    edit(&database, "drop index positions_ts").await;
    assert_drift(&boot(&newer, &database), "positions_ts");
}

#[tokio::test]
async fn database_of_an_older_boot_is_recorded_once() {
    let (database, image) = booted().await;
    edit(&database, "drop table boot.owned; alter table boot.snapshots drop column owned").await;
    assert_whole(&boot(&image, &database));
    assert_whole(&boot_without_node(&image, &database));
    edit(&database, "drop index positions_ts").await;
    assert_drift(&boot_without_node(&image, &database), "positions_ts");
}
