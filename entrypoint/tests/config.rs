//! Effects of the variables on a real session, and secrets that PostgreSQL repeats in its messages.

mod common;

use common::{Database, Image, run};
use contract::ExitCode;
use entrypoint::config::{Config, Env};
use entrypoint::database::{Session, settings};

/// Opens a session with the parts of the database's URL and these variables.
async fn session(database: &Database, variables: &[(&str, &str)]) -> Session {
    let place = database.connection_parts();
    let port = place.port.to_string();
    let parts = [
        ("DB_CLIENT", "pg"),
        ("DB_HOST", place.host.as_str()),
        ("DB_PORT", &port),
        ("DB_USER", &place.user),
        ("DB_PASSWORD", &place.password),
        ("DB_DATABASE", &place.database),
        ("SECRET", "s"),
    ];
    let variables = parts.iter().chain(variables).filter(|(_, value)| !value.is_empty());
    let env: Env = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let config = Config::from_env(&env).expect("a good configuration");
    Session::connect(&config.database).await.expect("the server answers")
}

async fn show(session: &Session, setting: &str) -> String {
    session.client.query_one(&format!("show {setting}"), &[]).await.expect("a setting").get(0)
}

#[tokio::test]
async fn search_path_is_quoted_as_by_knex_and_survives_a_reset() {
    let database = Database::create().await;
    let session = session(&database, &[("DB_SEARCH_PATH", "Über uns,public"), ("PGOPTIONS", "-c search_path=x")]).await;
    assert_eq!(show(&session, "search_path").await, "\"Über uns\",\"public\"");
    session.client.batch_execute("set search_path = elsewhere").await.expect("a setting");
    session.client.batch_execute(&settings::reset(&[])).await.expect("a reset");
    assert_eq!(show(&session, "search_path").await, "\"Über uns\",\"public\"");
}

#[tokio::test]
async fn options_of_the_connection_string_take_precedence_over_pgoptions() {
    let database = Database::create().await;
    let url = format!("{}?options=-c%20statement_timeout%3D1234&lock_timeout=77", database.url());
    let variables = [("DB_CONNECTION_STRING", url.as_str()), ("PGOPTIONS", "-c statement_timeout=1")];
    let session = session(&database, &variables).await;
    assert_eq!(show(&session, "statement_timeout").await, "1234ms");
    assert_eq!(show(&session, "lock_timeout").await, "77ms");
}

#[tokio::test]
async fn missing_parts_of_a_url_come_from_pgs_variables() {
    let database = Database::create().await;
    let place = database.connection_parts();
    let port = place.port.to_string();
    let variables = [
        ("DB_CONNECTION_STRING", "postgresql:///"),
        ("PGHOST", place.host.as_str()),
        ("PGPORT", &port),
        ("PGUSER", &place.user),
        ("PGPASSWORD", &place.password),
        ("PGDATABASE", &place.database),
    ];
    let session = session(&database, &variables).await;
    let row = session.client.query_one("select current_database()", &[]).await.expect("an answer");
    assert_eq!(row.get::<_, String>(0), place.database);
}

#[tokio::test]
async fn password_that_postgresql_repeats_is_redacted_in_both_styles() {
    let (database, image) = (Database::bootstrapped().await, Image::new());
    image.write(
        "db-init/003_echo.sql",
        "do $$ begin
             raise warning 'the warning has %', current_setting('trm.echo');
             raise exception 'the error has %', current_setting('trm.echo')
                 using detail = current_setting('trm.echo');
         end $$;",
    );
    let password = r#"hunter2 "quoted\" one"#;
    for style in ["pretty", "raw"] {
        let mut boot = image.boot(database.url());
        boot.env("ADMIN_EMAIL", "a@b.c").env("ADMIN_PASSWORD", password).env("LOG_STYLE", style);
        boot.env("PGOPTIONS", r#"-c trm.echo=hunter2\ "quoted\\"\ one"#);
        let ended = run(&mut boot);
        ended.assert_failed("db-init", ExitCode::MigrationFailed, &["the error has [redacted]"]);
        assert!(ended.output.contains("the warning has [redacted]"), "{}", ended.output);
        assert!(!ended.output.contains("hunter2"), "{}", ended.output);
    }
}
