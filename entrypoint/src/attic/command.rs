//! `attic`: lists, restores or purges the entries of the attic.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::{SCHEMA, drop_entry};
use crate::boot::{connect, read_desired_state};
use crate::config::Env;
use crate::database::{self, BootLock, Session};
use crate::error::BootError;
use crate::log::Log;
use crate::quote::{identifier, literal};
use crate::witness::loss::count;

/// A request to the attic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtticRequest {
    /// List the entries.
    List {
        /// As JSON instead of text.
        json: bool,
    },
    /// Restore the entry with this number.
    Restore(i64),
    /// Drop the entry with this number, or all entries.
    Purge(Option<i64>),
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AtticEntry {
    /// The number that commands refer to.
    pub(super) id: i64,
    /// `table`, `column` or `rows`.
    pub(super) kind: String,
    /// The PostgreSQL schema of the table.
    pub(super) schema: String,
    /// The table that was dropped, or that the data was in.
    pub(super) table: String,
    /// The column, if the kind is `column`.
    pub(super) column: Option<String>,
    /// The table with the data, in the schema `attic`.
    pub(super) stored: String,
    /// UTC, to the second.
    pub(super) removed_at: String,
    /// UTC, to the second; `None` if it was not restored.
    pub(super) restored_at: Option<String>,
    /// `schema apply`, or the SQL file that removed the data.
    pub(super) source: String,
    /// The image that removed the data.
    pub(super) image: String,
    /// The number of rows or values.
    pub(super) rows: i64,
    /// Size on disk in bytes.
    pub(super) bytes: i64,
    #[serde(skip)]
    definition: Value,
}

impl AtticEntry {
    /// `table laps`, `column laps.speed`, `rows of laps`.
    fn subject(&self) -> String {
        let schema = if self.schema == "public" { String::new() } else { format!("{}.", self.schema) };
        match (&self.column, self.kind.as_str()) {
            (Some(column), _) => format!("column {schema}{}.{column}", self.table),
            (None, "rows") => format!("rows of {schema}{}", self.table),
            _ => format!("table {schema}{}", self.table),
        }
    }

    fn line(&self) -> String {
        let AtticEntry { id, removed_at, source, image, rows, bytes, .. } = self;
        let restored = self.restored_at.as_ref().map_or_else(String::new, |at| format!(", restored on {at} UTC"));
        format!(
            "{id:>4}  {}  ({}, {} kB; removed on {removed_at} UTC by {image}, {source}{restored})",
            self.subject(),
            count(u64::try_from(*rows).unwrap_or(0), if self.kind == "column" { "value" } else { "row" }),
            bytes / 1024,
        )
    }
}

/// Carries out the request. Returns the text for standard output.
///
/// # Errors
/// Those of a boot up to phase 3; [`BootError::Attic`] if the request cannot be carried out.
pub async fn run(request: &AtticRequest, env: &Env, log: &Log) -> Result<String, BootError> {
    let desired = read_desired_state(env, log)?;
    let session = connect(&desired, log).await?;
    let known = session.client.query_one("select to_regclass('boot.attic') is not null", &[]).await?;
    let entries = if known.get(0) { list(&session.client).await? } else { Vec::new() };
    if let AtticRequest::List { json } = request {
        return Ok(if *json { serde_json::json!({ "entries": entries }).to_string() } else { listed(&entries) });
    }
    let config = &desired.config;
    log.begin(contract::Phase::Lock);
    session.ready(&config.database).await?;
    let other = database::require_direct_connection(&session, &config.database, config.timeouts.database, log).await?;
    let lock = BootLock::acquire(other, config.timeouts.lock, log).await?;
    let done = match request {
        AtticRequest::Restore(id) => restore(&session, find(&entries, *id)?).await?,
        AtticRequest::Purge(Some(id)) => {
            let entry = find(&entries, *id)?;
            drop_entry(&session.client, entry.id, &entry.stored).await?;
            format!("purged {}", entry.subject())
        }
        AtticRequest::Purge(None) => {
            for entry in &entries {
                drop_entry(&session.client, entry.id, &entry.stored).await?;
            }
            format!("purged {} entries", entries.len())
        }
        AtticRequest::List { .. } => unreachable!("answered above"),
    };
    lock.release().await;
    session.close().await;
    Ok(done)
}

