//! Brings the ledger into agreement with the plans, before any file is applied.

use std::time::Duration;

use contract::Phase;
use tokio_postgres::Client;

use super::ledger::{Adoption, FOREIGN, record};
use super::plan::{Accepted, short};
use super::{Acceptance, Ledger, Plan};
use crate::log::Log;

/// Writes the state that the plans assume into the ledger: adopts an older runner's rows and accepts an edited file. Call
/// it with the boot lock held, after all phases are planned and before any is applied.
///
/// # Errors
/// The driver's; nothing was written then.
pub async fn reconcile_ledger(
    client: &mut Client,
    ledger: &Ledger,
    plans: &[(Phase, &Plan<'_>)],
    acceptance: Option<&Acceptance>,
    log: &Log,
) -> Result<(), tokio_postgres::Error> {
    let accepted: Vec<(Phase, &Accepted<'_>)> =
        plans.iter().flat_map(|(phase, plan)| plan.accepted.iter().map(|accepted| (*phase, accepted))).collect();
    if let Some(acceptance) = acceptance.filter(|_| accepted.is_empty()) {
        log.warn(acceptance.not_needed());
    }
    if accepted.is_empty() && ledger.adoption.is_none() {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    if ledger.adoption.is_some() {
        for phase in [Phase::DbInit, Phase::PostSchema] {
            for row in ledger.of(phase) {
                record(&transaction, phase, row, Duration::ZERO).await?;
            }
        }
    }
    for (phase, Accepted { file, .. }) in &accepted {
        transaction
            .execute(
                "update boot.migrations set checksum = $3, breaks_older_images = $4 where phase = $1 and filename = $2",
                &[&phase.name(), &file.filename, &file.checksum, &file.directives.breaks_older_images],
            )
            .await?;
    }
    transaction.commit().await?;
    if let Some(Adoption { unknown }) = &ledger.adoption {
        log.warn(format!("adopted {} files of {FOREIGN}", ledger.db_init.len() + ledger.post_schema.len()));
        if !unknown.is_empty() {
            log.warn(format!("{FOREIGN} also has {}, which this image lacks", unknown.join(", ")));
        }
    }
    for (_, Accepted { file, applied }) in accepted {
        let (filename, present) = (&file.filename, short(&file.checksum));
        log.warn(format!(
            "{filename} is accepted as edited: applied with checksum {}, from now on {present}; remove MIGRATION_ACCEPT",
            short(applied)
        ));
    }
    Ok(())
}
