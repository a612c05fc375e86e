//! Signals end a boot at once in every phase, and shut a server down gracefully.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{self, ExitCode, Phase};
use tokio::time::timeout;

use super::faults::slow_file;
use crate::check::{Check, Need};
use crate::container::{BootSpec, Container};
use crate::database::TestDatabase;
use crate::end_state::EndState;
use crate::failpoint::{Failpoint, IN_SLOW_FILE, OTHERS, SLOW_FILE};
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "sigterm-in-each-phase",
        promise: "SIGTERM and SIGINT end a boot and its sessions within 2 s in every phase; the next boot completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(in_each_phase(test)),
    },
    Check {
        name: "sigterm-while-serving",
        promise: "`docker stop` shuts a server down gracefully in less than 5 s.",
        needs: Need::Nothing,
        run: |test| Box::pin(while_serving(test)),
    },
];

/// Time limit for a boot to end.
const END: Duration = Duration::from_secs(2);
/// Time limit for PostgreSQL to end the boot's sessions.
const NOTICE: Duration = Duration::from_secs(2);
/// Time limit for a server to shut down.
const STOP: Duration = Duration::from_secs(5);

async fn in_each_phase(test: &mut TestContext) -> anyhow::Result<()> {
    let undisturbed = test.undisturbed_state().await?;
    let database = test.empty_database("main").await?;
    let mut longest = Longest::default();

    let boot = start(test, "database", &database, |spec| spec.variable("DB_HOST", "nowhere")).await?;
    boot.wait_for_text("waiting for nowhere:5432").await?;
    longest.end(test, &boot, None, Phase::Database, "SIGTERM").await?;

    let holder = database.connect().await?;
    holder.execute("select pg_advisory_lock($1)", &[&contract::LOCK_KEY]).await.context("failed to hold the lock")?;
    for signal in ["SIGTERM", "SIGINT"] {
        let boot = start(test, "lock", &database, |spec| spec).await?;
        boot.wait_for_text("waiting for verify").await?;
        longest.end(test, &boot, Some(&database), Phase::Lock, signal).await?;
    }
    drop(holder);

    for phase in [Phase::DbInit, Phase::Bootstrap, Phase::Schema, Phase::PostSchema] {
        if matches!(phase, Phase::Bootstrap | Phase::Schema) {
            let failpoint = Failpoint::in_phase(&database, phase).await?;
            let boot = start(test, phase.name(), &database, |spec| spec).await?;
            boot.wait_until(&database, Failpoint::STOPPED).await?;
            longest.end(test, &boot, Some(&database), phase, "SIGTERM").await?;
            failpoint.lift(&database).await?;
        } else {
            let (folder, file) = slow_file(phase);
            let path = format!("{folder}/{file}");
            let boot = start(test, phase.name(), &database, |spec| spec.file(&path, SLOW_FILE)).await?;
            boot.wait_until(&database, IN_SLOW_FILE).await?;
            longest.end(test, &boot, Some(&database), phase, "SIGTERM").await?;
        }
    }
    test.figure("longest from signal to exit", format!("{:.2} s", longest.exit.as_secs_f64()));
    test.figure("longest from signal to the end of all sessions", format!("{:.2} s", longest.sessions.as_secs_f64()));

    test.boot_once("next boot", &database).await?;
    EndState::of(&database).await?.ensure_same_as(&undisturbed)?;
    test.figure("end state after all signals and one boot", "that of an undisturbed boot");
    Ok(())
}

async fn while_serving(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let container = test.start(test.boot("server", &database)).await?;
    container.serving().await?;
    let took = container.stop().await?;
    let ended = container.ended(PATIENCE).await?;
    test.figure("docker stop", format!("{:.2} s", took.as_secs_f64()));
    test.figure("exit code", ended.code.to_string());
    test.line_with(&ended.lines, "Shutting down")?;
    ensure!(took < STOP, "docker stop took {:.1} s", took.as_secs_f64());
    ensure!(matches!(ended.code, 0 | 143), "the server ended with {}: {}", ended.code, ended.last_line());
    Ok(())
}

async fn start(
    test: &mut TestContext,
    name: &str,
    database: &TestDatabase,
    change: impl FnOnce(BootSpec) -> BootSpec,
) -> anyhow::Result<Container> {
    test.start(change(test.boot(name, database).command(["boot"]))).await
}

/// The longest times since a signal was sent.
#[derive(Default)]
struct Longest {
    /// Until the boot ended.
    exit: Duration,
    /// Until PostgreSQL had no session of the boot.
    sessions: Duration,
}

impl Longest {
    /// Sends a signal to a boot, and checks how the boot ends.
    async fn end(
        &mut self,
        test: &mut TestContext,
        boot: &Container,
        database: Option<&TestDatabase>,
        phase: Phase,
        signal: &str,
    ) -> anyhow::Result<()> {
        boot.kill(signal).await?;
        // The engine has sent the signal by now; its own time does not count.
        let began = Instant::now();
        let ended = boot.ended(PATIENCE).await?;
        let took = began.elapsed();
        self.exit = self.exit.max(took);
        test.line(ended.last_line());
        test.figure(format!("{signal} in {phase}"), format!("exit code {}, {:.2} s", ended.code, took.as_secs_f64()));
        let exit = if signal == "SIGINT" { ExitCode::Interrupted } else { ExitCode::Terminated };
        ended.expect_failure(phase, exit, &[signal])?;
        ensure!(took < END, "in {phase} the boot ended {:.1} s after {signal}", took.as_secs_f64());
        if let Some(database) = database {
            // The container's processes are gone; only PostgreSQL may still have a session.
            let gone = timeout(NOTICE, database.wait_until(&format!("not {OTHERS}"))).await;
            gone.with_context(|| {
                format!("{} s after {signal} in {phase} PostgreSQL still has a session of the boot", NOTICE.as_secs())
            })??;
            self.sessions = self.sessions.max(began.elapsed());
        }
        Ok(())
    }
}
