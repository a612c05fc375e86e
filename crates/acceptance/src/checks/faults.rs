//! PostgreSQL dies, freezes or starts late: the boot ends in time with the reason, and the next boot completes.
//!
//! Each fault is triggered once the database shows that the boot has reached the intended point; see [`crate::failpoint`].

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};

use crate::check::{Check, Need};
use crate::container::{Container, EndedContainer};
use crate::database::TestDatabase;
use crate::end_state::EndState;
use crate::failpoint::{Failpoint, IN_BOOTSTRAP, IN_SLOW_FILE, SLOW_FILE};
use crate::suite_context::PATIENCE;
use crate::test_context::{OWN_SERVER, TestContext};
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "killed-in-db-init",
        promise: "If PostgreSQL is killed in db-init, the boot fails with this reason, and the next one completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(killed_in_a_file(test, Phase::DbInit)),
    },
    Check {
        name: "killed-in-bootstrap",
        promise: "If PostgreSQL is killed in bootstrap, the boot fails with this reason, and the next one completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(killed_in_directus(test, Phase::Bootstrap)),
    },
    Check {
        name: "killed-in-schema",
        promise: "If PostgreSQL is killed in schema, the boot fails with this reason, and the next one completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(killed_in_directus(test, Phase::Schema)),
    },
    Check {
        name: "killed-in-post-schema",
        promise: "If PostgreSQL is killed in post-schema, the boot fails with this reason, and the next one completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(killed_in_a_file(test, Phase::PostSchema)),
    },
    Check {
        name: "frozen",
        promise: "If PostgreSQL freezes before or during a boot, a timeout ends the boot, and the next boot completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(frozen(test)),
    },
    Check {
        name: "silent-network",
        promise: "A name server that never answers delays no boot, and a boot whose packets vanish ends and blocks no other.",
        needs: Need::Nothing,
        run: |test| Box::pin(silent_network(test)),
    },
    Check {
        name: "late-database",
        promise: "A boot that starts before its database waits for it, logs that, and then completes.",
        needs: Need::Nothing,
        run: |test| Box::pin(late_database(test)),
    },
];

/// Time limit for a boot to end after its database was killed.
const END: Duration = Duration::from_secs(10);
/// Time that a boot may take beyond its timeout: for the attempt under way and the shutdown.
const SLACK: Duration = Duration::from_secs(3);

/// Kills PostgreSQL in phase 4 or 7, in an SQL file that comes after the image's own.
async fn killed_in_a_file(test: &mut TestContext, phase: Phase) -> anyhow::Result<()> {
    let undisturbed = test.undisturbed_state().await?;
    let (server, database) = test.own_server().await?;
    let (folder, file) = slow_file(phase);
    let spec = test.boot("killed", &database).command(["boot"]).file(&format!("{folder}/{file}"), SLOW_FILE);
    let boot = test.start(spec).await?;
    boot.wait_until(&database, IN_SLOW_FILE).await?;
    kill_server(test, &server, &boot, phase, &[file]).await?;

    let database = test.restart_server(&server, &database).await?;
    let half = database.value("select to_regclass('half')").await?;
    ensure!(half.is_empty(), "the table of the interrupted file exists");
    let recorded = format!("select count(*) from boot.migrations where filename = '{file}'");
    ensure!(database.value(&recorded).await? == "0", "the interrupted file is in the ledger");
    test.figure("left by the interrupted file", "nothing");
    boot_again(test, &database, &undisturbed).await
}

/// Kills PostgreSQL in phase 5 or 6, just after Directus has created a table.
async fn killed_in_directus(test: &mut TestContext, phase: Phase) -> anyhow::Result<()> {
    let undisturbed = test.undisturbed_state().await?;
    let (server, database) = test.own_server().await?;
    let failpoint = Failpoint::in_phase(&database, phase).await?;
    let boot = test.start(test.boot("killed", &database).command(["boot"])).await?;
    boot.wait_until(&database, Failpoint::STOPPED).await?;
    if phase == Phase::Schema {
        let locked = failpoint.locked_tables().await?;
        test.figure("relations locked by the apply's open transaction", locked);
    }
    kill_server(test, &server, &boot, phase, &[]).await?;

    let database = test.restart_server(&server, &database).await?;
    failpoint.lift(&database).await?;
    let tables = if phase == Phase::Schema {
        "select count(*) from pg_tables where schemaname = 'public' and tablename in
         (select collection from directus_collections)"
    } else {
        r"select count(*) from pg_tables where tablename like 'directus\_%'"
    };
    let left = database.value(tables).await?;
    ensure!(left == "0", "{left} tables of the interrupted {phase} exist");
    test.figure(format!("left by the interrupted {phase}"), "nothing");
    boot_again(test, &database, &undisturbed).await
}

