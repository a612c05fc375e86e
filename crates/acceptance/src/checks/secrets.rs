//! Secrets: how they get in, and that they never get out.

use std::time::Duration;

use anyhow::ensure;
use contract::ExitCode;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::setting::{ADMIN, PATIENCE};

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "secrets-from-files",
        promise: "Secrets may be files (`X_FILE`), and naming one twice is refused.",
        needs: Need::Nothing,
        run: |case| Box::pin(from_files(case)),
    },
    Check {
        name: "no-secret-in-logs",
        promise: "No secret is in any log, command line or label, however a boot ends.",
        needs: Need::Nothing,
        run: |case| Box::pin(not_in_logs(case)),
    },
];

const NAMES: [&str; 3] = ["DB_PASSWORD", "SECRET", "ADMIN_PASSWORD"];

async fn from_files(case: &mut Case) -> anyhow::Result<()> {
    // Booted and without its administrator, whom the next boot then makes: a fraction of what a first boot takes.
    let database = case.booted_database().await?;
    database.execute("delete from directus_users").await?;
    let values = case.setting.secrets.all().map(str::to_owned);
    let mut spec = case.boot("from-files", &database);
    for (name, value) in NAMES.into_iter().zip(values) {
        let path = format!("/run/secrets/{}", name.to_ascii_lowercase());
        spec = spec.file(&path, value).variable(&format!("{name}_FILE"), path);
    }

    let both = case.start(BootSpec::clone(&spec).command(["boot"])).await?.ended(PATIENCE).await?;
    case.line(both.last_line());
    let expected = i64::from(ExitCode::Config.code());
    ensure!(both.code == expected, "with X and X_FILE the boot ended with {}, not {expected}", both.code);
    for name in NAMES {
        let complaint = format!("{name} and {name}_FILE are both set");
        ensure!(both.last_line().contains(&complaint), "`{complaint}` is not said: {}", both.last_line());
    }

    for name in NAMES {
        spec = spec.without(name);
    }
    let container = case.start(spec).await?;
    let ready = container.serving().await?;
    case.figure("container start to healthy", format!("{:.1} s", ready.as_secs_f64()));
    let made = container.says(&format!("administrator {ADMIN} created")).await?;
    case.line(made);
    // The administrator's password came from a file, and only the right secret makes a token that is accepted.
    let api = container.api().await?;
    let me = api.get("/users/me?fields=email").await?;
    ensure!(me["email"] == ADMIN, "/users/me is {me}");
    case.figure("logged in as", ADMIN);
    Ok(())
}

async fn not_in_logs(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let mut searched = Searched::default();
    let secrets = case.setting.secrets.clone();

    // The first boot of all, which made the administrator.
    let cold = case.servers.template_log();
    searched.lines("the first boot", &cold, case)?;

    // Every one of them is a secret with something after it, so what is looked for is found in it.
    let wrong = format!("{}-wrong", secrets.database);
    let string = |host: &str, port: &str| format!("postgres://directus:{wrong}@{host}:{port}/{}", database.name);
    let spec = |case: &Case, name: &str| case.boot(name, &database).command(["boot"]);
    let boots = [
        ("wrong-password", spec(case, "wrong-password").variable("DB_PASSWORD", &wrong), ExitCode::DatabaseRefused),
        ("broken-url", spec(case, "broken-url").variable("DB_CONNECTION_STRING", string("db", "x")), ExitCode::Config),
        (
            "wrong-url",
            spec(case, "wrong-url")
                .without("DB_HOST")
                .without("DB_PASSWORD")
                .variable("DB_CONNECTION_STRING", string(&database.host, "5432")),
            ExitCode::DatabaseRefused,
        ),
        (
            "failing-migration",
            spec(case, "failing-migration").file("/directus/db-init/999_fails.sql", "select 1 / 0;\n"),
            ExitCode::MigrationFailed,
        ),
    ];
    let specs = boots.iter().map(|(_, spec, _)| spec.clone()).collect();
    let containers = case.start_all(specs).await?;
    for ((name, _, expected), container) in boots.into_iter().zip(containers) {
        let ended = container.ended(PATIENCE).await?;
        case.line(format!("{name}: {}", ended.last_line()));
        searched.container(name, &container, case).await?;
        let expected = i64::from(expected.code());
        ensure!(ended.code == expected, "{name} ended with {}, not {expected}: {}", ended.code, ended.last_line());
    }

    // What its health checks wrote is among what the engine tells about it.
    let server = case.start(case.boot("server", &database).asked_every(Duration::from_millis(500))).await?;
    server.healthy().await?;
    server.api().await?;
    for command_line in case.setting.engine.command_lines(&server.id).await? {
        searched.text("a command line of the server", &command_line, case)?;
    }
    searched.container("the server", &server, case).await?;
    case.figure("log lines searched", searched.lines.to_string());
    case.figure("boots", "6".to_owned());
    Ok(())
}

/// What was looked through.
#[derive(Default)]
struct Searched {
    lines: usize,
}

impl Searched {
    /// A container's log, and what the engine tells about it.
    async fn container(&mut self, name: &str, container: &Container, case: &Case) -> anyhow::Result<()> {
        self.lines(name, &container.log().await?, case)?;
        self.text(
            &format!("what `docker inspect` tells of {name}"),
            &case.setting.engine.told(&container.id).await?,
            case,
        )
    }

    fn lines(&mut self, name: &str, lines: &[String], case: &Case) -> anyhow::Result<()> {
        ensure!(!lines.is_empty(), "{name} said nothing");
        self.lines += lines.len();
        lines.iter().try_for_each(|line| self.text(&format!("the log of {name}"), line, case))
    }

    /// The place is said, the line is not: the report is no place for a secret either.
    fn text(&self, place: &str, text: &str, case: &Case) -> anyhow::Result<()> {
        for (name, secret) in NAMES.into_iter().zip(case.setting.secrets.all()) {
            ensure!(!text.contains(secret), "the value of {name} is in {place}");
        }
        Ok(())
    }
}
