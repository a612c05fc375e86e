//! The part of PostgreSQL's catalog that a boot must not make smaller, and the row counts of the open transaction.

use std::collections::BTreeMap;

use super::link::{Link, LinkError};
use super::loss::TableName;

/// PostgreSQL's number of a catalog entry.
pub type Oid = u32;

/// A table, partition, view, sequence or foreign table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: TableName,
    /// `r` table, `p` partitioned table, `v` view, `m` materialized view, `f` foreign table, `S` sequence.
    pub kind: char,
    /// The file that holds its rows; another one after TRUNCATE and after a rewriting ALTER TABLE.
    pub filenode: Oid,
    /// The table that it is a partition of, or inherits from.
    pub parent: Option<Oid>,
    /// Rows that this session's unreported statistics count as inserted, updated and deleted.
    pub inserted: u64,
    /// See `inserted`.
    pub updated: u64,
    /// See `inserted`.
    pub deleted: u64,
}

impl Relation {
    /// Whether it holds rows of its own or of its partitions.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

/// A column that is not inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type with length and precision, as PostgreSQL writes it.
    pub data_type: String,
    /// Whether it is NOT NULL.
    pub not_null: bool,
    /// Its default, generation expression or identity.
    pub default: Option<String>,
}

/// A constraint or index; its identity is the key in the map, which does not contain its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The table that it is on.
    pub table: Oid,
    /// Its name.
    pub name: String,
    /// `p`, `u`, `f`, `c`, `x` as in `pg_constraint.contype`, or `i` for an index without a constraint.
    pub kind: char,
    /// Numbers of its columns; 0 stands for an expression.
    pub columns: Vec<i16>,
    /// The referenced table of a foreign key.
    pub references: Option<Oid>,
}

/// The catalog at one moment of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By number.
    pub relations: BTreeMap<Oid, Relation>,
    /// By table and column number.
    pub columns: BTreeMap<(Oid, i16), Column>,
    /// By identity.
    pub constraints: BTreeMap<String, Constraint>,
    /// Views, free-standing sequences, enum types, triggers and policies: kind and name, and the table that they are on.
    pub objects: BTreeMap<(String, String), Option<Oid>>,
}

/// Everything in one query, as one JSON array of rows; each row begins with its kind. Left out: PostgreSQL's own schemas,
/// temporary tables, what belongs to an extension, and what a partition inherits.
const QUERY: &str = r"
select coalesce(json_agg(json_build_array(a, b, c, d, e, f, g, h, i, j)), '[]') from (
with relation as materialized (
    select c.oid, n.nspname, c.relname, c.relkind, c.relfilenode, c.relispartition
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and c.oid not in (select d.objid from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e')
      -- A sequence of a serial or identity column is part of the column.
      and not (c.relkind = 'S' and exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
            and d.refclassid = 'pg_catalog.pg_class'::regclass))
)
select 'relation', r.oid::text, r.nspname, r.relname, r.relkind::text, r.relfilenode::text, i.parent::text,
    pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid)::text,
    pg_catalog.pg_stat_get_xact_tuples_updated(r.oid)::text,
    pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid)::text
from relation r
left join (select inhrelid, min(inhparent) as parent from pg_catalog.pg_inherits group by 1) i on i.inhrelid = r.oid
union all
select 'column', a.attrelid::text, a.attnum::text, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
    a.attnotnull::text, coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, '')),
    null, null, null
from pg_catalog.pg_attribute a
join relation r on r.oid = a.attrelid and r.relkind in ('r', 'p', 'f')
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attnum > 0 and not a.attisdropped and (a.attislocal or a.attinhcount = 0)
union all
select 'constraint', c.conrelid::text, c.conname, c.contype::text, c.conkey::text, c.confrelid::text, c.confkey::text,
    pg_catalog.pg_get_expr(c.conbin, c.conrelid), c.conexclop::text, null
