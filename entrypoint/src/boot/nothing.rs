//! Phases 4 to 7 of a boot that has nothing to do.

use super::bootstrap::warn_without_administrator;
use super::config::DesiredState;
use super::roles::warn_about_excess;
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
    log.done(skipped(desired, Phase::DbInit, log));
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
    if let Some(server) = &desired.config.database.server_role {
        warn_about_excess(server, &current.roles, log);
    }
    log.done(skipped(desired, Phase::PostSchema, log));
}

fn skipped(desired: &DesiredState, phase: Phase, log: &Log) -> String {
    let files = desired.migrations.manifest().of_phase(phase).files;
    log.tally().set_skipped(phase, files);
    format!("0 applied, {files} skipped")
}
