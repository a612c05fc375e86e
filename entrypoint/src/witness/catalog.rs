//! The part of PostgreSQL's catalog that a boot must not make smaller, and the row counts of the open transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

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
}

impl Relation {
    /// Whether it holds rows of its own or of its partitions.
    #[must_use]
    pub fn is_table(&self) -> bool {
        matches!(self.kind, 'r' | 'p')
    }
}

/// A column; those of a part, which has none of its own, are left out.
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

/// A view, free-standing sequence, enum type, trigger or policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// The relation that it is or belongs to; 0 for a type.
    pub relation: Oid,
    /// The table that it is on and goes with.
    pub table: Option<Oid>,
}

/// Rows that a session's unreported statistics count: those of this transaction, and of earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Inserted rows.
    pub inserted: u64,
    /// Updated rows.
    pub updated: u64,
    /// Deleted rows.
    pub deleted: u64,
}

/// The catalog at one moment of a transaction. The next one shares what has not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By number.
    pub relations: BTreeMap<Oid, Rc<Relation>>,
    /// By table and column number.
    pub columns: BTreeMap<(Oid, i16), Rc<Column>>,
    /// By identity.
    pub constraints: BTreeMap<String, Rc<Constraint>>,
    /// By kind and name.
    pub objects: BTreeMap<(String, String), Object>,
    /// Row counts, for tables that have any.
    pub written: BTreeMap<Oid, Written>,
    /// For each relation the hash of a text that changes with every change of its entries.
    stamps: BTreeMap<Oid, u64>,
}

/// The relations that count: all but those of PostgreSQL's own schemas, temporary tables, and those of extensions.
const RELATION: &str = r"relation as materialized (
    select c.oid, n.nspname, c.relname, c.relkind, c.relfilenode, c.relispartition, c.xmin
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and c.oid not in (select d.objid from pg_catalog.pg_depend d
                        where d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e')
      -- A sequence of a serial or identity column is part of the column.
      and not (c.relkind = 'S' and exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
            and d.refclassid = 'pg_catalog.pg_class'::regclass))
      /*only*/
)";

/// Everything in one query, as one JSON array of rows; each row begins with its kind. What a partition inherits is left
/// out.
const QUERY: &str = r"
select coalesce(json_agg(json_build_array(a, b, c, d, e, f, g, h, i, j)), '[]') from (
with /*relation*/
select 'relation', r.oid::text, r.nspname, r.relname, r.relkind::text, r.relfilenode::text, i.parent::text,
    null, null, null
from relation r
left join (select inhrelid, min(inhparent) as parent from pg_catalog.pg_inherits group by 1) i on i.inhrelid = r.oid
union all
select 'column', a.attrelid::text, a.attnum::text, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
    a.attnotnull::text, coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, '')),
    null, null, null
from pg_catalog.pg_attribute a
join relation r on r.oid = a.attrelid and r.relkind in ('r', 'p', 'f') and not r.relispartition
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
-- A table that only inherits is a part of its parent; one that adds columns is a table of its own.
where a.attnum > 0 and not a.attisdropped and (a.attinhcount = 0 or a.attrelid in (
    select o.attrelid from pg_catalog.pg_attribute o where o.attnum > 0 and not o.attisdropped and o.attinhcount = 0))
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

/// Two texts: `number:stamp` of every relation, and `number:inserted:updated:deleted` of those with row counts. A stamp
/// consists of how many entries of the catalog belong to the relation and which transactions wrote them: an entry that
/// is changed is written anew, and transactions only count up.
const STAMPS: &str = r"
with /*relation*/,
attribute as (
    select a.attrelid as oid, concat(count(*), '+', sum(a.xmin::text::bigint)) as stamp
    from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid
    where r.relkind in ('r', 'p', 'f') and not r.relispartition and a.attnum > 0
      and (a.attislocal or a.attinhcount = 0)
    group by 1
),
attrdef as (
    select adrelid as oid, concat(count(*), '+', sum(xmin::text::bigint)) as stamp from pg_catalog.pg_attrdef group by 1
),
tableconstraint as (
    select conrelid as oid, concat(count(*), '+', sum(xmin::text::bigint)) as stamp from pg_catalog.pg_constraint
    group by 1
),
tableindex as (
    select x.indrelid as oid, concat(count(*), '+', sum(x.xmin::text::bigint)) as stamp
    from relation r join pg_catalog.pg_index x on x.indrelid = r.oid group by 1
),
tabletrigger as (
    select tgrelid as oid, concat(count(*), '+', sum(xmin::text::bigint)) as stamp from pg_catalog.pg_trigger group by 1
),
tablepolicy as (
    select polrelid as oid, concat(count(*), '+', sum(xmin::text::bigint)) as stamp from pg_catalog.pg_policy group by 1
),
inherits as (
    select inhrelid as oid, concat(count(*), '+', sum(xmin::text::bigint)) as stamp from pg_catalog.pg_inherits group by 1
)
select coalesce(string_agg(concat(r.oid, ':', r.xmin, '/', a.stamp, '/', d.stamp, '/', c.stamp, '/', i.stamp, '/', t.stamp,
        '/', p.stamp, '/', h.stamp), ' '), ''),
    coalesce(string_agg(concat_ws(':', r.oid, pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid),
        pg_catalog.pg_stat_get_xact_tuples_updated(r.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid)), ' ')
        filter (where /*written*/), '')
