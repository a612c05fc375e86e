//! Full content of a database: columns, constraints, other objects, and every row as JSON.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::database::TestDatabase;

/// A row: values by column name.
pub(super) type Row = Map<String, Value>;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StateColumn {
    pub(super) name: String,
    pub(super) data_type: String,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
    pub(super) length: Option<i64>,
}

/// A table; rows of its partitions count as its own, and partitions are not listed as tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StateTable {
    /// `sites`, or `archive.sites` outside of `public`.
    pub(super) name: String,
    /// Columns by PostgreSQL's number (`attnum`).
    pub(super) columns: BTreeMap<i16, StateColumn>,
    /// Names of the primary key's columns.
    pub(super) key: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A constraint or index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StateRule {
    pub(super) table: String,
    /// `contype` of the constraint (`u`, `f`, `p`, `c`, `x`), or `i` for an index without a constraint.
    pub(super) kind: String,
    pub(super) columns: Vec<String>,
    /// SQL definition without the name.
    pub(super) definition: String,
}

/// An entry of the attic, with its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ExpectedAtticEntry {
    pub(super) kind: String,
    pub(super) table: String,
    pub(super) column: Option<String>,
    pub(super) rows: Vec<Row>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DatabaseState {
    /// Tables by OID; a copy of a database has the same OIDs.
    pub(super) tables: BTreeMap<u32, StateTable>,
    pub(super) rules: BTreeSet<StateRule>,
    /// Descriptions of views, partitions, triggers, policies, sequences, types and functions.
    pub(super) objects: BTreeSet<String>,
    pub(super) attic: Vec<ExpectedAtticEntry>,
    /// Entries of the ledger, as `phase/file`.
    pub(super) ledger: BTreeSet<String>,
}

/// Query that returns the catalog in one row: a JSON list of lists, each with its kind first.
const CATALOG: &str = r"
with table_ as (
    select c.oid, case n.nspname when 'public' then c.relname::text else n.nspname || '.' || c.relname end as name, c.relkind, c.relispartition, n.nspname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'boot', 'attic')
)
select jsonb_agg(x.entry)::text from (
    select jsonb_build_array('table', t.oid::text, t.name, (t.oid::regclass)::text,
        coalesce((select jsonb_agg(a.attname order by array_position(i.indkey::int2[], a.attnum)) from pg_index i join pg_attribute a
                  on a.attrelid = t.oid and a.attnum = any (i.indkey) where i.indrelid = t.oid and i.indisprimary), '[]')) as entry
    from table_ t where not t.relispartition
    union all
    select jsonb_build_array('column', t.oid::text, a.attnum::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        coalesce(pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity::text, '')), case when a.atttypid = 1043 and a.atttypmod > 0 then a.atttypmod - 4 end)
    from table_ t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum where not t.relispartition
    union all
    select jsonb_build_array('rule', t.name, c.contype::text, pg_get_constraintdef(c.oid),
        (select jsonb_agg(a.attname order by array_position(c.conkey, a.attnum)) from pg_attribute a where a.attrelid = t.oid and a.attnum = any (c.conkey)))
    from table_ t join pg_constraint c on c.conrelid = t.oid and c.contype in ('p', 'u', 'f', 'c', 'x') where not t.relispartition
    union all
    select jsonb_build_array('rule', t.name, 'i', regexp_replace(pg_get_indexdef(i.indexrelid), '^(CREATE (UNIQUE )?INDEX) \S+ ON', '\1 ON'),
        coalesce((select jsonb_agg(a.attname order by array_position(i.indkey::int2[], a.attnum)) from pg_attribute a where a.attrelid = t.oid and a.attnum = any (i.indkey)), '[]'))
    from table_ t join pg_index i on i.indrelid = t.oid where not t.relispartition and not exists (select from pg_constraint c where c.conindid = i.indexrelid and c.contype in ('p', 'u', 'x'))
    union all
    select jsonb_build_array('object', 'partition ' || t.name || ' ' || pg_get_expr(c.relpartbound, c.oid)) from table_ t join pg_class c on c.oid = t.oid where t.relispartition
    union all
    select jsonb_build_array('object', case c.relkind when 'S' then 'sequence ' else 'view ' end || c.oid::regclass || case when c.relkind in ('v', 'm') then ' ' || pg_get_viewdef(c.oid) else '' end)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('v', 'm', 'S', 'f') and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'boot', 'attic')
    union all
    select jsonb_build_array('object', 'trigger ' || pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text) from pg_trigger g join table_ t on t.oid = g.tgrelid where not g.tgisinternal and g.tgparentid = 0
    union all
    select jsonb_build_array('object', 'policy ' || p.polname::text || ' on ' || t.name) from pg_policy p join table_ t on t.oid = p.polrelid
    union all
    select jsonb_build_array('object', 'function ' || p.oid::regprocedure || ' ' || md5(p.prosrc)) from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'boot', 'attic') and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    union all
    select jsonb_build_array('object', 'enum ' || y.oid::regtype || ' ' || (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid))
    from pg_type y where y.typtype = 'e'
    union all
    select jsonb_build_array('ledger', phase || '/' || filename) from boot.migrations
) x";

/// Query that returns the entries of the attic in the same form.
const ATTIC: &str = "select coalesce(jsonb_agg(jsonb_build_array(kind, case schema_name when 'public' then table_name else schema_name || '.' || table_name end,
    column_name, stored)), '[]')::text from boot.attic where purged_at is null";