fn find(entries: &[AtticEntry], id: i64) -> Result<&AtticEntry, BootError> {
    let entry = entries.iter().find(|entry| entry.id == id);
    entry.ok_or_else(|| BootError::Attic(format!("the attic has no entry {id}: see `attic`")))
}

fn listed(entries: &[AtticEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        writeln!(text, "{}", entry.line()).expect("writing to a String does not fail");
    }
    if entries.is_empty() { "the attic is empty".to_owned() } else { text.trim_end().to_owned() }
}

/// Reads the entries whose data still exists, the newest last.
async fn list(client: &Client) -> Result<Vec<AtticEntry>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select a.id, a.kind, a.schema_name, a.table_name, a.column_name, a.stored, a.source, a.image,
                    to_char(a.removed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                    to_char(a.restored_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
                    a.definition::text,
                    coalesce((select sum(pg_catalog.pg_total_relation_size(relid)) from pg_catalog.pg_partition_tree(c.oid)),
                             pg_catalog.pg_total_relation_size(c.oid))::bigint
             from boot.attic a
             left join pg_catalog.pg_class c on c.oid = to_regclass(format('attic.%I', a.stored))
             where a.purged_at is null and c.oid is not null order by a.id",
            &[],
        )
        .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let definition: String = row.get(10);
        let mut entry = AtticEntry {
            id: row.get(0),
            kind: row.get(1),
            schema: row.get(2),
            table: row.get(3),
            column: row.get(4),
            stored: row.get(5),
            source: row.get(6),
            image: row.get(7),
            removed_at: row.get(8),
            restored_at: row.get(9),
            rows: 0,
            bytes: row.get(11),
            definition: serde_json::from_str(&definition).unwrap_or_default(),
        };
        let count = format!("select count(*) from {SCHEMA}.{}", identifier(&entry.stored));
        entry.rows = client.query_one(&count, &[]).await?.get(0);
        entries.push(entry);
    }
    Ok(entries)
}

/// Restores one entry, in one transaction.
async fn restore(session: &Session, entry: &AtticEntry) -> Result<String, BootError> {
    let client = &session.client;
    client.batch_execute("begin").await?;
    let restored = match entry.kind.as_str() {
        "table" => restore_table(client, entry).await,
        "column" => restore_column(client, entry).await,
        _ => restore_rows(client, entry).await,
    };
    match restored {
        Ok(sentence) => {
            // A table that was moved back is no longer in the attic.
            let note = "update boot.attic set restored_at = now(), purged_at = case
                            when to_regclass(format('attic.%I', stored)) is null then now() end where id = $1";
            client.execute(note, &[&entry.id]).await?;
            client.batch_execute("commit").await?;
            Ok(sentence)
        }
        Err(error) => {
            // On a lost connection there is nothing to roll back.
            drop(client.batch_execute("rollback").await);
            Err(error)
        }
    }
}

/// Returns the table's name for SQL, and true if the table exists.
async fn origin(client: &Client, entry: &AtticEntry) -> Result<(String, bool), BootError> {
    let quoted = format!("{}.{}", identifier(&entry.schema), identifier(&entry.table));
    let row = client.query_one("select to_regclass($1) is not null", &[&quoted]).await?;
    Ok((quoted, row.get(0)))
}

