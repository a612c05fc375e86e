//! The candidate's first boot on a copy of the filled database.

use std::rc::Rc;

use acceptance::container::EndedContainer;
use acceptance::database::TestDatabase;
use acceptance::suite_context::SuiteContext;
use contract::{Event, ExitCode, LogLine, Phase};
use testbed::schema_export;
use testbed::ui;

use crate::before::StartRecord;
use crate::catalog::SchemaLines;
use crate::report::{RehearsedImage, UpgradeFindings, UpgradePart};
use crate::stage::{RehearsalStage, Serving, Started, with_snapshot};

/// The upgraded database and its server.
pub(crate) struct Upgraded {
    pub(crate) database: TestDatabase,
    pub(crate) serving: Serving,
    /// The snapshot that it booted with, if not that of its image.
    pub(crate) snapshot: Option<String>,
}

/// Boots the candidate on the copy. If it and the snapshot disagree, it boots a further copy with the snapshot that its own
/// Directus saves. Returns `None`, with the reason as a finding, if it does not serve.
pub(crate) async fn upgrade(
    stage: &RehearsalStage,
    before: &StartRecord,
    copy: TestDatabase,
    to: &RehearsedImage,
    findings: &mut UpgradeFindings,
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
                findings.fails(UpgradePart::Boot, refusal(to, &ended));
                return Ok(None);
            }
        },
    };
    ui::status("Upgrading", "another copy, with the snapshot that the candidate saves itself");
    let Some((snapshot, without_apply)) = own_snapshot(stage, before, suite).await? else {
        findings.look(UpgradePart::Snapshot, disagreement);
        findings.fails(UpgradePart::Boot, format!("{} does not serve without a snapshot either", to.image));
        return Ok(None);
    };
    let lost = without_apply.changes(&SchemaLines::read(&copy).await?);
    let lost = if lost.is_empty() { String::new() } else { format!(" ({})", lost.join("; ")) };
    findings.look(
        UpgradePart::Snapshot,
        format!("{disagreement}{lost}: the snapshot must be saved again (rehearsed with the one that --write saves)"),
    );
    let copy = before.database.copy("candidate-own").await?;
    let spec = with_snapshot(stage.spec(suite, "candidate-own", &copy), Some(&snapshot));
    match stage.start(suite, spec, "upgrade").await? {
        Started::Serving(serving) => Ok(Some(Upgraded { database: copy, serving: *serving, snapshot: Some(snapshot) })),
        Started::Ended(ended) => {
            findings.fails(UpgradePart::Boot, format!("with its own snapshot: {}", refusal(to, &ended)));
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
pub(crate) fn refusal(to: &RehearsedImage, ended: &EndedContainer) -> String {
    let line = ended.lines.iter().rev().find_map(|line| LogLine::parse(line));
    let end = if ended.code < 0 { "does not serve".to_owned() } else { format!("ended with {}", ended.code) };
    let message = line.map_or_else(|| ended.last_line().to_owned(), |line| line.message);
    format!("{} {end} on the copy: {message}", to.image)
}

/// Lets the candidate migrate its own tables on a further copy without the snapshot; returns the snapshot that it saves,
/// and the schema.
async fn own_snapshot(
    stage: &RehearsalStage,
    before: &StartRecord,
    suite: &Rc<SuiteContext>,
) -> anyhow::Result<Option<(String, SchemaLines)>> {
    let copy = before.database.copy("candidate-skip").await?;
    let spec = stage.spec(suite, "candidate-skip", &copy).variable("SCHEMA_APPLY_MODE", "skip");
    let Started::Serving(serving) = stage.start(suite, spec, "upgrade").await? else { return Ok(None) };
    let snapshot = schema_export::by_command_line(&suite.engine, &serving.container.id).await?;
    stage.remove(serving.container).await?;
    let schema = SchemaLines::read(&copy).await?;
    copy.remove().await?;
    Ok(Some((snapshot, schema)))
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
