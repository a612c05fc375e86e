//! Boots through a real PgBouncer.

mod common;

use std::process::Command;

use common::{ConnectionParts, Database, Image, binary, pgbouncer, run};
use contract::ExitCode;

/// A database, and its place behind the pooler of that name.
async fn pooled(pooler: &str) -> (Database, ConnectionParts) {
    let database = Database::bootstrapped().await;
    let place = pgbouncer::through(pooler, &database.connection_parts());
    (database, place)
}

fn boot(image: &Image, place: &ConnectionParts) -> Command {
    let mut boot = image.boot("");
    place.set_variables(&mut boot);
    boot
}

async fn has_our_schema(database: &Database) -> bool {
    let client = database.connect().await;
    client.query_one("select to_regnamespace('boot') is not null", &[]).await.expect("an answer").get(0)
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_before_anything_changes() {
    for pooler in ["transaction", "one-connection", "round-robin"] {
        let (database, place) = pooled(pooler).await;
        let ended = run(&mut boot(&Image::new(), &place));
        let remedy = ["a pooler at 127.0.0.1", "BOOT_DB_HOST", "BOOT_DB_CONNECTION_STRING", "pool_mode=session"];
        ended.assert_failed("lock", ExitCode::DatabasePooled, &remedy);
        assert!(!has_our_schema(&database).await, "through {pooler}");
    }
}

#[tokio::test]
async fn a_pooler_in_statement_mode_is_refused_too() {
    let (database, place) = pooled("statement").await;
    let ended = run(&mut boot(&Image::new(), &place));
    assert_eq!(ended.code, i32::from(ExitCode::DatabasePooled.code()), "{}", ended.output);
    assert!(!has_our_schema(&database).await);
}

#[tokio::test]
async fn a_pooler_in_session_mode_is_fine() {
    let (database, place) = pooled("session").await;
    let ended = run(&mut boot(&Image::new(), &place));
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(has_our_schema(&database).await);
}

#[tokio::test]
async fn a_pooler_that_takes_no_startup_options_is_named() {
    let (_database, place) = pooled("session").await;
    for variable in [("PGOPTIONS", "-c statement_timeout=0"), ("DB_SEARCH_PATH", "public")] {
        let ended = run(boot(&Image::new(), &place).envs([variable]));
        ended.assert_failed("database", ExitCode::DatabasePooled, &["unsupported startup parameter", "BOOT_DB_HOST"]);
    }
}

#[tokio::test]
async fn the_boot_and_its_bridge_go_past_the_pooler_and_the_server_does_not() {
    let (database, place) = pooled("transaction").await;
    let image = Image::new();
    let bridge = format!(
        "import {{ writeFileSync }} from 'node:fs';\nwriteFileSync({:?}, JSON.stringify(process.env));\n{}",
        image.path("bridge.json"),
        include_str!("common/bridge.mjs"),
    );
    image.write("scripts/bridge.mjs", &bridge);
    let direct = database.connection_parts();
    let url = format!("postgres://{}:{}@127.0.0.1:{}/{}", place.user, place.password, place.port, place.database);
    let beside = [("BOOT_DB_HOST", direct.host.clone()), ("BOOT_DB_PORT", direct.port.to_string())];
    let own_url = [("BOOT_DB_CONNECTION_STRING", database.url().to_owned())];
    let editor = database.connect().await;
    for (by_url, direct_way) in [(false, beside.as_slice()), (true, &beside), (false, &own_url), (true, &own_url)] {
        // An edited schema is compared by Directus, so that there is a bridge to look at.
        editor.batch_execute("drop table if exists directus_x; create table directus_x ()").await.expect("a table");
        let mut boot = boot(&image, &place);
        if by_url {
            boot.env("DB_CONNECTION_STRING", &url);
        }
        // `start -- env` instead of `boot`, which would become no server.
        let mut start = binary();
        start.args(["start", "--", "env"]).envs(direct_way.iter().cloned());
        start.envs(boot.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = start.output().expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{text}");

        let bridges = std::fs::read_to_string(image.path("bridge.json")).expect("the bridge ran");
        let bridge: serde_json::Value = serde_json::from_str(&bridges).expect("JSON");
        let (bridges_url, direct_port) = (bridge["DB_CONNECTION_STRING"].as_str(), direct.port.to_string());
        match bridges_url {
            // The way it was given, or the operator's own with another server.
            Some(bridges_url) if direct_way.len() == 1 => assert_eq!(bridges_url, format!("string:{}", database.url())),
            Some(bridges_url) => {
                assert!(bridges_url.ends_with(&format!("?host={}&port={direct_port}", direct.host)), "{bridges_url}");
            }
            None => assert_eq!(bridge["DB_PORT"], direct_port),
        }
        assert_eq!(bridges_url.is_some(), by_url || direct_way.len() == 1);

        let servers = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        assert_eq!(servers("DB_CONNECTION_STRING"), by_url.then_some(url.as_str()));
        assert_eq!(servers("DB_PORT"), Some(place.port.to_string().as_str()));
    }
}