/// Moves the table back with its foreign keys. If a table of that name exists again, inserts the rows into it instead.
async fn restore_table(client: &Client, entry: &AtticEntry) -> Result<String, BootError> {
    let (quoted, exists) = origin(client, entry).await?;
    if exists {
        return restore_rows(client, entry).await;
    }
    let stored = identifier(&entry.stored);
    client
        .batch_execute(&format!(
            "alter table {SCHEMA}.{stored} set schema {};
             alter table {}.{stored} rename to {}",
            identifier(&entry.schema),
            identifier(&entry.schema),
            identifier(&entry.table),
        ))
        .await?;
    let mut missing = restore_defaults(client, entry, &quoted).await?;
    let foreign_keys = entry.definition["foreignKeys"].as_array().map_or(&[][..], Vec::as_slice);
    for key in foreign_keys {
        let (table, name, definition) = (text(key, "table"), text(key, "name"), text(key, "definition"));
        client.batch_execute("savepoint foreign_key").await?;
        let add = format!("alter table {table} add constraint {} {definition}", identifier(name));
        if client.batch_execute(&add).await.is_err() {
            client.batch_execute("rollback to savepoint foreign_key").await?;
            missing.push(format!("the foreign key {name} on {table} ({definition})"));
        }
    }
    let without = match missing.as_slice() {
        [] => String::new(),
        missing => format!("; without {}", missing.join(", ")),
    };
    let rows: i64 = client.query_one(&format!("select count(*) from {quoted}"), &[]).await?.get(0);
    Ok(format!("restored {} with {}{without}", entry.subject(), count(u64::try_from(rows).unwrap_or(0), "row")))
}

/// Restores the defaults of a copied table's columns. Returns the defaults that could not be restored.
async fn restore_defaults(client: &Client, entry: &AtticEntry, table: &str) -> Result<Vec<String>, BootError> {
    let mut missing = Vec::new();
    for column in entry.definition["defaults"].as_array().map_or(&[][..], Vec::as_slice) {
        let (name, default, identity) = (text(column, "column"), text(column, "default"), text(column, "identity"));
        let quoted = identifier(name);
        let owned_sequence =
            default.strip_prefix("nextval('").and_then(|rest| rest.split_once('\'')).map(|(name, _)| name);
        let statements = match (identity, text(column, "generated"), owned_sequence) {
            ("a", ..) => format!("alter table {table} alter {quoted} add generated always as identity"),
            ("d", ..) => format!("alter table {table} alter {quoted} add generated by default as identity"),
            (_, "s" | "v", _) => String::new(),
            (.., Some(sequence)) => format!(
                "create sequence if not exists {sequence} owned by {table}.{quoted};
                 alter table {table} alter {quoted} set default {default}"
            ),
            _ => format!("alter table {table} alter {quoted} set default {default}"),
        };
        let advance_sequence = format!(
            "; select setval(pg_get_serial_sequence({}, {}), max({quoted})) from {table} where {quoted} is not null having count(*) > 0",
            literal(table),
            literal(name)
        );
        let has_sequence = !identity.is_empty() || owned_sequence.is_some();
        let statements = if has_sequence { statements + &advance_sequence } else { statements };
        client.batch_execute("savepoint column_default").await?;
        if statements.is_empty() || client.batch_execute(&statements).await.is_err() {
            client.batch_execute("rollback to savepoint column_default").await?;
            missing.push(format!("the default of {name} ({default})"));
        }
    }
    Ok(missing)
}

/// The text under that key; empty if there is none.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// Inserts rows into their table again. Rows whose key exists are left alone.
async fn restore_rows(client: &Client, entry: &AtticEntry) -> Result<String, BootError> {
    let (quoted, exists) = origin(client, entry).await?;
    if !exists {
        return Err(BootError::Attic(format!("there is no table {} to restore the rows into", entry.table)));
    }
    let columns = client
        .query(
            "select format('%I', a.attname) from pg_catalog.pg_attribute a
             join pg_catalog.pg_attribute b on b.attname = a.attname
             where a.attrelid = to_regclass($1) and b.attrelid = to_regclass($2)
               and a.attnum > 0 and b.attnum > 0 and not a.attisdropped and not b.attisdropped and a.attgenerated = ''
             order by a.attnum",
            &[&quoted, &format!("{SCHEMA}.{}", identifier(&entry.stored))],
        )
        .await?;
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let columns = columns.join(", ");
    let has_key = client
        .query_one(
            "select exists (select from pg_catalog.pg_index where indrelid = to_regclass($1) and indisunique)",
            &[&quoted],
        )
        .await?;
    // Without a key, rows that were restored before cannot be recognized.
    if entry.restored_at.is_some() && !has_key.get::<_, bool>(0) {
        return Err(BootError::Attic(format!(
            "{} were already restored, and {} has no key",
            entry.subject(),
            entry.table
        )));
    }
    let inserted = client
        .execute(
            &format!(
                "insert into {quoted} ({columns}) overriding system value
                 select {columns} from {SCHEMA}.{} on conflict do nothing",
                identifier(&entry.stored)
            ),
            &[],
        )
        .await?;
    let left = u64::try_from(entry.rows).unwrap_or(0).saturating_sub(inserted);
    let present = if left == 0 { String::new() } else { format!("; {} already existed", count(left, "row")) };
    Ok(format!("restored {} into {}{present}", count(inserted, "row"), entry.table))
}