from pg_catalog.pg_constraint c
join relation r on r.oid = c.conrelid
where c.contype in ('p', 'u', 'f', 'c', 'x') and c.conparentid = 0 and c.conislocal
union all
select 'index', x.indrelid::text, i.relname, 'i', x.indkey::text, null, x.indisunique::text,
    pg_catalog.pg_get_expr(x.indexprs, x.indrelid), pg_catalog.pg_get_expr(x.indpred, x.indrelid), null
from pg_catalog.pg_index x
join relation r on r.oid = x.indrelid and r.relkind in ('r', 'p')
join pg_catalog.pg_class i on i.oid = x.indexrelid
where x.indisvalid and not i.relispartition
  and x.indexrelid not in (select conindid from pg_catalog.pg_constraint where contype in ('p', 'u', 'x'))
union all
select 'object', 'enum type', format('%I.%I', n.nspname, t.typname), null, null, null, null, null, null, null
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typtype = 'e' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
union all
select 'object', 'trigger', format('%s on %I.%I', t.tgname, r.nspname, r.relname), t.tgrelid::text,
    null, null, null, null, null, null
from pg_catalog.pg_trigger t join relation r on r.oid = t.tgrelid
where not t.tgisinternal and t.tgparentid = 0
union all
select 'object', 'policy', format('%s on %I.%I', p.polname, r.nspname, r.relname), p.polrelid::text,
    null, null, null, null, null, null
from pg_catalog.pg_policy p join relation r on r.oid = p.polrelid
) entry (a, b, c, d, e, f, g, h, i, j)";

impl Catalog {
    /// Reads it in the open transaction.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read(link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let mut catalog = Catalog::default();
        let answer = link.rows(QUERY).await?.into_iter().flatten().flatten().next().unwrap_or_default();
        let rows: Vec<Vec<Option<String>>> = serde_json::from_str(&answer).unwrap_or_default();
        for row in rows {
            catalog.add(&Row(row));
        }
        Ok(catalog)
    }

    fn add(&mut self, row: &Row) {
        match row.text(0) {
            "relation" => {
                let name = TableName { schema: row.text(2).to_owned(), name: row.text(3).to_owned() };
                let kind = row.letter(4);
                let object = match kind {
                    'v' => "view",
                    'm' => "materialized view",
                    'S' => "sequence",
                    'f' => "foreign table",
                    _ => "",
                };
                if !object.is_empty() {
                    self.objects.insert((object.to_owned(), name.to_string()), None);
                }
                let relation = Relation {
                    name,
                    kind,
                    filenode: row.number(5),
                    parent: row.optional(6),
                    inserted: row.number(7),
                    updated: row.number(8),
                    deleted: row.number(9),
                };
                self.relations.insert(row.number(1), relation);
            }
            "column" => {
                let column = Column {
                    name: row.text(3).to_owned(),
                    data_type: row.text(4).to_owned(),
                    not_null: row.text(5) == "true",
                    default: row.0[6].clone(),
                };
                self.columns.insert((row.number(1), row.number(2)), column);
            }
            "constraint" | "index" => {
                let identity: Vec<&str> =
                    row.0.iter().enumerate().filter(|(at, _)| *at != 2).map(|(at, _)| row.text(at)).collect();
                let constraint = Constraint {
                    table: row.number(1),
                    name: row.text(2).to_owned(),
                    kind: row.letter(3),
                    columns: numbers(row.text(4)),
                    references: row.optional(5).filter(|oid| *oid != 0),
                };
                self.constraints.insert(identity.join("|"), constraint);
            }
            _ => {
                self.objects.insert((row.text(1).to_owned(), row.text(2).to_owned()), row.optional(3));
            }
        }
    }

    /// The name of a table.
    #[must_use]
    pub fn table_name(&self, table: Oid) -> Option<&TableName> {
        self.relations.get(&table).map(|relation| &relation.name)
    }

    /// The number of the table with that name; without a schema, of the first one with it, `public` before others.
    #[must_use]
    pub fn find_table(&self, schema: Option<&str>, name: &str) -> Option<Oid> {
        let named = self.relations.iter().filter(|(_, relation)| {
            relation.is_table()
                && relation.name.name == name
                && schema.is_none_or(|schema| schema == relation.name.schema)
        });
        named.min_by_key(|(_, relation)| (relation.name.schema != "public", &relation.name)).map(|(oid, _)| *oid)
    }

    /// The table at the top of a tree of partitions.
    #[must_use]
    pub fn root(&self, table: Oid) -> Oid {
        let mut root = table;
        while let Some(parent) = self.relations.get(&root).and_then(|relation| relation.parent) {
            // A parent that is not part of this catalog belongs to an extension.
            if !self.relations.contains_key(&parent) {
                break;
            }
            root = parent;
        }
        root
    }

    /// The names of columns by their numbers.
    #[must_use]
    pub fn column_names(&self, table: Oid, numbers: &[i16]) -> Vec<String> {
        let column = |number: &i16| self.columns.get(&(table, *number)).map(|column| column.name.clone());
        numbers.iter().filter_map(column).collect()
    }

    /// The number and description of the column with that name.
    #[must_use]
    pub fn find_column(&self, table: Oid, name: &str) -> Option<(i16, &Column)> {
        let of_table = self.columns.range((table, i16::MIN)..=(table, i16::MAX));
        of_table.map(|((_, number), column)| (*number, column)).find(|(_, column)| column.name == name)
    }

    /// The columns of the primary key; empty without one.
    #[must_use]
    pub fn primary_key(&self, table: Oid) -> Vec<String> {
        let key = self.constraints.values().find(|constraint| constraint.table == table && constraint.kind == 'p');
        key.map(|key| self.column_names(table, &key.columns)).unwrap_or_default()
    }
}