/// Freezes PostgreSQL before the connection, in an SQL file, and during bootstrap.
async fn frozen(test: &mut TestContext) -> anyhow::Result<()> {
    let undisturbed = test.undisturbed_state().await?;
    let (server, database) = test.own_server().await?;
    let limit = Duration::from_secs(3);
    server.pause().await?;
    let spec = test.boot("frozen-before", &database).variable("BOOT_DATABASE_TIMEOUT", limit.as_secs().to_string());
    let began = Instant::now();
    let ended = test.start(spec.command(["boot"])).await?.ended(PATIENCE).await;
    let took = began.elapsed();
    server.unpause().await?;
    database.answers().await?;
    let ended = ended?;
    test.line(ended.last_line());
    ended.expect_failure(Phase::Database, ExitCode::DatabaseUnreachable, &["no answer", "within 3 s"])?;
    test.figure("frozen before the boot: exit code", ended.code.to_string());
    test.figure("frozen before the boot: start to exit, BOOT_DATABASE_TIMEOUT=3", ui::seconds(took));
    ensure!(took < limit + SLACK, "the boot ended after {}, not 3 s", ui::seconds(took));

    let (folder, file) = slow_file(Phase::DbInit);
    let spec = test.boot("frozen-in-db-init", &database).file(&format!("{folder}/{file}"), SLOW_FILE);
    let spec = spec.variable("BOOT_DATABASE_TIMEOUT", limit.as_secs().to_string()).command(["boot"]);
    let boot = test.start(spec).await?;
    boot.wait_until(&database, IN_SLOW_FILE).await?;
    // No other timeout applies, so that a longer wait is pointless.
    let (ended, took) = freeze(&server, &database, &boot, limit * 2 + SLACK).await?;
    test.line(ended.last_line());
    ended.expect_failure(Phase::DbInit, ExitCode::DatabaseLost, &["no answer for 3 s"])?;
    test.figure("frozen in db-init: exit code", ended.code.to_string());
    test.figure("frozen in db-init: pause to exit, BOOT_DATABASE_TIMEOUT=3", ui::seconds(took));

    // Two timeouts apply; the one under test is the shorter one.
    let limit = Duration::from_secs(5);
    let spec = test.boot("frozen-in-bootstrap", &database).variable("BOOT_DATABASE_TIMEOUT", "600");
    let spec = spec.variable("BOOT_DIRECTUS_TIMEOUT", limit.as_secs().to_string()).command(["boot"]);
    let boot = test.start(spec).await?;
    boot.wait_until(&database, IN_BOOTSTRAP).await?;
    let (ended, took) = freeze(&server, &database, &boot, PATIENCE).await?;
    test.line(ended.last_line());
    let words = ["did not finish within 5 s", "BOOT_DIRECTUS_TIMEOUT"];
    ended.expect_failure(Phase::Bootstrap, ExitCode::BootstrapFailed, &words)?;
    test.figure("frozen in bootstrap: exit code", ended.code.to_string());
    test.figure("frozen in bootstrap: pause to exit, BOOT_DIRECTUS_TIMEOUT=5", ui::seconds(took));
    ensure!(took < limit + SLACK, "the boot ended after {}, not 5 s", ui::seconds(took));
    boot_again(test, &database, &undisturbed).await
}

/// Freezes the server until the boot has ended; returns the end, and the time from the pause to the end.
async fn freeze(
    server: &Container,
    database: &TestDatabase,
    boot: &Container,
    patience: Duration,
) -> anyhow::Result<(EndedContainer, Duration)> {
    let began = Instant::now();
    server.pause().await?;
    let ended = boot.ended(patience).await;
    let took = began.elapsed();
    server.unpause().await?;
    database.answers().await?;
    Ok((ended?, took))
}

/// An address that is reserved for documentation (RFC 5737), where nothing answers.
const NO_NAME_SERVER: &str = "192.0.2.53";
/// Time limit for a boot to end after its packets vanish, and for PostgreSQL to end its sessions.
const VANISHED: Duration = Duration::from_secs(15);

