//! `plan`: the changes that a boot of this image would make to this database.

use std::fmt;

use serde::Serialize;

use super::{Heading, write_paragraph};
use crate::boot::{DesiredState, bounded, start_node, with_affected_rows};
use crate::database::Session;
use crate::directus::protocol::Change;
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::Plan;
use crate::reconcile::{
    self, Expectation, HistoryEntry, HistoryPosition, ObservedState, RoleFindings, Schema, check_destructive,
    snapshot_history,
};
use crate::reconcile::{Bootstrap, changes, waiting};
use crate::witness::{Catalog, Link};
use contract::{ExitCode, Phase, failure};

/// The outcome of a boot, foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanVerdict {
    /// The boot would change nothing.
    Nothing,
    /// The boot would apply something.
    Changes,
    /// Edits were made since the last boot, and there is nothing else to do: the boot would undo those of the schema, and
    /// report those of objects of the SQL files.
    Drift,
    /// The boot would be refused, because its schema changes lose data.
    Refused,
}

impl PlanVerdict {
    /// The exit code of `plan`.
    #[must_use]
    pub fn exit(self) -> ExitCode {
        match self {
            PlanVerdict::Nothing => ExitCode::Ok,
            PlanVerdict::Changes => ExitCode::ChangesPending,
            PlanVerdict::Drift => ExitCode::Drift,
            PlanVerdict::Refused => ExitCode::SchemaRefused,
        }
    }
}

/// The SQL files of one phase.
#[derive(Clone, Debug, Serialize)]
pub struct MigrationsReport {
    /// Names of the files to apply, in order.
    pub apply: Vec<String>,
    /// Number of files that were applied before.
    pub skipped: usize,
    /// Names of applied files that only a newer image has.
    pub newer: Vec<String>,
}

/// Origin of the plan of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaState {
    /// The snapshot was applied last, and the schema has not changed since.
    InPlace,
    /// The image is older than the database's newest snapshot.
    Older,
    /// `SCHEMA_APPLY_MODE=skip`.
    Skipped,
    /// Directus is not installed yet: all of the snapshot is new.
    Installs,
    /// Directus compared the database with the snapshot.
    Compared,
}

/// The work of the phase `schema`.
#[derive(Clone, Debug, Serialize)]
pub struct SchemaReport {
    /// Origin of the plan.
    pub state: SchemaState,
    /// The schema was edited since its last boot.
    pub drift: bool,
    /// Directus' own description of each change.
    pub changes: Vec<Change>,
    /// Losses in words, with row counts.
    pub losses: Vec<String>,
    /// The digest that allows the losses as `SCHEMA_ALLOW_DESTRUCTIVE`; none if nothing is lost or all is allowed.
    pub digest: Option<String>,
    /// The changes that wait while servers of other images run, or the one that adds and makes waiting impossible.
    #[serde(skip)]
    pub(super) waiting: Result<Vec<Change>, Change>,
    /// The lines of the text.
    #[serde(skip)]
    lines: Vec<String>,
}

/// The changes that a boot would make.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// The outcome.
    pub verdict: PlanVerdict,
    /// The exit code of the outcome.
    pub exit: u8,
    /// Image and database.
    #[serde(flatten)]
    pub heading: Heading,
    /// Phase 4.
    pub db_init: MigrationsReport,
    /// Phase 5.
    pub bootstrap: Bootstrap,
    /// Phase 6.
    pub schema: SchemaReport,
    /// Phase 7.
    pub post_schema: MigrationsReport,
    /// Statements for the server's role, if the boot has another one.
    pub grants: Vec<String>,
    /// Objects of the SQL files that were dropped or changed by hand, which a boot reports and leaves alone.
    pub owned_drift: Vec<String>,
}

