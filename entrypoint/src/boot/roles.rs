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
        let (mut may_grant, is_installed, failure) = match check {
            RoleCheck::Before { is_installed } => (false, is_installed, &failure::SERVER_ROLE),
            RoleCheck::After => (true, true, &failure::SERVER_ROLE_LATE),
        };
        loop {
            let found = RoleFindings::read(&session.client, self.desired, is_installed).await?;
            let grants = found.grants();
            if may_grant && !grants.is_empty() {
                self.lock.verify(&mut Link::Session(&session.client)).await?;
                // One transaction, because it is one message.
                session.client.batch_execute(&grants.join(";")).await?;
                self.log.note(format!("the server's role {server} got its privileges, by {} grants", grants.len()));
                may_grant = false;
                continue;
            }
            found.require(failure)?;
            if check == RoleCheck::After {
                warn_about_excess(server, &found, self.log);
            }
            return Ok(());
        }
    }
}

/// Logs a warning for each way in which the server's role could change the schema.
pub(super) fn warn_about_excess(server: &str, found: &RoleFindings, log: &Log) {
    for way in found.excess() {
        log.warn(format!("the server could change the schema, because its role {server} {way}"));
    }
}