async fn silent_network(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("vanished").await?;
    let nowhere = database.not_started("db.example.com");
    let spec = test.boot("no-name-server", &nowhere).command(["boot"]);
    let spec = spec.with(|spec| spec.name_server = Some(NO_NAME_SERVER)).variable("BOOT_DATABASE_TIMEOUT", "3");
    let boot = spec.clone().start(&test.suite, None).await?;
    test.keep(boot.clone());
    let began = Instant::now();
    let ended = boot.ended(PATIENCE).await?;
    let took = began.elapsed();
    test.line(ended.last_line());
    ended.expect_failure(Phase::Database, ExitCode::DatabaseUnreachable, &["within 3 s", "nothing was changed"])?;
    ensure!(took < Duration::from_secs(3) + SLACK, "the boot ended after {}, not 3 s", ui::seconds(took));
    test.figure("no name server: start to exit, BOOT_DATABASE_TIMEOUT=3", ui::seconds(took));
    let boot = spec.variable("BOOT_DATABASE_TIMEOUT", "600").start(&test.suite, None).await?;
    test.keep(boot.clone());
    boot.wait_for_text("1/8 config").await?;
    let took = boot.stop().await?;
    let code = boot.ended(PATIENCE).await?.code;
    ensure!(code == i64::from(ExitCode::Terminated.code()), "exit code {code} after SIGTERM");
    ensure!(took < SLACK, "SIGTERM took {} while a name is resolved", ui::seconds(took));
    test.figure("no name server: SIGTERM to exit", ui::seconds(took));

    let undisturbed = test.undisturbed_state().await?;
    let (folder, file) = slow_file(Phase::DbInit);
    let spec = test.boot("vanished", &database).file(&format!("{folder}/{file}"), SLOW_FILE).command(["boot"]);
    let boot = test.start(spec).await?;
    boot.wait_until(&database, IN_SLOW_FILE).await?;
    let network = test.network().await?;
    let began = Instant::now();
    test.suite.engine.disconnect_network(&boot.id, &network).await?;
    let ended = boot.ended(VANISHED).await?;
    test.figure("packets vanish in db-init: exit code", ended.code.to_string());
    test.figure("packets vanish in db-init: to exit", ui::seconds(began.elapsed()));
    test.line(ended.last_line());
    let words = ["the connection to PostgreSQL was lost", "start again"];
    ended.expect_failure(Phase::DbInit, ExitCode::DatabaseLost, &words)?;
    // PostgreSQL gets no message that the boot is gone; until it notices, its session holds the lock.
    let began = Instant::now();
    let ended = test.run(test.boot("after-it", &database).command(["boot"])).await?;
    ended.expect_success("the next boot")?;
    test.figure("packets vanish in db-init: the next boot", ui::seconds(began.elapsed()));
    ensure!(began.elapsed() < VANISHED * 2, "the next boot waited {} for the lock", ui::seconds(began.elapsed()));
    EndState::of(&database).await?.ensure_same_as(&undisturbed)
}

/// Starts the boot before the name of its database resolves.
async fn late_database(test: &mut TestContext) -> anyhow::Result<()> {
    let undisturbed = test.undisturbed_state().await?;
    let database = test.servers.not_started(OWN_SERVER)?;
    let boot = test.start(test.boot("early", &database).command(["boot"])).await?;
    test.line(boot.wait_for_text("waiting for own-db:5432").await?);
    let database = test.own_server().await?.1;
    let ended = boot.ended(PATIENCE).await?;
    test.evidence.boots.push(ended.timeline("before its database"));
    ended.expect_success("the boot")?;
    test.line(ended.done(Phase::Database).context("the phase database was not completed")?.to_text());
    EndState::of(&database).await?.ensure_same_as(&undisturbed)
}

/// The folder of a phase's files, and the name of a file that is run last in it.
pub(super) fn slow_file(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::PostSchema => ("/directus/db-init/post-schema", "999_slow.sql"),
        _ => ("/directus/db-init", "999_slow.sql"),
    }
}

/// Kills the server, and checks how the boot ends.
async fn kill_server(
    test: &mut TestContext,
    server: &Container,
    boot: &Container,
    phase: Phase,
    words: &[&str],
) -> anyhow::Result<()> {
    let began = Instant::now();
    server.kill("KILL").await?;
    let ended = boot.ended(END).await?;
    let took = began.elapsed();
    test.evidence.boots.push(ended.timeline(&format!("killed in {phase}")));
    test.figure("exit code", ended.code.to_string());
    test.figure("kill to exit", ui::seconds(took));
    test.line(ended.last_line());
    let words = [words, &["the connection to PostgreSQL was lost", "start again"]].concat();
    ended.expect_failure(phase, ExitCode::DatabaseLost, &words)
}

/// Boots again with the image's own files, and checks the end state.
async fn boot_again(test: &mut TestContext, database: &TestDatabase, undisturbed: &EndState) -> anyhow::Result<()> {
    let ended = test.boot_once("next boot", database).await?;
    test.figure("exit code of the next boot", ended.code.to_string());
    EndState::of(database).await?.ensure_same_as(undisturbed)?;
    test.figure("end state", "that of an undisturbed boot");
    Ok(())
}
