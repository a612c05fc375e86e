//! `seed`: fills the development stack with demo data.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use testbed::api::Api;
use testbed::compose::{self, Compose};
use testbed::engine::{ContainerState, Engine};
use testbed::http;
use testbed::postgres;
use testbed::seed::{DemoData, SeedStep, seed};
use testbed::ui;

#[derive(Serialize)]
struct SeedReport<'a> {
    url: String,
    created: u64,
    present: u64,
    seconds: f64,
    steps: &'a [SeedStep],
}

/// Runs `seed`.
pub(crate) async fn run(flags: &grammar::SeedFlags) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let (engine, stack) = (Engine::connect().await?, Compose::new(&flags.project.name));
    let (url, steps) = fill(&engine, &stack).await?;
    let created = steps.iter().map(|step| step.created).sum();
    let present = steps.iter().map(|step| step.present).sum();
    if flags.json {
        ui::json_result(&SeedReport {
            url,
            created,
            present,
            seconds: ui::json_seconds(began.elapsed()),
            steps: &steps,
        })?;
    } else {
        ui::result(&format!("{url}: {created} rows created, {present} present ({})", ui::seconds(began.elapsed())));
    }
    Ok(ExitCode::SUCCESS)
}

/// Fills a stack that is healthy, and returns its URL and the steps.
pub(crate) async fn fill(engine: &Engine, stack: &Compose) -> anyhow::Result<(String, Vec<SeedStep>)> {
    let port = healthy_port(engine, stack, compose::DIRECTUS, contract::DEFAULT_PORT).await?;
    let database_port = healthy_port(engine, stack, compose::DATABASE, 5432).await?;
    let config = stack.config().await?;
    let directus = config.service(compose::DIRECTUS)?;
    let url = format!("http://localhost:{port}");
    let api = Api::login(url.clone(), directus.required("ADMIN_EMAIL")?, directus.required("ADMIN_PASSWORD")?).await;
    let api = api.context("set ADMIN_EMAIL and ADMIN_PASSWORD to an administrator of the stack")?;
    let (user, password) = (directus.required("DB_USER")?, directus.required("DB_PASSWORD")?);
    let database = postgres::config(database_port, user, password, directus.required("DB_DATABASE")?);

    let data = DemoData::own()?;
    ui::status("Seeding", &format!("{} in {}", data.title(), stack.project()));
    let steps = seed(&api, &database, &data, |step| ui::status("Seeded", &step.to_string())).await;
    let replace =
        format!("`cargo xtask dev-reset --seed --project {}` replaces the stack by a new one", stack.project());
    let steps = steps.map_err(|error| anyhow!("{error:#}; {replace}"))?;
    // Only a login that works is printed: an existing user may have another password.
    for (email, password) in data.logins() {
        if http::login(&url, email, password).is_ok() {
            ui::status("Login", &format!("{email}, password {password}"));
        }
    }
    Ok((url, steps))
}

/// Waits until a service of the stack is healthy, and returns its port on this machine.
async fn healthy_port(engine: &Engine, stack: &Compose, service: &str, port: u16) -> anyhow::Result<u16> {
    let project = stack.project();
    let way_out = format!("`cargo xtask dev-reset --seed --project {project}` creates a stack with the demo data");
    let Some(id) = stack.container(engine, service).await? else { bail!("there is no stack {project}; {way_out}") };
    match engine.state(&id).await? {
        ContainerState::Healthy => {}
        ContainerState::Starting => {
            ui::status("Waiting", &format!("for {service} of {project}"));
            engine.wait_healthy(&id, compose::BOOT_DEADLINE).await?;
        }
        ContainerState::Unhealthy => bail!("{service} of {project} does not serve; {way_out}"),
        ContainerState::Exited(code) => bail!("{service} of {project} ended with {code}; {way_out}"),
    }
    engine.published_port(&id, port).await
}
