//! Phases 4 to 7 of a boot that has nothing to do.

use super::bootstrap::warn_without_administrator;
use super::config::DesiredState;
use crate::log::Log;
use crate::migrations::extension;
use crate::reconcile::UpToDate;
use contract::Phase;

/// Writes these phases to the log, and the warnings of every boot.
pub(super) fn nothing_to_do(desired: &DesiredState, current: UpToDate, log: &Log) {
    log.begin(Phase::DbInit);
    if let Some(acceptance) = &desired.config.migration_accept {
        log.warn(acceptance.not_needed());
    }
    log.done(skipped(desired, Phase::DbInit));
    extension::warn(desired.migrations.manifest().required_extensions(), &current.missing_extensions, log);
    for drift in &current.drift {
        log.warn(drift.to_string());
    }
    log.begin(Phase::Bootstrap);
    warn_without_administrator(current.administrator, log);
    log.done("nothing to do");
    log.begin(Phase::Schema);
    log.done("no changes");
    log.begin(Phase::PostSchema);
    log.done(skipped(desired, Phase::PostSchema));
}

fn skipped(desired: &DesiredState, phase: Phase) -> String {
    format!("0 applied, {} skipped", desired.migrations.manifest().of_phase(phase).files)
}
