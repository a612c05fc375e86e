//! The losses that were announced before the work: by directives of a SQL file, or by a plan of Directus.

use std::fmt;

use super::loss::Loss;
use super::name::TableName;

/// What may be lost, and what the witness does about the rest.
pub trait Announced {
    /// The decision about one loss.
    fn permission(&self, loss: &Loss) -> Permission;
}

/// A decision about one loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It was announced.
    Announced,
    /// It does not count here.
    Ignored,
    /// It counts only if data was really destroyed, which has to be measured.
    Measured,
    /// It was not announced.
    Refused,
}

/// One item of `-- destroys:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    kind: Kind,
    schema: Option<String>,
    table: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Table,
    Column(String),
    Rows,
}

/// How a directive is written; for messages.
pub const FORMS: &str = "`table laps`, `column laps.speed` or `rows of laps`";

impl Announcement {
    /// Reads `table laps`, `column laps.speed`, `rows of laps`; a schema may stand before the table.
    #[must_use]
    pub fn parse(text: &str) -> Option<Announcement> {
        let (kind, name) = text.trim().split_once(char::is_whitespace)?;
        let mut parts: Vec<String> = match (kind, name.trim().strip_prefix("of ")) {
            ("rows", Some(name)) => name_parts(name)?,
            ("table" | "column", None) => name_parts(name)?,
            _ => return None,
        };
        let kind = match kind {
            "table" => Kind::Table,
            "rows" => Kind::Rows,
            _ => Kind::Column(parts.pop().filter(|_| !parts.is_empty())?),
        };
        let table = parts.pop()?;
        let schema = parts.pop();
        parts.is_empty().then_some(Announcement { kind, schema, table })
    }

    /// The schema, if one was given, and the table.
    #[must_use]
    pub fn table(&self) -> (Option<&str>, &str) {
        (self.schema.as_deref(), &self.table)
    }

    /// The column of `column laps.speed`.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        if let Kind::Column(column) = &self.kind { Some(column) } else { None }
    }

    /// Returns true if it names the rows of a table only.
    #[must_use]
    pub fn is_rows(&self) -> bool {
        self.kind == Kind::Rows
    }

    /// Returns true if it announces that loss. A table stands for everything in it.
    #[must_use]
    pub fn covers(&self, loss: &Loss) -> bool {
        let is_table = |table: &TableName| {
            self.table == table.name && self.schema.as_ref().is_none_or(|schema| *schema == table.schema)
        };
        if !loss.table().is_some_and(is_table) {
            return false;
        }
        match (&self.kind, loss) {
            (Kind::Table, _) => true,
            (Kind::Column(column), Loss::Column(_, lost) | Loss::Retyped { column: lost, .. }) => column == lost,
            (Kind::Rows, Loss::Rows(..) | Loss::Rewritten(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema.as_ref().map_or_else(String::new, |schema| format!("{schema}."));
        let table = format!("{schema}{}", self.table);
        match &self.kind {
            Kind::Table => write!(f, "table {table}"),
            Kind::Column(column) => write!(f, "column {table}.{column}"),
            Kind::Rows => write!(f, "rows of {table}"),
        }
    }
}

/// `a.b` and `"A b".c` as names; without quotes in lower case, as PostgreSQL reads them.
fn name_parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (quoted[..end].to_owned(), &quoted[end + 1..])
            }
            None => {
                let end = rest.find('.').unwrap_or(rest.len());
                (rest[..end].to_ascii_lowercase(), &rest[end..])
            }
        };
        if part.is_empty() || part.contains(char::is_whitespace) && !rest.starts_with('"') {
            return None;
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return after.is_empty().then_some(parts),
        }
    }
}

/// The directives of a SQL file. Only data counts: an old history must still run on an empty database.
impl Announced for [Announcement] {
    fn permission(&self, loss: &Loss) -> Permission {
        if self.iter().any(|announcement| announcement.covers(loss)) {
            Permission::Announced
        } else if loss.may_concern_data() {
            Permission::Measured
        } else {
            Permission::Ignored
        }
    }
}

/// Directus' installation and its own migrations: its own tables are its business, everything else is not.
#[derive(Clone, Copy, Debug)]
pub struct DirectusMigrations;

impl Announced for DirectusMigrations {
    fn permission(&self, loss: &Loss) -> Permission {
        let name = match loss {
            Loss::Object(_, name) => name.as_str(),
            _ => loss.table().map_or("", |table| &table.name),
        };
        // A trigger's or policy's name ends with its table; a schema is part of a table's name.
        let is_own = name.rsplit([' ', '.']).next().is_some_and(|name| name.starts_with("directus_"));
        match loss {
            _ if is_own => Permission::Ignored,
            Loss::Rows(..) | Loss::Rewritten(_) => Permission::Measured,
            _ => Permission::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laps() -> TableName {
        TableName { schema: "public".to_owned(), name: "laps".to_owned() }
    }

    #[test]
    fn announcements_are_read_as_they_are_displayed() {
        for text in ["table laps", "column laps.speed", "rows of laps", "column timing.laps.speed", "table timing.laps"]
        {
            assert_eq!(Announcement::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Announcement::parse("table \"Laps 1\"").expect("quoted").table(), (None, "Laps 1"));
        assert_eq!(Announcement::parse("table Laps").expect("folded").table(), (None, "laps"));
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["laps", "table", "column laps", "rows laps", "table a b", "table a.b.c", "tables laps", "table a..b"]
        {
            assert_eq!(Announcement::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_table_stands_for_everything_in_it_and_a_column_for_itself() {
        let parse = |text: &str| Announcement::parse(text).expect(text);
        let column = Loss::Column(laps(), "speed".to_owned());
        assert!(parse("table laps").covers(&Loss::Table(laps())) && parse("table laps").covers(&column));
        assert!(parse("column laps.speed").covers(&column) && !parse("column laps.pace").covers(&column));
        assert!(!parse("column laps.speed").covers(&Loss::Table(laps())));
        assert!(parse("rows of laps").covers(&Loss::Rows(laps(), 3)) && !parse("rows of laps").covers(&column));
        assert!(!parse("table timing.laps").covers(&Loss::Table(laps())));
    }

    #[test]
    fn directus_migrations_may_change_their_own_tables_only() {
        let own = TableName { schema: "public".to_owned(), name: "directus_users".to_owned() };
        assert_eq!(DirectusMigrations.permission(&Loss::Table(own)), Permission::Ignored);
        assert_eq!(DirectusMigrations.permission(&Loss::Table(laps())), Permission::Refused);
        assert_eq!(DirectusMigrations.permission(&Loss::Rows(laps(), 1)), Permission::Measured);
        let object = |kind: &str, name: &str| Loss::Object(kind.to_owned(), name.to_owned());
        let own = object("trigger", "stamp on directus_files");
        assert_eq!(DirectusMigrations.permission(&own), Permission::Ignored);
        let view = object("view", "laps_of_directus_users");
        assert_eq!(DirectusMigrations.permission(&view), Permission::Refused);
    }
}