impl PlanReport {
    /// Compares the database with the image.
    ///
    /// # Errors
    /// See [`super::report`].
    pub(super) async fn make(desired: &DesiredState, session: &Session, log: &Log) -> Result<PlanReport, BootError> {
        let files = desired.migrations.files()?;
        let observed = ObservedState::read(&session.client, &desired.migrations, files).await?;
        let boot_plan = observed.plan(desired, files).map_err(|refusal| refusal.into_error(log))?;
        let schema = SchemaReport::make(desired, session, &observed, &boot_plan, log).await?;
        let grants = missing_grants(desired, session, &observed, log).await?;
        let only_schema = grants.is_empty()
            && boot_plan.db_init.apply.is_empty()
            && boot_plan.post_schema.apply.is_empty()
            && boot_plan.bootstrap.is_empty();
        let owned_drift: Vec<String> = observed.drift(&desired.migrations).iter().map(ToString::to_string).collect();
        let verdict = if schema.digest.is_some() {
            PlanVerdict::Refused
        } else if schema.changes.is_empty() && only_schema && owned_drift.is_empty() {
            PlanVerdict::Nothing
        } else if (schema.drift || schema.changes.is_empty()) && only_schema {
            PlanVerdict::Drift
        } else {
            PlanVerdict::Changes
        };
        Ok(PlanReport {
            verdict,
            exit: verdict.exit().code(),
            heading: Heading::new(desired, session),
            db_init: MigrationsReport::new(&boot_plan.db_init),
            bootstrap: boot_plan.bootstrap,
            schema,
            post_schema: MigrationsReport::new(&boot_plan.post_schema),
            grants,
            owned_drift,
        })
    }
}

/// The grants that a boot makes on what exists already.
async fn missing_grants(
    desired: &DesiredState,
    session: &Session,
    observed: &ObservedState,
    log: &Log,
) -> Result<Vec<String>, BootError> {
    let found = RoleFindings::read(&session.client, desired, observed.directus.is_some()).await?;
    log.begin(Phase::Lock);
    found.require(&failure::SERVER_ROLE)?;
    Ok(found.grants().into_iter().map(str::to_owned).collect())
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_paragraph(f, "db-init", &self.db_init.lines())?;
        write_paragraph(f, "bootstrap", &[self.bootstrap.to_string()])?;
        write_paragraph(f, "schema", &self.schema.lines)?;
        write_paragraph(f, "post-schema", &self.post_schema.lines())?;
        write_paragraph(f, "grants", &self.grants)?;
        write_paragraph(f, "drift", &self.owned_drift)?;
        match self.verdict {
            PlanVerdict::Nothing => f.write_str("a boot would change nothing"),
            PlanVerdict::Changes => f.write_str("a boot would change this database"),
            PlanVerdict::Drift if self.schema.changes.is_empty() => {
                f.write_str("objects of the SQL files were changed by hand, which a boot reports and does not repair")
            }
            PlanVerdict::Drift => f.write_str(
                "the schema was edited since its last boot: save the edits in the image's snapshot, or boot to undo them",
            ),
            PlanVerdict::Refused => write!(
                f,
                "a boot would be refused: save a newer snapshot, or allow this plan once with SCHEMA_ALLOW_DESTRUCTIVE={}",
                self.schema.digest.as_deref().unwrap_or_default(),
            ),
        }?;
        write!(f, " (exit {})", self.exit)
    }
}

impl MigrationsReport {
    fn new(plan: &Plan<'_>) -> MigrationsReport {
        MigrationsReport {
            apply: plan.apply.iter().map(|file| file.filename.clone()).collect(),
            skipped: plan.skipped,
            newer: plan.newer.clone(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} to apply, {} applied", self.apply.len(), self.skipped)];
        lines.extend(self.apply.iter().map(|name| format!("+ {name}")));
        lines.extend(self.newer.iter().map(|name| format!("  {name} is not in this image, which is older")));
        lines
    }
}

impl SchemaReport {
    /// A report without changes.
    fn unchanged(state: SchemaState, line: impl Into<String>) -> SchemaReport {
        SchemaReport {
            state,
            drift: false,
            changes: Vec::new(),
            losses: Vec::new(),
            digest: None,
            waiting: Ok(Vec::new()),
            lines: vec![line.into()],
        }
    }