impl DatabaseState {
    /// Reads the state of a database.
    pub(super) async fn of(database: &TestDatabase) -> anyhow::Result<DatabaseState> {
        let client = database.connect().await?;
        let mut state = DatabaseState::default();
        let mut selects = Vec::new();
        let catalog = client.query_one(CATALOG, &[]).await.context("failed to read the catalog")?;
        for entry in &parse(&catalog)? {
            state.add(entry, &mut selects);
        }
        let attic = client.query_one(ATTIC, &[]).await.context("failed to read the attic")?;
        for entry in &parse(&attic)? {
            selects.push(format!(
                "select '-{}', coalesce((select jsonb_agg(to_jsonb(t)) from attic.\"{}\" t), '[]')::text",
                state.attic.len(),
                text(entry, 3)
            ));
            state.attic.push(ExpectedAtticEntry {
                kind: text(entry, 0),
                table: text(entry, 1),
                column: entry[2].as_str().map(str::to_owned),
                rows: Vec::new(),
            });
        }
        for row in client.query(&selects.join(" union all "), &[]).await.context("failed to read the rows")? {
            let number: i64 = row.get::<_, &str>(0).parse().context("the key of the rows is not a number")?;
            let mut rows: Vec<Row> = serde_json::from_str(row.get(1)).context("the rows are not valid JSON")?;
            rows.sort_by_cached_key(|row| serde_json::to_string(row).unwrap_or_default());
            match u32::try_from(number) {
                Ok(oid) if row.get::<_, &str>(0) != "-0" => {
                    state.tables.entry(oid).or_default().rows = rows;
                }
                _ => state.attic[usize::try_from(-number).unwrap_or(0)].rows = rows,
            }
        }
        Ok(state)
    }

    fn add(&mut self, entry: &Value, selects: &mut Vec<String>) {
        // For kinds without an OID this is 0, and not used.
        let oid = text(entry, 1).parse().unwrap_or(0);
        match text(entry, 0).as_str() {
            "table" => {
                let table = self.tables.entry(oid).or_default();
                table.name = text(entry, 2);
                table.key = list(entry, 4);
                // Rows of partitions belong to the table; rows of tables that inherit from it do not.
                let from = text(entry, 3);
                let filter = format!(
                    "t.tableoid = '{0}'::regclass or exists (select from pg_partition_tree('{0}') where relid = t.tableoid)",
                    from.replace('\'', "''")
                );
                selects.push(format!(
                    "select '{oid}', coalesce((select jsonb_agg(to_jsonb(t)) from {from} t where {filter}), '[]')::text"
                ));
            }
            "column" => {
                let column = StateColumn {
                    name: text(entry, 3),
                    data_type: text(entry, 4),
                    not_null: entry[5] == true,
                    default: entry[6].as_str().map(str::to_owned),
                    length: entry[7].as_i64(),
                };
                self.tables.entry(oid).or_default().columns.insert(text(entry, 2).parse().unwrap_or(0), column);
            }
            "rule" => {
                self.rules.insert(StateRule {
                    table: text(entry, 1),
                    kind: text(entry, 2),
                    definition: text(entry, 3),
                    columns: list(entry, 4),
                });
            }
            "ledger" => {
                self.ledger.insert(text(entry, 1));
            }
            _ => {
                self.objects.insert(text(entry, 1));
            }
        }
    }

    pub(super) fn table(&self, name: &str) -> Option<&StateTable> {
        self.tables.values().find(|table| table.name == name)
    }

    /// Describes the differences of two states, except for PostgreSQL's numbers, the ledger and the attic.
    pub(super) fn differences(&self, other: &DatabaseState) -> Vec<String> {
        let mut found = Vec::new();
        let (mine, theirs) = (self.by_name(), other.by_name());
        let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        for name in names {
            match (mine.get(name), theirs.get(name)) {
                (Some(one), Some(two)) if one == two => {}
                (Some((columns, rows)), Some((now, left))) if columns == now => {
                    found.push(format!("rows of {name} differ: {} before, {} after", rows.len(), left.len()));
                }
                (Some(_), Some(_)) => found.push(format!("columns of {name} differ")),
                (Some(_), None) => found.push(format!("table {name} is gone")),
                _ => found.push(format!("table {name} is new")),
            }
        }
        found.extend(
            self.rules.difference(&other.rules).map(|rule| format!("{} on {} is gone", rule.definition, rule.table)),
        );
        found.extend(
            other.rules.difference(&self.rules).map(|rule| format!("{} on {} is new", rule.definition, rule.table)),
        );
        found.extend(self.objects.difference(&other.objects).map(|object| format!("{object} is gone")));
        found.extend(other.objects.difference(&self.objects).map(|object| format!("{object} is new")));
        found
    }

    fn by_name(&self) -> BTreeMap<String, (BTreeMap<&String, &StateColumn>, &Vec<Row>)> {
        self.tables
            .values()
            .map(|table| {
                let columns = table.columns.values().map(|column| (&column.name, column)).collect();
                (table.name.clone(), (columns, &table.rows))
            })
            .collect()
    }
}

/// Parses the JSON list in the first column of a row.
fn parse(row: &tokio_postgres::Row) -> anyhow::Result<Vec<Value>> {
    serde_json::from_str(row.get::<_, Option<&str>>(0).unwrap_or("[]")).context("the catalog is not valid JSON")
}

/// Returns the text at an index of a list; empty if there is no text.
fn text(entry: &Value, at: usize) -> String {
    entry[at].as_str().unwrap_or_default().to_owned()
}

/// Returns the list of texts at an index of a list.
fn list(entry: &Value, at: usize) -> Vec<String> {
    entry[at].as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
