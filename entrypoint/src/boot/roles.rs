//! The role of the server, if the boot has another one: it gets what it needs, and its excess is reported.

use super::locked::Boot;
use crate::database::Session;
use crate::error::BootError;
use crate::log::Log;
use crate::reconcile::RoleFindings;
use crate::witness::Link;
use contract::failure;

/// The time of a look at the server's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleCheck {
    /// Before the work: what the boot will not be able to grant. Changes nothing.
    Before {
        /// Directus is.
        is_installed: bool,
    },
    /// After the work: grants what is missing, and reports what is too much.
    After,
}

impl Boot<'_> {
    /// Looks at the role of the server, if the boot has another one.
    pub(super) async fn check_server_role(self, session: &Session, check: RoleCheck) -> Result<(), BootError> {
        let Some(server) = self.desired.config.database.server_role.as_deref() else { return Ok(()) };
        let (is_installed, failure) = match check {
            RoleCheck::Before { is_installed } => (is_installed, &failure::SERVER_ROLE),
            RoleCheck::After => (true, &failure::SERVER_ROLE_LATE),
        };
        let mut found = RoleFindings::read(&session.client, self.desired, is_installed).await?;
        if check == RoleCheck::After {
            let grants = found.grants();
            if !grants.is_empty() {
                self.lock.verify(&mut Link::Session(&session.client)).await?;
                // One transaction, because it is one message.
                session.client.batch_execute(&grants.join(";")).await?;
                self.log.note(format!("the server's role {server} got its privileges, by {} grants", grants.len()));
                found = RoleFindings::read(&session.client, self.desired, is_installed).await?;
            }
            found.require(failure)?;
            warn_about_excess(server, &found, self.log);
            return Ok(());
        }
        found.require(failure)
    }
}

/// Logs a warning for each way in which the server's role could change the schema.
pub(super) fn warn_about_excess(server: &str, found: &RoleFindings, log: &Log) {
    for way in found.excess() {
        log.warn(format!("the server could change the schema, because its role {server} {way}"));
    }
}
