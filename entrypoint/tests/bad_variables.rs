//! The message to the operator for each mistake in the variables: one table, from real boots of the binary.
//!
//! After a change of a message: `INSTA_UPDATE=always cargo test -p entrypoint --test bad_variables`, and read the diff.

mod common;

use std::fmt::Write as _;

use common::tls::self_signed;
use common::{ConnectionParts, Database, Image, run};

/// Changes to a good configuration; `None` unsets a variable. `{dir}` stands for a folder with files, `{cert}` and
/// `{key}` for a valid pair.
type BadVariable = &'static [(&'static str, Option<&'static str>)];

const CASES: &[BadVariable] = &[
    // Missing, empty, wrong.
    &[("DB_CLIENT", None)],
    &[("DB_CLIENT", Some("sqlite3"))],
    &[("DB_CLIENT", Some("mysql"))],
    &[("DB_HOST", None)],
    &[("DB_HOST", Some(""))],
    &[("DB_HOST", Some("a,b"))],
    &[("DB_PORT", Some("db"))],
    &[("DB_PORT", Some("0"))],
    &[("DB_PORT", Some("65536"))],
    &[("DB_DATABASE", None)],
    &[("DB_USER", None)],
    &[("SECRET", None)],
    &[("SECRET", Some(""))],
    &[("DB_HOST", None), ("DB_DATABASE", None), ("DB_USER", None), ("SECRET", None)],
    &[("ADMIN_EMAIL", Some("a@b.c"))],
    &[("ADMIN_PASSWORD", Some("hunter2-hunter2"))],
    &[("CONFIG_PATH", Some("/directus/.env"))],
    &[("BOOT_DATABASE_TIMEOUT", Some("soon"))],
    &[("BOOT_LOCK_TIMEOUT", Some("0"))],
    &[("BOOT_DIRECTUS_TIMEOUT", Some("-1"))],
    // Dangerous in this Directus.
    &[("WEBSOCKETS_REST_AUTH", Some("public"))],
    &[("WEBSOCKETS_REST_AUTH", Some("public")), ("WEBSOCKETS_GRAPHQL_AUTH", Some("Public"))],
    &[("WEBSOCKETS_REST_AUTH", Some("public")), ("BOOT_ACCEPT_ADVISORY", Some("yes"))],
    // Files.
    &[("DB_PASSWORD", Some("hunter2-hunter2")), ("DB_PASSWORD_FILE", Some("{dir}/password"))],
    &[("SECRET", None), ("SECRET_FILE", Some("{dir}/newline"))],
    &[("SECRET", None), ("SECRET_FILE", Some("{dir}/empty"))],
    &[("SECRET", None), ("SECRET_FILE", Some("{dir}/missing"))],
    // Types that Directus reads into a value.
    &[("DB_USER", Some("json:{}"))],
    &[("DB_PORT", Some("number:5432"))],
    &[("DB_SEARCH_PATH", Some("public, other"))],
    &[("DB_SEARCH_PATH", Some("string:public,other"))],
    &[("DB_SEARCH_PATH", Some("42"))],
    // Connection strings.
    &[("DB_CONNECTION_STRING", Some("hunter2-hunter2"))],
    &[("DB_CONNECTION_STRING", Some("mysql://u:hunter2-hunter2@h/d"))],
    &[("DB_CONNECTION_STRING", Some("socket:/run/postgresql?db=d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h:x/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2#hunter2@h/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2/hunter2@h/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2%hunter2@h/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2,hunter2@h/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@[::1]/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@/d"))],
    &[("DB_CONNECTION_STRING", Some("string:postgres://u:hunter2-hunter2@a,b/d"))],
    &[("DB_CONNECTION_STRING", Some("postgres://h"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d?sslmode=allow"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d?ssl=false"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d?sslrootcert={dir}/missing"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d?sslcert={dir}/garbage.pem"))],
    &[("DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d")), ("DB_SSL", Some("true"))],
    // TLS.
    &[("DB_SSL", Some("yes"))],
    &[("DB_SSL", Some("1"))],
    &[("DB_SSL", Some("false")), ("DB_SSL__CA", Some("{cert}"))],
    &[("DB_SSL__CA", Some("/certs/ca.pem"))],
    &[("DB_SSL__CA_FILE", Some("{dir}/garbage.pem"))],
    &[("DB_SSL__REJECT_UNAUTHORIZED", Some("no"))],
    &[("DB_SSL__CIPHERS", Some("HIGH"))],
    &[("DB_SSL__CERT", Some("{cert}"))],
    &[("DB_SSL__KEY", Some("{key}"))],
    &[("DB_SSL__CERT", Some("{cert}")), ("DB_SSL__KEY_FILE", Some("{dir}/garbage.pem"))],
    &[("DB_SSL", Some("true")), ("DB_HOST", Some("/run/postgresql"))],
    &[("DB_SSL", Some("true")), ("NODE_EXTRA_CA_CERTS", Some("{dir}/missing"))],
    // The boot's own connection.
    &[("BOOT_DB_PORT", Some("tcp://10.0.0.1:5432"))],
    &[("BOOT_DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h:x/d"))],
    &[("BOOT_DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d")), ("BOOT_DB_HOST", Some("h"))],
    &[("BOOT_DB_USER", Some("owner"))],
    &[("BOOT_DB_PASSWORD", Some("hunter2-hunter2"))],
    &[("DB_USER", Some("owner")), ("BOOT_DB_USER", Some("owner")), ("BOOT_DB_PASSWORD", Some("hunter2-hunter2"))],
    &[("BOOT_DB_USER", Some("boot")), ("BOOT_DB_PASSWORD", Some("hunter2-hunter2"))],
    &[
        ("BOOT_DB_CONNECTION_STRING", Some("postgres://u:hunter2-hunter2@h/d")),
        ("BOOT_DB_USER", Some("owner")),
        ("BOOT_DB_PASSWORD", Some("hunter2-hunter2")),
    ],
    // Misspelled names.
    &[("SCHEMA_APLY_MODE", Some("plan"))],
    &[("BOOT_DB_HOSTS_FILE", Some("{dir}/password"))],
    &[("MIGRATION_LOCK_TIMOUT", Some("5")), ("BOOT_ID", Some("7")), ("SECRET", None)],
    // Mistakes that only a connection reveals.
    &[("DB_PASSWORD", Some("hunter2-hunter2"))],
    &[("DB_PASSWORD", None)],
    &[("DB_DATABASE", Some("no_such_database"))],
    &[("DB_USER", Some("no_such_role"))],
    &[("BOOT_DB_USER", Some("no_such_role")), ("BOOT_DB_PASSWORD", Some("hunter2-hunter2"))],
    &[("DB_SSL", Some("true"))],
    &[("PGOPTIONS", Some("-c no_such_setting=1"))],
    &[("DB_PORT", Some("1")), ("BOOT_DATABASE_TIMEOUT", Some("1"))],
    &[("DB_HOST", Some("no-such-host.invalid")), ("BOOT_DATABASE_TIMEOUT", Some("1"))],
    &[("DB_HOST", Some("/no/such/folder")), ("BOOT_DATABASE_TIMEOUT", Some("1"))],
];

