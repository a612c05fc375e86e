//! The boot's own tables, in a separate PostgreSQL schema: the migration ledger, the snapshot history, the objects of
//! the SQL files, and the list of the attic.
//!
//! The schema is called `boot`. Directus reads only `public`, so no version of it ever sees these tables.

use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::migrations::{LEDGER_STAMPS, Migrations, ledger_digest};
use crate::reconcile::HistoryEntry;
use crate::reconcile::owned::OWNED_STAMP;
use contract::Phase;

/// Returns true if a boot has run on this database.
///
/// # Errors
/// The driver's.
pub async fn exists(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let row = client.query_one("select to_regclass('boot.migrations') is not null", &[]).await?;
    Ok(row.get(0))
}

/// Creates the schema, its tables and later added columns as far as they are missing. Call it with the boot lock held.
///
/// # Errors
/// The driver's; `42501` if the role may not create a schema.
pub async fn ensure(client: &Client) -> Result<(), tokio_postgres::Error> {
    // Checked first, because `if not exists` raises a NOTICE at every boot and needs the CREATE privilege.
    let row = client
        .query_one(
            "select count(*) = 8 from pg_catalog.pg_attribute
             where (attrelid, attname) in ((to_regclass('boot.migrations'), 'breaks_older_images'),
                                           (to_regclass('boot.attic'), 'purged_at'),
                                           (to_regclass('boot.owned'), 'definition'),
                                           (to_regclass('boot.snapshots'), 'fingerprint'),
                                           (to_regclass('boot.snapshots'), 'ledger'),
                                           (to_regclass('boot.snapshots'), 'owned'),
                                           (to_regclass('boot.snapshots'), 'schema_name'),
                                           (to_regclass('boot.snapshots'), 'waiting'))",
            &[],
        )
        .await?;
    if row.get(0) {
        return Ok(());
    }
    // Also because a schema that a DBA has created needs no CREATE privilege on the database.
    let row = client.query_one("select to_regnamespace('boot') is null", &[]).await?;
    if row.get(0) {
        let comment = "State of the image''s boot: what it applied to this database";
        client
            .batch_execute(&format!("begin; create schema boot; comment on schema boot is '{comment}'; commit"))
            .await?;
    }
    client
        .batch_execute(
            "begin;
             set local client_min_messages = warning;
             create table if not exists boot.migrations (
                 phase               text               not null,
                 filename            text collate \"C\" not null,
                 checksum            text               not null,
                 applied_at          timestamptz        not null default now(),
                 duration_ms         bigint             not null,
                 image               text               not null,
                 breaks_older_images boolean            not null default false,
                 primary key (phase, filename)
             );
             create table if not exists boot.snapshots (
                 id               bigint generated always as identity primary key,
                 digest           text        not null,
                 directus_version text        not null,
                 fingerprint      text,
                 ledger           text,
                 owned            text,
                 schema_name      text,
                 waiting          text[]      not null default '{}',
                 applied_at       timestamptz not null default now(),
                 image            text        not null
             );
             create table if not exists boot.owned (
                 kind       text not null,
                 belongs_to text not null,
                 name       text not null,
                 definition text not null,
                 primary key (kind, belongs_to, name)
             );
             create table if not exists boot.attic (
                 id          bigint generated always as identity primary key,
                 kind        text        not null,
                 schema_name text        not null,
                 table_name  text        not null,
                 column_name text,
                 stored      text        not null,
                 definition  jsonb       not null,
                 source      text        not null,
                 image       text        not null,
                 removed_at  timestamptz not null default now(),
                 restored_at timestamptz,
                 purged_at   timestamptz
             );
             alter table boot.migrations add column if not exists breaks_older_images boolean not null default false;
             alter table boot.snapshots add column if not exists fingerprint text;
             alter table boot.snapshots add column if not exists ledger text;
             alter table boot.snapshots add column if not exists owned text;
             alter table boot.snapshots add column if not exists schema_name text;
             alter table boot.snapshots add column if not exists waiting text[] not null default '{}';
             commit;",
        )
        .await
}

/// Returns the whole ledger as a JSON array, for a report; empty if no boot has run.
///
/// # Errors
/// The driver's.
pub async fn ledger_as_json(client: &Client) -> Result<Value, tokio_postgres::Error> {
    if !exists(client).await? {
        return Ok(Value::Array(Vec::new()));
    }
    let row = client
        .query_one(
            "select coalesce(json_agg(m order by phase, filename collate \"C\"), '[]')::text from boot.migrations m",
            &[],
        )
        .await?;
    Ok(serde_json::from_str(row.get(0)).unwrap_or_default())
}

