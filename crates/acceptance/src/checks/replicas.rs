//! Several containers of one database.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use contract::{Event, LogLine, Phase};
use futures_util::future::try_join_all;

use crate::case::Case;
use crate::check::{Check, Need};
use crate::container::{Container, Ended, timeline};
use crate::database::Database;
use crate::setting::PATIENCE;
use testbed::schema::Schema;
use testbed::ui;

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "five-at-once",
        promise: "Five containers that start at once on one empty database all serve: one installs, the others wait for it.",
        needs: Need::TheMachine,
        run: |case| Box::pin(five_at_once(case)),
    },
    Check {
        name: "twenty-at-once",
        promise: "Of 2 or 20 boots at once on an empty database one applies everything, of 20 on a warm one none; all end well.",
        needs: Need::TheMachine,
        run: |case| Box::pin(twenty_at_once(case)),
    },
];

const REPLICAS: usize = 5;

async fn five_at_once(case: &mut Case) -> anyhow::Result<()> {
    let database = case.empty_database().await?;
    let replica = |number| case.boot(&format!("replica-{number}"), &database).asked_every(Duration::from_secs(2));
    let specs = (1..=REPLICAS).map(replica).collect();
    let began = Instant::now();
    let replicas = case.start_all(specs).await?;
    let ready = try_join_all(replicas.iter().map(Container::healthy)).await?;
    case.figure("five healthy", ui::seconds(began.elapsed()));
    let each: Vec<String> = ready.iter().map(|duration| ui::seconds(*duration)).collect();
    case.figure("each", each.join(", "));

    let mut installed = Vec::new();
    for (replica, ready) in replicas.iter().zip(ready) {
        let log = replica.log().await?;
        let boot = timeline(&replica.name, &log, Some(ready));
        let said =
            |phase: Phase| boot.phases.iter().find(|done| done.phase == phase.name()).map(|done| done.message.as_str());
        let said: Vec<&str> = [Phase::DbInit, Phase::Bootstrap, Phase::Schema, Phase::PostSchema]
            .into_iter()
            .map(|phase| said(phase).with_context(|| format!("{}: {phase} was not done", replica.name)))
            .collect::<Result<_, _>>()?;
        let migrations = &case.setting.migrations;
        if said[0] == migrations.all_applied(Phase::DbInit) {
            installed.push(replica.name.clone());
            let all = said[1].starts_with("installed")
                && said[2].starts_with("applied ")
                && said[3] == migrations.all_applied(Phase::PostSchema);
            ensure!(all, "{} began the installation and did not finish it: {said:?}", replica.name);
        } else {
            let [db_init, post_schema] = [Phase::DbInit, Phase::PostSchema].map(|phase| migrations.all_skipped(phase));
            let wanted = [&db_init, "nothing to do", "no changes", &post_schema];
            ensure!(said == wanted, "{} waited, and yet had something to do: {said:?}", replica.name);
            let waiting = log.iter().find(|line| names_the_holder(line));
            case.line(format!(
                "{}: {}",
                replica.name,
                waiting.with_context(|| { format!("{} names nobody that it waited for", replica.name) })?
            ));
        }
        case.evidence.boots.push(boot);
    }
    // Healthy is what the binary says; a login needs the server's whole stack.
    let login = async |replica: &Container| replica.api().await.with_context(|| replica.name.clone());
    let apis = try_join_all(replicas.iter().map(login)).await?;
    ensure!(installed.len() == 1, "{} containers installed: {}", installed.len(), installed.join(", "));
    case.figure("installed by", installed.concat());

    let files = case.setting.migrations.count().to_string();
    for (what, query, wanted) in [
        ("administrators", "select count(*) from directus_users", "1"),
        ("rows in the ledger", "select count(*) from boot.migrations", files.as_str()),
        ("snapshots in the lineage", "select count(*) from boot.snapshots", "1"),
    ] {
        let found = database.value(query).await?;
        ensure!(found == wanted, "{found} {what}, not {wanted}");
        case.figure(what, found);
    }
    let live = Schema::live(&apis[0]).await?;
    let differences = Schema::snapshot()?.differences(&live);
    ensure!(differences.is_empty(), "not as in the snapshot: {}", differences.join("; "));
    Ok(())
}

async fn twenty_at_once(case: &mut Case) -> anyhow::Result<()> {
    // Before any other check has wanted one, so nothing runs beside the boot that it is a copy of either.
    let warm = case.booted_database().await?;
    let one = case.servers.template_took().context("no boot ran alone before")?;
    for number in [2, 20] {
        let (took, database) = crowd(case, number, &format!("crowd-{number}")).await?;
        let times = took.as_secs_f64() / one.as_secs_f64();
        case.figure(format!("{number} on an empty database"), format!("{}, {times:.1}× one", ui::seconds(took)));
        let rows = database.value("select count(*) from boot.migrations").await?;
        let files = case.setting.migrations.count();
        ensure!(rows == files.to_string(), "{rows} rows in the ledger after {number} boots, not {files}");
    }
    let (took, applied) = boots_at_once(case, 20, "warm", &warm).await?;
    ensure!(applied == 0, "{applied} of 20 boots had something to do on a warm database");
    case.figure("20 on a warm database", ui::seconds(took));
    Ok(())
}

/// That many boots at once on an empty database, of which exactly one applies anything.
async fn crowd(case: &mut Case, number: usize, name: &str) -> anyhow::Result<(Duration, Database)> {
    let database = case.empty_database_of(name).await?;
    let (took, applied) = boots_at_once(case, number, name, &database).await?;
    ensure!(applied == 1, "{applied} of {number} boots on an empty database applied the migrations, not one");
    Ok((took, database))
}

/// How long they took together, and how many of them applied SQL.
async fn boots_at_once(
    case: &mut Case,
    number: usize,
    name: &str,
    database: &Database,
) -> anyhow::Result<(Duration, usize)> {
    let spec = |index| case.boot(&format!("{name}-{index}"), database).command(["boot"]);
    let specs = (1..=number).map(spec).collect();
    let began = Instant::now();
    let boots = case.start_all(specs).await?;
    let ended = try_join_all(boots.iter().map(|boot| boot.ended(PATIENCE))).await?;
    let took = began.elapsed();
    for (boot, ended) in boots.iter().zip(&ended) {
        ensure!(ended.code == 0, "{} ended with {}: {}", boot.name, ended.code, ended.last_line());
    }
    let skipped = case.setting.migrations.all_skipped(Phase::DbInit);
    let applied = |ended: &&Ended| ended.expect(Phase::DbInit, &skipped).is_err();
    Ok((took, ended.iter().filter(applied).count()))
}

fn names_the_holder(line: &str) -> bool {
    LogLine::parse(line).is_some_and(|line| {
        line.phase == Phase::Lock && line.event == Event::Note && line.message.contains("waiting for boot of ")
    })
}
