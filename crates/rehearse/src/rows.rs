//! The rows of a database as fingerprints, and the differences between two of them.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::database::TestDatabase;
use anyhow::Context as _;
use entrypoint::quote::identifier;
use testbed::schema::is_system;

use crate::catalog::OwnFields;
use crate::report::{UpgradeFindings, UpgradePart};

/// The columns of every table, each quoted for SQL, keys of Directus' tables included.
const COLUMNS: &str = r"
    select c.relname::text, array_agg(a.attname::text order by a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and not exists (select from pg_depend e where e.objid = c.oid and e.deptype = 'e')
    group by c.relname order by c.relname";

/// The content of a table in some of its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableContent {
    columns: BTreeSet<String>,
    rows: i64,
    /// SHA-256 of all rows, sorted.
    hash: String,
}

/// The content of all tables that are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseContent(BTreeMap<String, TableContent>);

impl DatabaseContent {
    /// Reads all tables except those of Directus, and of these the columns of own fields.
    pub(crate) async fn read(database: &TestDatabase, own: &OwnFields) -> anyhow::Result<DatabaseContent> {
        DatabaseContent::read_columns(database, |table, column| {
            !is_system(table) || own.get(table).is_some_and(|fields| column == "id" || fields.contains(column))
        })
        .await
    }

    /// Reads the same tables and columns after the upgrade, as far as they still exist, and all new tables.
    pub(crate) async fn read_again(&self, database: &TestDatabase) -> anyhow::Result<DatabaseContent> {
        DatabaseContent::read_columns(database, |table, column| match self.0.get(table) {
            Some(before) => before.columns.contains(column),
            None => !is_system(table),
        })
        .await
    }

    async fn read_columns(
        database: &TestDatabase,
        is_read: impl Fn(&str, &str) -> bool,
    ) -> anyhow::Result<DatabaseContent> {
        let client = database.connect().await?;
        let mut content = BTreeMap::new();
        for row in client.query(COLUMNS, &[]).await.context("failed to list columns")? {
            let (table, columns): (String, Vec<String>) = (row.get(0), row.get(1));
            let columns: BTreeSet<String> = columns.into_iter().filter(|column| is_read(&table, column)).collect();
            if columns.is_empty() {
                continue;
            }
            let names: Vec<String> = columns.iter().map(|column| identifier(column)).collect();
            let query = format!(
                "select count(*), encode(sha256(convert_to(coalesce(string_agg(t::text, E'\\n' order by t::text), ''), 'UTF8')), \
                 'hex') from (select {} from public.{}) t",
                names.join(", "),
                identifier(&table)
            );
            let row = client.query_one(&query, &[]).await.with_context(|| format!("failed to read {table}"))?;
            content.insert(table, TableContent { columns, rows: row.get(0), hash: row.get(1) });
        }
        Ok(DatabaseContent(content))
    }

    /// Numbers of tables and rows.
    pub(crate) fn size(&self) -> (usize, i64) {
        (self.0.len(), self.0.values().map(|table| table.rows).sum())
    }

    /// Compares with the content after the upgrade. Lost columns are differences of the schema, but their values are lost,
    /// too.
    pub(crate) fn compare(&self, after: &DatabaseContent, findings: &mut UpgradeFindings) {
        for (table, before) in &self.0 {
            let Some(after) = after.0.get(table) else {
                findings.look(UpgradePart::Rows, format!("table {table} with {} rows is gone", before.rows));
                continue;
            };
            let lost: Vec<&str> = before.columns.difference(&after.columns).map(String::as_str).collect();
            if !lost.is_empty() && before.rows > 0 {
                let (columns, rows) = (lost.join(", "), before.rows);
                findings.look(UpgradePart::Rows, format!("{table} has lost {columns} with the values of {rows} rows"));
            } else if after.rows != before.rows {
                findings.look(UpgradePart::Rows, format!("{table} had {} rows and has {}", before.rows, after.rows));
            } else if after.hash != before.hash {
                findings.look(UpgradePart::Rows, format!("rows of {table} have changed"));
            }
        }
        for (table, after) in after.0.iter().filter(|(table, _)| !self.0.contains_key(*table)) {
            findings.note(UpgradePart::Rows, format!("table {table} is new, with {} rows", after.rows));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DatabaseContent, TableContent};
    use crate::report::UpgradeFindings;

    fn content(tables: &[(&str, &[&str], i64, &str)]) -> DatabaseContent {
        let tables = tables.iter().map(|(table, columns, rows, hash)| {
            let columns = columns.iter().map(|&column| column.to_owned()).collect();
            ((*table).to_owned(), TableContent { columns, rows: *rows, hash: (*hash).to_owned() })
        });
        DatabaseContent(tables.collect())
    }

    #[test]
    fn every_difference_is_named_with_its_table() {
        let before = content(&[
            ("gone", &["id"], 2, "a"),
            ("less", &["id"], 3, "b"),
            ("narrow", &["id", "note"], 4, "c"),
            ("other", &["id"], 5, "d"),
            ("same", &["id"], 6, "e"),
        ]);
        let after = content(&[
            ("less", &["id"], 2, "f"),
            ("narrow", &["id"], 4, "g"),
            ("new", &["id"], 0, "h"),
            ("other", &["id"], 5, "i"),
            ("same", &["id"], 6, "e"),
        ]);
        let mut findings = UpgradeFindings::default();
        before.compare(&after, &mut findings);
        let expected = [
            "Look rows: table gone with 2 rows is gone",
            "Look rows: less had 3 rows and has 2",
            "Look rows: narrow has lost note with the values of 4 rows",
            "Look rows: rows of other have changed",
            "Note rows: table new is new, with 0 rows",
        ];
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn a_lost_column_of_an_empty_table_is_left_to_the_schema() {
        let (before, after) = (content(&[("a", &["id", "x"], 0, "")]), content(&[("a", &["id"], 0, "")]));
        let mut findings = UpgradeFindings::default();
        before.compare(&after, &mut findings);
        assert!(findings.lines().is_empty());
    }
}
