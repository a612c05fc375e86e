//! Boots next to servers of other images: what waits, what is refused, and the answers of `compat`, `contract` and
//! `status`.

mod common;

use common::{Database, Image, run};
use contract::{ExitCode, SERVER_LOCK};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Boots an image, so that the next boot has nothing to do.
async fn booted() -> (Database, Image) {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    (database, image)
}

/// Connects like a server of the image `1.0@old`, whose lock ends with the connection.
async fn server(database: &Database) -> Client {
    let client = database.connect().await;
    client.batch_execute("set application_name = 'server of 1.0@old'").await.expect("a name");
    client.execute("select pg_advisory_lock_shared($1, 7)", &[&SERVER_LOCK]).await.expect("the lock is shared");
    client
}

/// Ends a server, and waits until PostgreSQL has released its lock.
async fn stop(server: Client, database: &Database) {
    let pid: i32 = server.query_one("select pg_backend_pid()", &[]).await.expect("a query").get(0);
    let client = database.connect().await;
    client.execute("select pg_terminate_backend($1, 10000)", &[&pid]).await.expect("the test role is a superuser");
}

fn json_of(image: &Image, database: &Database, subcommand: &str, replies: &Value) -> (i32, Value) {
    let mut command = image.command(database.url(), &[subcommand, "--json"]);
    let output = command.env("BRIDGE_REPLIES", replies.to_string()).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let document = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}\n{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().expect("it exits"), document)
}

async fn column_exists(client: &Client, column: &str) -> bool {
    let query = "select exists (select from information_schema.columns where table_name = 'laps' and column_name = $1)";
    client.query_one(query, &[&column]).await.expect("a query").get(0)
}

/// A plan of the stand-in for Directus.
fn plan(changes: &Value) -> Value {
    json!({"plan": {"ok": {"directus": "0", "changes": changes}}})
}

const REMOVES: &str = "-- destroys: column laps.speed\nalter table laps drop column speed;\n";

#[tokio::test]
async fn a_file_that_removes_waits_for_the_end_of_other_servers() {
    let (database, image) = booted().await;
    let old = server(&database).await;
    image.write("db-init/003_pits.sql", "create table pits (id int);\n");
    image.write("db-init/post-schema/002_speed.sql", REMOVES);
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    for line in [
        "4/8 db-init: 1 applied, 2 skipped",
        "warning: post-schema 002_speed.sql waits for the end of 1 server of 1.0@old (pid ",
        "7/8 post-schema: 0 applied, 1 skipped, 1 waiting",
    ] {
        assert!(ended.output.contains(line), "`{line}` is not in:\n{}", ended.output);
    }
    assert!(column_exists(&old, "speed").await);

    let (_, status) = json_of(&image, &database, "status", &json!({}));
    assert_eq!(status["waiting"], json!(["post-schema 002_speed.sql"]));
    assert_eq!(status["servers"][0]["image"], "1.0@old");
    let contract = run(&mut image.command(database.url(), &["contract"]));
    contract.assert_failed(
        "exec",
        ExitCode::STOP_FIRST,
        &["1 change waits for 1 server of 1.0@old", "stop these servers"],
    );

    stop(old, &database).await;
    let contract = run(&mut image.command(database.url(), &["contract"]));
    assert_eq!(contract.code, 0, "{}", contract.output);
    assert!(!column_exists(&database.connect().await, "speed").await);
    let (_, status) = json_of(&image, &database, "status", &json!({}));
    assert_eq!((&status["waiting"], &status["servers"]), (&json!([]), &json!([])));
    let warm = run(&mut image.boot(database.url()));
    assert!(warm.output.contains("3/8 lock: not needed"), "{}", warm.output);
}

#[tokio::test]
async fn servers_of_the_same_schema_make_nothing_wait() {
    let (database, image) = booted().await;
    image.write("db-init/post-schema/002_speed.sql", REMOVES);
    // The server's own identity, from the variable that it gets.
    let mut start = image.command(database.url(), &["start", "--", "sh", "-c", "echo \"$BOOT_SERVER\""]);
    let output = start.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let server: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).expect("the variable is JSON");
    let id = server["id"].as_u64().expect("a number");
    let parts = database.connection_parts();
    assert_eq!((&server["host"], &server["port"]), (&json!(parts.host), &json!(parts.port)));
    assert_eq!(server["name"], "server of unknown");

    // The same image on a database where its files are new again.
    let client = database.connect().await;
    let again = "delete from boot.migrations where phase = 'post-schema' and filename = '002_speed.sql'; alter table laps add speed real;";
    client.batch_execute(again).await.expect("tables");
    let lock = format!("select pg_advisory_lock_shared({SERVER_LOCK}, {})", id as u32 as i32);
    client.batch_execute(&lock).await.expect("the lock is shared");
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("7/8 post-schema: 1 applied, 1 skipped"), "{}", ended.output);
}

