//! Directus' schema changes wait for locks as SQL files do: briefly, again, and with the blocking session in the log.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{ExitCode, Phase};
use tokio::sync::oneshot;

use crate::check::{Check, Need};
use crate::columns::TableColumn;
use crate::database::TestDatabase;
use crate::test_context::TestContext;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[Check {
    name: "locked-schema",
    promise: "A schema change that another session blocks ends with that session's name, and delays no reader for long.",
    needs: Need::Nothing,
    run: |test| Box::pin(locked_schema(test)),
}];

/// `MIGRATION_LOCK_TIMEOUT` of the boots.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// Time that a query may take beyond that on a busy machine.
const MARGIN: Duration = Duration::from_secs(3);
const BLOCKER: &str = "psql of the operator";

async fn locked_schema(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.booted_database("main").await?;
    let client = database.connect().await?;
    let columns = TableColumn::all(&client).await?;
    // The snapshot allows null, so the next boot changes the column back.
    let column = columns.iter().find(|column| !column.is_required && !column.is_key && !column.is_generated);
    let TableColumn { table, name, .. } = column.context("no column of the model allows null")?;
    database.execute(&format!("alter table {table} alter column \"{name}\" set not null")).await?;

    let holder = database.connect().await?;
    let hold = format!("set application_name = '{BLOCKER}'; begin; select * from {table} limit 1");
    holder.batch_execute(&hold).await.context("failed to hold the lock")?;
    let spec = test.boot("blocked", &database).command(["boot"]);
    let spec = spec.variable("MIGRATION_LOCK_TIMEOUT", "1").variable("MIGRATION_LOCK_TRIES", "2");
    let (stop, stopped) = oneshot::channel();
    let (ended, longest) = tokio::join!(
        async {
            let ended = test.run(spec).await;
            // The reader may have failed.
            stop.send(()).ok();
            ended
        },
        longest_read(&database, table, stopped)
    );
    let (ended, longest) = (ended?, longest?);
    let words = ["no lock within 1 s, 2 times", BLOCKER, "the step was rolled back", "end that session"];
    ended.expect_failure(Phase::Schema, ExitCode::MigrationBlocked, &words)?;
    test.line(ended.last_line());
    test.figure("longest read during the boot", ui::seconds(longest));
    ensure!(longest < LOCK_TIMEOUT + MARGIN, "a reader waited for {}", ui::seconds(longest));

    holder.batch_execute("rollback").await?;
    let ended = test.boot_once("after the lock", &database).await?;
    ended.expect(Phase::Schema, "applied")
}

/// Reads a table again and again, and returns the duration of the longest read.
async fn longest_read(
    database: &TestDatabase,
    table: &str,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Duration> {
    let client = database.connect().await?;
    let mut longest = Duration::ZERO;
    while stopped.try_recv().is_err() {
        let began = Instant::now();
        client.query(&format!("select count(*) from {table}"), &[]).await.context("failed to read")?;
        longest = longest.max(began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(longest)
}
