//! Several containers on one database.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{Event, LogLine, Phase};
use futures_util::future::try_join_all;

use crate::check::{Check, Need};
use crate::container::{Container, expect_done, timeline};
use crate::database::TestDatabase;
use crate::suite_context::PATIENCE;
use crate::test_context::TestContext;
use testbed::schema::DataModel;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "five-at-once",
        promise: "Of five containers starting at once on an empty database one installs, the others wait; all serve.",
        needs: Need::TheMachine,
        run: |test| Box::pin(five_at_once(test)),
    },
    Check {
        name: "twenty-at-once",
        promise: "Of 2 or 20 boots at once one sets up an empty database and none changes a warm one; all succeed.",
        needs: Need::TheMachine,
        run: |test| Box::pin(twenty_at_once(test)),
    },
];

const REPLICAS: usize = 5;

async fn five_at_once(test: &mut TestContext) -> anyhow::Result<()> {
    let database = test.empty_database("main").await?;
    let specs = (1..=REPLICAS)
        .map(|number| test.boot(&format!("replica-{number}"), &database).health_interval(Duration::from_secs(2)))
        .collect();
    let began = Instant::now();
    let replicas = test.start_all(specs).await?;
    let ready = try_join_all(replicas.iter().map(Container::healthy)).await?;
    test.figure("five healthy", ui::seconds(began.elapsed()));
    let each: Vec<String> = ready.iter().map(|duration| ui::seconds(*duration)).collect();
    test.figure("each", each.join(", "));

    let mut installed = Vec::new();
    for (replica, ready) in replicas.iter().zip(ready) {
        let log = replica.log().await?;
        let boot = timeline(&replica.name, &log, Some(ready));
        let mut messages = Vec::new();
        for phase in [Phase::DbInit, Phase::Bootstrap, Phase::Schema, Phase::PostSchema] {
            messages.push(expect_done(&log, phase, "").with_context(|| replica.name.clone())?.message);
        }
        let migrations = &test.suite.migrations;
        if messages[0] == migrations.all_applied(Phase::DbInit) {
            installed.push(replica.name.clone());
            let all = messages[1].starts_with("installed")
                && messages[2].starts_with("applied ")
                && messages[3] == migrations.all_applied(Phase::PostSchema);
            ensure!(all, "{} began the installation and did not finish it: {messages:?}", replica.name);
        } else {
            let [db_init, post_schema] = [Phase::DbInit, Phase::PostSchema].map(|phase| migrations.all_skipped(phase));
            let expected = [&db_init, "nothing to do", "no changes", &post_schema];
            ensure!(messages == expected, "{} waited, but still made changes: {messages:?}", replica.name);
            let waiting = log.iter().find(|line| names_the_holder(line));
            let waiting =
                waiting.with_context(|| format!("{} does not name the boot that it waited for", replica.name))?;
            test.line(format!("{}: {waiting}", replica.name));
        }
        test.evidence.boots.push(boot);
    }
    // The health is the binary's own check; a login needs the server's whole stack.
    let apis = try_join_all(replicas.iter().map(Container::api)).await?;
    ensure!(installed.len() == 1, "{} containers installed: {}", installed.len(), installed.join(", "));
    test.figure("installed by", installed.concat());

    let files = test.suite.migrations.count().to_string();
    for (name, query, expected) in [
        ("administrators", "select count(*) from directus_users", "1"),
        ("rows in the ledger", "select count(*) from boot.migrations", files.as_str()),
        ("snapshots in the history", "select count(*) from boot.snapshots", "1"),
    ] {
        let found = database.value(query).await?;
        ensure!(found == expected, "{found} {name}, not {expected}");
        test.figure(name, found);
    }
    let live = DataModel::live(&apis[0]).await?;
    let differences = DataModel::snapshot()?.differences(&live);
    ensure!(differences.is_empty(), "the schema differs from the snapshot: {}", differences.join("; "));
    Ok(())
}

async fn twenty_at_once(test: &mut TestContext) -> anyhow::Result<()> {
    // The first booted database of the run, so that nothing else runs during the template's boot either.
    let warm = test.booted_database("warm").await?;
    let one = test.servers.template_took().context("the template was not booted")?;
    for number in [2, 20] {
        let (took, database) = crowd(test, number, &format!("crowd-{number}")).await?;
        let times = took.as_secs_f64() / one.as_secs_f64();
        test.figure(format!("{number} on an empty database"), format!("{}, {times:.1}× one", ui::seconds(took)));
        let rows = database.value("select count(*) from boot.migrations").await?;
        let files = test.suite.migrations.count();
        ensure!(rows == files.to_string(), "{rows} rows in the ledger after {number} boots, not {files}");
    }
    let (took, applied) = boots_at_once(test, 20, "warm", &warm).await?;
    ensure!(applied == 0, "{applied} of 20 boots applied changes to a warm database");
    test.figure("20 on a warm database", ui::seconds(took));
    Ok(())
}

/// Boots this many times at once on an empty database; exactly one of the boots must apply changes.
async fn crowd(test: &mut TestContext, number: usize, name: &str) -> anyhow::Result<(Duration, TestDatabase)> {
    let database = test.empty_database(name).await?;
    let (took, applied) = boots_at_once(test, number, name, &database).await?;
    ensure!(applied == 1, "{applied} of {number} boots on an empty database applied the migrations, not one");
    Ok((took, database))
}

/// Boots this many times at once. Returns the duration of all together, and the number of boots that applied SQL.
async fn boots_at_once(
    test: &mut TestContext,
    number: usize,
    name: &str,
    database: &TestDatabase,
) -> anyhow::Result<(Duration, usize)> {
    let specs = (1..=number).map(|index| test.boot(&format!("{name}-{index}"), database).command(["boot"])).collect();
    let began = Instant::now();
    let boots = test.start_all(specs).await?;
    let ended = try_join_all(boots.iter().map(|boot| boot.ended(PATIENCE))).await?;
    let took = began.elapsed();
    for (boot, ended) in boots.iter().zip(&ended) {
        ended.expect_success(&boot.name)?;
    }
    let skipped = test.suite.migrations.all_skipped(Phase::DbInit);
    let applied = ended.iter().filter(|ended| ended.expect(Phase::DbInit, &skipped).is_err()).count();
    Ok((took, applied))
}

/// Returns true for the log line of a boot that waits for another boot.
fn names_the_holder(line: &str) -> bool {
    LogLine::parse(line).is_some_and(|line| {
        line.phase == Phase::Lock && line.event == Event::Note && line.message.contains("waiting for boot of ")
    })
}
