//! A loss: a difference between two catalogs by which the database contains less than before.

use std::fmt;

use super::name::{Oid, TableName, as_written};

/// One loss. Its display form is that of a directive (`table laps`, `column laps.speed`, `rows of laps`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// The table is gone, or was moved into the attic.
    Table(TableName),
    /// The column is gone.
    Column(TableName, String),
    /// The column has another type.
    Retyped {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
        /// The type before.
        from: String,
        /// The type after.
        to: String,
        /// True if the table was rewritten, so that values may have changed. Otherwise no value has changed.
        rewritten: bool,
    },
    /// The table was rewritten or truncated.
    Rewritten(TableName),
    /// Rows were deleted, with their number from PostgreSQL's statistics of the transaction; 0 if a partition is gone.
    Rows(TableName, u64),
    /// The column no longer accepts NULL (true), or accepts it now (false).
    NotNull(TableName, String, bool),
    /// The column no longer has a default.
    Default(TableName, String),
    /// A constraint is gone.
    Constraint {
        /// The table of the constraint.
        table: TableName,
        /// `unique constraint`, `primary key`, `foreign key`, `check` or `exclusion constraint`.
        kind: &'static str,
        /// The name without quotes.
        name: String,
        /// The columns without quotes; expressions are omitted.
        columns: Vec<String>,
        /// The referenced table of a foreign key.
        references: Option<Oid>,
    },
    /// An index that belongs to no constraint is gone.
    Index {
        /// The table of the index.
        table: TableName,
        /// The name without quotes.
        name: String,
        /// The columns without quotes; expressions are omitted.
        columns: Vec<String>,
    },
    /// A view, sequence, type, trigger or policy is gone: kind and name.
    Object(String, String),
}

impl Loss {
    /// The table of the loss, unless it is an object.
    #[must_use]
    pub fn table(&self) -> Option<&TableName> {
        match self {
            Loss::Table(table)
            | Loss::Column(table, _)
            | Loss::Retyped { table, .. }
            | Loss::Rewritten(table)
            | Loss::Rows(table, _)
            | Loss::NotNull(table, ..)
            | Loss::Default(table, _)
            | Loss::Constraint { table, .. }
            | Loss::Index { table, .. } => Some(table),
            Loss::Object(..) => None,
        }
    }

    /// Returns true if data may be lost, rather than structure alone.
    #[must_use]
    pub fn may_concern_data(&self) -> bool {
        match self {
            Loss::Table(_) | Loss::Column(..) | Loss::Rewritten(_) | Loss::Rows(..) => true,
            Loss::Retyped { rewritten, .. } => *rewritten,
            _ => false,
        }
    }

    /// The item of `-- destroys:` that announces it.
    #[must_use]
    pub fn directive(&self) -> String {
        match self {
            Loss::Table(table) => format!("table {}", table.as_written()),
            Loss::Column(table, column) | Loss::Retyped { table, column, .. } => {
                format!("column {}.{}", table.as_written(), as_written(column))
            }
            Loss::Rewritten(table) | Loss::Rows(table, _) => format!("rows of {}", table.as_written()),
            other => other.to_string(),
        }
    }

    /// The unit of its amount, in the singular.
    #[must_use]
    pub fn unit(&self) -> &'static str {
        if matches!(self, Loss::Column(..) | Loss::Retyped { .. }) { "value" } else { "row" }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Table(table) => write!(f, "table {table}"),
            Loss::Column(table, column) => write!(f, "column {table}.{column}"),
            Loss::Retyped { table, column, from, to, .. } => write!(f, "column {table}.{column} ({from} to {to})"),
            Loss::Rewritten(table) | Loss::Rows(table, _) => write!(f, "rows of {table}"),
            Loss::NotNull(table, column, true) => write!(f, "NULL values in column {table}.{column}"),
            Loss::NotNull(table, column, false) => write!(f, "NOT NULL of column {table}.{column}"),
            Loss::Default(table, column) => write!(f, "default of column {table}.{column}"),
            Loss::Constraint { table, kind, name, columns, .. } => {
                write!(f, "{kind} {name} on {table} ({})", columns.join(", "))
            }
            Loss::Index { table, name, columns } => write!(f, "index {name} on {table} ({})", columns.join(", ")),
            Loss::Object(kind, name) => write!(f, "{kind} {name}"),
        }
    }
}

/// `no rows`, `1 row`, `12 values`.
#[must_use]
pub fn count(number: u64, unit: &str) -> String {
    match number {
        0 => format!("no {unit}s"),
        1 => format!("1 {unit}"),
        number => format!("{number} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::announced::Announcement;
    use super::*;

    #[test]
    fn the_directive_of_a_loss_announces_it() {
        for name in ["laps", "Laps", "größe x", "2026", "a.b"] {
            let table = TableName { schema: "public".to_owned(), name: name.to_owned() };
            let column = Loss::Column(table.clone(), "Top Speed".to_owned());
            for loss in [column, Loss::Rows(table.clone(), 3), Loss::Table(table)] {
                let directive = loss.directive();
                let read = Announcement::parse(&directive).unwrap_or_else(|| panic!("{directive}"));
                assert!(read.covers(&loss), "{directive}");
            }
        }
    }
}
