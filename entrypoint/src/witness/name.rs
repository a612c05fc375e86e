//! The name and the number of a table.

use std::fmt;

use crate::quote::identifier;

/// PostgreSQL's number of a catalog entry.
pub type Oid = u32;

/// The name of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// `public`.
    pub schema: String,
    /// `laps`.
    pub name: String,
}

impl TableName {
    /// For SQL: `"public"."laps"`.
    #[must_use]
    pub fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.schema), identifier(&self.name))
    }
}

impl TableName {
    /// As a person writes it: `laps`, `"Laps"`, `timing.laps`.
    pub(super) fn as_written(&self) -> String {
        let name = as_written(&self.name);
        if self.schema == "public" { name } else { format!("{}.{name}", as_written(&self.schema)) }
    }
}

/// A name without quotes where PostgreSQL reads it back as the same.
pub(super) fn as_written(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        identifier(name)
    }
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
