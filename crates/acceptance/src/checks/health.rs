//! The health that the engine shows is the server's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use testbed::engine::State;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "health",
        promise: "A container is `starting` for as long as its boot lasts, and `healthy` once it serves.",
        needs: Need::Nothing,
        run: |case| Box::pin(health(case)),
    },
    Check {
        name: "hanging-server",
        promise: "A server that hangs becomes unhealthy in bounded time, and healthy again when it goes on.",
        needs: Need::Nothing,
        run: |case| Box::pin(hanging_server(case)),
    },
];

/// Three checks of 4 s each, and their pauses.
const NOTICE: Duration = Duration::from_secs(20);
/// One check, and its pause.
const RECOVER: Duration = Duration::from_secs(10);

async fn health(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    // A boot with nothing to do would not wait for the lock.
    database.execute("update boot.snapshots set fingerprint = null").await?;
    let holder = database.connect().await?;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await.context("failed to hold the lock")?;
    let container = case.start(asked_often(case.boot("server", &database))).await?;
    // The boot says so every five seconds: by the second time the engine has asked often.
    let waiting = container.line("a second mention of the wait", |line| {
        line.contains("waiting for verify") && !line.trim_end().ends_with(" 0 s")
    });
    case.line(waiting.await?);
    let state = container.state().await?;
    ensure!(state == State::Starting, "in the middle of the boot its health is {state:?}, not starting");
    let (code, said) = container.exec(&[contract::BINARY, "healthcheck"]).await?;
    ensure!(code == 50, "in the middle of the boot the health check exits with {code}: {said}");
    case.line(said);
    case.figure("in the middle of the boot", "starting, health check 50");
    drop(holder);
    let began = Instant::now();
    let ready = container.healthy().await?;
    case.figure("once it serves", "healthy");
    case.figure("lock released to healthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    case.figure("container start to healthy", format!("{:.1} s", ready.as_secs_f64()));
    Ok(())
}

async fn hanging_server(case: &mut Case) -> anyhow::Result<()> {
    let database = case.booted_database().await?;
    let container = case.start(asked_often(case.boot("server", &database))).await?;
    container.healthy().await?;
    signal_worker(&container, "STOP").await?;
    let began = Instant::now();
    becomes(&container, &State::Unhealthy, NOTICE).await?;
    case.figure("hang to unhealthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    signal_worker(&container, "CONT").await?;
    let began = Instant::now();
    becomes(&container, &State::Healthy, RECOVER).await?;
    case.figure("going on to healthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// What the engine thinks of a container is the point here: it asks more often than elsewhere.
fn asked_often(spec: BootSpec) -> BootSpec {
    spec.asked_every(Duration::from_millis(500))
}

async fn becomes(container: &Container, wanted: &State, deadline: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let state = container.state().await?;
        if state == *wanted {
            return Ok(());
        }
        ensure!(!matches!(state, State::Exited(_)), "it is {state:?}");
        ensure!(began.elapsed() < deadline, "after {} s it is {state:?}, not {wanted:?}", deadline.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a signal to the processes that serve: all of Node but the first, which is pm2.
async fn signal_worker(container: &Container, signal: &str) -> anyhow::Result<()> {
    let script = format!(
        r#"for process in /proc/[0-9]*; do
               pid=${{process#/proc/}}
               [ "$pid" != 1 ] && [ "$pid" != $$ ] || continue
               case $(readlink "$process/exe") in */node) kill -{signal} "$pid" && echo "$pid";; esac
           done"#
    );
    let (code, pids) = container.exec(&["sh", "-c", &script]).await?;
    ensure!(!pids.trim().is_empty(), "no process serves (exit code {code})");
    Ok(())
}
