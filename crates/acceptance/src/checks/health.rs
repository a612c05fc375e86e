//! The health that the engine reports is the server's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::check::{Check, Need};
use crate::container::Container;
use crate::test_context::TestContext;
use testbed::engine::ContainerState;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "health",
        promise: "A container is `starting` during its boot, and `healthy` once it serves.",
        needs: Need::Nothing,
        run: |test| Box::pin(follows_the_boot(test)),
    },
    Check {
        name: "hanging-server",
        promise: "A hanging server becomes unhealthy within 20 s, and healthy again once it continues.",
        needs: Need::Nothing,
        run: |test| Box::pin(hanging_server(test)),
    },
];

/// Time limit to become unhealthy: three health checks of 4 s each, and their intervals.
const NOTICE: Duration = Duration::from_secs(20);
/// Time limit to become healthy again: one health check and its interval.
const RECOVER: Duration = Duration::from_secs(10);

/// Interval of the engine's health checks: shorter than elsewhere, because the reported health is under test.
const INTERVAL: Duration = Duration::from_millis(500);

async fn follows_the_boot(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    // A boot with nothing to do would not wait for the lock.
    database.execute("update boot.snapshots set fingerprint = null").await?;
    let holder = database.connect().await?;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await.context("failed to hold the lock")?;
    let container = test.start(test.boot("server", &database).health_interval(INTERVAL)).await?;
    // The boot logs the wait every five seconds; by the second time the engine has run several health checks.
    let waiting = container.wait_for_line("a second mention of the wait", |line| {
        line.contains("waiting for verify") && !line.trim_end().ends_with(" 0 s")
    });
    test.line(waiting.await?);
    let state = container.state().await?;
    ensure!(state == ContainerState::Starting, "during the boot its health is {state:?}, not starting");
    let (code, output) = container.exec(&[contract::BINARY, "healthcheck"]).await?;
    ensure!(code == 50, "during the boot the health check exits with {code}: {output}");
    test.line(output);
    test.figure("during the boot", "starting, health check 50");
    drop(holder);
    let began = Instant::now();
    let ready = container.healthy().await?;
    test.figure("once it serves", "healthy");
    test.figure("lock released to healthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    test.figure("container start to healthy", format!("{:.1} s", ready.as_secs_f64()));
    Ok(())
}

async fn hanging_server(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let container = test.start(test.boot("server", &database).health_interval(INTERVAL)).await?;
    container.healthy().await?;
    signal_worker(&container, "STOP").await?;
    let began = Instant::now();
    wait_for_state(&container, &ContainerState::Unhealthy, NOTICE).await?;
    test.figure("SIGSTOP to unhealthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    signal_worker(&container, "CONT").await?;
    let began = Instant::now();
    wait_for_state(&container, &ContainerState::Healthy, RECOVER).await?;
    test.figure("SIGCONT to healthy", format!("{:.1} s", began.elapsed().as_secs_f64()));
    Ok(())
}

async fn wait_for_state(container: &Container, expected: &ContainerState, deadline: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let state = container.state().await?;
        if state == *expected {
            return Ok(());
        }
        ensure!(!matches!(state, ContainerState::Exited(_)), "the container ended: {state:?}");
        ensure!(began.elapsed() < deadline, "after {} s it is {state:?}, not {expected:?}", deadline.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a signal to the processes that serve: all Node processes except the first, which is pm2.
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
