//! `dev-reset`: replaces the development stack by a fresh one that answers, and prints its URL and login.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde::Serialize;

use crate::seed;
use crate::unsaved;
use testbed::base_images::BaseImage;
use testbed::boot_view::{BootView, ViewChange, explain_exit};
use testbed::compose::{self, Compose};
use testbed::dotenv;
use testbed::engine::{ContainerState, Engine};
use testbed::http;
use testbed::image::{self, BuildMode, BuildOptions};
use testbed::migrations::CheckoutMigrations;
use testbed::ports;
use testbed::postgres;
use testbed::setup;
use testbed::ui;

/// Interval between checks of the stack's state.
const POLL: Duration = Duration::from_millis(150);

#[derive(Serialize)]
struct DevResetReport {
    url: String,
    email: String,
    password: String,
    seconds: f64,
    /// From the start of the containers until the server is healthy.
    boot_seconds: f64,
    phases: Vec<ResetPhase>,
    project: String,
    image: String,
    database_port: u16,
    stand_in: bool,
}

#[derive(Serialize)]
struct ResetPhase {
    phase: &'static str,
    ms: u64,
}

/// Runs `dev-reset`.
pub(crate) async fn run(flags: &grammar::DevResetFlags) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    if flags.setup {
        setup::run(setup::SetupOptions { install: true, tests: false, browser: false, registry: None }).await?;
    }
    let engine = Engine::connect().await?;
    // Before the build, which contains the snapshot.
    if let Some(code) = unsaved::confirm(&engine, flags).await? {
        return Ok(code);
    }
    let database = BaseImage::postgres().await?.resolve(&engine).await?;
    let mut stand_in = database.stand_in;
    // Before the old stack is removed: a failed build leaves it running.
    if !flags.no_image {
        let recipe = BuildOptions {
            mode: if flags.release { BuildMode::Release } else { BuildMode::Quick },
            ..BuildOptions::default()
        };
        stand_in |= image::build(&engine, &flags.tag, recipe).await?.stand_in;
    }

    let mut stack = Compose::new(&flags.project.name);
    stack.set("POSTGRES_IMAGE", database.name.as_str());
    stack.set("IMAGE", flags.tag.as_str());
    stack.down(!flags.keep_data).await?;
    // After the removal of the old stack, whose ports are free again.
    let port = ports::choose_free(&engine, "PORT_ON_HOST", 8055).await?;
    let database_port = ports::choose_free(&engine, "DB_PORT_ON_HOST", 5432).await?;
    stack.set("PORT_ON_HOST", port.to_string());
    stack.set("DB_PORT_ON_HOST", database_port.to_string());

    let booting = Instant::now();
    start_database(&engine, &mut stack, database_port).await?;
    stack.up(&[]).await?;
    let view = watch(&engine, &stack).await?;
    let boot_seconds = ui::json_seconds(booting.elapsed());

    let config = stack.config().await?;
    let directus = config.service(compose::DIRECTUS)?;
    let report = DevResetReport {
        url: format!("http://localhost:{port}"),
        email: directus.required("ADMIN_EMAIL")?.to_owned(),
        password: directus.required("ADMIN_PASSWORD")?.to_owned(),
        seconds: ui::json_seconds(began.elapsed()),
        boot_seconds,
        phases: view.done.iter().map(|done| ResetPhase { phase: done.phase.name(), ms: millis(done.took) }).collect(),
        project: stack.project().to_owned(),
        image: flags.tag.clone(),
        database_port,
        stand_in,
    };
    // Only a login that works is printed.
    http::login(&report.url, &report.email, &report.password).with_context(|| {
        if flags.keep_data {
            "an existing administrator keeps their password: omit --keep-data, or log in with that password"
        } else {
            "the stack runs, but the login fails: `cargo xtask dev-reset` starts again with an empty database"
        }
    })?;
    if flags.seed {
        seed::fill(&engine, &stack).await?;
    }
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the database first, because its extensions decide on the session options of the boot.
async fn start_database(engine: &Engine, stack: &mut Compose, port: u16) -> anyhow::Result<()> {
    stack.up(&[compose::DATABASE]).await?;
    engine.wait_healthy(&container(engine, stack, compose::DATABASE).await?, compose::BOOT_DEADLINE).await?;
    let config = stack.config().await?;
    let directus = config.service(compose::DIRECTUS)?;
    let (user, password) = (directus.required("DB_USER")?, directus.required("DB_PASSWORD")?);
    let server = postgres::config(port, user, password, directus.required("DB_DATABASE")?);
    if let Some(options) = CheckoutMigrations::read()?.session_options_for(&server).await? {
        let own = dotenv::variable("PGOPTIONS")?.unwrap_or_default();
        stack.set("PGOPTIONS", format!("{own} {options}").trim());
    }
    Ok(())
}

