//! The order of a rehearsal.

use std::rc::Rc;
use std::time::Instant;

use acceptance::container::EndedContainer;
use acceptance::data_integrity;
use acceptance::database::TestDatabase;
use acceptance::suite_context::SuiteContext;
use anyhow::{Context as _, bail, ensure};
use contract::{Event, ExitCode, Level, LogLine, Phase};
use testbed::base_images::BaseImage;
use testbed::engine::Engine;
use testbed::session::EngineSession;
use testbed::ui;

use crate::answers::Answers;
use crate::catalog::SchemaLines;
use crate::images::WantedImages;
use crate::live_model::LiveModel;
use crate::report::{
    BootTime, Compared, Findings, LicenseReport, Part, PlanOutput, RehearsalReport, RehearsalVerdict, RehearsedImage,
    RollbackReport, digest,
};
use crate::role::{self, RoleAccess};
use crate::rows::Content;
use crate::stage::{Serving, Stage, Started, with_snapshot};
use crate::{export, license};

/// The database before the upgrade, and what its server answers.
struct Before {
    database: TestDatabase,
    model: LiveModel,
    answers: Answers,
    role: RoleAccess,
    content: Content,
    schema: SchemaLines,
    migrations: Vec<String>,
    boots: Vec<BootTime>,
    /// The log of the last boot.
    log: Vec<String>,
}

/// The upgraded database and its server.
struct Upgraded {
    database: TestDatabase,
    serving: Serving,
    /// The snapshot that it booted with, if not that of its image.
    snapshot: Option<String>,
}

/// What a completed upgrade adds to the report.
struct Completed {
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
    let mut findings = Findings::default();
    let (from, to) = wanted.obtain(engine, &session, &mut findings).await?;
    let database = BaseImage::postgres().await?.resolve(engine).await?;
    let stage = Stage::open(engine, &session, &database, [&from.image, &to.image]).await?;

