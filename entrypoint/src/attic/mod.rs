//! The attic: data that an allowed plan or an announcing SQL file removed, kept for some days in a separate schema.
//!
//! Before the work of a transaction, [`Stash`] moves a table there or copies a column's values with their keys; a
//! trigger copies deleted rows. All of it is in the same transaction, so that the attic contains exactly the removed
//! data. The list is the table `boot.attic`; the data is in the schema `attic`, which Directus never reads.

mod command;
mod stash;

use tokio_postgres::Client;

use crate::log::Log;
use crate::quote::literal;
use crate::witness::{Link, LinkError};

pub use command::{AtticRequest, run};
pub use stash::{Insertion, NEEDS_COPY, Stash, reconcile_ledger};

/// The PostgreSQL schema of the removed data.
pub use crate::witness::compare::ATTIC as SCHEMA;

/// Returns why the transaction must not be committed: an object outside of the attic still depends on a table in it.
/// `None` if none does.
///
/// # Errors
/// Fails if a query does.
pub async fn dangling(link: &mut Link<'_>) -> Result<Option<String>, LinkError> {
    let query = format!(
        "with inside as (
            select c.oid, c.relname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where n.nspname = {SCHEMA}
        )
        select format('the foreign key %I of %s references it', f.conname, f.conrelid::regclass), inside.relname
        from pg_catalog.pg_constraint f join inside on inside.oid = f.confrelid
        where f.contype = 'f' and f.conrelid not in (select oid from inside)
        union all
        select format('the view %s reads it', v.oid::regclass), inside.relname
        from pg_catalog.pg_depend d
        join inside on inside.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
        join pg_catalog.pg_rewrite r on r.oid = d.objid and d.classid = 'pg_catalog.pg_rewrite'::regclass
        join pg_catalog.pg_class v on v.oid = r.ev_class
        where v.oid not in (select oid from inside)
        union all
        select format('the default of a column of %s uses it', a.adrelid::regclass), inside.relname
        from pg_catalog.pg_attrdef a
        join pg_catalog.pg_depend d on d.objid = a.oid and d.classid = 'pg_catalog.pg_attrdef'::regclass
        join inside on inside.oid = d.refobjid and d.refclassid = 'pg_catalog.pg_class'::regclass
        where a.adrelid not in (select oid from inside)
        limit 1",
        SCHEMA = literal(SCHEMA),
    );
    let rows = link.rows(&query).await?;
    let first = rows.into_iter().next().map(|row| row.into_iter().flatten().collect::<Vec<_>>());
    Ok(first.map(|row| match row.as_slice() {
        [reason, table] => {
            format!("the table {table} cannot be removed: {reason}; drop the reference in a SQL file first")
        }
        _ => "something depends on a removed table".to_owned(),
    }))
}

/// Drops entries that are older than `days`. Called by boots that had other work.
///
/// # Errors
/// Fails if a query does.
pub async fn purge(client: &Client, days: u32, log: &Log) -> Result<(), tokio_postgres::Error> {
    let expired = client
        .query(
            "select id, stored from boot.attic where purged_at is null and removed_at < now() - make_interval(days => $1)",
            &[&i32::try_from(days).unwrap_or(i32::MAX)],
        )
        .await?;
    for row in &expired {
        drop_entry(client, row.get(0), row.get(1)).await?;
    }
    if !expired.is_empty() {
        log.note(format!("attic: {} entries older than {days} days were purged", expired.len()));
    }
    Ok(())
}

/// Drops the data of one entry. The entry itself stays in `boot.attic`, marked as purged.
async fn drop_entry(client: &Client, id: i64, stored: &str) -> Result<(), tokio_postgres::Error> {
    let table = crate::quote::identifier(stored);
    client
        .batch_execute(&format!(
            "begin; drop table if exists {SCHEMA}.{table} cascade; update boot.attic set purged_at = now() where id = {id}; \
             commit"
        ))
        .await
}
