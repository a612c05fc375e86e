//! PostgreSQL dies, freezes or is late: the boot ends in time and says why, and the next one makes everything good.
//!
//! Every fault comes when the database shows that the boot is where it is meant to hit it; see [`hold`](super::super::hold).

use std::time::{Duration, Instant};

use anyhow::ensure;
use contract::{ExitCode, Phase};

use crate::case::{Case, OWN_SERVER};
use crate::check::{Check, Need};
use crate::container::Container;
use crate::database::Database;
use crate::end_state::EndState;
use crate::hold::{Hold, IN_BOOTSTRAP, IN_SLOW_FILE, SLOW_FILE};
use crate::setting::PATIENCE;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "killed-in-db-init",
        promise: "PostgreSQL killed in db-init: the boot says so and fails, the next one is as good as any.",
        needs: Need::Nothing,
        run: |case| Box::pin(killed_in_a_file(case, Phase::DbInit)),
    },
    Check {
        name: "killed-in-bootstrap",
        promise: "PostgreSQL killed in bootstrap: the boot says so and fails, the next one is as good as any.",
        needs: Need::Nothing,
        run: |case| Box::pin(killed_in_directus(case, Phase::Bootstrap)),
    },
    Check {
        name: "killed-in-schema",
        promise: "PostgreSQL killed in the schema's apply: the boot says so and fails, the next one is as good as any.",
        needs: Need::Nothing,
        run: |case| Box::pin(killed_in_directus(case, Phase::Schema)),
    },
    Check {
        name: "killed-in-post-schema",
        promise: "PostgreSQL killed in post-schema: the boot says so and fails, the next one is as good as any.",
        needs: Need::Nothing,
        run: |case| Box::pin(killed_in_a_file(case, Phase::PostSchema)),
    },
    Check {
        name: "frozen",
        promise: "PostgreSQL frozen before or under a boot: a timeout bounds it, and once thawed the next boot is good.",
        needs: Need::Nothing,
        run: |case| Box::pin(frozen(case)),
    },
    Check {
        name: "late-database",
        promise: "A boot that starts before its database waits for it, says so, and boots.",
        needs: Need::Nothing,
        run: |case| Box::pin(late_database(case)),
    },
];

/// How long a boot may take to end once its database is dead.
const END: Duration = Duration::from_secs(10);
/// How much longer than its timeout a boot may take to end: the attempt under way, and the goodbye.
const SLACK: Duration = Duration::from_secs(3);

/// Phases 4 and 7, held in a file of ours that comes after the image's own.
async fn killed_in_a_file(case: &mut Case, phase: Phase) -> anyhow::Result<()> {
    let undisturbed = case.undisturbed().await?;
    let (server, database) = case.own_server().await?;
    let (folder, file) = slow_file(phase);
    let boot =
        case.start(case.boot("killed", &database).command(["boot"]).file(&format!("{folder}/{file}"), SLOW_FILE));
    let boot = boot.await?;
    boot.until(&database, IN_SLOW_FILE).await?;
    die(case, &server, &boot, phase, &[file]).await?;

    let database = case.server_again(&server, &database).await?;
    let half = database.value("select to_regclass('half')").await?;
    ensure!(half.is_empty(), "the table of the file that was cut off is there");
    let recorded = format!("select count(*) from boot.migrations where filename = '{file}'");
    ensure!(database.value(&recorded).await? == "0", "the file that was cut off stands in the ledger");
    case.figure("kept of the file that was cut off", "nothing");
    heal(case, &database, &undisturbed).await
}

/// Phases 5 and 6, held where Directus has just made a table.
async fn killed_in_directus(case: &mut Case, phase: Phase) -> anyhow::Result<()> {
    let undisturbed = case.undisturbed().await?;
    let (server, database) = case.own_server().await?;
    let hold = Hold::in_phase(&database, phase).await?;
    let boot = case.start(case.boot("killed", &database).command(["boot"])).await?;
    boot.until(&database, Hold::HOLDS).await?;
    if phase == Phase::Schema {
        let locked = hold.locked_tables().await?;
        case.figure("relations locked by the apply's open transaction", locked);
    }
    die(case, &server, &boot, phase, &[]).await?;

    let database = case.server_again(&server, &database).await?;
    hold.lift(&database).await?;
    let tables = "select count(*) from pg_tables where schemaname = 'public' and tablename in
                  (select collection from directus_collections)";
    if phase == Phase::Schema {
        let kept = database.value(tables).await?;
        ensure!(kept == "0", "{kept} tables of the apply that was cut off are there");
        case.figure("kept of the apply that was cut off", "nothing");
    } else {
        let kept = database.value(r"select count(*) from pg_tables where tablename like 'directus\_%'").await?;
        ensure!(kept == "0", "{kept} tables of the bootstrap that was cut off are there");
        case.figure("kept of the bootstrap that was cut off", "nothing");
    }
    heal(case, &database, &undisturbed).await
}

