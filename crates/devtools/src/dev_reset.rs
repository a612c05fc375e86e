//! `dev-reset`: from whatever there is to a fresh development stack that answers, with its URL and login.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use serde::Serialize;

use crate::boot_view::{BootView, Change, explain_exit};
use testbed::base_images::BaseImage;
use testbed::compose::{self, Compose};
use testbed::dotenv;
use testbed::engine::{Engine, State};
use testbed::http;
use testbed::image::{self, Binary, Recipe};
use testbed::migrations::Migrations;
use testbed::ports::{self, Port};
use testbed::setup;
use testbed::ui;

/// How often the stack is asked how it is.
const POLL: Duration = Duration::from_millis(150);

#[derive(Serialize)]
struct Report {
    url: String,
    email: String,
    password: String,
    seconds: f64,
    /// From the start of the containers until the server is healthy.
    boot_seconds: f64,
    phases: Vec<PhaseTime>,
    project: String,
    image: String,
    database_port: u16,
    stand_in: bool,
}

#[derive(Serialize)]
struct PhaseTime {
    phase: &'static str,
    ms: u64,
}

/// Runs `dev-reset`.
pub(crate) async fn run(flags: &grammar::DevReset) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    if flags.setup {
        setup::go_through(setup::Wanted { act: true, tests: false, browser: false }).await?;
    }
    let engine = Engine::connect().await?;
    let database = BaseImage::postgres().await?.resolve(&engine).await?;
    let mut stand_in = database.stand_in;
    // Before the old stack goes: a build that fails leaves it as it was.
    if !flags.no_image {
        let recipe =
            Recipe { binary: if flags.release { Binary::Release } else { Binary::Quick }, ..Recipe::default() };
        stand_in |= image::build(&engine, &flags.tag, recipe).await?.stand_in;
    }

    let mut stack = Compose::new(&flags.project.name);
    stack.set("POSTGRES_IMAGE", database.name.as_str());
    stack.set("IMAGE", flags.tag.as_str());
    if let Some(options) = Migrations::read()?.options_for(&database) {
        let own = dotenv::variable("PGOPTIONS")?.unwrap_or_default();
        stack.set("PGOPTIONS", format!("{own} {options}").trim());
    }
    stack.down(!flags.keep_data).await?;
    // After it has gone: its own ports are free again.
    let port = choose_port(&engine, "PORT_ON_HOST", 8055).await?;
    let database_port = choose_port(&engine, "DB_PORT_ON_HOST", 5432).await?;
    stack.set("PORT_ON_HOST", port.to_string());
    stack.set("DB_PORT_ON_HOST", database_port.to_string());

    let booting = Instant::now();
    stack.up().await?;
    let view = watch(&engine, &stack).await?;
    let boot_seconds = ui::json_seconds(booting.elapsed());

    let config = stack.config().await?;
    let variable = |name: &str| -> anyhow::Result<String> {
        let value = config.service(compose::DIRECTUS)?.variable(name);
        Ok(value.with_context(|| format!("the compose file sets no {name}"))?.to_owned())
    };
    let report = Report {
        url: format!("http://localhost:{port}"),
        email: variable("ADMIN_EMAIL")?,
        password: variable("ADMIN_PASSWORD")?,
        seconds: ui::json_seconds(began.elapsed()),
        boot_seconds,
        phases: view.done.iter().map(|done| PhaseTime { phase: done.phase.name(), ms: millis(done.took) }).collect(),
        project: stack.project().to_owned(),
        image: flags.tag.clone(),
        database_port,
        stand_in,
    };
    // What is printed is what works.
    http::login(&report.url, &report.email, &report.password).with_context(|| {
        if flags.keep_data { "an administrator who was there before keeps their password" } else { "the stack is up" }
    })?;
    if flags.json {
        ui::json_result(&report)?;
    } else {
        ui::result(&render(&report));
    }
    Ok(ExitCode::SUCCESS)
}

async fn choose_port(engine: &Engine, variable: &str, default: u16) -> anyhow::Result<u16> {
    let published = engine.published_ports().await?;
    let wish = dotenv::variable(variable)?;
    let Port { number, instead_of } =
        ports::choose(variable, wish.as_deref(), default, |port| ports::is_free(port, &published))?;
    if let Some(taken) = instead_of {
        ui::warning(&format!("port {taken} is taken, using {number}; set {variable} to choose"));
    }
    Ok(number)
}

/// Shows the boot until the server is healthy; a stack that cannot become so any more is an error at once.
async fn watch(engine: &Engine, stack: &Compose) -> anyhow::Result<BootView> {
    let container = async |service: &str| {
        stack.container(service).await?.with_context(|| format!("compose started no container for {service}"))
    };
    let (directus, database) = (container(compose::DIRECTUS).await?, container(compose::DATABASE).await?);
    let began = Instant::now();
    let live = ui::Live::start();
    let mut view = BootView::default();
    live.now(&view.current());
    let mut log = std::pin::pin!(engine.log(&directus).fuse());
    let mut poll = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            Some(line) = log.next() => show(&live, &mut view, &line?),
            _ = poll.tick() => match engine.state(&directus).await? {
                State::Healthy => return Ok(view),
                State::Exited(code) => {
                    // What it said last may still be on its way.
                    while let Some(Ok(line)) = log.next().await {
                        show(&live, &mut view, &line);
                    }
                    bail!("the boot ended; the last lines of its log:\n{}  {}", view.tail(), explain_exit(code));
                }
                State::Unhealthy => bail!("the server does not get healthy; the last lines:\n{}", view.tail()),
                State::Starting if began.elapsed() > compose::BOOT_DEADLINE => {
                    let seconds = compose::BOOT_DEADLINE.as_secs();
                    bail!("not healthy after {seconds} s; the last lines:\n{}", view.tail());
                }
                State::Starting => {
                    if let State::Exited(code) = engine.state(&database).await? {
                        let lines = engine.last_lines(&database, 20).await?;
                        bail!("the database ended with {code}; its last lines:\n{lines}");
                    }
                }
            },
        }
    }
}

fn show(live: &ui::Live, view: &mut BootView, line: &str) {
    match view.line(line) {
        None => {}
        Some(Change::Done(done)) => {
            live.line(|| ui::status("Booted", &done.to_line()));
            live.now(&view.current());
        }
        Some(Change::Note(note)) => live.still(&note),
        Some(Change::Warning(warning)) => live.line(|| ui::warning(&warning)),
        Some(Change::Failed(failure)) => live.line(|| ui::error(&failure)),
    }
}

fn render(report: &Report) -> String {
    let Report { url, email, password, seconds, boot_seconds, database_port, .. } = report;
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