#[tokio::test]
async fn an_allowed_deletion_waits_and_its_digest_stays_valid() {
    let (database, image) = booted().await;
    let old = server(&database).await;
    image.write("schema.yaml", "version: 1 # newer\n");
    let deletion = json!({"entity": "field", "collection": "laps", "field": "speed", "diff": [{"kind": "D"}]});
    let addition = json!({"entity": "field", "collection": "laps", "field": "pace", "diff": [{"kind": "N"}]});
    let (code, both) = json_of(&image, &database, "plan", &plan(&json!([addition, deletion])));
    assert_eq!(code, 43);
    let (_, alone) = json_of(&image, &database, "plan", &plan(&json!([deletion])));
    assert_eq!(both["schema"]["digest"], alone["schema"]["digest"]);

    let digest = alone["schema"]["digest"].as_str().expect("a digest");
    let replies = plan(&json!([deletion])).to_string();
    let ended = run(image.boot(database.url()).env("SCHEMA_ALLOW_DESTRUCTIVE", digest).env("BRIDGE_REPLIES", &replies));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("6/8 schema: no changes; waiting: 1 field"), "{}", ended.output);
    assert!(ended.output.contains("- field laps.speed waits for the end of 1 server of 1.0@old"), "{}", ended.output);

    // Not allowed, it is refused as ever.
    let ended = run(image.boot(database.url()).env("BRIDGE_REPLIES", &replies));
    ended.assert_failed("schema", ExitCode::SchemaRefused, &["delete field laps.speed"]);
    stop(old, &database).await;
    // The stand-in deletes nothing, which the boot notices: the deletion did not wait.
    let ended = run(image.boot(database.url()).env("SCHEMA_ALLOW_DESTRUCTIVE", digest).env("BRIDGE_REPLIES", &replies));
    ended.assert_failed("schema", ExitCode::SchemaDiverged, &["laps.speed"]);
}

#[tokio::test]
async fn an_undeclared_removal_next_to_other_servers_is_rolled_back_even_if_nothing_was_in_it() {
    for (sql, says) in [
        ("alter table laps drop column speed", "`-- destroys: column laps.speed`"),
        ("drop view fast", "`-- breaks-older-images`"),
        ("alter table laps alter speed set not null", "`-- breaks-older-images`"),
    ] {
        let (database, image) = booted().await;
        let client = database.connect().await;
        client.batch_execute("create view fast as select id from laps").await.expect("a view");
        let old = server(&database).await;
        image.write("db-init/post-schema/002_removes.sql", &format!("{sql};\n"));
        let ended = run(&mut image.boot(database.url()));
        ended.assert_failed("post-schema", ExitCode::SchemaRefused, &["002_removes.sql would destroy", says]);
        stop(old, &database).await;
        let alone = run(&mut image.boot(database.url()));
        assert_eq!(alone.code, 0, "{sql}: {}", alone.output);
    }
}

#[tokio::test]
async fn work_that_cannot_wait_is_done_with_a_warning() {
    let (database, image) = booted().await;
    let _old = server(&database).await;
    image.write("db-init/003_speed.sql", REMOVES);
    image.write("db-init/post-schema/002_breaks.sql", "-- breaks-older-images\nalter table laps add number int;\n");
    image.write("db-init/post-schema/003_adds.sql", "create table pits (id int);\n");
    let ended = run(&mut image.boot(database.url()));
    assert_eq!(ended.code, 0, "{}", ended.output);
    for line in [
        "warning: 003_speed.sql removes or narrows before the schema",
        "warning: 003_adds.sql adds, and follows a file that would have to wait: it is applied next to 1 server of 1.0@old",
        "which may fail from now on",
        "7/8 post-schema: 2 applied, 1 skipped",
    ] {
        assert!(ended.output.contains(line), "`{line}` is not in:\n{}", ended.output);
    }
}

/// One state of a database, the change to the image, and the expected answer.
struct CompatCase {
    name: &'static str,
    sql: &'static str,
    files: &'static [(&'static str, &'static str)],
    changes: Value,
    allow: bool,
    exit: i32,
    says: &'static str,
}

fn state(name: &'static str, exit: i32, says: &'static str) -> CompatCase {
    CompatCase { name, sql: "", files: &[], changes: json!([]), allow: false, exit, says }
}

fn field(diff: Value) -> Value {
    json!([{"entity": "field", "collection": "laps", "field": "speed", "diff": diff}])
}

const NEWER: (&str, &str) = ("schema.yaml", "version: 1 # newer\n");
const MANY: &str = "insert into laps select n from generate_series(1, 200000) n; analyze laps;";

