//! The part of PostgreSQL's catalog that a boot must not shrink, and the row counts of the open transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::moment::Moment;
pub use super::name::Oid;
use super::name::TableName;

/// A table, partition, view, sequence or foreign table, with its columns, constraints and triggers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Schema and name.
    pub name: TableName,
    /// `r` table, `p` partitioned table, `v` view, `m` materialized view, `f` foreign table, `S` sequence.
    pub kind: char,
    /// The file that contains its rows; replaced by TRUNCATE and by an ALTER TABLE that rewrites the table.
    pub filenode: Oid,
    /// The table that it is a partition of, or inherits from.
    pub parent: Option<Oid>,
    /// Columns by number; empty for a part, which has the columns of its parent.
    pub columns: BTreeMap<i16, Column>,
    /// Constraints and indexes by definition, without the name.
    pub constraints: BTreeMap<String, Constraint>,
    /// Triggers and policies, as pairs of kind and name.
    pub objects: BTreeSet<(String, String)>,
}

impl Relation {
    /// Returns true if it contains rows, itself or in its partitions.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }

    /// The word for the kind of a relation that is not a table.
    #[must_use]
    pub fn kind_of_object(&self) -> Option<&'static str> {
        match self.kind {
            'v' => Some("view"),
            'm' => Some("materialized view"),
            'S' => Some("sequence"),
            'f' => Some("foreign table"),
            _ => None,
        }
    }

    /// The names of the columns with these numbers.
    #[must_use]
    pub fn column_names(&self, numbers: &[i16]) -> Vec<String> {
        numbers.iter().filter_map(|number| Some(self.columns.get(number)?.name.clone())).collect()
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name without quotes.
    pub name: String,
    /// Type with length and precision, as PostgreSQL formats it.
    pub data_type: String,
    /// True for NOT NULL.
    pub not_null: bool,
    /// Default, generation expression or identity.
    pub default: Option<String>,
}

/// A constraint or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Name without quotes.
    pub name: String,
    /// `p`, `u`, `f`, `c`, `x` as in `pg_constraint.contype`, or `i` for an index without a constraint.
    pub kind: char,
    /// Column numbers; 0 for an expression.
    pub columns: Vec<i16>,
    /// The referenced table of a foreign key.
    pub references: Option<Oid>,
}

/// Row counts in a session's unreported statistics: of this transaction, and of earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Inserted rows.
    pub inserted: u64,
    /// Updated rows.
    pub updated: u64,
    /// Deleted rows.
    pub deleted: u64,
}

/// The catalog at one moment of a transaction. The next reading shares every relation that has not changed.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Relations by number.
    pub relations: BTreeMap<Oid, Rc<Relation>>,
    /// Names of the enum types.
    pub enum_types: BTreeSet<String>,
    /// Row counts by table; tables without any are omitted.
    pub written: BTreeMap<Oid, Written>,
    /// The time of the reading.
    pub(super) moment: Moment,
    /// Two numbers per relation and its parts; they change whenever one of their catalog entries changes.
    pub(super) stamps: BTreeMap<Oid, (u64, u64)>,
}

impl Catalog {
    /// The name of the table with that number.
    #[must_use]
    pub fn table_name(&self, table: Oid) -> Option<&TableName> {
        self.relations.get(&table).map(|relation| &relation.name)
    }

    /// The number of the table with exactly that name.
    #[must_use]
    pub fn number_of(&self, table: &TableName) -> Option<Oid> {
        self.find_table(Some(&table.schema), &table.name)
    }

    /// The number of the table with that name; without a schema, of the first match, `public` before other schemas.
    #[must_use]
    pub fn find_table(&self, schema: Option<&str>, name: &str) -> Option<Oid> {
        let named = self.relations.iter().filter(|(_, relation)| {
            relation.is_table()
                && relation.name.name == name
                && schema.is_none_or(|schema| schema == relation.name.schema)
        });
        named.min_by_key(|(_, relation)| (relation.name.schema != "public", &relation.name)).map(|(oid, _)| *oid)
    }

    /// The number of deleted rows according to the row counts.
    #[must_use]
    pub fn deleted(&self, table: Oid) -> u64 {
        self.written.get(&table).map_or(0, |written| written.deleted)
    }

    /// Returns true if the table is a part of another one: a partition, or a table that inherits and adds no columns.
    #[must_use]
    pub fn is_part(&self, table: Oid) -> bool {
        self.relations.get(&table).is_some_and(|relation| {
            // A parent that is not in this catalog belongs to an extension.
            relation.columns.is_empty() && relation.parent.is_some_and(|parent| self.relations.contains_key(&parent))
        })
    }

    /// Returns true if the table has parts.
    #[must_use]
    pub fn has_parts(&self, table: Oid) -> bool {
        self.children(table).any(|child| self.is_part(child))
    }

    /// The tables that inherit from this one, and its partitions.
    pub fn children(&self, table: Oid) -> impl Iterator<Item = Oid> {
        self.relations.iter().filter(move |(_, relation)| relation.parent == Some(table)).map(|(oid, _)| *oid)
    }

    /// The table that it is ultimately a part of; the table itself if it is not a part.
    #[must_use]
    pub fn root(&self, table: Oid) -> Oid {
        let mut root = table;
        while self.is_part(root) {
            let Some(parent) = self.relations[&root].parent else { break };
            root = parent;
        }
        root
    }

    /// A table and its parts as an item of FROM, without the rows of separate tables that inherit from it.
    #[must_use]
    pub fn rows_of(&self, table: Oid) -> String {
        let name = self.relations[&table].name.quoted();
        let has_heirs = self.children(table).next().is_some() && !self.has_parts(table);
        if has_heirs { format!("only {name}") } else { name }
    }

    /// The number and description of the column with that name.
    #[must_use]
    pub fn find_column(&self, table: Oid, name: &str) -> Option<(i16, &Column)> {
        let columns = &self.relations.get(&table)?.columns;
        columns.iter().find(|(_, column)| column.name == name).map(|(number, column)| (*number, column))
    }

    /// The columns of the primary key; empty if there is none.
    #[must_use]
    pub fn primary_key(&self, table: Oid) -> Vec<String> {
        let key = self.relations.get(&table).and_then(|relation| {
            let key = relation.constraints.values().find(|constraint| constraint.kind == 'p')?;
            Some(relation.column_names(&key.columns))
        });
        key.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::read::tests::with_table;
    use super::*;

    #[test]
    fn a_table_its_key_and_its_columns_are_found_by_name() {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("speed", "real")]);
        assert_eq!(catalog.find_table(None, "laps"), Some(10));
        assert_eq!(catalog.find_table(Some("other"), "laps"), None);
        assert_eq!(catalog.primary_key(10), ["id"]);
        assert_eq!(catalog.find_column(10, "speed").map(|(number, _)| number), Some(2));
    }
}
