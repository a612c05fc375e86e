//! Settles a suspicion: reads the data in question before the work of a second attempt, and again after it.

use std::fmt::Display;

use super::catalog::{Catalog, Oid};
use super::link::{Link, LinkError};
use super::loss::Loss;
use super::name::TableName;
use crate::quote::{identifier, literal};

/// A suspicion that was measured before the work.
#[derive(Debug)]
pub struct Measure {
    loss: Loss,
    before: Before,
}

/// The data before the work.
#[derive(Debug)]
enum Before {
    /// The number of rows or values, all of which would be lost.
    Count(u64),
    /// The number of rows of a table without a primary key.
    Rows(u64),
    /// The temporary table with the primary keys, and the columns of the key.
    Keys(String, Vec<String>),
    /// The temporary table with the rows.
    Content(String),
    /// The temporary table with the column's values.
    Values(String),
}

impl Measure {
    /// The suspected loss.
    #[must_use]
    pub fn loss(&self) -> &Loss {
        &self.loss
    }

    /// Reads the data before the work. Locks the table against writers first, so that no other session changes it until
    /// the transaction ends.
    ///
    /// # Errors
    /// Fails if a query does, or with 55P03 if the lock was not available within `lock_timeout`.
    pub async fn take(
        link: &mut Link<'_>,
        catalog: &Catalog,
        loss: &Loss,
        number: usize,
    ) -> Result<Measure, LinkError> {
        let Some(table) = loss.table() else {
            return Ok(Measure { loss: loss.clone(), before: Before::Count(1) });
        };
        let oid = catalog.number_of(table);
        let quoted = oid.map_or_else(|| table.quoted(), |oid| catalog.rows_of(oid));
        link.rows(&format!("lock table {} in share row exclusive mode", table.quoted())).await?;
        let copy = format!("pg_temp.witness_{number}");
        let before = match loss {
            Loss::Column(_, column) => Before::Count(count(link, &identifier(column), &quoted).await?),
            Loss::Retyped { column, .. } => {
                let column = identifier(column);
                let create =
                    format!("create temporary table witness_{number} on commit drop as select {column} as value");
                link.rows(&format!("{create} from {quoted} where {column} is not null")).await?;
                Before::Values(copy)
            }
            Loss::Rewritten(_) => {
                let create =
                    format!("create temporary table witness_{number} on commit drop as select * from {quoted}");
                link.rows(&create).await?;
                Before::Content(copy)
            }
            Loss::Rows(..) => match primary_key(catalog, table) {
                key if key.is_empty() => Before::Rows(count(link, "*", &quoted).await?),
                key => {
                    let columns: Vec<String> = key.iter().map(|column| identifier(column)).collect();
                    let create = format!("create temporary table witness_{number} on commit drop as select");
                    link.rows(&format!("{create} {} from {quoted}", columns.join(", "))).await?;
                    Before::Keys(copy, columns)
                }
            },
            _ => Before::Count(count(link, "*", &quoted).await?),
        };
        Ok(Measure { loss: loss.clone(), before })
    }