    let before = prepare(&stage, &from).await?;
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
        compared: Compared { tables, rows, rest_answers, graphql_answers },
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

/// Boots the start on an empty database, fills every table, and records everything that the upgrade is compared with.
async fn prepare(stage: &Stage, from: &RehearsedImage) -> anyhow::Result<Before> {
    ui::status("Booting", &format!("{} on an empty database", from.image));
    let database = stage.empty_database("start").await?;
    let suite = &stage.from;
    let started = stage.start(suite, stage.spec(suite, "start", &database), "cold").await?;
    let cold = serving(started, &from.image)?;
    let mut boots = vec![cold.time.clone()];
    ui::status("Filling", "every table, and adding a role");
    data_integrity::fill(&database).await?;
    let api = cold.container.api().await?;
    let model = LiveModel::read(&api).await?;
    let role = role::create(&api, &cold.container.url().await?, &model).await?;

    let warm = serving(stage.restart(suite, cold, "warm").await?, &from.image)?;
    boots.push(warm.time.clone());
    ui::status("Sampling", "answers of REST and GraphQL");
    let answers = Answers::sample(&warm.container.api().await?, &model).await?;
    stage.remove(warm.container).await?;

    let content = Content::read(&database, &model.own_fields).await?;
    let schema = SchemaLines::read(&database).await?;
    let migrations = migrations(&database).await?;
    database.become_template().await?;
    Ok(Before { database, model, answers, role, content, schema, migrations, boots, log: warm.log })
}

fn serving(started: Started, image: &str) -> anyhow::Result<Serving> {
    match started {
        Started::Serving(serving) => Ok(*serving),
        Started::Ended(ended) => bail!("{image} does not serve (exit {}): {}", ended.code, ended.last_line()),
    }
}

/// Boots the candidate on the copy. If it and the snapshot disagree, it boots a further copy with the snapshot that its own
/// Directus saves. Returns `None`, with the reason as a finding, if it does not serve.
async fn upgrade(
    stage: &Stage,
    before: &Before,
    copy: TestDatabase,
    to: &RehearsedImage,
    findings: &mut Findings,
) -> anyhow::Result<Option<Upgraded>> {
    ui::status("Upgrading", &format!("the copy to {}", to.image));
    let suite = &stage.to;
    let disagreement = match stage.start(suite, stage.spec(suite, "candidate", &copy), "upgrade").await? {
        Started::Serving(serving) => match unplanned_changes(&before.log, &serving.log) {
            None => return Ok(Some(Upgraded { database: copy, serving: *serving, snapshot: None })),
            Some(changes) => {
                stage.remove(serving.container).await?;
                format!("the snapshot is the same, but the boot {changes}")
            }
        },
        Started::Ended(ended) => match ExitCode::from_code(ended.code) {
            Some(ExitCode::SchemaFailed | ExitCode::SchemaDiverged) => refusal(to, &ended),
            _ => {
                findings.fails(Part::Boot, refusal(to, &ended));
                return Ok(None);
            }
        },
    };
    ui::status("Upgrading", "another copy, with the snapshot that the candidate saves itself");
    let Some((snapshot, without_apply)) = own_snapshot(stage, before, suite).await? else {
        findings.look(Part::Snapshot, disagreement);
        findings.fails(Part::Boot, format!("{} does not serve without a snapshot either", to.image));
        return Ok(None);
    };
    let lost = without_apply.changes(&SchemaLines::read(&copy).await?);
    let lost = if lost.is_empty() { String::new() } else { format!(" ({})", lost.join("; ")) };
    findings.look(
        Part::Snapshot,
        format!("{disagreement}{lost}: the snapshot must be saved again (rehearsed with the one that --write saves)"),
    );
    let copy = before.database.copy("candidate-own").await?;
    let spec = with_snapshot(stage.spec(suite, "candidate-own", &copy), Some(&snapshot));
    match stage.start(suite, spec, "upgrade").await? {
        Started::Serving(serving) => Ok(Some(Upgraded { database: copy, serving: *serving, snapshot: Some(snapshot) })),
        Started::Ended(ended) => {
            findings.fails(Part::Boot, format!("with its own snapshot: {}", refusal(to, &ended)));
            Ok(None)
        }
    }
}

/// The changes of a boot's schema phase, if its image has the same snapshot as the boot before, so that there should be
/// none.
fn unplanned_changes(before: &[String], after: &[String]) -> Option<String> {
    let changes = done(after, Phase::Schema).filter(|message| message != "no changes")?;
    (snapshot_of(before)? == snapshot_of(after)?).then_some(changes)
}

/// The digest of the snapshot in a boot's first lines: `3 + 2 migrations, snapshot 950b664607dd, Directus 11.17.4`.
fn snapshot_of(log: &[String]) -> Option<String> {
    let message = done(log, Phase::Config)?;
    message.split(", ").find_map(|part| part.strip_prefix("snapshot ").map(str::to_owned))
}

/// The message with which a phase ended.
fn done(log: &[String], phase: Phase) -> Option<String> {
    let lines = log.iter().filter_map(|line| LogLine::parse(line));
    let mut ended = lines.filter(|line| line.phase == phase && matches!(line.event, Event::Done(_)));
    ended.next().map(|line| line.message)
}

/// The end of a boot in one sentence.
fn refusal(to: &RehearsedImage, ended: &EndedContainer) -> String {
    let line = ended.lines.iter().rev().find_map(|line| LogLine::parse(line));
    let end = if ended.code < 0 { "does not serve".to_owned() } else { format!("ended with {}", ended.code) };
    let message = line.map_or_else(|| ended.last_line().to_owned(), |line| line.message);
    format!("{} {end} on the copy: {message}", to.image)
}

/// Lets the candidate migrate its own tables on a further copy without the snapshot; returns the snapshot that it saves,
/// and the schema.
async fn own_snapshot(
    stage: &Stage,
    before: &Before,
    suite: &Rc<SuiteContext>,
) -> anyhow::Result<Option<(String, SchemaLines)>> {
    let copy = before.database.copy("candidate-skip").await?;
    let spec = stage.spec(suite, "candidate-skip", &copy).variable("SCHEMA_APPLY_MODE", "skip");
    let Started::Serving(serving) = stage.start(suite, spec, "upgrade").await? else { return Ok(None) };
    let snapshot = export::snapshot(&suite.engine, &serving.container).await?;
    stage.remove(serving.container).await?;
    let schema = SchemaLines::read(&copy).await?;
    copy.remove().await?;
    Ok(Some((snapshot, schema)))
}

/// Compares the upgraded database with the one before, then boots the candidate again and on an empty database, and the
/// start on the upgraded database.
async fn examine(
    stage: &Stage,
    before: &Before,
    upgraded: Upgraded,
    [from, to]: [&RehearsedImage; 2],
    findings: &mut Findings,
) -> anyhow::Result<Completed> {
    let Upgraded { database, serving: upgrade, snapshot } = upgraded;
    let suite = &stage.to;
    ui::status("Comparing", "rows, schema and answers");
    before.content.compare(&before.content.read_again(&database).await?, findings);
    let schema = SchemaLines::read(&database).await?;
    let directus_tables = before.schema.compare(&schema, &before.model.own_fields, findings);
    let ran: Vec<String> =
        migrations(&database).await?.into_iter().filter(|name| !before.migrations.contains(name)).collect();
    for line in upgrade.log.iter().filter_map(|line| LogLine::parse(line)).filter(|line| line.level == Level::Warn) {
        findings.look(Part::Boot, format!("warning: {}", line.message));
    }
    let api = upgrade.container.api().await?;
    before.answers.compare(&before.answers.sample_again(&api).await?, findings);
    before.role.check(&upgrade.container.url().await?, Part::Role, findings).await?;
    let license = license::read(&api).await?;
    license::compare(from, to, license.as_ref(), findings);
    let exported = export::snapshot(&suite.engine, &upgrade.container).await?;

    ui::status("Booting", &format!("{} again, and on an empty database", to.image));
    let spec =
        |name: &str, database: &TestDatabase| with_snapshot(stage.spec(suite, name, database), snapshot.as_deref());
    let plan_after = stage.plan(suite, spec("plan-after", &database)).await?;
    if plan_after.exit != 0 {
        let last = plan_after.lines.last().map_or("", String::as_str);
        findings.fails(Part::Plan, format!("a second boot of {} would not find everything in place: {last}", to.image));
    }
    let mut boots = vec![upgrade.time.clone()];
    let log = upgrade.log.clone();
    match stage.restart(suite, upgrade, "warm").await? {
        Started::Serving(warm) => {
            boots.push(warm.time.clone());
            stage.remove(warm.container).await?;
        }
        Started::Ended(ended) => findings.fails(Part::Boot, format!("the second boot: {}", refusal(to, &ended))),
    }
    let empty = stage.empty_database("empty").await?;
    match stage.start(suite, spec("empty", &empty), "cold").await? {
        Started::Serving(cold) => {
            boots.push(cold.time.clone());
            stage.remove(cold.container).await?;
        }
        Started::Ended(ended) => findings.fails(Part::Boot, format!("on an empty database: {}", refusal(to, &ended))),
    }
    let rollback = roll_back(stage, before, &database, from, &mut boots, findings).await?;
    Ok(Completed { log, migrations: ran, boots, plan_after, directus_tables, license, rollback, snapshot: exported })
}

/// Boots the start on the upgraded database, where it must serve, read and write, or end without having changed anything.
async fn roll_back(
    stage: &Stage,
    before: &Before,
    database: &TestDatabase,
    from: &RehearsedImage,
    boots: &mut Vec<BootTime>,
    findings: &mut Findings,
) -> anyhow::Result<RollbackReport> {
    ui::status("Rolling back", &format!("to {} on the upgraded database", from.image));
    let suite = &stage.from;
    let upgraded = SchemaLines::read(database).await?;
    let report = match stage.start(suite, stage.spec(suite, "rollback", database), "rollback").await? {
        Started::Serving(serving) => {
            boots.push(serving.time.clone());
            let api = serving.container.api().await?;
            before.role.check(&serving.container.url().await?, Part::Rollback, findings).await?;
            let model = LiveModel::read(&api).await?;
            let served = |name: &str| model.collections.iter().any(|collection| collection.name == name);
            for lost in before.model.collections.iter().filter(|collection| !served(&collection.name)) {
                findings.look(Part::Rollback, format!("{} does not serve {} any more", from.image, lost.name));
            }
            let last_line = serving.log.last().cloned().unwrap_or_default();
            stage.remove(serving.container).await?;
            RollbackReport { served: true, exit: None, last_line }
        }
        Started::Ended(ended) => {
            let line = ended.last_line().to_owned();
            let message = LogLine::parse(&line).map_or(line.clone(), |line| line.message);
            // The rest names revisions, and what an operator would do.
            let cause = message.split("; ").next().unwrap_or_default();
            findings.look(
                Part::Rollback,
                format!(
                    "rolling back needs the backup: {} ended with {} on the upgraded database: {cause}",
                    from.image, ended.code
                ),
            );
            RollbackReport { served: false, exit: Some(ended.code), last_line: line }
        }
    };
    ensure!(
        report.served || SchemaLines::read(database).await? == upgraded,
        "{} ended with {:?} and has changed the schema",
        from.image,
        report.exit
    );
    Ok(report)
}

/// Directus' applied migrations: version and name.
async fn migrations(database: &TestDatabase) -> anyhow::Result<Vec<String>> {
    let client = database.connect().await?;
    let query = "select version || ' ' || name from directus_migrations order by version";
    let rows = client.query(query, &[]).await.context("failed to read directus_migrations")?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
mod tests {
    use super::unplanned_changes;

    fn log(snapshot: &str, schema: &str) -> Vec<String> {
        vec![
            "[entrypoint] 1/8 config: image 0.1.0@abc, entrypoint 0.1.0".to_owned(),
            format!("[entrypoint] 1/8 config: 3 + 2 migrations, snapshot {snapshot}, Directus 12.4.1 (0 ms)"),
            "[entrypoint] 6/8 schema: warning: something".to_owned(),
            format!("[entrypoint] 6/8 schema: {schema} (310 ms)"),
        ]
    }

    #[test]
    fn the_same_snapshot_must_change_nothing() {
        let before = log("950b", "no changes");
        assert_eq!(unplanned_changes(&before, &log("950b", "no changes")), None);
        assert_eq!(unplanned_changes(&before, &log("950b", "applied 1 field")).as_deref(), Some("applied 1 field"));
    }

    #[test]
    fn another_snapshot_may_change_the_schema() {
        assert_eq!(unplanned_changes(&log("950b", "no changes"), &log("71fe", "applied 1 field")), None);
    }
}