#[tokio::test]
async fn each_bad_variable_is_named_with_its_remedy() {
    let (database, image) = (Database::create().await, Image::new());
    let place = database.connection_parts();
    image.write("files/password", "hunter2-hunter2");
    image.write("files/newline", "hunter2-hunter2\n");
    image.write("files/empty", "");
    image.write("files/garbage.pem", "-----BEGIN CERTIFICATE-----\nhunter2-hunter2\n");
    let pair = self_signed(&["localhost"], |_| ());
    let dir = image.path("files");
    let placeholders = [("{dir}", &dir), ("{cert}", &pair.pem), ("{key}", &pair.key)];

    let mut table = String::new();
    for case in CASES {
        let mut boot = image.boot("");
        place.set_variables(&mut boot);
        for (name, value) in *case {
            match value {
                Some(value) => boot.env(name, fill(value, &placeholders)),
                None => boot.env_remove(name),
            };
        }
        let ended = run(&mut boot);
        for (name, value) in *case {
            match value {
                Some(value) => writeln!(table, "{name}={value}"),
                None => writeln!(table, "{name} not set"),
            }
            .expect("a String accepts every write");
        }
        let last = ended.output.lines().last().expect("a last line");
        assert!(!ended.output.contains("hunter2"), "a secret is in the log:\n{}", ended.output);
        assert!(last.ends_with(&format!("(exit {})", ended.code)), "{}", ended.output);
        writeln!(table, "  {}\n", mask(last, &place, &dir)).expect("a String accepts every write");
    }
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => true }, {
        insta::assert_snapshot!("table", table.trim_end());
    });
}

/// Replaces the placeholders in a value.
fn fill(value: &str, placeholders: &[(&str, &String)]) -> String {
    placeholders.iter().fold(value.to_owned(), |value, (name, text)| value.replace(name, text))
}

/// Masks the parts of a line that differ between machines.
fn mask(line: &str, place: &ConnectionParts, dir: &str) -> String {
    let line = line
        .replace(dir, "{dir}")
        .replace(&place.server(), "{host}:{port}")
        .replace(&format!(":{} ", place.port), ":{port} ")
        .replace(&format!("{}:1 ", place.host), "{host}:1 ")
        .replace(&format!("\"{}\"", place.user), "\"{user}\"");
    // The message differs between C libraries.
    match line.split_once("failed to lookup address information: ") {
        Some((before, after)) => {
            format!("{before}{{resolver}}{}", after.find(';').map_or("", |end| &after[end..]))
        }
        None => line,
    }
}
