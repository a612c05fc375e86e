//! Losses announced before the work: by directives of a SQL file, or by a plan of Directus.

use std::fmt;

use super::loss::Loss;
use super::name::TableName;

/// The losses that were announced, and the treatment of all others.
pub trait Announced {
    /// The decision about one loss.
    fn permission(&self, loss: &Loss) -> Permission;
}

/// A decision about one loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It was announced.
    Announced,
    /// It is not counted as a loss here.
    Ignored,
    /// It counts only if data was destroyed, which has to be measured.
    Measured,
    /// It was not announced.
    Refused,
}

/// One item of `-- destroys:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    kind: LossKind,
    schema: Option<String>,
    table: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum LossKind {
    Table,
    Column(String),
    Rows,
}

/// The forms of an announcement, for messages.
pub const FORMS: &str = "`table laps`, `column laps.speed` or `rows of laps`";

impl Announcement {
    /// Reads `table laps`, `column laps.speed`, `rows of laps`; a schema may precede the table.
    #[must_use]
    pub fn parse(text: &str) -> Option<Announcement> {
        let (kind, name) = text.trim().split_once(char::is_whitespace)?;
        let mut parts: Vec<String> = match (kind, name.trim().strip_prefix("of ")) {
            ("rows", Some(name)) => name_parts(name)?,
            ("table" | "column", None) => name_parts(name)?,
            _ => return None,
        };
        let kind = match kind {
            "table" => LossKind::Table,
            "rows" => LossKind::Rows,
            _ => LossKind::Column(parts.pop().filter(|_| !parts.is_empty())?),
        };
        let table = parts.pop()?;
        let schema = parts.pop();
        parts.is_empty().then_some(Announcement { kind, schema, table })
    }

    /// The schema, if the announcement names one, and the table.
    #[must_use]
    pub fn table(&self) -> (Option<&str>, &str) {
        (self.schema.as_deref(), &self.table)
    }

    /// The column of `column laps.speed`.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        if let LossKind::Column(column) = &self.kind { Some(column) } else { None }
    }

    /// Returns true if it announces only the loss of rows.
    #[must_use]
    pub fn is_rows(&self) -> bool {
        self.kind == LossKind::Rows
    }

    /// Returns true if it announces that loss. A table includes everything in it.
    #[must_use]
    pub fn covers(&self, loss: &Loss) -> bool {
        if !loss.table().is_some_and(|table| self.names(table)) {
            return false;
        }
        match (&self.kind, loss) {
            (LossKind::Table, _) => true,
            (LossKind::Column(column), Loss::Column(_, lost) | Loss::Retyped { column: lost, .. }) => column == lost,
            (LossKind::Rows, Loss::Rows(..) | Loss::Rewritten(_)) => true,
            _ => false,
        }
    }

    fn names(&self, table: &TableName) -> bool {
        self.table == table.name && self.schema.as_ref().is_none_or(|schema| *schema == table.schema)
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema.as_ref().map_or_else(String::new, |schema| format!("{schema}."));
        let table = format!("{schema}{}", self.table);
        match &self.kind {
            LossKind::Table => write!(f, "table {table}"),
            LossKind::Column(column) => write!(f, "column {table}.{column}"),
            LossKind::Rows => write!(f, "rows of {table}"),
        }
    }
}

/// Splits `a.b` or `"A b".c` into names. Names without quotes are folded to lower case, as in PostgreSQL.
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

/// The directives of a SQL file. Only lost data counts, so that an old history still runs on an empty database.
///
/// Next to servers of other images, which read and write what is there, structure counts too: a table, column or view
/// that is gone, even if it was empty, and a column that no longer accepts NULL.
#[derive(Clone, Copy, Debug)]
pub struct OfFile<'a> {
    /// The items of `-- destroys:`.
    pub destroys: &'a [Announcement],
    /// True if the file may only add.
    pub only_adds: bool,
}

impl Announced for OfFile<'_> {
    fn permission(&self, loss: &Loss) -> Permission {
        let breaks = match loss {
            Loss::Table(_) | Loss::Column(..) | Loss::NotNull(_, _, true) => true,
            Loss::Object(kind, _) => kind.ends_with("view"),
            _ => false,
        };
        if self.destroys.iter().any(|announcement| announcement.covers(loss)) {
            Permission::Announced
        } else if self.only_adds && breaks {
            Permission::Refused
        } else if loss.may_concern_data() {
            Permission::Measured
        } else {
            Permission::Ignored
        }
    }
}

/// Directus' installation and its own migrations, which may change Directus' own tables and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct DirectusMigrations;

impl Announced for DirectusMigrations {
    fn permission(&self, loss: &Loss) -> Permission {
        let name = match loss {
            Loss::Object(_, name) => name.as_str(),
            _ => loss.table().map_or("", |table| &table.name),
        };
        // The name of a trigger or policy ends with its table, and the name of a table may begin with its schema.
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

    fn parse(text: &str) -> Announcement {
        Announcement::parse(text).expect(text)
    }

    fn permission_for_object(kind: &str, name: &str) -> Permission {
        DirectusMigrations.permission(&Loss::Object(kind.to_owned(), name.to_owned()))
    }

    #[test]
    fn parsing_an_announcement_reverses_displaying_it() {
        for text in ["table laps", "column laps.speed", "rows of laps", "column timing.laps.speed", "table timing.laps"]
        {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("table \"Laps 1\"").table(), (None, "Laps 1"));
        assert_eq!(parse("table Laps").table(), (None, "laps"));
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
    fn a_table_covers_everything_in_it_and_a_column_only_itself() {
        let column = Loss::Column(laps(), "speed".to_owned());
        assert!(parse("table laps").covers(&Loss::Table(laps())) && parse("table laps").covers(&column));
        assert!(parse("column laps.speed").covers(&column) && !parse("column laps.pace").covers(&column));
        assert!(!parse("column laps.speed").covers(&Loss::Table(laps())));
        assert!(parse("rows of laps").covers(&Loss::Rows(laps(), 3)) && !parse("rows of laps").covers(&column));
        assert!(!parse("table timing.laps").covers(&Loss::Table(laps())));
    }

    #[test]
    fn next_to_other_servers_empty_structure_counts_too() {
        let column = Loss::Column(laps(), "speed".to_owned());
        let view = Loss::Object("view".to_owned(), "best_laps".to_owned());
        let permission = |destroys: &[Announcement], loss: &Loss| OfFile { destroys, only_adds: true }.permission(loss);
        let narrowed = Loss::NotNull(laps(), "speed".to_owned(), true);
        for loss in [&column, &view, &narrowed] {
            assert_eq!(permission(&[], loss), Permission::Refused, "{loss}");
        }
        assert_eq!(permission(&[parse("column laps.speed")], &column), Permission::Announced);
        assert_eq!(permission(&[], &Loss::Rows(laps(), 3)), Permission::Measured);
    }

    #[test]
    fn directus_migrations_may_change_their_own_tables_only() {
        let own = TableName { schema: "public".to_owned(), name: "directus_users".to_owned() };
        assert_eq!(DirectusMigrations.permission(&Loss::Table(own)), Permission::Ignored);
        assert_eq!(DirectusMigrations.permission(&Loss::Table(laps())), Permission::Refused);
        assert_eq!(DirectusMigrations.permission(&Loss::Rows(laps(), 1)), Permission::Measured);
        assert_eq!(permission_for_object("trigger", "stamp on directus_files"), Permission::Ignored);
        assert_eq!(permission_for_object("view", "laps_of_directus_users"), Permission::Refused);
    }
}