from relation r
left join attribute a using (oid) left join attrdef d using (oid) left join tableconstraint c using (oid)
left join tableindex i using (oid) left join tabletrigger t using (oid) left join tablepolicy p using (oid)
left join inherits h using (oid)";

/// The row counts alone.
const COUNTS: &str = r"
with /*relation*/
select coalesce(string_agg(concat_ws(':', r.oid, pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid),
    pg_catalog.pg_stat_get_xact_tuples_updated(r.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid)), ' '), '')
from relation r where /*written*/";

/// Condition for row counts.
const WRITTEN: &str = "r.relkind in ('r', 'p')
    and pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid) + pg_catalog.pg_stat_get_xact_tuples_updated(r.oid)
        + pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid) > 0";

impl Catalog {
    /// Reads it in the open transaction.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read(link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let mut catalog = Catalog::default();
        catalog.read_stamps(link).await?;
        catalog.read_details(link, "").await?;
        Ok(catalog)
    }

    /// Reads it again, in detail only where it has changed since.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read_again(&self, link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let mut catalog = Catalog {
            relations: self.relations.clone(),
            columns: self.columns.clone(),
            constraints: self.constraints.clone(),
            objects: self.objects.clone(),
            ..Catalog::default()
        };
        catalog.read_stamps(link).await?;
        let changed: Vec<Oid> = {
            let is_known = |(oid, stamp): &(&Oid, &u64)| self.stamps.get(oid) == Some(stamp);
            catalog.stamps.iter().filter(|entry| !is_known(entry)).map(|(oid, _)| *oid).collect()
        };
        let gone = self.stamps.keys().filter(|oid| !catalog.stamps.contains_key(oid)).copied();
        let outdated: BTreeSet<Oid> = changed.iter().copied().chain(gone).collect();
        catalog.forget(&outdated);
        let numbers: Vec<String> = changed.iter().map(Oid::to_string).collect();
        let only = format!("and c.oid = any ('{{{}}}'::oid[])", numbers.join(","));
        catalog.read_details(link, &only).await?;
        Ok(catalog)
    }

    /// The row counts before the work, for a catalog that was read earlier.
    ///
    /// # Errors
    /// The connection's.
    pub async fn read_counts(&mut self, link: &mut Link<'_>) -> Result<(), LinkError> {
        let rows = link.rows(&complete(COUNTS, "")).await?;
        self.written = counts(rows.iter().flatten().flatten().next().map_or("", String::as_str));
        Ok(())
    }

    async fn read_stamps(&mut self, link: &mut Link<'_>) -> Result<(), LinkError> {
        let rows = link.rows(&complete(STAMPS, "")).await?;
        let [Some(stamps), Some(written)] = rows.first().map_or(&[][..], Vec::as_slice) else {
            return Err(LinkError::Malformed(format!("{} rows of stamps", rows.len())));
        };
        let entry = |entry: &str| {
            let (oid, stamp) = entry.split_once(':')?;
            let mut hasher = DefaultHasher::new();
            stamp.hash(&mut hasher);
            Some((oid.parse().ok()?, hasher.finish()))
        };
        self.stamps = stamps.split(' ').filter_map(entry).collect();
        self.written = counts(written);
        Ok(())
    }

    async fn read_details(&mut self, link: &mut Link<'_>, only: &str) -> Result<(), LinkError> {
        let answer =
            link.rows(&complete(QUERY, only)).await?.into_iter().flatten().flatten().next().unwrap_or_default();
        let rows: Vec<Vec<Option<String>>> = serde_json::from_str(&answer).unwrap_or_default();
        for row in rows {
            self.add(&Row(row));
        }
        Ok(())
    }

    /// Removes everything about these relations, and the types, which are always read again.
    fn forget(&mut self, relations: &BTreeSet<Oid>) {
        self.relations.retain(|oid, _| !relations.contains(oid));
        self.columns.retain(|(oid, _), _| !relations.contains(oid));
        self.constraints.retain(|_, constraint| !relations.contains(&constraint.table));
        self.objects.retain(|_, object| object.relation != 0 && !relations.contains(&object.relation));
    }

    fn add(&mut self, row: &Row) {
        match row.text(0) {
            "relation" => {
                let name = TableName { schema: row.text(2).to_owned(), name: row.text(3).to_owned() };
                let (relation, kind) = (row.number(1), row.letter(4));
                let object = match kind {
                    'v' => "view",
                    'm' => "materialized view",
                    'S' => "sequence",
                    'f' => "foreign table",
                    _ => "",
                };
                if !object.is_empty() {
                    self.objects.insert((object.to_owned(), name.to_string()), Object { relation, table: None });
                }
                let (filenode, parent) = (row.number(5), row.optional(6));
                self.relations.insert(relation, Rc::new(Relation { name, kind, filenode, parent }));
            }
            "column" => {
                let column = Column {
                    name: row.text(3).to_owned(),
                    data_type: row.text(4).to_owned(),
                    not_null: row.text(5) == "true",
                    default: row.0[6].clone(),
                };
                self.columns.insert((row.number(1), row.number(2)), Rc::new(column));
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
                self.constraints.insert(identity.join("|"), Rc::new(constraint));
            }
            _ => {
                let object = Object { relation: row.optional(3).unwrap_or(0), table: row.optional(3) };
                self.objects.insert((row.text(1).to_owned(), row.text(2).to_owned()), object);
            }
        }
    }

    /// The name of a table.
    #[must_use]
    pub fn table_name(&self, table: Oid) -> Option<&TableName> {
        self.relations.get(&table).map(|relation| &relation.name)
    }

    /// The number of the table with exactly that name.
    #[must_use]
    pub fn number_of(&self, table: &TableName) -> Option<Oid> {
        self.find_table(Some(&table.schema), &table.name)
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

    /// Deleted rows by the row counts.
    #[must_use]
    pub fn deleted(&self, table: Oid) -> u64 {
        self.written.get(&table).map_or(0, |written| written.deleted)
    }

    /// Returns true if the table is a part of another one: a partition, or a table that inherits and adds no columns.
    #[must_use]
    pub fn is_part(&self, table: Oid) -> bool {
        // A parent that is not in this catalog belongs to an extension.
        let has_parent = self
            .relations
            .get(&table)
            .and_then(|relation| relation.parent)
            .is_some_and(|it| self.relations.contains_key(&it));
        has_parent && self.columns.range((table, i16::MIN)..=(table, i16::MAX)).next().is_none()
    }

    /// Returns true if the table has parts.
    #[must_use]
    pub fn has_parts(&self, table: Oid) -> bool {
        self.children(table).any(|child| self.is_part(child))
    }

    /// Tables that inherit from this one, or are its partitions.
    pub fn children(&self, table: Oid) -> impl Iterator<Item = Oid> {
        self.relations.iter().filter(move |(_, relation)| relation.parent == Some(table)).map(|(oid, _)| *oid)
    }

    /// The table whose part it is; itself, if it is none.
    #[must_use]
    pub fn root(&self, table: Oid) -> Oid {
        let mut root = table;
        while self.is_part(root) {
            let Some(parent) = self.relations[&root].parent else { break };
            root = parent;
        }
        root
    }

    /// The rows of a table and its parts, for FROM: without those of tables of their own that inherit from it.
    #[must_use]
    pub fn rows_of(&self, table: Oid) -> String {
        let name = self.relations[&table].name.quoted();
        let has_heirs = self.children(table).next().is_some() && !self.has_parts(table);
        if has_heirs { format!("only {name}") } else { name }
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
        of_table.map(|((_, number), column)| (*number, &**column)).find(|(_, column)| column.name == name)
    }

    /// The columns of the primary key; empty without one.
    #[must_use]
    pub fn primary_key(&self, table: Oid) -> Vec<String> {
        let key = self.constraints.values().find(|constraint| constraint.table == table && constraint.kind == 'p');
        key.map(|key| self.column_names(table, &key.columns)).unwrap_or_default()
    }
}

