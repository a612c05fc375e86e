//! Reads the catalog: in full, the changes since an earlier transaction, and the changes of this transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::catalog::{Catalog, Column, Constraint, Oid, Relation, Written};
use super::link::{Link, LinkError};
use super::moment::Moment;
use super::name::TableName;

/// The observed relations: all except temporary ones and those of PostgreSQL's own schemas and of extensions.
const RELATION: &str = r"relation as materialized (
    select c.oid, n.nspname, c.relname, c.relkind, c.relfilenode, c.relispartition, c.xmin,
        n.xmin as schema_xmin
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      and c.oid not in (select d.objid from pg_catalog.pg_depend d
                        where d.refclassid = 'pg_catalog.pg_extension'::regclass
                          and d.classid = 'pg_catalog.pg_class'::regclass and d.deptype = 'e')
      -- A sequence of a serial or identity column is part of the column.
      and not (c.relkind = 'S' and exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i')
            and d.refclassid = 'pg_catalog.pg_class'::regclass))
      /*among c.oid*/
)";

/// The whole catalog in one query, as the JSON object of [`Answer`]. Inherited columns and constraints are omitted.
const QUERY: &str = r"
with /*relation*/
select json_build_object(
'relations', (
    select json_agg(json_build_array(r.oid::bigint, r.nspname, r.relname, r.relkind, r.relfilenode::bigint, i.parent))
    from relation r
    left join (
        select inhrelid, min(inhparent)::bigint as parent from pg_catalog.pg_inherits
        where true /*among inhrelid*/ group by 1
    ) i on i.inhrelid = r.oid
),
'columns', (
    select json_agg(json_build_array(r.oid::bigint, a.attnum, a.attname,
        pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
        case when a.atthasdef then (
            select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d
            where d.adrelid = r.oid and d.adnum = a.attnum
        ) else nullif(a.attidentity::text, '') end))
    from relation r cross join lateral (
        select a.*, every(a.attinhcount > 0) over () as only_inherits from pg_catalog.pg_attribute a
        where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    ) a
    -- A table with inherited columns only is a part of its parent; one that adds columns is a separate table.
    where r.relkind in ('r', 'p', 'f') and not r.relispartition and not a.only_inherits
),
'constraints', (
    select json_agg(json_build_array(c.conrelid::bigint, c.conname, c.contype, coalesce(c.conkey, '{}'),
        nullif(c.confrelid::bigint, 0),
        array[c.confkey::text, pg_catalog.pg_get_expr(c.conbin, c.conrelid), c.conexclop::text]))
    from pg_catalog.pg_constraint c
    join relation r on r.oid = c.conrelid
    where c.contype in ('p', 'u', 'f', 'c', 'x') and c.conparentid = 0 and c.conislocal
),
'indexes', (
    select json_agg(json_build_array(x.indrelid::bigint, i.relname, 'i', x.indkey::int2[], null,
        array[x.indisunique::text, pg_catalog.pg_get_expr(x.indexprs, x.indrelid),
            pg_catalog.pg_get_expr(x.indpred, x.indrelid)]))
    from pg_catalog.pg_index x
    join relation r on r.oid = x.indrelid and r.relkind in ('r', 'p')
    join pg_catalog.pg_class i on i.oid = x.indexrelid
    where x.indisvalid and not i.relispartition /*among x.indrelid*/
      and not exists (
          select from pg_catalog.pg_constraint c
          where c.conrelid = x.indrelid and c.conindid = x.indexrelid and c.contype in ('p', 'u', 'x'))
),
'objects', (
    select json_agg(json_build_array(r.oid::bigint, o.kind, o.name))
    from relation r join (
        select tgrelid as oid, 'trigger' as kind, tgname as name from pg_catalog.pg_trigger
        where not tgisinternal and tgparentid = 0
        union all
        select polrelid, 'policy', polname from pg_catalog.pg_policy
    ) o using (oid)
),
'enum_types', /*enum_types*/
)";

/// The enum types with at least one value. `pg_type` has two rows per table, and no index on its kinds.
const ENUM_TYPES: &str = r"(
    select coalesce(json_agg(format('%I.%I', n.nspname, t.typname)), '[]')
    from (select distinct enumtypid from pg_catalog.pg_enum) e
    join pg_catalog.pg_type t on t.oid = e.enumtypid join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
)";