    /// Returns the number of rows or values that the work has destroyed. In `after`, the catalog after the work, the
    /// table may have another name.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn lost(&self, link: &mut Link<'_>, before: &Catalog, after: &Catalog) -> Result<u64, LinkError> {
        let oid = self.loss.table().and_then(|table| before.number_of(table));
        let now = oid.filter(|oid| after.relations.contains_key(oid)).map(|oid| after.rows_of(oid));
        match (&self.before, now.as_deref()) {
            (Before::Count(number), _) => Ok(*number),
            (Before::Rows(_) | Before::Keys(..) | Before::Content(_) | Before::Values(_), None) => Ok(1),
            (Before::Content(copy), Some(now)) => self.lost_content(link, copy, now, before, after).await,
            (Before::Rows(rows), Some(now)) => {
                let left = count(link, "*", now).await?;
                Ok(lost_without_key(*rows, left, before, after, self.loss.table()))
            }
            (Before::Keys(copy, columns), Some(now)) => {
                let columns = columns.join(", ");
                let missing = format!(
                    "select count(*) from (select {columns} from {copy} except select {columns} from {now}) missing"
                );
                // If the key itself has changed, only the number of rows can be compared.
                match link.attempt(&missing).await? {
                    Some(rows) => Ok(first_number(&rows)),
                    None => {
                        let rows = count(link, "*", copy).await?;
                        Ok(rows.saturating_sub(count(link, "*", now).await?))
                    }
                }
            }
            (Before::Values(copy), Some(now)) => self.lost_values(link, copy, now, before, after).await,
        }
    }

    /// Lost rows of a table that was rewritten. If the work also updated rows, only their number can be compared;
    /// otherwise every column that still exists with its type must have the same values.
    async fn lost_content(
        &self,
        link: &mut Link<'_>,
        copy: &str,
        now: &str,
        before: &Catalog,
        after: &Catalog,
    ) -> Result<u64, LinkError> {
        let rows = count(link, "*", copy).await?.saturating_sub(count(link, "*", now).await?);
        let oid = self.loss.table().and_then(|table| before.number_of(table));
        let Some(oid) = oid.filter(|oid| updated_rows(before, before, *oid) == updated_rows(before, after, *oid))
        else {
            return Ok(rows);
        };
        let (Some(before), Some(after)) = (before.relations.get(&oid), after.relations.get(&oid)) else {
            return Ok(rows);
        };
        let same = before.columns.iter().filter_map(|(number, column)| {
            let now = after.columns.get(number).filter(|now| now.data_type == column.data_type)?;
            Some((format!("{}::text", identifier(&column.name)), format!("{}::text", identifier(&now.name))))
        });
        let (old, new): (Vec<String>, Vec<String>) = same.unzip();
        if old.is_empty() {
            return Ok(rows);
        }
        let missing = format!(
            "select count(*) from (select {} from {copy} except all select {} from {}) missing",
            old.join(", "),
            new.join(", "),
            now
        );
        Ok(link.number(&missing).await?.max(rows))
    }

    /// Lost values of a column whose type changed: those that differ when they are cast back.
    async fn lost_values(
        &self,
        link: &mut Link<'_>,
        copy: &str,
        now: &str,
        before: &Catalog,
        after: &Catalog,
    ) -> Result<u64, LinkError> {
        let Loss::Retyped { table, column, from, .. } = &self.loss else { return Ok(0) };
        let number = before.number_of(table).and_then(|oid| {
            let (number, _) = before.find_column(oid, column)?;
            Some(identifier(&after.relations.get(&oid)?.columns.get(&number)?.name))
        });
        let Some(column) = number else { return Ok(1) };
        // Equal JSON values may differ in white space.
        let canonical = if from == "json" { "::jsonb::text" } else { "::text" };
        for back in [format!("({column}::{from}){canonical}"), format!("(({column}::text)::{from}){canonical}")] {
            let missing = format!(
                "select count(*) from (select value{canonical} from {copy} except all select {back} from {now}) missing"
            );
            if let Some(rows) = link.attempt(&missing).await? {
                return Ok(first_number(&rows));
            }
        }
        // The new type has no cast back.
        count(link, "*", copy).await
    }
}

/// Lost rows of a table without a key, from the statistics. These also count rows that a rollback to a savepoint
/// restored; the sums then do not add up, and only the number of rows is compared.
fn lost_without_key(rows: u64, left: u64, before: &Catalog, after: &Catalog, table: Option<&TableName>) -> u64 {
    let Some(oid) = table.and_then(|table| before.number_of(table)) else { return 0 };
    let (mut inserted, mut deleted) = (0, 0);
    let partitions =
        after.written.iter().filter(|(table, _)| after.root(**table) == oid || before.root(**table) == oid);
    for (table, now) in partitions {
        let earlier = before.written.get(table).copied().unwrap_or_default();
        inserted += now.inserted.saturating_sub(earlier.inserted);
        deleted += now.deleted.saturating_sub(earlier.deleted);
    }
    let adds_up = (rows + inserted).checked_sub(deleted) == Some(left);
    if adds_up { deleted } else { rows.saturating_sub(left) }
}

