//! The tables of a database, and the locks of a transaction, as PostgreSQL's catalog has them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use entrypoint::witness::{Loss, TableName};
use tokio_postgres::GenericClient;

/// Rows are counted up to here.
pub(super) const MOST_ROWS: i64 = 1_000_000;

/// The tables of a database that are neither PostgreSQL's own nor those of an extension, by their number.
pub(super) struct Tables(BTreeMap<u32, TableState>);

pub(super) struct TableState {
    oid: u32,
    /// The table at the top of its partitions or heirs; for any other table, its own number.
    root: u32,
    name: TableName,
    columns: BTreeMap<i16, String>,
    /// The file with its rows; TRUNCATE gives it another one.
    filenode: u32,
    /// Rows that this session has deleted.
    deleted: i64,
}

impl Tables {
    pub(super) async fn read(client: &impl GenericClient) -> anyhow::Result<Tables> {
        let rows = client
            .query(
                "with recursive tree (oid, root) as (
                     select c.oid, c.oid from pg_catalog.pg_class c
                     where c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't'
                       and c.relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
                       and not exists (select from pg_catalog.pg_inherits where inhrelid = c.oid)
                       and not exists (select from pg_catalog.pg_depend
                                       where deptype = 'e' and (classid, objid) in (('pg_class'::regclass, c.oid),
                                                                                    ('pg_namespace'::regclass, c.relnamespace)))
                     union
                     select i.inhrelid, tree.root from tree join pg_catalog.pg_inherits i on i.inhparent = tree.oid
                 )
                 select c.oid, tree.root, n.nspname::text, c.relname::text, c.relfilenode, coalesce(s.n_tup_del, 0),
                        array(select attnum from pg_catalog.pg_attribute a
                              where a.attrelid = c.oid and attnum > 0 and not attisdropped order by attnum),
                        array(select attname::text from pg_catalog.pg_attribute a
                              where a.attrelid = c.oid and attnum > 0 and not attisdropped order by attnum)
                 from tree
                 join pg_catalog.pg_class c on c.oid = tree.oid
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                 left join pg_catalog.pg_stat_xact_user_tables s on s.relid = c.oid",
                &[],
            )
            .await
            .context("failed to read the tables of the database")?;
        let table = |row: &tokio_postgres::Row| {
            let columns = row.get::<_, Vec<i16>>(6).into_iter().zip(row.get::<_, Vec<String>>(7));
            TableState {
                oid: row.get(0),
                root: row.get(1),
                name: TableName { schema: row.get(2), name: row.get(3) },
                filenode: row.get(4),
                deleted: row.get(5),
                columns: columns.collect(),
            }
        };
        Ok(Tables(rows.iter().map(table).map(|table| (table.oid, table)).collect()))
    }

    /// Counts the rows of each table, up to [`MOST_ROWS`]; those of its partitions and heirs included.
    pub(super) async fn count_rows(&self, client: &impl GenericClient) -> anyhow::Result<BTreeMap<u32, i64>> {
        let mut counts = BTreeMap::new();
        for table in self.0.values() {
            let query = format!("select count(*) from (select from {} limit {MOST_ROWS}) rows", table.name.quoted());
            let row = client.query_one(&query, &[]).await;
            let row = row.with_context(|| format!("failed to count the rows of {}", table.name))?;
            counts.insert(table.oid, row.get(0));
        }
        Ok(counts)
    }

    /// Returns the table at the top of a table's partitions or heirs, with its number.
    pub(super) fn root(&self, oid: u32) -> Option<(u32, &TableName)> {
        let root = self.0.get(&self.0.get(&oid)?.root)?;
        Some((root.oid, &root.name))
    }

    /// Returns the names of the tables with rows.
    pub(super) fn with_rows(&self, rows: &BTreeMap<u32, i64>) -> Vec<TableName> {
        self.0.values().filter(|table| rows[&table.oid] > 0).map(|table| table.name.clone()).collect()
    }

    /// Returns what tables with rows have lost since, with the number of rows. Losses of a partition are those of its
    /// table.
    ///
    /// # Errors
    /// Fails if the database does not answer.
    pub(super) async fn losses(
        &self,
        now: &Tables,
        rows: &BTreeMap<u32, i64>,
        client: &impl GenericClient,
    ) -> anyhow::Result<Vec<(Loss, u64)>> {
        let mut losses = Vec::new();
        let mut rows_of: BTreeMap<TableName, u64> = BTreeMap::new();
        for table in self.0.values() {
            let rows = rows.get(&table.oid).copied().unwrap_or_default().unsigned_abs();
            let Some((root, root_name)) = self.root(table.oid).filter(|_| rows > 0) else { continue };
            let is_root = root == table.oid;
            let gone = match now.0.get(&table.oid) {
                None if is_root => {
                    losses.push((Loss::Table(table.name.clone()), rows));
                    0
                }
                // With its table; otherwise it was dropped alone.
                None if !now.0.contains_key(&root) => 0,
                None => rows,
                Some(present) => {
                    let columns =
                        table.columns.iter().filter(|(number, _)| is_root && !present.columns.contains_key(number));
                    losses.extend(columns.map(|(_, column)| (Loss::Column(table.name.clone(), column.clone()), rows)));
                    // Truncated, or rewritten by an ALTER.
                    if present.filenode != table.filenode && present.is_empty(client).await? {
                        rows
                    } else {
                        (present.deleted - table.deleted).max(0).unsigned_abs()
                    }
                }
            };
            if gone > 0 {
                *rows_of.entry(root_name.clone()).or_default() += gone;
            }
        }
        losses.extend(rows_of.into_iter().map(|(table, amount)| (Loss::Rows(table, amount), amount)));
        Ok(losses)
    }
}

impl TableState {
    async fn is_empty(&self, client: &impl GenericClient) -> anyhow::Result<bool> {
        let query = format!("select not exists (select from {})", self.name.quoted());
        let row = client.query_one(&query, &[]).await.with_context(|| format!("failed to read {}", self.name))?;
        Ok(row.get(0))
    }
}

/// Returns the locks of this transaction that block others: the number of the table, and the mode.
pub(super) async fn locks(client: &impl GenericClient) -> anyhow::Result<Vec<(u32, String)>> {
    let rows = client
        .query(
            "select relation, mode from pg_catalog.pg_locks
             where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted
               and mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')",
            &[],
        )
        .await
        .context("failed to read pg_locks")?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