/// Before the connection, and while Node works.
async fn frozen(case: &mut Case) -> anyhow::Result<()> {
    let undisturbed = case.undisturbed().await?;
    let (server, database) = case.own_server().await?;
    let connects = Duration::from_secs(3);
    server.pause().await?;
    let boot = case.boot("frozen-before", &database).variable("BOOT_DATABASE_TIMEOUT", connects.as_secs().to_string());
    let began = Instant::now();
    let ended = case.start(boot.command(["boot"])).await?.ended(PATIENCE).await;
    let took = began.elapsed();
    server.unpause().await?;
    database.answers().await?;
    let ended = ended?;
    case.line(ended.last_line());
    ended.expect_failure(Phase::Database, ExitCode::DatabaseUnreachable, &["no answer", "within 3 s"])?;
    case.figure("frozen before the boot: exit code", ended.code.to_string());
    case.figure("frozen before the boot: start to exit, BOOT_DATABASE_TIMEOUT=3", seconds(took));
    ensure!(took < connects + SLACK, "it took {} to give up, not 3 s", seconds(took));

    let silent = Duration::from_secs(3);
    let (folder, file) = slow_file(Phase::DbInit);
    let boot = case.boot("frozen-in-db-init", &database).file(&format!("{folder}/{file}"), SLOW_FILE);
    let boot = boot.variable("BOOT_DATABASE_TIMEOUT", silent.as_secs().to_string()).command(["boot"]);
    let boot = case.start(boot).await?;
    boot.until(&database, IN_SLOW_FILE).await?;
    let began = Instant::now();
    server.pause().await?;
    // Nothing else bounds it: waiting longer shows nothing more.
    let ended = boot.ended(silent * 2 + SLACK).await;
    let took = began.elapsed();
    server.unpause().await?;
    database.answers().await?;
    let ended = ended?;
    case.line(ended.last_line());
    ended.expect_failure(Phase::DbInit, ExitCode::DatabaseLost, &["no answer for 3 s"])?;
    case.figure("frozen in db-init: exit code", ended.code.to_string());
    case.figure("frozen in db-init: pause to exit, BOOT_DATABASE_TIMEOUT=3", seconds(took));

    // Of the two timeouts that would notice, the one that is looked at comes first.
    let limit = Duration::from_secs(5);
    let boot = case.boot("frozen-in-bootstrap", &database).variable("BOOT_DATABASE_TIMEOUT", "600");
    let boot = boot.variable("BOOT_DIRECTUS_TIMEOUT", limit.as_secs().to_string()).command(["boot"]);
    let boot = case.start(boot).await?;
    boot.until(&database, IN_BOOTSTRAP).await?;
    let began = Instant::now();
    server.pause().await?;
    let ended = boot.ended(PATIENCE).await;
    let took = began.elapsed();
    server.unpause().await?;
    database.answers().await?;
    let ended = ended?;
    case.line(ended.last_line());
    let words = ["did not finish within 5 s", "BOOT_DIRECTUS_TIMEOUT"];
    ended.expect_failure(Phase::Bootstrap, ExitCode::BootstrapFailed, &words)?;
    case.figure("frozen in bootstrap: exit code", ended.code.to_string());
    case.figure("frozen in bootstrap: its beginning to exit, BOOT_DIRECTUS_TIMEOUT=5", seconds(took));
    ensure!(took < limit + SLACK, "it took {} to give up, not 5 s", seconds(took));
    heal(case, &database, &undisturbed).await
}

/// The name does not even resolve at first.
async fn late_database(case: &mut Case) -> anyhow::Result<()> {
    let undisturbed = case.undisturbed().await?;
    let boot = case.start(case.boot("early", &Database::to_come(OWN_SERVER)).command(["boot"])).await?;
    let waiting = boot.says("waiting for own-db:5432").await?;
    case.line(waiting);
    let database = case.own_server().await?.1;
    let ended = boot.ended(PATIENCE).await?;
    case.evidence.boots.push(ended.timeline("before its database"));
    ensure!(ended.code == 0, "it ended with {}: {}", ended.code, ended.last_line());
    let Some(answered) = ended.done(Phase::Database) else { anyhow::bail!("{}", ended.last_line()) };
    case.line(answered.to_text());
    EndState::of(&database).await?.ensure_same_as(&undisturbed)
}

/// The folder of a phase's files, and a file that comes last there.
pub(super) fn slow_file(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::PostSchema => ("/directus/db-init/post-schema", "999_slow.sql"),
        _ => ("/directus/db-init", "999_slow.sql"),
    }
}

/// The fault, and what the boot makes of it.
async fn die(
    case: &mut Case,
    server: &Container,
    boot: &Container,
    phase: Phase,
    words: &[&str],
) -> anyhow::Result<()> {
    let began = Instant::now();
    server.kill("KILL").await?;
    let ended = boot.ended(END).await?;
    let took = began.elapsed();
    case.evidence.boots.push(ended.timeline(&format!("killed in {phase}")));
    case.figure("exit code", ended.code.to_string());
    case.figure("kill to exit", seconds(took));
    case.line(ended.last_line());
    let words = [words, &["the connection to PostgreSQL was lost", "start again"]].concat();
    ended.expect_failure(phase, ExitCode::DatabaseLost, &words)
}

/// The next boot, with the image's own files, and what it leaves.
async fn heal(case: &mut Case, database: &Database, undisturbed: &EndState) -> anyhow::Result<()> {
    let ended = case.boot_once("next boot", database).await?;
    case.figure("exit code of the next boot", ended.code.to_string());
    EndState::of(database).await?.ensure_same_as(undisturbed)?;
    case.figure("end state", "that of an undisturbed boot");
    Ok(())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