/// The result of [`QUERY`]; a list without entries is null.
#[derive(Default, Deserialize)]
struct Answer {
    relations: Option<Vec<RelationRow>>,
    columns: Option<Vec<ColumnRow>>,
    constraints: Option<Vec<ConstraintRow>>,
    indexes: Option<Vec<ConstraintRow>>,
    objects: Option<Vec<ObjectRow>>,
    enum_types: Option<BTreeSet<String>>,
}

/// Number, schema, name, kind, file, parent.
type RelationRow = (Oid, String, String, char, Oid, Option<Oid>);

/// Relation, number, name, type, NOT NULL, default.
type ColumnRow = (Oid, i16, String, String, bool, Option<String>);

/// Relation, name, kind, columns, referenced table, and the other parts of the definition.
type ConstraintRow = (Oid, String, char, Vec<i16>, Option<Oid>, Vec<Option<String>>);

/// Relation, kind, name.
type ObjectRow = (Oid, String, String);

/// `head:entries+writers` of each family, a relation with its parts: the number of its entries in the catalog, and the
/// sum of the transaction numbers that wrote them. Each change alters at least one of them, since it
/// rewrites the entry, and transaction numbers only increase.
const STAMPS: &str = r"
with /*relation*/,
entry as (
    select oid, 1 as entries, xmin::text::bigint + schema_xmin::text::bigint as writers from relation
    union all
    select a.oid, a.entries, a.writers from relation r cross join lateral (
        select r.oid, count(*) as entries, sum(a.xmin::text::bigint) as writers from pg_catalog.pg_attribute a
        where a.attrelid = r.oid and a.attnum > 0 and (a.attislocal or a.attinhcount = 0)
    ) a
    where r.relkind in ('r', 'p', 'f') and not r.relispartition
    union all
    select adrelid, 1, xmin::text::bigint from pg_catalog.pg_attrdef
    union all
    select conrelid, 1, xmin::text::bigint from pg_catalog.pg_constraint
    union all
    select indrelid, 1, xmin::text::bigint from pg_catalog.pg_index
    union all
    select tgrelid, 1, xmin::text::bigint from pg_catalog.pg_trigger
    union all
    select polrelid, 1, xmin::text::bigint from pg_catalog.pg_policy
    union all
    select inhrelid, 1, xmin::text::bigint from pg_catalog.pg_inherits
),
family as (
    select coalesce(i.inhparent, r.oid) as head, sum(e.entries) as entries, sum(e.writers) as writers
    from relation r join entry e using (oid) left join pg_catalog.pg_inherits i on i.inhrelid = r.oid
    group by 1
)
select coalesce(string_agg(concat(head, ':', entries, '+', writers), ' '), '') from family";

/// `number:inserted:updated:deleted` of each table with row counts.
const COUNTS: &str = r"
with /*relation*/
select coalesce(string_agg(concat_ws(':', r.oid, pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid),
    pg_catalog.pg_stat_get_xact_tuples_updated(r.oid), pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid)), ' '), '')
from relation r
where r.relkind in ('r', 'p')
  and (pg_catalog.pg_stat_get_xact_tuples_inserted(r.oid) > 0 or pg_catalog.pg_stat_get_xact_tuples_updated(r.oid) > 0
       or pg_catalog.pg_stat_get_xact_tuples_deleted(r.oid) > 0)";

/// This transaction's number, three lists by the locks that it holds until COMMIT, and the enum types, which it may
/// change without such a lock. The lists: relations whose rows it may have changed, relations whose definition it may
/// have changed, and tables of PostgreSQL's own catalog that a statement wrote to. Comments do not count as part of a
/// definition.
const LOCKED: &str = r"
select pg_catalog.pg_current_xact_id_if_assigned()::text, coalesce(string_agg(relation::text, ','), ''),
    coalesce(string_agg(distinct relation::text, ',') filter (where mode <> 'RowExclusiveLock'), ''),
    coalesce(string_agg(relation::text, ',') filter (where relation < 16384), ''), /*enum_types*/
from pg_catalog.pg_locks
where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and mode not in ('AccessShareLock', 'RowShareLock')
  and database = (select oid from pg_catalog.pg_database where datname = current_database())
  and relation not in ('pg_catalog.pg_description'::regclass, 'pg_catalog.pg_description_o_c_o_index'::regclass)";

