//! Phase 4: the SQL files before the schema, and the code that phase 7 shares.

use super::locked::Boot;
use crate::config::Config;
use crate::database::{Session, state};
use crate::error::BootError;
use crate::migrations::{self, Conditions, extension};
use crate::reconcile::{Standing, Work};
use contract::Phase;

impl Boot<'_> {
    /// Phase 4.
    pub(super) async fn db_init(
        self,
        session: &mut Session,
        standing: &Standing,
        work: &Work<'_>,
    ) -> Result<(), BootError> {
        let Boot { prepared, log, .. } = self;
        log.begin(Phase::DbInit);
        state::ensure(&session.client).await?;
        let plans = [(Phase::DbInit, &work.db_init), (Phase::PostSchema, &work.post_schema)];
        let acceptance = prepared.config.migration_accept.as_ref();
        migrations::settle(&mut session.client, &standing.ledger, &plans, acceptance, log).await?;
        self.migrate(session, Phase::DbInit, &work.db_init).await?;
        log.done(work.db_init.summary());
        let required = prepared.migrations.manifest().required_extensions();
        if !required.is_empty() {
            extension::warn(required, &extension::read_missing(&session.client, required).await?, log);
        }
        Ok(())
    }

    /// Applies the files of phase 4 or 7.
    pub(super) async fn migrate(
        self,
        session: &mut Session,
        phase: Phase,
        plan: &migrations::Plan<'_>,
    ) -> Result<(), BootError> {
        self.log.begin(phase);
        if !plan.newer.is_empty() {
            self.log.warn(format!("this image is older than the database: it lacks {}", plan.newer.join(", ")));
        }
        let Config { image, database, lock_retry, .. } = &self.prepared.config;
        let conditions = Conditions {
            phase,
            image,
            database,
            lock: self.lock,
            last: self.last,
            lock_retry: *lock_retry,
            log: self.log,
        };
        for file in &plan.apply {
            migrations::apply(session, file, &conditions).await?;
        }
        Ok(())
    }
}
