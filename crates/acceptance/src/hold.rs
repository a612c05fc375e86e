//! Stops a boot in the middle of a phase for as long as it takes to look, so that a fault hits it there and nowhere else.

use anyhow::Context as _;
use contract::Phase;
use tokio_postgres::Client;

use super::database::Database;

/// What the boot waits for: an advisory lock of this key, which is not the boot's.
const KEY: i32 = 0x7665_7269;

/// A file for `db-init` or `post-schema` that stops there, with a table in its open transaction.
pub(crate) const SLOW_FILE: &str = "create table half (id int);\nselect pg_sleep(600);\n";

/// Whether a boot is in [`SLOW_FILE`].
pub(crate) const IN_SLOW_FILE: &str = "exists (select from pg_stat_activity where datname = current_database()
    and wait_event = 'PgSleep' and application_name like 'boot of %')";

/// Whether Directus is in the transaction that all of bootstrap is.
pub(crate) const IN_BOOTSTRAP: &str = "exists (select from pg_stat_activity where datname = current_database()
    and xact_start is not null and backend_type = 'client backend'
    and application_name <> 'verify' and application_name not like 'boot of %')";

/// Whether anybody but this check is connected to the database.
pub(crate) const OTHERS: &str = "exists (select from pg_stat_activity where datname = current_database()
    and backend_type = 'client backend' and application_name <> 'verify')";

/// Holds whoever is in the middle of a phase of Directus, in that database, until it is lifted.
///
/// An event trigger, because all that Directus does in these phases is DDL: it is held where it has just made a table.
pub(crate) struct Hold {
    database: Database,
    holder: Client,
}

impl Hold {
    /// Whether somebody is held.
    pub(crate) const HOLDS: &str = "exists (select from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database()) and objid = 1986359913)";

    /// Holds a boot in `bootstrap` after thirty of Directus' migrations, or in `schema` at the first table that the
    /// snapshot brings.
    pub(crate) async fn in_phase(database: &Database, phase: Phase) -> anyhow::Result<Hold> {
        let there = match phase {
            Phase::Bootstrap => "(select count(*) from public.directus_migrations) >= 30",
            // The first user is what bootstrap makes last.
            _ => "exists (select from public.directus_users) and made >= 1",
        };
        let holder = database.connect().await?;
        let statements = format!(
            "select pg_advisory_lock({KEY});
             create schema verify;
             create function verify.hold() returns event_trigger language plpgsql as $hold$
             declare made int := coalesce(nullif(current_setting('verify.made', true), ''), '0')::int + 1;
             begin
                 -- Made in this transaction.
                 perform set_config('verify.made', made::text, true);
                 if to_regclass('public.directus_migrations') is null or to_regclass('public.directus_users') is null then
                     return;
                 end if;
                 if {there} then
                     perform pg_advisory_xact_lock({KEY});
                 end if;
             end $hold$;
             create event trigger verify_hold on ddl_command_end when tag in ('CREATE TABLE')
                 execute function verify.hold();"
        );
        holder.batch_execute(&statements).await.context("failed to set up the hold")?;
        Ok(Hold { database: database.clone(), holder })
    }

    /// How many tables whoever is held has locked for itself in its open transaction.
    pub(crate) async fn locked_tables(&self) -> anyhow::Result<String> {
        let held = "select count(*) from pg_locks mine join pg_locks held using (pid)
            where held.locktype = 'advisory' and not held.granted and held.objid = 1986359913
              and mine.locktype = 'relation' and mine.mode = 'AccessExclusiveLock'";
        self.database.value(held).await
    }

    /// Lets go, of a server that may have been started again since: `database` is how it is reached now.
    pub(crate) async fn lift(self, database: &Database) -> anyhow::Result<()> {
        // First the trigger: whoever is held waits for the lock, and must meet no trigger after it.
        let lifted = database.execute("drop event trigger verify_hold; drop schema verify cascade").await;
        drop(self.holder);
        lifted
    }
}

#[cfg(test)]
mod tests {
    use super::{Hold, KEY};

    #[test]
    fn the_key_is_the_one_that_is_looked_for() {
        assert!(Hold::HOLDS.contains(&format!("objid = {KEY}")));
    }
}