impl Catalog {
    /// Reads the catalog in full, in the open transaction.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn read(link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let mut catalog =
            Catalog { moment: Moment::read(link).await?, stamps: stamps(link).await?, ..Catalog::default() };
        catalog.read_relations(link, None).await?;
        catalog.read_counts(link, None).await?;
        Ok(catalog)
    }

    /// Reads the catalog before a transaction's work. `self` is the catalog after an earlier transaction; any session
    /// may have changed the database since.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn before_work(mut self, link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let now = Moment::read(link).await?;
        if !now.follows(&self.moment) {
            self.read_changed_families(link).await?;
        }
        self.moment = now;
        // PostgreSQL may not have reported the counts of this session's last transaction yet; these are only of tables
        // that the boot is known to have written to. Earlier writes of Directus are not known.
        let written: Vec<Oid> = std::mem::take(&mut self.written).into_keys().collect();
        match link {
            Link::Session(_) => self.read_counts(link, Some(&written)).await?,
            Link::Directus(_) => self.read_counts(link, None).await?,
        }
        Ok(self)
    }

    /// Reads the catalog after a transaction's work. `self` is the catalog before it. Only relations that the
    /// transaction has locked are read: PostgreSQL changes nothing without a lock, and keeps the lock until COMMIT.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn after_work(&self, link: &mut Link<'_>) -> Result<Catalog, LinkError> {
        let rows = link.rows(&complete(LOCKED, None)).await?;
        let [number, Some(locked), Some(redefined), Some(system), Some(enum_types)] =
            rows.first().map_or(&[][..], Vec::as_slice)
        else {
            return Err(LinkError::Malformed(format!("{} rows of locks", rows.len())));
        };
        let mut catalog = self.clone();
        catalog.moment.belongs_to(number.as_deref());
        // Writes of a superuser to the catalog, and the renaming of a schema, do not lock the tables concerned.
        if !system.is_empty() {
            catalog.read_changed_families(link).await?;
        }
        catalog.enum_types = parse(enum_types)?;
        let redefined = numbers(redefined);
        if !redefined.is_empty() {
            for relation in &redefined {
                catalog.relations.remove(relation);
            }
            catalog.read_relations(link, Some(&redefined)).await?;
        }
        catalog.read_counts(link, Some(&numbers(locked))).await?;
        Ok(catalog)
    }

    /// Rereads every family whose stamp has changed.
    async fn read_changed_families(&mut self, link: &mut Link<'_>) -> Result<(), LinkError> {
        let before = std::mem::replace(&mut self.stamps, stamps(link).await?);
        let all: BTreeSet<Oid> = before.keys().chain(self.stamps.keys()).copied().collect();
        let changed: Vec<Oid> = all.into_iter().filter(|head| before.get(head) != self.stamps.get(head)).collect();
        self.relations.retain(|oid, relation| {
            let mut heads = std::iter::once(*oid).chain(relation.parent);
            !heads.any(|head| changed.binary_search(&head).is_ok())
        });
        let members = format!(
            "select coalesce(string_agg(oid::text, ','), '') from (
                 select unnest({heads}) as oid
                 union select inhrelid from pg_catalog.pg_inherits where inhparent = any ({heads})) member",
            heads = array(&changed)
        );
        let members = numbers(&link.text(&members).await?);
        self.read_relations(link, Some(&members)).await
    }

    async fn read_counts(&mut self, link: &mut Link<'_>, only: Option<&[Oid]>) -> Result<(), LinkError> {
        if only.is_none_or(|only| !only.is_empty()) {
            self.written.extend(counts(&link.text(&complete(COUNTS, only)).await?));
        }
        Ok(())
    }

    /// Reads these relations, or all of them, and the enum types.
    async fn read_relations(&mut self, link: &mut Link<'_>, only: Option<&[Oid]>) -> Result<(), LinkError> {
        self.add(parse(&link.text(&complete(QUERY, only)).await?)?);
        Ok(())
    }

    fn add(&mut self, answer: Answer) {
        let mut relations = BTreeMap::new();
        for (oid, schema, name, kind, filenode, parent) in answer.relations.into_iter().flatten() {
            let name = TableName { schema, name };
            let (columns, constraints, objects) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
            relations.insert(oid, Relation { name, kind, filenode, parent, columns, constraints, objects });
        }
        for (table, number, name, data_type, not_null, default) in answer.columns.into_iter().flatten() {
            if let Some(relation) = relations.get_mut(&table) {
                relation.columns.insert(number, Column { name, data_type, not_null, default });
            }
        }
        for definition in answer.constraints.into_iter().chain(answer.indexes).flatten() {
            let (table, name, kind, columns, references, details) = definition;
            if let Some(relation) = relations.get_mut(&table) {
                let definition = format!("{kind} {columns:?} {references:?} {details:?}");
                relation.constraints.insert(definition, Constraint { name, kind, columns, references });
            }
        }
        for (table, kind, name) in answer.objects.into_iter().flatten() {
            if let Some(relation) = relations.get_mut(&table) {
                relation.objects.insert((kind, name));
            }
        }
        self.relations.extend(relations.into_iter().map(|(oid, relation)| (oid, Rc::new(relation))));
        self.enum_types = answer.enum_types.unwrap_or_default();
    }
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, LinkError> {
    serde_json::from_str(json).map_err(|error| LinkError::Malformed(error.to_string()))
}

