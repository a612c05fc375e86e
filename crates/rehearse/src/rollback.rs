//! The way back: the start on the upgraded database.

use acceptance::database::TestDatabase;
use contract::LogLine;
use testbed::ui;

use crate::before::StartRecord;
use crate::catalog::SchemaLines;
use crate::live_model::LiveModel;
use crate::report::{BootTime, RehearsedImage, RollbackReport, UpgradeFindings, UpgradePart};
use crate::stage::{RehearsalStage, Started};

/// Boots the start on the upgraded database, where it must change nothing: either it serves, or it ends. A server must read
/// and write as the role.
pub(crate) async fn roll_back(
    stage: &RehearsalStage,
    before: &StartRecord,
    database: &TestDatabase,
    from: &RehearsedImage,
    boots: &mut Vec<BootTime>,
    findings: &mut UpgradeFindings,
) -> anyhow::Result<RollbackReport> {
    ui::status("Rolling back", &format!("to {} on the upgraded database", from.image));
    let suite = &stage.from;
    let upgraded = SchemaLines::read(database).await?;
    let report = match stage.start(suite, stage.spec(suite, "rollback", database), "rollback").await? {
        Started::Serving(serving) => {
            boots.push(serving.time.clone());
            let api = serving.container.api().await?;
            before.role.check(&serving.container.url().await?, UpgradePart::Rollback, findings).await?;
            let model = LiveModel::read(&api).await?;
            let served = |name: &str| model.collections.iter().any(|collection| collection.name == name);
            for lost in before.model.collections.iter().filter(|collection| !served(&collection.name)) {
                findings.look(UpgradePart::Rollback, format!("{} does not serve {} any more", from.image, lost.name));
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
                UpgradePart::Rollback,
                format!(
                    "rolling back needs the backup: {} ended with {} on the upgraded database: {cause}",
                    from.image, ended.code
                ),
            );
            RollbackReport { served: false, exit: Some(ended.code), last_line: line }
        }
    };
    let changes = upgraded.changes(&SchemaLines::read(database).await?);
    if !changes.is_empty() {
        findings.look(UpgradePart::Rollback, format!("{} has changed the schema: {}", from.image, changes.join("; ")));
    }
    Ok(report)
}
