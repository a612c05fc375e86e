//! The boot's own tables, in a PostgreSQL schema of their own: the migration ledger, the snapshot lineage, and the
//! installations of Directus.
//!
//! The schema is called `boot`. Directus looks at `public` alone, so no version of it ever sees these tables.

use std::time::Duration;

use tokio_postgres::{Client, GenericClient};

use crate::contract::Phase;

/// One applied migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// `001_extensions.sql`.
    pub filename: String,
    /// SHA-256 over the EOL-normalised text, in hex.
    pub checksum: String,
}

/// Makes the schema and its tables if they are not there. Call it with the boot lock held.
///
/// # Errors
/// The driver's; `42501` if the role may not create a schema.
pub async fn ensure(client: &Client) -> Result<(), tokio_postgres::Error> {
    // Asked first, because `if not exists` says a NOTICE at every boot and needs the right to create.
    let row = client
        .query_one(
            "select count(*) = 2 from pg_catalog.pg_tables
             where schemaname = 'boot' and tablename in ('migrations', 'snapshots')",
            &[],
        )
        .await?;
    if row.get(0) {
        return Ok(());
    }
    client
        .batch_execute(
            "begin;
             create schema if not exists boot;
             create table if not exists boot.migrations (
                 phase       text        not null,
                 filename    text        not null,
                 checksum    text        not null,
                 applied_at  timestamptz not null default now(),
                 duration_ms bigint      not null,
                 image       text        not null,
                 primary key (phase, filename)
             );
             create table if not exists boot.snapshots (
                 id               bigint generated always as identity primary key,
                 digest           text        not null,
                 directus_version text        not null,
                 applied_at       timestamptz not null default now(),
                 image            text        not null
             );
             comment on schema boot is 'State of the image''s boot: what it applied to this database';
             commit;",
        )
        .await
}

/// What was applied in that phase, by file name.
///
/// # Errors
/// The driver's.
pub async fn ledger(client: &Client, phase: Phase) -> Result<Vec<LedgerRow>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select filename, checksum from boot.migrations where phase = $1 order by filename collate \"C\"",
            &[&phase.name()],
        )
        .await?;
    Ok(rows.iter().map(|row| LedgerRow { filename: row.get(0), checksum: row.get(1) }).collect())
}

/// Writes an applied migration into the ledger; inside the migration's own transaction.
///
/// # Errors
/// The driver's.
pub async fn record_migration(
    client: &impl GenericClient,
    phase: Phase,
    row: &LedgerRow,
    took: Duration,
    image: &str,
) -> Result<(), tokio_postgres::Error> {
    let ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    client
        .execute(
            "insert into boot.migrations (phase, filename, checksum, duration_ms, image) values ($1, $2, $3, $4, $5)",
            &[&phase.name(), &row.filename, &row.checksum, &ms, &image],
        )
        .await?;
    Ok(())
}

/// The digest of the snapshot that was applied last, if any was.
///
/// # Errors
/// The driver's.
pub async fn last_snapshot(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    let row = client.query_opt("select digest from boot.snapshots order by id desc limit 1", &[]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Adds a snapshot to the lineage.
///
/// # Errors
/// The driver's.
pub async fn record_snapshot(
    client: &Client,
    digest: &str,
    directus_version: &str,
    image: &str,
) -> Result<(), tokio_postgres::Error> {
    client
        .execute(
            "insert into boot.snapshots (digest, directus_version, image) values ($1, $2, $3)",
            &[&digest, &directus_version, &image],
        )
        .await?;
    Ok(())
}