/// Returns the snapshots that were applied, the newest last.
///
/// # Errors
/// The driver's.
pub async fn snapshot_history(client: &Client) -> Result<Vec<HistoryEntry>, tokio_postgres::Error> {
    let rows = client
        .query(
            // Tables of older boots lack these two columns.
            "select digest, directus_version, to_jsonb(s) ->> 'fingerprint', to_jsonb(s) ->> 'schema_name', image,
                    to_char(applied_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
             from boot.snapshots s order by id",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| HistoryEntry {
            digest: row.get(0),
            directus: row.get(1),
            fingerprint: row.get(2),
            schema: row.get(3),
            image: row.get(4),
            applied_at: row.get(5),
        })
        .collect())
}

/// Returns the PostgreSQL schema of the Directus that this history belongs to, if it is not the one of this session: two
/// projects cannot share a ledger. A history of older boots does not have the schema; then another Directus in the
/// database is the one, if there is none in this schema.
///
/// # Errors
/// The driver's.
pub async fn schema_of_other_project(
    client: &Client,
    newest: &HistoryEntry,
) -> Result<Option<String>, tokio_postgres::Error> {
    let query = "select nspname::text from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = relnamespace
                 where relname = 'directus_collections' and relkind in ('r', 'p')
                   and nspname is distinct from current_schema()
                   and case when $1::text is null then to_regclass('directus_collections') is null else nspname = $1 end
                 order by 1 limit 1";
    let rows = client.query_typed(query, &[(&newest.schema, Type::TEXT)]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Returns true if this snapshot was applied at any time.
///
/// # Errors
/// The driver's; `42P01` where no boot has been.
pub async fn has_snapshot(client: &Client, digest: &str) -> Result<bool, tokio_postgres::Error> {
    let query = "select exists (select from boot.snapshots where digest = $1)";
    Ok(client.query_typed_one(query, &[(&digest, Type::TEXT)]).await?.get(0))
}

/// Adds a snapshot to the history, unless it is already the newest.
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
            "insert into boot.snapshots (digest, directus_version, image, schema_name)
             select $1, $2, $3, current_schema()
             where $1 is distinct from (select digest from boot.snapshots order by id desc limit 1)",
            &[&digest, &directus_version, &image],
        )
        .await?;
    Ok(())
}

/// Records the work that waits for the end of servers of other images, if the snapshot is the newest one.
///
/// # Errors
/// The driver's.
pub async fn record_waiting(client: &Client, digest: &str, waiting: &[String]) -> Result<(), tokio_postgres::Error> {
    let statement = "update boot.snapshots set waiting = $1
                     where id = (select max(id) from boot.snapshots) and digest = $2 and waiting <> $1";
    client.execute(statement, &[&waiting, &digest]).await?;
    Ok(())
}

/// Returns the work that the last boot left waiting for the end of servers of other images.
///
/// # Errors
/// The driver's.
pub async fn waiting(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    // Tables of older boots lack the column.
    let statement = "select array(select jsonb_array_elements_text(coalesce(to_jsonb(s) -> 'waiting', '[]')))
                     from boot.snapshots s order by id desc limit 1";
    Ok(client.query_opt(statement, &[]).await?.map(|row| row.get(0)).unwrap_or_default())
}

/// Records that the schema with this fingerprint matches the newest snapshot under this version of Directus. If the ledger
/// matches the image's files exactly, its stamps are recorded too, so that later boots need not read it; and if no
/// object of the files is missing, their stamp.
///
/// # Errors
/// The driver's.
pub async fn record_in_sync(
    client: &Client,
    directus_version: &str,
    fingerprint: &str,
    migrations: &Migrations,
    is_whole: bool,
) -> Result<(), tokio_postgres::Error> {
    let statement = format!(
        "update boot.snapshots set directus_version = $1, fingerprint = $2, schema_name = current_schema(),
             ledger = case when {} is not distinct from $3::text and {} is not distinct from $4::text
                           then {LEDGER_STAMPS} || ' ' || $5 end,
             owned = case when $7 then {OWNED_STAMP} else '' end
         where id = (select max(id) from boot.snapshots)",
        ledger_digest(Phase::DbInit),
        ledger_digest(Phase::PostSchema),
    );
    let manifest = migrations.manifest();
    let [db_init, post_schema] = [Phase::DbInit, Phase::PostSchema].map(|phase| &manifest.of_phase(phase).ledger);
    let digest = manifest.ledger_digest();
    let tables: Vec<&str> = migrations.owned_tables().collect();
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&directus_version, &fingerprint, db_init, post_schema, &digest, &tables, &is_whole];
    client.execute(&statement, &parameters).await?;
    Ok(())
}