fn states() -> Vec<CompatCase> {
    let column = |properties: Value| field(json!([{"kind": "N", "rhs": properties}]));
    let deleted = field(json!([{"kind": "D"}]));
    vec![
        state("nothing to do", 0, "this image may start"),
        CompatCase {
            files: &[("db-init/003_a.sql", "create table pits (id int);")],
            ..state("a file that adds", 0, "only adds")
        },
        CompatCase {
            files: &[("db-init/post-schema/002_a.sql", REMOVES)],
            ..state("a file that waits", 0, "post-schema 002_a.sql")
        },
        CompatCase {
            files: &[("db-init/003_a.sql", REMOVES)],
            ..state("a file that cannot wait", 3, "only a file in post-schema can wait")
        },
        CompatCase {
            files: &[("db-init/003_a.sql", "alter table laps drop speed;")],
            ..state("a file without its directive", 3, "-- breaks-older-images")
        },
        CompatCase {
            sql: MANY,
            files: &[("db-init/003_a.sql", "create index on laps (speed);")],
            ..state("an index on a large table", 3, "builds an index on laps, about 200000 rows")
        },
        CompatCase {
            files: &[("db-init/003_a.sql", "create index on laps (speed);")],
            ..state("an index on a small table", 0, "only adds")
        },
        CompatCase {
            files: &[NEWER],
            changes: column(json!({"is_nullable": true})),
            ..state("a field that is added", 0, "+ field laps.speed")
        },
        CompatCase {
            files: &[NEWER],
            changes: column(json!({"is_nullable": false, "default_value": null})),
            ..state("a field that demands a value", 3, "demands a value")
        },
        CompatCase {
            sql: MANY,
            files: &[NEWER],
            changes: column(json!({"is_nullable": true, "is_indexed": true})),
            ..state("a field with an index on a large table", 3, "builds an index on laps, about 200000 rows")
        },
        CompatCase {
            files: &[NEWER],
            changes: deleted.clone(),
            ..state("a deletion", 43, "SCHEMA_ALLOW_DESTRUCTIVE=")
        },
        CompatCase {
            files: &[NEWER],
            changes: deleted.clone(),
            allow: true,
            ..state("an allowed deletion", 0, "- field laps.speed")
        },
        CompatCase {
            files: &[("directus/node_modules/@directus/api/dist/database/migrations/20210101A-second.js", "")],
            ..state("a newer Directus", 3, "Directus' migrations 20210101A")
        },
        CompatCase {
            sql: "insert into directus_migrations values ('29990101A')",
            ..state("an older Directus", 43, "29990101A")
        },
        CompatCase {
            sql: "insert into boot.migrations (phase, filename, checksum, duration_ms, image, breaks_older_images)
                  values ('db-init', '900_new.sql', '', 0, '2.0@new', true)",
            ..state("an older image after a file that breaks it", 43, "900_new.sql")
        },
        CompatCase {
            sql: "insert into boot.snapshots (digest, directus_version, image) values ('newer', '0', '2.0@new')",
            ..state("an older image on a schema that only grew", 0, "older image")
        },
        CompatCase {
            sql: "insert into boot.snapshots (digest, directus_version, image) values ('newer', '0', '2.0@new')",
            changes: column(json!({"is_nullable": true})),
            ..state("an older image whose field is gone", 43, "field laps.speed: is gone")
        },
        CompatCase {
            sql: "insert into boot.snapshots (digest, directus_version, image) values ('newer', '0', '2.0@new')",
            changes: field(json!([{"kind": "E", "path": ["schema", "is_nullable"], "lhs": false, "rhs": true}])),
            ..state("an older image whose field is narrower", 43, "is narrower")
        },
    ]
}

#[tokio::test]
async fn compat_answers_from_the_state_of_the_database() {
    let (template, _) = booted().await;
    for CompatCase { name, sql, files, changes, allow, exit, says } in states() {
        let (database, image) = (template.copy().await, Image::new());
        database.connect().await.batch_execute(sql).await.expect(name);
        for (path, content) in files {
            image.write(path, content);
        }
        let replies = plan(&changes);
        let mut compat = image.command(database.url(), &["compat"]);
        compat.env("BRIDGE_REPLIES", replies.to_string());
        if allow {
            let (_, report) = json_of(&image, &database, "plan", &replies);
            compat.env("SCHEMA_ALLOW_DESTRUCTIVE", report["schema"]["digest"].as_str().expect("a digest"));
        }
        let output = compat.output().expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{name}:\n{text}\n{errors}");
        assert!(text.contains(says), "{name}: `{says}` is not in:\n{text}");
        println!("{name}\n{text}\n");
    }
}