/// `{1,2}` of an array, `1 2` of a vector.
fn numbers(text: &str) -> Vec<i16> {
    text.split(|c: char| !c.is_ascii_digit() && c != '-').filter_map(|number| number.parse().ok()).collect()
}

/// A row of the answer.
struct Row(Vec<Option<String>>);

impl Row {
    fn text(&self, at: usize) -> &str {
        self.0.get(at).and_then(Option::as_deref).unwrap_or_default()
    }

    fn letter(&self, at: usize) -> char {
        self.text(at).chars().next().unwrap_or(' ')
    }

    fn number<N: std::str::FromStr + Default>(&self, at: usize) -> N {
        self.text(at).parse().unwrap_or_default()
    }

    fn optional(&self, at: usize) -> Option<Oid> {
        self.text(at).parse().ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Adds a table with an id and these columns (name, type).
    pub(crate) fn with_table(catalog: &mut Catalog, oid: Oid, name: &str, columns: &[(&str, &str)]) {
        let row =
            |cells: &[&str]| Row(cells.iter().map(|cell| (!cell.is_empty()).then(|| (*cell).to_owned())).collect());
        let number = oid.to_string();
        catalog.add(&row(&["relation", &number, "public", name, "r", &number, "", "0", "0", "0"]));
        let columns = std::iter::once(&("id", "uuid")).chain(columns);
        for (index, (name, data_type)) in columns.enumerate() {
            let at = (index + 1).to_string();
            catalog.add(&row(&["column", &number, &at, name, data_type, "false", "", "", "", ""]));
        }
        catalog.add(&row(&["constraint", &number, &format!("{name}_pkey"), "p", "{1}", "0", "", "", "", ""]));
    }

    #[test]
    fn a_table_is_found_by_name_with_its_key() {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("speed", "real")]);
        assert_eq!(catalog.find_table(None, "laps"), Some(10));
        assert_eq!(catalog.find_table(Some("other"), "laps"), None);
        assert_eq!(catalog.primary_key(10), ["id"]);
        assert_eq!(catalog.find_column(10, "speed").map(|(number, _)| number), Some(2));
    }
}
