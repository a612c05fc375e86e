//! The order of a rehearsal.

use std::rc::Rc;
use std::time::Instant;

use acceptance::database::TestDatabase;
use contract::{Level, LogLine};
use testbed::base_images::BaseImage;
use testbed::engine::Engine;
use testbed::schema_export;
use testbed::session::EngineSession;
use testbed::ui;

use crate::before::{self, StartRecord};
use crate::catalog::SchemaLines;
use crate::images::WantedImages;
use crate::license;
use crate::report::{
    BootTime, ComparedSize, LicenseReport, PlanOutput, RehearsalReport, RehearsalVerdict, RehearsedImage,
    RollbackReport, UpgradeFindings, UpgradePart, digest,
};
use crate::rollback::roll_back;
use crate::stage::{RehearsalStage, Started, with_snapshot};
use crate::upgrade::{Upgraded, refusal, upgrade};

/// Results of an upgrade that was completed.
struct CompletedUpgrade {
    log: Vec<String>,
    migrations: Vec<String>,
    boots: Vec<BootTime>,
    plan_after: PlanOutput,
    directus_tables: Vec<String>,
    license: Option<LicenseReport>,
    rollback: RollbackReport,
    snapshot: String,
}

/// Rehearses, and returns the report and the snapshot that the candidate saves; no snapshot if it does not serve.
pub(crate) async fn rehearse(
    engine: &Engine,
    wanted: WantedImages,
) -> anyhow::Result<(RehearsalReport, Option<String>)> {
    let began = Instant::now();
    let session = Rc::new(EngineSession::start(engine, "rehearse").await?);
    let mut findings = UpgradeFindings::default();
    let (from, to) = wanted.obtain(engine, &session, &mut findings).await?;
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let stage = RehearsalStage::open(engine, &session, &database, [&from.image, &to.image]).await?;

    let before = before::prepare(&stage, &from).await?;
    let copy = before.database.copy("candidate").await?;
    ui::status("Planning", &format!("the boot of {} on the copy", to.image));
    let plan_before = stage.plan(&stage.to, stage.spec(&stage.to, "plan", &copy)).await?;
    let completed = match upgrade(&stage, &before, copy, &to, &mut findings).await? {
        Some(upgraded) => Some(examine(&stage, &before, upgraded, [&from, &to], &mut findings).await?),
        None => None,
    };

    let (tables, rows) = before.content.size();
    let (rest_answers, graphql_answers) = before.answers.size();
    let (findings, notes) = findings.into_sorted();
    let mut report = RehearsalReport {
        schema: RehearsalReport::SCHEMA,
        verdict: RehearsalVerdict::of(&findings),
        digest: digest(&findings),
        from,
        to,
        database: database.name,
        findings,
        notes,
        migrations: Vec::new(),
        boots: before.boots,
        plan_before,
        plan_after: None,
        upgrade_log: Vec::new(),
        compared: ComparedSize { tables, rows, rest_answers, graphql_answers },
        directus_tables: Vec::new(),
        license: None,
        rollback: None,
        seconds: ui::json_seconds(began.elapsed()),
    };
    let snapshot = completed.map(|completed| {
        report.upgrade_log = completed.log;
        report.migrations = completed.migrations;
        report.boots.extend(completed.boots);
        report.plan_after = Some(completed.plan_after);
        report.directus_tables = completed.directus_tables;
        report.license = completed.license;
        report.rollback = Some(completed.rollback);
        completed.snapshot
    });
    Ok((report, snapshot))
}

/// Compares the upgraded database with the one before, then boots the candidate again and on an empty database, and the
/// start on the upgraded database.
async fn examine(
    stage: &RehearsalStage,
    before: &StartRecord,
    upgraded: Upgraded,
    [from, to]: [&RehearsedImage; 2],
    findings: &mut UpgradeFindings,
) -> anyhow::Result<CompletedUpgrade> {
    let Upgraded { database, serving: upgrade, snapshot } = upgraded;
    let suite = &stage.to;
    ui::status("Comparing", "rows, schema and answers");
    before.content.compare(&before.content.read_again(&database).await?, findings);
    let schema = SchemaLines::read(&database).await?;
    let directus_tables = before.schema.compare(&schema, &before.model.own_fields, findings);
    let ran: Vec<String> =
        before::migrations(&database).await?.into_iter().filter(|name| !before.migrations.contains(name)).collect();
    let known: Vec<String> = warnings(&before.log).collect();
    for warning in warnings(&upgrade.log).filter(|warning| !known.contains(warning)) {
        findings.look(UpgradePart::Boot, format!("warning: {warning}"));
    }
    let api = upgrade.container.api().await?;
    before.answers.compare(&before.answers.sample_again(&api).await?, findings);
    before.role.check(&upgrade.container.url().await?, UpgradePart::Role, findings).await?;
    let license = license::read(&api).await?;
    license::compare(from, to, license.as_ref(), findings);
    let exported = schema_export::by_command_line(&suite.engine, &upgrade.container.id).await?;

    ui::status("Booting", &format!("{} again, and on an empty database", to.image));
    let spec =
        |name: &str, database: &TestDatabase| with_snapshot(stage.spec(suite, name, database), snapshot.as_deref());
    let plan_after = stage.plan(suite, spec("plan-after", &database)).await?;
    if plan_after.exit != 0 {
        let last = plan_after.lines.last().map_or("", String::as_str);
        findings.fails(
            UpgradePart::Plan,
            format!("a second boot of {} would not find everything in place: {last}", to.image),
        );
    }
    let mut boots = vec![upgrade.time.clone()];
    let log = upgrade.log.clone();
    match stage.restart(suite, upgrade, "warm").await? {
        Started::Serving(warm) => {
            boots.push(warm.time.clone());
            stage.remove(warm.container).await?;
        }
        Started::Ended(ended) => findings.fails(UpgradePart::Boot, format!("the second boot: {}", refusal(to, &ended))),
    }
    let empty = stage.empty_database("empty").await?;
    match stage.start(suite, spec("empty", &empty), "cold").await? {
        Started::Serving(cold) => {
            boots.push(cold.time.clone());
            stage.remove(cold.container).await?;
        }
        Started::Ended(ended) => {
            findings.fails(UpgradePart::Boot, format!("on an empty database: {}", refusal(to, &ended)))
        }
    }
    let rollback = roll_back(stage, before, &database, from, &mut boots, findings).await?;
    Ok(CompletedUpgrade {
        log,
        migrations: ran,
        boots,
        plan_after,
        directus_tables,
        license,
        rollback,
        snapshot: exported,
    })
}

/// The warnings of a boot.
fn warnings(log: &[String]) -> impl Iterator<Item = String> {
    let lines = log.iter().filter_map(|line| LogLine::parse(line)).filter(|line| line.level == Level::Warn);
    lines.map(|line| line.message)
}
