//! Names and numbers of tables.

use std::fmt;

use crate::quote::identifier;

/// PostgreSQL's number of a catalog entry.
pub type Oid = u32;

/// The name of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// For example `public`.
    pub schema: String,
    /// For example `laps`, without quotes.
    pub name: String,
}

impl TableName {
    /// The name for SQL: `"public"."laps"`.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }

    /// The name as in a directive: `laps`, `"Laps"`, `timing.laps`.
    pub(super) fn as_written(&self) -> String {
        let name = as_written(&self.name);
        if self.schema == "public" { name } else { format!("{}.{name}", as_written(&self.schema)) }
    }
}

/// The name, quoted only if PostgreSQL would otherwise read it as another one.
pub(super) fn as_written(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain && name.starts_with(|c: char| !c.is_ascii_digit()) { name.to_owned() } else { identifier(name) }
}

impl fmt::Display for TableName {
    /// `laps`; with its schema, unless that is `public`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema != "public" {
            write!(f, "{}.", self.schema)?;
        }
        f.write_str(&self.name)
    }
}
