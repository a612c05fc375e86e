//! What is really in the database, asked of PostgreSQL and not of Directus.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::Client;

use super::snapshot::Snapshot;

/// Versions among `wanted` that `directus_migrations` does not have.
///
/// # Errors
/// The driver's; `42P01` if there is no such table.
pub async fn missing_migrations(client: &Client, wanted: &[String]) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select wanted from unnest($1::text[]) wanted
             where not exists (select from directus_migrations where version = wanted) order by 1",
            &[&wanted],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether an extension is installed in this database.
///
/// # Errors
/// The driver's.
pub async fn has_extension(client: &Client, name: &str) -> Result<bool, tokio_postgres::Error> {
    let row =
        client.query_one("select exists (select from pg_catalog.pg_extension where extname = $1)", &[&name]).await?;
    Ok(row.get(0))
}

/// What of the snapshot is not in the database: tables, columns, and Directus' own rows about them.
///
/// # Errors
/// The driver's.
pub async fn missing_from(client: &Client, snapshot: &Snapshot) -> Result<Vec<String>, tokio_postgres::Error> {
    let columns = pairs(
        client,
        "select c.relname::text, a.attname::text
         from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid
         where c.relnamespace = any (current_schemas(false)::regnamespace[]) and c.relkind in ('r', 'p')
           and a.attnum > 0 and not a.attisdropped",
    )
    .await?;
    let fields = pairs(client, "select collection::text, field::text from directus_fields").await?;
    let relations = pairs(client, "select many_collection::text, many_field::text from directus_relations").await?;
    let collections: HashSet<String> = client
        .query("select collection::text from directus_collections", &[])
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();

    let tables: HashSet<&str> = columns.iter().map(|(table, _)| table.as_str()).collect();
    let mut missing = BTreeSet::new();
    for table in &snapshot.tables {
        if !tables.contains(table.as_str()) {
            missing.insert(format!("table {table}"));
        }
    }
    for collection in snapshot.tables.iter().chain(&snapshot.folders) {
        if !collections.contains(collection) {
            missing.insert(format!("collection {collection}"));
        }
    }
    for key in &snapshot.columns {
        if !columns.contains(key) {
            missing.insert(format!("column {}.{}", key.0, key.1));
        }
    }
    for key in snapshot.columns.iter().chain(&snapshot.aliases) {
        if !fields.contains(key) {
            missing.insert(format!("field {}.{}", key.0, key.1));
        }
    }
    for key in &snapshot.relations {
        if !relations.contains(key) {
            missing.insert(format!("relation {}.{}", key.0, key.1));
        }
    }
    Ok(missing.into_iter().collect())
}

async fn pairs(client: &Client, query: &str) -> Result<HashSet<(String, String)>, tokio_postgres::Error> {
    Ok(client.query(query, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}