/// Updated rows of a table and its parts, which are those of the catalog `before`.
fn updated_rows(before: &Catalog, catalog: &Catalog, table: Oid) -> u64 {
    let parts = catalog.written.iter().filter(|(part, _)| before.root(**part) == table);
    parts.map(|(_, written)| written.updated).sum()
}

fn primary_key(catalog: &Catalog, table: &TableName) -> Vec<String> {
    catalog.number_of(table).map(|oid| catalog.primary_key(oid)).unwrap_or_default()
}

async fn count(link: &mut Link<'_>, expression: &str, table: &str) -> Result<u64, LinkError> {
    link.number(&format!("select count({expression}) from {table}")).await
}

fn first_number(rows: &[Vec<Option<String>>]) -> u64 {
    rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok()).unwrap_or(0)
}

/// The amount of a loss, counted after the rollback, for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedRows {
    /// Rows or values.
    pub number: u64,
    /// `12 rows`, `no values`, `about 3000000 rows`.
    pub words: String,
}

impl AffectedRows {
    /// A number that was counted.
    #[must_use]
    pub fn counted(number: u64, loss: &Loss) -> AffectedRows {
        AffectedRows { number, words: super::loss::count(number, loss.unit()) }
    }
}

/// Puts losses with data before those without, and adds the sentence for the message: `table laps (12 rows)`.
pub fn data_first<L: Display>(losses: Vec<(L, Option<AffectedRows>)>) -> impl Iterator<Item = (L, String)> {
    let has_data = |(_, amount): &(L, Option<AffectedRows>)| amount.as_ref().is_some_and(|amount| amount.number > 0);
    let (with_data, without): (Vec<_>, Vec<_>) = losses.into_iter().partition(has_data);
    with_data.into_iter().chain(without).map(|(loss, amount)| {
        let sentence = match amount {
            Some(amount) => format!("{loss} ({})", amount.words),
            None => loss.to_string(),
        };
        (loss, sentence)
    })
}

/// Counts the data of a loss; an estimate if counting takes too long, and `None` for a loss without data.
///
/// # Errors
/// Fails if a query does.
pub async fn count_affected_rows(link: &mut Link<'_>, loss: &Loss) -> Result<Option<AffectedRows>, LinkError> {
    let Some(table) = loss.table().filter(|_| loss.may_concern_data()) else { return Ok(None) };
    let counted = match loss {
        Loss::Column(_, column) | Loss::Retyped { column, .. } => identifier(column),
        _ => "*".to_owned(),
    };
    link.rows(&format!("begin read only; set local statement_timeout = '{COUNTING}'; set local lock_timeout = '1s'"))
        .await?;
    let result = link.rows(&format!("select count({counted}) from {}", table.quoted())).await;
    link.rows("rollback").await?;
    match result {
        Ok(rows) => Ok(Some(AffectedRows::counted(first_number(&rows), loss))),
        // Counting took too long, or the table is locked.
        Err(error) if matches!(error.code(), Some("57014" | "55P03")) => {
            let estimate = format!(
                "select greatest(reltuples, 0)::bigint from pg_catalog.pg_class where oid = to_regclass({})",
                literal(&table.quoted())
            );
            let number = link.number(&estimate).await?;
            Ok(Some(AffectedRows { number, words: format!("about {number} rows") }))
        }
        Err(error) if error.code() == Some("42P01") || error.code() == Some("42703") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Time limit for counting the rows of one loss; after that, an estimate is enough.
const COUNTING: &str = "5s";
