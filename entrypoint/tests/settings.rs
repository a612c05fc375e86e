//! Every setting that a role can have, at unusual values: the boot succeeds, and the next one finds nothing to do.

mod common;

use common::{BootResult, Database, Image, run};
use contract::ExitCode;
use tokio_postgres::Client;

/// Values that no rule finds.
const UNUSUAL: [(&str, &str); 12] = [
    ("application_name", "a role''s name"),
    ("client_encoding", "LATIN1"),
    ("DateStyle", "German, DMY"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", "pg_default"),
    ("default_text_search_config", "simple"),
    ("lc_messages", "C"),
    ("lc_numeric", "C"),
    ("restrict_nonsystem_relation_kind", "view, foreign-table"),
    ("search_path", "public, pg_temp"),
    ("TimeZone", "Asia/Kolkata"),
    ("timezone_abbreviations", "India"),
];

/// Settings whose extreme values need more of the machine than a test may take, or end every session by design.
const LEFT_OUT: [&str; 3] = ["debug_discard_caches", "max_stack_depth", "temp_buffers"];

/// Settings that only a superuser can change back: a boot with them would not be safe.
const REFUSED: [(&str, &str); 4] = [
    ("default_transaction_read_only", "on"),
    ("session_replication_role", "replica"),
    ("session_replication_role", "local"),
    ("track_counts", "off"),
];

/// Roles at once.
const PARALLEL: usize = 4;

#[tokio::test]
async fn every_setting_of_a_role_at_unusual_values() {
    let template = Database::bootstrapped().await;
    let client = template.connect().await;
    let cases = cases(&client).await;
    drop(client);
    assert!(cases.len() > 200, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for group in cases.chunks(PARALLEL) {
        // One after the other: PostgreSQL copies a database that only one session uses.
        let mut boots = Vec::new();
        for (name, value) in group {
            boots.push((name, value, Role::with(&template, name, value).await));
        }
        let ended = boots.into_iter().map(|(name, value, role)| {
            let (name, value) = (name.clone(), value.clone());
            tokio::task::spawn_blocking(move || judge(&role, &name, &value))
        });
        for ended in ended.collect::<Vec<_>>() {
            failures.extend(ended.await.expect("no panic").err());
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// A database whose owner has the setting.
struct Role {
    url: String,
    /// Dropped with the role's boots.
    _database: Database,
}

impl Role {
    async fn with(template: &Database, name: &str, value: &str) -> Role {
        let database = template.copy().await;
        let place = database.connection_parts();
        let role = format!("role_of_{}", place.database);
        let client = database.connect().await;
        client
            .batch_execute(&format!(
                "create role {role} login password 'p';
                 alter database {} owner to {role};
                 alter schema public owner to {role};
                 grant all on all tables in schema public to {role};
                 alter role {role} set {name} = {value}",
                place.database,
            ))
            .await
            .unwrap_or_else(|error| panic!("{name} = {value}: {error:?}"));
        let url = format!("postgres://{role}:p@{}/{}", place.server(), place.database);
        Role { url, _database: database }
    }
}

/// Boots twice.
fn judge(role: &Role, name: &str, value: &str) -> Result<(), String> {
    let image = Image::new();
    if name.ends_with("_timeout") {
        // Longer than the timeout.
        image.write("db-init/003_slow.sql", "select pg_sleep(0.5);");
    }
    let first = run(&mut image.boot(&role.url));
    if REFUSED.contains(&(name, value.trim_matches('\''))) {
        let is_named = first.last.message.contains(&format!("{name} is"));
        let is_refused = first.code == i32::from(ExitCode::DatabaseRefused.code()) && is_named;
        return if is_refused { Ok(()) } else { Err(format!("{name} = {value} is not refused: {}", last(&first))) };
    }
    let second = run(&mut image.boot(&role.url));
    match (first.code, second.code, second.output.contains("not needed, everything is in place")) {
        (0, 0, true) => Ok(()),
        (0, ..) => Err(format!("{name} = {value}: the second boot has work: {}", second.output)),
        _ => Err(format!("{name} = {value}: {}", last(&first))),
    }
}

fn last(ended: &BootResult) -> &str {
    ended.output.lines().last().unwrap_or_default()
}

/// Settings and values, quoted: the other value of a switch, every value of a list, both ends of a range.
async fn cases(client: &Client) -> Vec<(String, String)> {
    let rows = client
        .query(
            "select name, vartype, setting, enumvals, min_val, max_val from pg_settings
             where context in ('user', 'superuser') and name not like 'transaction\\_%' or name = 'transaction_timeout'
             order by name",
            &[],
        )
        .await
        .expect("a catalog");
    let mut cases: Vec<(String, String)> = Vec::new();
    for row in rows {
        let (name, kind, present): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        if LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        let values: Vec<String> = match kind.as_str() {
            // Zero switches it off.
            _ if name.ends_with("_timeout") && row.get::<_, Option<&str>>(4) == Some("0") => vec!["300".to_owned()],
            "bool" => vec![if present == "on" { "off" } else { "on" }.to_owned()],
            "enum" => row.get::<_, Vec<String>>(3),
            "integer" | "real" => vec![row.get(4), row.get(5)],
            _ => UNUSUAL.iter().filter(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()).collect(),
        };
        let unusual = values.into_iter().filter(|value| *value != present);
        cases.extend(unusual.map(|value| {
            // A search path is a list of names, not a text.
            let quoted = if name == "search_path" { value } else { format!("'{value}'") };
            (name.clone(), quoted)
        }));
    }
    cases
}

#[tokio::test]
async fn search_path_that_leads_elsewhere_is_refused_until_it_is_named() {
    let template = Database::bootstrapped().await;
    let client = template.connect().await;
    client.batch_execute("create schema elsewhere; grant all on schema elsewhere to public").await.expect("a schema");
    drop(client);
    let (role, image) = (Role::with(&template, "search_path", "elsewhere, public").await, Image::new());
    let refused = run(&mut image.boot(&role.url));
    let words = [
        "in the schema `elsewhere`",
        "search_path `elsewhere, public`",
        "DB_SEARCH_PATH=public",
        "nothing was changed",
    ];
    refused.assert_failed("lock", ExitCode::DatabaseRefused, &words);
    let ended = run(image.boot(&role.url).env("DB_SEARCH_PATH", "public"));
    assert_eq!(ended.code, 0, "{}", ended.output);
}