/// Fills in the parts that the queries share; `only` restricts the relations.
fn complete(query: &str, only: &str) -> String {
    query.replace("/*relation*/", RELATION).replace("/*only*/", only).replace("/*written*/", WRITTEN)
}

/// `16385:3:0:1 …` as row counts.
fn counts(text: &str) -> BTreeMap<Oid, Written> {
    let entry = |entry: &str| {
        let mut numbers = entry.split(':').map(str::parse::<u64>);
        let mut next = || numbers.next()?.ok();
        let oid = u32::try_from(next()?).ok()?;
        Some((oid, Written { inserted: next()?, updated: next()?, deleted: next()? }))
    };
    text.split(' ').filter_map(entry).collect()
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
        catalog.add(&row(&["relation", &number, "public", name, "r", &number, "", "", "", ""]));
        let columns = std::iter::once(&("id", "uuid")).chain(columns);
        for (index, (name, data_type)) in columns.enumerate() {
            let at = (index + 1).to_string();
            catalog.add(&row(&["column", &number, &at, name, data_type, "false", "", "", "", ""]));
        }
        catalog.add(&row(&["constraint", &number, &format!("{name}_pkey"), "p", "{1}", "0", "", "", "", ""]));
    }

    #[test]
    fn row_counts_are_read_from_one_text() {
        let written = Written { inserted: 3, updated: 0, deleted: 1 };
        assert_eq!(counts("16385:3:0:1"), BTreeMap::from([(16385, written)]));
        assert!(counts("").is_empty());
    }

    #[test]
    fn forgetting_a_relation_leaves_the_others() {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[]);
        with_table(&mut catalog, 20, "cars", &[]);
        catalog.forget(&BTreeSet::from([10]));
        assert_eq!(catalog.find_table(None, "laps"), None);
        assert_eq!((catalog.relations.len(), catalog.columns.len(), catalog.constraints.len()), (1, 1, 1));
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
