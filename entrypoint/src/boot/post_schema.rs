//! Phase 7: the SQL files after the schema, the purge of old entries in the attic, the grants for the server's role, and
//! the record that all is in sync.

use super::config::DesiredState;
use super::locked::Boot;
use super::node::Node;
use super::roles::RoleCheck;
use super::schema::SchemaOutcome;
use crate::attic;
use crate::database::servers::in_words;
use crate::database::{Session, state};
use crate::directus::fingerprint;
use crate::error::BootError;
use crate::migrations::MigrationFile;
use crate::reconcile::{BootPlan, ObservedState, OwnedObjects, changes, waiting};
use contract::Phase;

impl Boot<'_> {
    /// Phase 7. Returns the work that waits for the end of servers of other images.
    pub(super) async fn post_schema(
        self,
        session: &mut Session,
        boot_plan: &BootPlan<'_>,
        observed: &ObservedState,
        outcome: SchemaOutcome,
        node: &mut Option<Node>,
    ) -> Result<Vec<String>, BootError> {
        let plan = &boot_plan.post_schema;
        let all: waiting::FileParts<'_, '_> = (&plan.apply, &[]);
        let (now, later) = if self.others.is_empty() { all } else { waiting::files(&plan.apply).unwrap_or(all) };
        self.migrate(session, Phase::PostSchema, plan, now).await?;
        attic::purge(&session.client, self.desired.config.attic_days, self.log).await?;
        self.check_server_role(session, RoleCheck::After).await?;
        let mut waiting = Vec::new();
        match outcome {
            SchemaOutcome::InSync { fingerprint } => {
                let applied: Vec<_> = boot_plan.db_init.apply.iter().chain(now).copied().collect();
                self.record_in_sync(session, &applied, observed, &fingerprint, node).await?;
            }
            SchemaOutcome::Expanded { waiting: changes } => waiting = changes,
            SchemaOutcome::NotApplied => {}
        }
        waiting.extend(waiting::in_words(later));
        state::record_waiting(&session.client, &self.desired.snapshot.digest, &waiting).await?;
        for work in &waiting {
            self.log.warn(format!("{work} waits for the end of {}", in_words(self.others)));
        }
        self.log.done(plan.summary(later.len()));
        Ok(waiting)
    }

    /// Records the schema's fingerprint and what the SQL files own, so that a boot that finds both unchanged has nothing to
    /// do.
    async fn record_in_sync(
        self,
        session: &Session,
        applied: &[&MigrationFile],
        observed: &ObservedState,
        verified: &str,
        node: &mut Option<Node>,
    ) -> Result<(), BootError> {
        let now = fingerprint(&session.client).await?;
        if now != verified {
            // The SQL after the schema changed something; mostly additions that Directus does not track.
            let Node { bridge, .. } = self.ensure_node(session, node).await?;
            let plan = self.bounded(session, bridge.plan()).await?.map_err(BootError::Schema)?;
            if !plan.changes.is_empty() {
                let changes = changes::names(&plan.changes).join(", ");
                return Err(BootError::ChangedBySql(changes));
            }
        }
        let DesiredState { migrations, directus, .. } = self.desired;
        let client = &session.client;
        let present = OwnedObjects::present(client, migrations, true).await?;
        let record = observed.recorded.next(&observed.present, &present, migrations, applied);
        record.write(client).await?;
        let is_whole = record.drift(&present, migrations).is_empty();
        state::record_in_sync(client, &directus.version, &self.desired.stamp(&now), migrations, is_whole).await?;
        Ok(())
    }
}
