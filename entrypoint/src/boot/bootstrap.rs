//! Phase 5: Directus' system tables, its own migrations and the first administrator, in one observed transaction.

use super::locked::{Boot, with_amounts};
use super::node::Node;
use crate::database::Session;
use crate::directus::protocol::Bootstrapped;
use crate::directus::{Admin, Bridge, installation};
use crate::error::BootError;
use crate::log::Log;
use crate::reconcile::{Bootstrap, ObservedState};
use crate::witness::watch::{MAX_ATTEMPTS, add_suspicions};
use crate::witness::{DirectusMigrations, Link, Loss, Outcome, Witness};
use contract::Phase;

/// The result of one attempt.
enum BootstrapAttempt {
    /// Committed, with warnings.
    Committed(Bootstrapped, Vec<String>),
    /// Rolled back, to measure these first.
    Suspected(Vec<Loss>),
    /// Rolled back because of these.
    Lost(Vec<(Loss, Option<u64>)>),
}

impl Boot<'_> {
    /// Phase 5.
    pub(super) async fn bootstrap(
        self,
        session: &Session,
        boot_plan: &Bootstrap,
        observed: &ObservedState,
        node: Option<&mut Node>,
    ) -> Result<(), BootError> {
        let Boot { desired, log, .. } = self;
        log.begin(Phase::Bootstrap);
        let Some(Node { bridge, .. }) = node.filter(|_| !boot_plan.is_empty()) else {
            warn_without_administrator(observed.administrator == Some(true), log);
            log.done("nothing to do");
            return Ok(());
        };
        let email = desired.config.admin_email.as_deref();
        let mut suspicions = Vec::new();
        let mut attempts = 0;
        let (done, warnings) = loop {
            attempts += 1;
            let attempt = self.with_lock_retry("Directus' migrations", bridge, BootError::Bootstrap, async |bridge| {
                self.attempt_bootstrap(bridge, &suspicions).await
            });
            match self.bounded(session, attempt).await?? {
                BootstrapAttempt::Committed(done, warnings) => break (done, warnings),
                BootstrapAttempt::Suspected(new) if attempts < MAX_ATTEMPTS => add_suspicions(&mut suspicions, new),
                BootstrapAttempt::Suspected(new) => {
                    let losses = new.into_iter().map(|loss| (loss, None)).collect::<Vec<_>>();
                    return Err(BootError::DirectusDestroyed(with_amounts(session, &losses).await?));
                }
                BootstrapAttempt::Lost(losses) => {
                    return Err(BootError::DirectusDestroyed(with_amounts(session, &losses).await?));
                }
            }
        };
        log.tally().system_migrations.set(done.migrated);
        for warning in warnings {
            log.warn(warning);
        }
        let admin = match (done.admin, email) {
            (Admin::Made, email) => format!(", administrator {} created", email.unwrap_or_default()),
            (Admin::Present | Admin::None, Some(_)) | (Admin::Present, None) => String::new(),
            (Admin::None, None) => {
                warn_without_administrator(false, log);
                String::new()
            }
        };
        log.done(match (done.installed, done.migrated) {
            (true, migrated) => format!("installed, {migrated} of Directus' migrations applied{admin}"),
            (false, 0) => format!("nothing to do{admin}"),
            (false, migrated) => format!("{migrated} of Directus' migrations applied{admin}"),
        });
        Ok(())
    }

    /// The work of one transaction. Commits only if nothing outside of Directus' own tables was lost, and if Directus has done what
    /// it reports.
    async fn attempt_bootstrap(self, bridge: &mut Bridge, suspicions: &[Loss]) -> Result<BootstrapAttempt, BootError> {
        let email = self.desired.config.admin_email.as_deref();
        let witness = Witness::begin(&mut Link::Directus(bridge), self.last, suspicions)
            .await
            .map_err(BootError::in_bootstrap)?;
        let done = bridge.bootstrap(email.is_some()).await.map_err(BootError::Bootstrap)?;
        let mut link = Link::Directus(bridge);
        let missing = self
            .desired
            .directus
            .pending(&installation::applied_migrations(&mut link).await.map_err(BootError::in_bootstrap)?);
        let outcome = witness.end(&mut link, &DirectusMigrations).await.map_err(BootError::in_bootstrap)?;
        if let Outcome::PartialProgress { .. } = outcome {
            if !missing.is_empty() {
                let reason = format!("its migrations {} are missing", missing.join(", "));
                return Err(BootError::BootstrapIncomplete(reason));
            }
            if let (Admin::None, Some(email)) = (done.admin, email) {
                return Err(BootError::BootstrapIncomplete(format!("there is no administrator {email}")));
            }
            self.lock.verify(&mut link).await?;
            return Ok(BootstrapAttempt::Committed(done, bridge.commit().await.map_err(BootError::Bootstrap)?));
        }
        bridge.rollback().await.map_err(BootError::Bootstrap)?;
        Ok(match outcome {
            Outcome::Suspected(losses) => BootstrapAttempt::Suspected(losses),
            Outcome::Lost { losses, .. } => BootstrapAttempt::Lost(losses),
            Outcome::PartialProgress { .. } => unreachable!("returned above"),
        })
    }
}

pub(super) fn warn_without_administrator(has_administrator: bool, log: &Log) {
    if !has_administrator {
        log.warn(
            "there is no administrator: the first visitor of the app becomes it; set ADMIN_EMAIL and ADMIN_PASSWORD",
        );
    }
}