/// Fills in the shared parts of a query; `only` restricts the relations.
fn complete(query: &str, only: Option<&[Oid]>) -> String {
    let mut query = query.replace("/*relation*/", RELATION).replace("/*enum_types*/", ENUM_TYPES);
    for column in ["c.oid", "inhrelid", "x.indrelid"] {
        let condition = only.map(|only| format!("and {column} = any ({})", array(only))).unwrap_or_default();
        query = query.replace(&format!("/*among {column}*/"), &condition);
    }
    query
}

/// The numbers as an array in SQL.
fn array(numbers: &[Oid]) -> String {
    let numbers: Vec<String> = numbers.iter().map(Oid::to_string).collect();
    format!("'{{{}}}'::oid[]", numbers.join(","))
}

/// Reads [`STAMPS`]: the number of entries and the sum of their writers, by the head of the family.
async fn stamps(link: &mut Link<'_>) -> Result<BTreeMap<Oid, (u64, u64)>, LinkError> {
    Ok(link.text(&complete(STAMPS, None)).await?.split(' ').filter_map(stamp).collect())
}

fn stamp(entry: &str) -> Option<(Oid, (u64, u64))> {
    let (head, stamp) = entry.split_once(':')?;
    let (entries, writers) = stamp.split_once('+')?;
    Some((head.parse().ok()?, (entries.parse().ok()?, writers.parse().ok()?)))
}

/// Parses the row counts `16385:3:0:1 …`.
fn counts(text: &str) -> BTreeMap<Oid, Written> {
    text.split(' ').filter_map(row_count).collect()
}

fn row_count(entry: &str) -> Option<(Oid, Written)> {
    let numbers: Result<Vec<u64>, _> = entry.split(':').map(str::parse).collect();
    let [oid, inserted, updated, deleted] = numbers.ok()?[..] else { return None };
    Some((u32::try_from(oid).ok()?, Written { inserted, updated, deleted }))
}

/// Parses the list `1,2`.
fn numbers(text: &str) -> Vec<Oid> {
    text.split(',').filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Adds a table with an id and these columns (name, type).
    pub(crate) fn with_table(catalog: &mut Catalog, oid: Oid, name: &str, columns: &[(&str, &str)]) {
        let columns = std::iter::once(&("id", "uuid")).chain(columns).zip(1..);
        let columns = columns
            .map(|((name, data_type), number)| (oid, number, (*name).to_owned(), (*data_type).to_owned(), false, None));
        catalog.add(Answer {
            relations: Some(vec![(oid, "public".to_owned(), name.to_owned(), 'r', oid, None)]),
            columns: Some(columns.collect()),
            constraints: Some(vec![(oid, format!("{name}_pkey"), 'p', vec![1], None, Vec::new())]),
            ..Answer::default()
        });
    }

    #[test]
    fn row_counts_are_parsed() {
        let written = Written { inserted: 3, updated: 0, deleted: 1 };
        assert_eq!(counts("16385:3:0:1"), BTreeMap::from([(16385, written)]));
        assert!(counts("").is_empty());
    }
}