/// Restores values by their keys, where the column is NULL or contains the value as cut by a narrower type. First adds
/// the column if it does not exist, and restores its type if that was changed.
async fn restore_column(client: &Client, entry: &AtticEntry) -> Result<String, BootError> {
    let (quoted, exists) = origin(client, entry).await?;
    let column = entry.column.as_deref().unwrap_or_default();
    if !exists {
        return Err(BootError::Attic(format!("there is no table {} to restore the column into", entry.table)));
    }
    let key: Vec<String> = entry.definition["key"]
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(|name| name.as_str().map(identifier))
        .collect();
    if key.is_empty() {
        return Err(BootError::Attic(format!(
            "{} has no primary key, so the values cannot be matched to rows: copy them by hand from {SCHEMA}.{}",
            entry.table, entry.stored
        )));
    }
    let data_type = entry.definition["type"].as_str().unwrap_or("text");
    let quoted_column = identifier(column);
    let joined = key.iter().map(|name| format!("t.{name} = a.{name}")).collect::<Vec<_>>().join(" and ");
    let stored = format!("{SCHEMA}.{}", identifier(&entry.stored));
    client.batch_execute(&format!("alter table {quoted} add column if not exists {quoted_column} {data_type}")).await?;
    let present: String = client
        .query_one(
            "select pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
             where attrelid = to_regclass($1) and attname = $2",
            &[&quoted, &column],
        )
        .await?
        .get(0);
    // A value that was changed since then is left alone.
    let is_cut = if present == data_type {
        "false".to_owned()
    } else {
        format!("t.{quoted_column}::text = (a.{quoted_column}::{present})::text")
    };
    let select_rows = format!(
        "create temporary table restored on commit drop as select {} from {quoted} t
         join {stored} a on {joined} where t.{quoted_column} is null",
        key.iter().map(|name| format!("a.{name}")).collect::<Vec<_>>().join(", ")
    );
    client.batch_execute("savepoint cut_values").await?;
    // There may be no cast between the types; then only NULLs are replaced.
    if client.batch_execute(&format!("{select_rows} or {is_cut}")).await.is_err() {
        client.batch_execute(&format!("rollback to savepoint cut_values; {select_rows}")).await?;
    }
    if present != data_type {
        let back =
            format!("alter table {quoted} alter {quoted_column} type {data_type} using {quoted_column}::{data_type}");
        client.batch_execute(&back).await.map_err(|error| {
            let reason = crate::database::describe(&error);
            BootError::Attic(format!(
                "{} is {present} now and cannot be changed back to {data_type}: {reason}; its values are in {stored}",
                entry.subject()
            ))
        })?;
    }
    let selected = key.iter().map(|name| format!("r.{name} = a.{name}")).collect::<Vec<_>>().join(" and ");
    let updated = client
        .execute(
            &format!(
                "update {quoted} t set {quoted_column} = a.{quoted_column}
                 from {stored} a join restored r on {selected} where {joined}"
            ),
            &[],
        )
        .await?;
    Ok(format!("restored {} of {}", count(updated, "value"), entry.subject()))
}
