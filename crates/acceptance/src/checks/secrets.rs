//! Secrets: they can be passed as files, and never leak.

use std::time::Duration;

use anyhow::ensure;
use contract::ExitCode;

use crate::check::{Check, Need};
use crate::container::Container;
use crate::suite_context::{ADMIN, PATIENCE};
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "secrets-from-files",
        promise: "A secret can be passed as a file (`X_FILE`), and a boot with both `X` and `X_FILE` is refused.",
        needs: Need::Nothing,
        run: |test| Box::pin(from_files(test)),
    },
    Check {
        name: "no-secret-in-logs",
        promise: "No log, command line or label of a container contains a secret, even if the boot fails.",
        needs: Need::Nothing,
        run: |test| Box::pin(not_in_logs(test)),
    },
];

const NAMES: [&str; 3] = ["DB_PASSWORD", "SECRET", "ADMIN_PASSWORD"];

async fn from_files(test: &mut TestContext) -> anyhow::Result<()> {
    // The next boot only creates the administrator, which takes a fraction of a first boot's time.
    let database = test.booted_database("main").await?;
    database.execute("delete from directus_users").await?;
    let values = test.suite.secrets.all().map(str::to_owned);
    let mut spec = test.boot("from-files", &database);
    for (name, value) in NAMES.into_iter().zip(values) {
        let path = format!("/run/secrets/{}", name.to_ascii_lowercase());
        spec = spec.file(&path, value).variable(&format!("{name}_FILE"), path);
    }

    let both = test.run(spec.clone().command(["boot"])).await?;
    test.line(both.last_line());
    let expected = i64::from(ExitCode::Config.code());
    ensure!(both.code == expected, "with X and X_FILE the boot ended with {}, not {expected}", both.code);
    for name in NAMES {
        let words = format!("{name} and {name}_FILE are both set");
        ensure!(both.last_line().contains(&words), "the last line has no `{words}`: {}", both.last_line());
    }

    for name in NAMES {
        spec = spec.without(name);
    }
    let container = test.start(spec).await?;
    let ready = container.serving().await?;
    test.figure("container start to healthy", format!("{:.1} s", ready.as_secs_f64()));
    test.line(container.wait_for_text(&format!("administrator {ADMIN} created")).await?);
    // The administrator's password came from a file, and only the right secret signs a valid token.
    let api = container.api().await?;
    let me = api.get("/users/me?fields=email").await?;
    ensure!(me["email"] == ADMIN, "/users/me is {me}");
    test.figure("logged in as", ADMIN);
    Ok(())
}

async fn not_in_logs(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let mut search = SecretSearch::default();

    // The template's boot, which created the administrator.
    search.lines("the first boot", &test.servers.template_log(), test)?;

    // Each wrong password begins with the right one, so that the search finds it, too.
    let wrong = format!("{}-wrong", test.suite.secrets.database);
    let [broken_url, wrong_url] = [("db", "x"), (&database.host, "5432")]
        .map(|(host, port)| format!("postgres://directus:{wrong}@{host}:{port}/{}", database.name));
    let names = ["wrong-password", "broken-url", "wrong-url", "failing-migration"];
    let [password, broken, url, migration] = names.map(|name| test.boot(name, &database).command(["boot"]));
    let specs = vec![
        password.variable("DB_PASSWORD", &wrong),
        broken.variable("DB_CONNECTION_STRING", broken_url),
        url.without("DB_HOST").without("DB_PASSWORD").variable("DB_CONNECTION_STRING", wrong_url),
        migration.file("/directus/db-init/999_fails.sql", "select 1 / 0;\n"),
    ];
    let exits = [ExitCode::DatabaseRefused, ExitCode::Config, ExitCode::DatabaseRefused, ExitCode::MigrationFailed];
    for ((name, expected), container) in names.into_iter().zip(exits).zip(test.start_all(specs).await?) {
        let ended = container.ended(PATIENCE).await?;
        test.line(format!("{name}: {}", ended.last_line()));
        search.container(name, &container, test).await?;
        let expected = i64::from(expected.code());
        ensure!(ended.code == expected, "{name} ended with {}, not {expected}: {}", ended.code, ended.last_line());
    }

    // The engine's details of a container include the output of its health checks.
    let server = test.start(test.boot("server", &database).health_interval(Duration::from_millis(500))).await?;
    server.healthy().await?;
    server.api().await?;
    for command_line in test.suite.engine.command_lines(&server.id).await? {
        search.text("a command line of the server", &command_line, test)?;
    }
    search.container("the server", &server, test).await?;
    test.figure("log lines searched", search.lines.to_string());
    test.figure("boots", "6".to_owned());
    Ok(())
}

/// A search for secrets.
#[derive(Default)]
struct SecretSearch {
    /// Number of searched log lines.
    lines: usize,
}

impl SecretSearch {
    /// Searches a container's log and the engine's details of the container.
    async fn container(&mut self, name: &str, container: &Container, test: &TestContext) -> anyhow::Result<()> {
        self.lines(name, &container.log().await?, test)?;
        let details = test.suite.engine.description(&container.id).await?;
        self.text(&format!("the output of `docker inspect` for {name}"), &details, test)
    }

    fn lines(&mut self, name: &str, lines: &[String], test: &TestContext) -> anyhow::Result<()> {
        ensure!(!lines.is_empty(), "the log of {name} is empty");
        self.lines += lines.len();
        lines.iter().try_for_each(|line| self.text(&format!("the log of {name}"), line, test))
    }

    /// Searches a text. The error names its place but does not quote it: a report must not contain secrets either.
    fn text(&self, place: &str, text: &str, test: &TestContext) -> anyhow::Result<()> {
        for (name, secret) in NAMES.into_iter().zip(test.suite.secrets.all()) {
            ensure!(!text.contains(secret), "the value of {name} is in {place}");
        }
        Ok(())
    }
}
