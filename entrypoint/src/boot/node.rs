//! Directus' process, for phases 5 and 6.

use tokio::time::timeout;

use super::config::DesiredState;
use crate::config::SchemaMode;
use crate::database::Session;
use crate::directus::{Bridge, BridgeError, Snapshot};
use crate::error::BootError;
use crate::log::Log;
use contract::Phase;

/// Directus' process, and the contents of the snapshot file.
pub(crate) struct Node {
    pub(crate) bridge: Bridge,
    pub(crate) snapshot: Snapshot,
}

/// Starts Directus' process, which reads the snapshot. For a report, its sessions are read-only and its log goes to
/// standard error.
pub(crate) async fn start_node(
    desired: &DesiredState,
    session: &Session,
    log: &Log,
    report: bool,
) -> Result<Node, BootError> {
    let DesiredState { config, migrations, snapshot: file, .. } = desired;
    log.begin(Phase::Schema);
    let variables = config.bridge_variables(migrations.owned_tables());
    let mut bridge = Bridge::start(&config.paths.scripts, &file.path, &variables, report).map_err(BootError::Schema)?;
    let snapshot = match bounded(desired, session, log, bridge.read_snapshot()).await? {
        Ok(snapshot) => snapshot,
        Err(BridgeError::Failed(failure)) if config.schema_mode == SchemaMode::Skip => {
            log.warn(format!("{} {failure}; SCHEMA_APPLY_MODE=skip, so it is not needed", file.path.display()));
            Snapshot::default()
        }
        Err(BridgeError::Failed(failure)) => return Err(file.invalid(failure.to_string()).into()),
        Err(error) => return Err(BootError::Schema(error)),
    };
    for warning in &snapshot.warnings {
        log.warn(warning);
    }
    match migrations.owned_tables().find(|owned| snapshot.tables.iter().any(|table| table == owned)) {
        Some(table) => {
            let reason = format!("holds the table {table}, which db-init owns (-- owns-table: {table})");
            Err(file.invalid(reason).into())
        }
        None => Ok(Node { bridge, snapshot }),
    }
}

/// Runs the work of Directus' process until its time limit, or until the boot's connection is lost.
pub(crate) async fn bounded<T>(
    desired: &DesiredState,
    session: &Session,
    log: &Log,
    work: impl Future<Output = T>,
) -> Result<T, BootError> {
    let after = desired.config.timeouts.directus;
    tokio::select! {
        done = timeout(after, work) => {
            done.map_err(|_| BootError::DirectusTimeout { phase: log.phase(), after })
        }
        lost = session.lost() => Err(BootError::Lost(lost)),
    }
}
