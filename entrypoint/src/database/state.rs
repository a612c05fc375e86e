//! The boot's own tables, in a PostgreSQL schema of their own: the migration ledger, the snapshot lineage, and the
//! installations of Directus.
//!
//! The schema is called `boot`. Directus looks at `public` alone, so no version of it ever sees these tables.

use tokio_postgres::Client;

/// Makes the schema and its tables if they are not there. Call it with the boot lock held.
///
/// # Errors
/// The driver's; `42501` if the role may not create a schema.
pub async fn ensure(client: &Client) -> Result<(), tokio_postgres::Error> {
    // Asked first, because `if not exists` says a NOTICE at every boot and needs the right to create.
    let row = client
        .query_one(
            "select count(*) = 3 and exists (
                 select from pg_catalog.pg_attribute
                 where attrelid = to_regclass('boot.migrations') and attname = 'breaks_older_images')
             from pg_catalog.pg_tables
             where schemaname = 'boot' and tablename in ('migrations', 'snapshots', 'installations')",
            &[],
        )
        .await?;
    if row.get(0) {
        return Ok(());
    }
    client
        .batch_execute(
            "begin;
             set local client_min_messages = warning;
             create schema if not exists boot;
             create table if not exists boot.migrations (
                 phase       text        not null,
                 filename    text        not null,
                 checksum    text        not null,
                 applied_at  timestamptz not null default now(),
                 duration_ms bigint      not null,
                 image       text        not null,
                 breaks_older_images boolean not null default false,
                 primary key (phase, filename)
             );
             alter table boot.migrations add column if not exists breaks_older_images boolean not null default false;
             create table if not exists boot.snapshots (
                 id               bigint generated always as identity primary key,
                 digest           text        not null,
                 directus_version text        not null,
                 applied_at       timestamptz not null default now(),
                 image            text        not null
             );
             create table if not exists boot.installations (
                 started_at  timestamptz not null default now(),
                 finished_at timestamptz,
                 image       text        not null
             );
             comment on schema boot is 'State of the image''s boot: what it applied to this database';
             commit;",
        )
        .await
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

/// Whether an installation of Directus into this database was begun and never ended.
///
/// # Errors
/// The driver's.
pub async fn installation_was_cut_off(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("select exists (select from boot.installations where finished_at is null)", &[]).await?;
    Ok(row.get(0))
}

/// Notes that Directus is about to be installed into this database.
///
/// # Errors
/// The driver's.
pub async fn begin_installation(client: &Client, image: &str) -> Result<(), tokio_postgres::Error> {
    client.execute("insert into boot.installations (image) values ($1)", &[&image]).await?;
    Ok(())
}

/// Notes that all of it is there.
///
/// # Errors
/// The driver's.
pub async fn finish_installation(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.execute("update boot.installations set finished_at = now() where finished_at is null", &[]).await?;
    Ok(())
}

/// Takes back an installation that was cut off: drops Directus' system tables and the note about it, all or nothing.
/// Returns how many tables there were.
///
/// Nothing is lost: the note is only made when there were none of these tables, and no server runs before it is
/// answered by [`finish_installation`].
///
/// # Errors
/// The driver's.
pub async fn undo_installation(client: &mut Client) -> Result<usize, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let tables = transaction
        .query(
            "select format('%I.%I', schemaname, tablename) from pg_catalog.pg_tables
             where schemaname = any (current_schemas(false)) and tablename like 'directus\\_%'",
            &[],
        )
        .await?;
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    if !tables.is_empty() {
        transaction.batch_execute(&format!("drop table {} cascade", tables.join(", "))).await?;
    }
    transaction.batch_execute("delete from boot.installations where finished_at is null").await?;
    transaction.commit().await?;
    Ok(tables.len())
}
