//! Rows that a boot must not lose: inserts them, and checks that they all still exist.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use testbed::api::Api;
use testbed::schema::DataModel;

use crate::columns::TableColumn;
use crate::database::TestDatabase;

/// A table that is unknown to the migrations, the snapshot and Directus.
pub(crate) const UNTRACKED: &str = "team_spreadsheet";

/// Fingerprint of a table's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    rows: i64,
    /// SHA-256 of all rows, sorted.
    hash: String,
}

/// The fingerprint of every table except those of Directus.
pub(crate) async fn fingerprints(database: &TestDatabase) -> anyhow::Result<BTreeMap<String, Fingerprint>> {
    let client = database.connect().await?;
    let tables = client
        .query(
            "select quote_ident(relname) from pg_catalog.pg_class
             where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname not like 'directus\\_%'",
            &[],
        )
        .await
        .context("failed to list tables")?;
    let mut fingerprints = BTreeMap::new();
    for table in tables {
        let table: String = table.get(0);
        let query = format!(
            "select count(*), coalesce(encode(sha256(convert_to(string_agg(t::text, E'\\n' order by t::text), 'UTF8')), \
             'hex'), '') from public.{table} t"
        );
        let row = client.query_one(&query, &[]).await.with_context(|| format!("failed to read {table}"))?;
        fingerprints.insert(table, Fingerprint { rows: row.get(0), hash: row.get(1) });
    }
    Ok(fingerprints)
}

/// Checks that no table or row was added, changed or lost; the error names every such table.
pub(crate) fn unchanged(
    before: &BTreeMap<String, Fingerprint>,
    after: &BTreeMap<String, Fingerprint>,
) -> anyhow::Result<()> {
    let mut changes = Vec::new();
    for (table, before) in before {
        match after.get(table) {
            None => changes.push(format!("table {table} with {} rows is gone", before.rows)),
            Some(after) if after.rows != before.rows => {
                changes.push(format!("{table} had {} rows and has {}", before.rows, after.rows));
            }
            Some(after) if after.hash != before.hash => changes.push(format!("rows of {table} have changed")),
            Some(_) => {}
        }
    }
    changes.extend(after.keys().filter(|table| !before.contains_key(*table)).map(|table| format!("{table} is new")));
    ensure!(changes.is_empty(), "{}", changes.join("; "));
    Ok(())
}

/// Summarises the tables: `14 rows in 12 of 13 tables: laps 5, …`.
pub(crate) fn describe(tables: &BTreeMap<String, Fingerprint>) -> String {
    let filled: Vec<_> = tables.iter().filter(|(_, fingerprint)| fingerprint.rows > 0).collect();
    let rows: i64 = filled.iter().map(|(_, fingerprint)| fingerprint.rows).sum();
    let each: Vec<String> = filled.iter().map(|(table, fingerprint)| format!("{table} {}", fingerprint.rows)).collect();
    format!("{rows} rows in {} of {} tables: {}", filled.len(), tables.len(), each.join(", "))
}

/// Inserts rows into every table except those of Directus, and creates one that nothing else knows.
pub async fn fill(database: &TestDatabase) -> anyhow::Result<()> {
    let client = database.connect().await?;
    let columns = TableColumn::all(&client).await?;
    for table in in_order(&columns) {
        let own = columns.iter().filter(|column| column.table == table);
        let (names, values): (Vec<_>, Vec<_>) =
            own.filter_map(|column| Some((format!("\"{}\"", column.name), column.value()?))).unzip();
        let insert = if names.is_empty() {
            format!("insert into public.\"{table}\" select from generate_series(1, {ROWS}) i")
        } else {
            format!(
                "insert into public.\"{table}\" ({}) select {} from generate_series(1, {ROWS}) i on conflict do nothing",
                names.join(", "),
                values.join(", ")
            )
        };
        client.batch_execute(&insert).await.with_context(|| format!("failed to fill {table}: {insert}"))?;
    }
    database
        .execute(&format!(
            "create table public.{UNTRACKED} (id integer primary key, note text);
             insert into public.{UNTRACKED} select n, 'note ' || n from generate_series(1, 7) n;"
        ))
        .await
}

/// Number of rows per table, as far as its keys allow.
const ROWS: usize = 5;

/// The tables, each after those that it references; a cycle is broken at its first table.
fn in_order(columns: &[TableColumn]) -> Vec<&str> {
    let mut waiting: BTreeSet<&str> = columns.iter().map(|column| column.table.as_str()).collect();
    let mut ordered = Vec::new();
    while let Some(first) = waiting.first().copied() {
        let next = waiting.iter().copied().find(|table| is_ready(table, columns, &waiting)).unwrap_or(first);
        waiting.remove(next);
        ordered.push(next);
    }
    ordered
}

/// Returns true if the table references no other table that is still waiting.
fn is_ready(table: &str, columns: &[TableColumn], waiting: &BTreeSet<&str>) -> bool {
    let targets = columns.iter().filter(|column| column.table == table).filter_map(|column| column.target.as_ref());
    targets.map(|(target, _)| target.trim_matches('"')).all(|target| target == table || !waiting.contains(target))
}

/// Checks that the API serves as many items of each collection as there are rows.
pub(crate) async fn served(api: &Api, database: &TestDatabase) -> anyhow::Result<()> {
    for table in DataModel::snapshot()?.tables() {
        let rows = database.value(&format!("select count(*) from public.\"{table}\"")).await?;
        let items = api.get(&format!("/items/{table}?limit=-1")).await?;
        let served = items.as_array().map_or(0, Vec::len);
        ensure!(rows == served.to_string(), "{table} has {rows} rows, but {served} are served");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Fingerprint, TableColumn, in_order, unchanged};

    fn tables(content: [(&str, i64, &str); 2]) -> BTreeMap<String, Fingerprint> {
        content.map(|(table, rows, hash)| (table.to_owned(), Fingerprint { rows, hash: hash.to_owned() })).into()
    }

    #[test]
    fn lost_and_changed_rows_are_named() {
        let before = tables([("a", 2, "x"), ("b", 1, "y")]);
        assert!(unchanged(&before, &before).is_ok());
        for (after, reason) in [
            ([("a", 1, "z"), ("b", 1, "z")], "a had 2 rows and has 1; rows of b have changed"),
            ([("a", 2, "x"), ("c", 0, "")], "table b with 1 rows is gone; c is new"),
        ] {
            assert_eq!(unchanged(&before, &tables(after)).unwrap_err().to_string(), reason);
        }
    }

    fn column(table: &str, target: Option<&str>) -> TableColumn {
        TableColumn {
            table: table.to_owned(),
            name: "id".to_owned(),
            data_type: "uuid".to_owned(),
            is_enum: false,
            length: -5,
            is_required: false,
            is_key: true,
            target: target.map(|table| (table.to_owned(), "id".to_owned())),
            position: 1,
            is_generated: false,
        }
    }

    #[test]
    fn a_table_comes_after_those_that_it_references() {
        let tables = [
            column("a", Some("b")),
            column("b", Some("c")),
            column("c", Some("c")),
            column("d", Some("e")),
            column("e", Some("d")),
        ];
        assert_eq!(in_order(&tables), ["c", "b", "a", "d", "e"]);
    }
}
