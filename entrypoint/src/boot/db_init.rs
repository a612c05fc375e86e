//! Phase 4: the SQL files before the schema, and the code that phase 7 shares.

use super::locked::Boot;
use crate::config::Config;
use crate::database::{Session, state};
use crate::error::BootError;
use crate::migrations::{self, ApplyContext, MigrationFile, extension};
use crate::reconcile::{BootPlan, ObservedState};
use contract::Phase;

impl Boot<'_> {
    /// Phase 4.
    pub(super) async fn db_init(
        self,
        session: &mut Session,
        observed: &ObservedState,
        boot_plan: &BootPlan<'_>,
    ) -> Result<(), BootError> {
        let Boot { desired, log, .. } = self;
        log.begin(Phase::DbInit);
        state::ensure(&session.client).await?;
        let plans = [(Phase::DbInit, &boot_plan.db_init), (Phase::PostSchema, &boot_plan.post_schema)];
        let acceptance = desired.config.migration_accept.as_ref();
        migrations::reconcile_ledger(&mut session.client, &observed.ledger, &plans, acceptance, log).await?;
        self.migrate(session, Phase::DbInit, &boot_plan.db_init, &boot_plan.db_init.apply).await?;
        log.done(boot_plan.db_init.summary(0));
        let required = desired.migrations.manifest().required_extensions();
        if !required.is_empty() {
            let mut missing = extension::read_missing(&session.client, required).await?;
            missing.retain(|name| !observed.recorded.has_extension(name));
            extension::warn(required, &missing, log);
        }
        for drift in observed.drift(&desired.migrations) {
            log.warn(drift.to_string());
        }
        Ok(())
    }

    /// Applies files of phase 4 or 7: those of the plan that do not wait.
    pub(super) async fn migrate(
        self,
        session: &mut Session,
        phase: Phase,
        plan: &migrations::Plan<'_>,
        files: &[&MigrationFile],
    ) -> Result<(), BootError> {
        self.log.begin(phase);
        if !plan.newer.is_empty() {
            self.log.warn(format!("this image is older than the database: it lacks {}", plan.newer.join(", ")));
        }
        let Config { image, database, lock_retry, .. } = &self.desired.config;
        let context = ApplyContext {
            phase,
            image,
            database,
            lock: self.lock,
            last: self.last,
            only_adds: !self.others.is_empty(),
            lock_retry: *lock_retry,
            log: self.log,
        };
        self.log.tally().set_skipped(phase, plan.not_applied());
        for file in files {
            migrations::apply(session, file, &context).await?;
            self.log.tally().count_applied(phase);
        }
        Ok(())
    }
}