    async fn make(
        desired: &DesiredState,
        session: &Session,
        observed: &ObservedState,
        boot_plan: &reconcile::BootPlan<'_>,
        log: &Log,
    ) -> Result<SchemaReport, BootError> {
        match &boot_plan.schema {
            Schema::InPlace { .. } => Ok(SchemaReport::unchanged(SchemaState::InPlace, "no changes")),
            Schema::Skip => Ok(SchemaReport::unchanged(
                SchemaState::Skipped,
                "SCHEMA_APPLY_MODE=skip: not compared with the snapshot",
            )),
            Schema::Older(HistoryEntry { image, .. }) => Ok(SchemaReport::unchanged(
                SchemaState::Older,
                format!(
                    "this image is older than {image}, which brought the database to a newer snapshot: nothing to apply"
                ),
            )),
            Schema::Compare if boot_plan.bootstrap.install => {
                let node = start_node(desired, session, log, true).await?;
                let snapshot = &node.snapshot;
                let line = format!(
                    "+ all of the snapshot: {} collections, {} fields, {} relations",
                    snapshot.tables.len() + snapshot.folders.len(),
                    snapshot.columns.len() + snapshot.aliases.len(),
                    snapshot.relations.len(),
                );
                Ok(SchemaReport::unchanged(SchemaState::Installs, line))
            }
            Schema::Compare => SchemaReport::compared(desired, session, observed, log).await,
        }
    }

    /// Directus' comparison, with the losses weighed.
    pub(super) async fn compared(
        desired: &DesiredState,
        session: &Session,
        observed: &ObservedState,
        log: &Log,
    ) -> Result<SchemaReport, BootError> {
        let mut node = start_node(desired, session, log, true).await?;
        let plan = bounded(desired, session, log, node.bridge.plan()).await?.map_err(BootError::Schema)?;
        node.bridge.finish().await;
        let catalog = Catalog::read(&mut Link::Session(&session.client)).await?;
        let schema: String = session.client.query_one("select coalesce(current_schema(), 'public')", &[]).await?.get(0);
        let expectation = Expectation::new(&plan.changes, &catalog, &schema);
        let verdict = check_destructive(&plan.changes, &expectation, desired.config.allow_destructive.as_deref());
        let (losses, digest) = match &verdict {
            reconcile::Verdict::Refused { losses, digest } => (losses.as_slice(), Some(digest.clone())),
            reconcile::Verdict::Allowed(losses) => (losses.as_slice(), None),
            reconcile::Verdict::Harmless | reconcile::Verdict::Empty => (&[][..], None),
        };
        let losses = with_affected_rows(session, losses).await?;
        let waiting = waiting::changes(&plan.changes, &expectation);
        let waiting = waiting.map(|changes| changes.into_iter().cloned().collect()).map_err(Change::clone);
        let mut lines = vec![match changes::summary(&plan.changes).as_str() {
            "" => "no changes".to_owned(),
            summary => format!("{summary} to change"),
        }];
        lines.extend(changes::sentences(&plan.changes));
        lines.extend(losses.iter().map(|loss| format!("! {loss}")));
        for warning in &plan.warnings {
            log.warn(warning);
        }
        let newest = snapshot_history::position(&observed.history, &desired.snapshot.digest);
        Ok(SchemaReport {
            state: SchemaState::Compared,
            drift: matches!(newest, HistoryPosition::Newest(_)) && !plan.changes.is_empty(),
            changes: plan.changes,
            losses,
            digest,
            waiting,
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PlanVerdict;
    use contract::ExitCode;

    #[test]
    fn each_verdict_has_its_own_exit_code() {
        let exits = [PlanVerdict::Nothing, PlanVerdict::Changes, PlanVerdict::Drift, PlanVerdict::Refused]
            .map(PlanVerdict::exit);
        assert_eq!(exits, [ExitCode::Ok, ExitCode::ChangesPending, ExitCode::Drift, ExitCode::SchemaRefused]);
    }
}
