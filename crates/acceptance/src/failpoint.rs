//! Failpoints: stop a boot in the middle of a phase, so that a fault hits it exactly there.

use anyhow::Context as _;
use contract::Phase;
use tokio_postgres::Client;

use super::database::TestDatabase;

/// Key of the advisory lock that a stopped boot waits for; not the key of the boot lock.
const KEY: i32 = 0x7665_7269;

/// An SQL file for `db-init` or `post-schema` that stops the boot, with a new table in its open transaction.
pub(crate) const SLOW_FILE: &str = "create table half (id int);\nselect pg_sleep(600);\n";

/// A query that is true while a boot runs [`SLOW_FILE`].
pub(crate) const IN_SLOW_FILE: &str = "exists (select from pg_stat_activity where datname = current_database()
    and wait_event = 'PgSleep' and application_name like 'boot of %')";

/// A query that is true while Directus runs its bootstrap, which is a single transaction.
pub(crate) const IN_BOOTSTRAP: &str = "exists (select from pg_stat_activity where datname = current_database()
    and xact_start is not null and backend_type = 'client backend'
    and application_name <> 'verify' and application_name not like 'boot of %')";

/// A query that is true while any session other than the check's is connected to the database.
pub(crate) const OTHERS: &str = "exists (select from pg_stat_activity where datname = current_database()
    and backend_type = 'client backend' and application_name <> 'verify')";

/// Stops Directus in the middle of a phase until it is lifted.
///
/// It is an event trigger, because Directus runs DDL in these phases: Directus stops just after it has created a table.
pub(crate) struct Failpoint {
    database: TestDatabase,
    holder: Client,
}

impl Failpoint {
    /// A query that is true while a session is stopped.
    pub(crate) const STOPPED: &str = "exists (select from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database()) and objid = 1986359913)";

    /// Stops a boot in `bootstrap` after thirty migrations of Directus, or in `schema` at the first table of the
    /// snapshot.
    pub(crate) async fn in_phase(database: &TestDatabase, phase: Phase) -> anyhow::Result<Failpoint> {
        let condition = match phase {
            Phase::Bootstrap => "(select count(*) from public.directus_migrations) >= 30",
            // Bootstrap creates the first user at its end.
            _ => "exists (select from public.directus_users) and made >= 1",
        };
        let holder = database.connect().await?;
        let statements = format!(
            "select pg_advisory_lock({KEY});
             create schema verify;
             create function verify.hold() returns event_trigger language plpgsql as $hold$
             declare made int := coalesce(nullif(current_setting('verify.made', true), ''), '0')::int + 1;
             begin
                 -- Tables created in this transaction.
                 perform set_config('verify.made', made::text, true);
                 if to_regclass('public.directus_migrations') is null or to_regclass('public.directus_users') is null then
                     return;
                 end if;
                 if {condition} then
                     perform pg_advisory_xact_lock({KEY});
                 end if;
             end $hold$;
             create event trigger verify_hold on ddl_command_end when tag in ('CREATE TABLE')
                 execute function verify.hold();"
        );
        holder.batch_execute(&statements).await.context("failed to set up the failpoint")?;
        Ok(Failpoint { database: database.clone(), holder })
    }

    /// Number of tables that the stopped session has locked exclusively in its open transaction.
    pub(crate) async fn locked_tables(&self) -> anyhow::Result<String> {
        let held = "select count(*) from pg_locks mine join pg_locks held using (pid)
            where held.locktype = 'advisory' and not held.granted and held.objid = 1986359913
              and mine.locktype = 'relation' and mine.mode = 'AccessExclusiveLock'";
        self.database.value(held).await
    }

    /// Lets the boot go on. `database` has the current port, because the server may have been restarted.
    pub(crate) async fn lift(self, database: &TestDatabase) -> anyhow::Result<()> {
        // The trigger is dropped first: the stopped session must not fire it again once it gets the lock.
        let lifted = database.execute("drop event trigger verify_hold; drop schema verify cascade").await;
        drop(self.holder);
        lifted
    }
}

#[cfg(test)]
mod tests {
    use super::{Failpoint, KEY};

    #[test]
    fn the_query_looks_for_the_key_of_the_lock() {
        assert!(Failpoint::STOPPED.contains(&format!("objid = {KEY}")));
    }
}