/// Returns the id of a service's container.
async fn container(engine: &Engine, stack: &Compose, service: &str) -> anyhow::Result<String> {
    stack.container(engine, service).await?.with_context(|| format!("compose started no container for {service}"))
}

/// Shows the boot until the server is healthy. A stack that can no longer become healthy is an error at once.
async fn watch(engine: &Engine, stack: &Compose) -> anyhow::Result<BootView> {
    let directus = container(engine, stack, compose::DIRECTUS).await?;
    let database = container(engine, stack, compose::DATABASE).await?;
    let began = Instant::now();
    let spinner = ui::Spinner::start();
    let mut view = BootView::default();
    spinner.restart(&view.current());
    let mut log = std::pin::pin!(engine.log(&directus).fuse());
    let mut poll = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            Some(line) = log.next() => show(&spinner, &mut view, &line?),
            _ = poll.tick() => match engine.state(&directus).await? {
                ContainerState::Healthy => return Ok(view),
                ContainerState::Exited(code) => {
                    // The last lines may still be in the stream.
                    while let Some(Ok(line)) = log.next().await {
                        show(&spinner, &mut view, &line);
                    }
                    bail!("the boot ended; the last lines of its log:\n{}  {}", view.tail(), explain_exit(code));
                }
                ContainerState::Unhealthy => {
                    bail!("the server does not become healthy; {}; the last lines:\n{}", look_at(stack), view.tail())
                }
                ContainerState::Starting if began.elapsed() > compose::BOOT_DEADLINE => {
                    let seconds = compose::BOOT_DEADLINE.as_secs();
                    bail!("not healthy after {seconds} s; {}; the last lines:\n{}", look_at(stack), view.tail());
                }
                ContainerState::Starting => {
                    if let ContainerState::Exited(code) = engine.state(&database).await? {
                        let lines = engine.last_lines(&database, 20).await?;
                        bail!("the database ended with {code}; {}; its last lines:\n{lines}", look_at(stack));
                    }
                }
            },
        }
    }
}

/// The next command for a stack that does not start.
fn look_at(stack: &Compose) -> String {
    format!("`{}` has more", stack.cmd(["logs"]))
}

fn show(spinner: &ui::Spinner, view: &mut BootView, line: &str) {
    match view.line(line) {
        None => {}
        Some(ViewChange::Done(done)) => {
            spinner.line(|| ui::status("Booted", &done.to_line()));
            spinner.restart(&view.current());
        }
        Some(ViewChange::Note(note)) => spinner.update(&note),
        Some(ViewChange::Warning(warning)) => spinner.line(|| ui::warning(&warning)),
        Some(ViewChange::Failed(failure)) => spinner.line(|| ui::error(&failure)),
    }
}

fn render(report: &DevResetReport) -> String {
    let DevResetReport { url, email, password, seconds, boot_seconds, database_port, .. } = report;
    let rows = [
        ["URL", url.as_str()],
        ["e-mail", email],
        ["password", password],
        ["database", &format!("127.0.0.1:{database_port}, user and database directus")],
        ["took", &format!("{seconds:.1} s, of which {boot_seconds:.1} s booting")],
    ];
    ui::columns(&rows.map(|row| row.map(str::to_owned)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
