//! The schema of a database as lines per table, and the differences between two of them.

use std::collections::{BTreeMap, BTreeSet};

use acceptance::database::TestDatabase;
use anyhow::Context as _;
use testbed::schema::is_system;

use crate::report::{UpgradeFindings, UpgradePart};

/// Columns, indexes, constraints, triggers and views. Partitions and the tables of extensions are left out.
const LINES: &str = r"
    with tables as (
        select c.oid, c.relname, c.relkind from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
          and not exists (select from pg_depend e where e.objid = c.oid and e.deptype = 'e')
    )
    select t.relname::text, format('column %s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then ' not null' end, ' default ' || pg_get_expr(d.adbin, d.adrelid))
        from tables t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
    union all
    select t.relname::text, case when i.indisunique then 'unique ' else '' end
            || regexp_replace(pg_get_indexdef(i.indexrelid), '^CREATE (UNIQUE )?INDEX (\S+) ON .*? USING (btree )?', 'index \2 ')
        from tables t join pg_index i on i.indrelid = t.oid
    union all
    select t.relname::text, format('constraint %s %s', c.conname, pg_get_constraintdef(c.oid))
        from tables t join pg_constraint c on c.conrelid = t.oid where c.contype <> 'n'
    union all
    select t.relname::text, pg_get_triggerdef(g.oid) from tables t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
    union all
    select t.relname::text, 'view ' || pg_get_viewdef(t.oid) from tables t where t.relkind in ('v', 'm')";

/// The lines of each table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaLines(BTreeMap<String, BTreeSet<String>>);

/// Fields that the data model adds to collections of Directus, by collection.
pub(crate) type OwnFields = BTreeMap<String, BTreeSet<String>>;

impl SchemaLines {
    pub(crate) async fn read(database: &TestDatabase) -> anyhow::Result<SchemaLines> {
        let client = database.connect().await?;
        let rows = client.query(LINES, &[]).await.context("failed to read the schema")?;
        let mut lines = SchemaLines::default();
        for row in rows {
            lines.0.entry(row.get(0)).or_default().insert(row.get(1));
        }
        Ok(lines)
    }

    /// The tables that differ, with their removed and added lines.
    fn differences<'a>(&'a self, after: &'a SchemaLines) -> impl Iterator<Item = TableDifference<'a>> {
        let names: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        names.into_iter().filter_map(|table| {
            let (was, is) = (self.0.get(table), after.0.get(table));
            let (removed, added) = (missing(was, is), missing(is, was));
            let is_changed = !removed.is_empty() || !added.is_empty();
            is_changed.then_some(TableDifference { table, was: was.is_some(), is: is.is_some(), removed, added })
        })
    }

    /// Every difference from another schema, one line per table.
    pub(crate) fn changes(&self, after: &SchemaLines) -> Vec<String> {
        self.differences(after)
            .map(|table| format!("{}: {}", table.table, shown(&table.removed, &table.added)))
            .collect()
    }

    /// Compares with the schema after the upgrade. Tables of Directus are its own business, except for the columns of own
    /// fields; changes of them are returned, one line per table.
    pub(crate) fn compare(&self, after: &SchemaLines, own: &OwnFields, findings: &mut UpgradeFindings) -> Vec<String> {
        let mut of_directus = Vec::new();
        for TableDifference { table, was, is, removed, added } in self.differences(after) {
            if !is_system(table) {
                let state = match (was, is) {
                    (true, false) => " is gone",
                    (false, true) => " is new",
                    _ => "",
                };
                let text = format!("table {table}{state}: {}", shown(&removed, &added));
                // New constraints and indexes may refuse what existing clients write.
                let is_addition = removed.is_empty() && (!was || added.iter().all(|line| line.starts_with("column ")));
                if is_addition {
                    findings.note(UpgradePart::Schema, text)
                } else {
                    findings.look(UpgradePart::Schema, text)
                }
                continue;
            }
            let is_own = |line: &&str| own.get(table).is_some_and(|fields| is_column_of(line, fields));
            let (own_removed, removed): (Vec<&str>, Vec<&str>) = removed.into_iter().partition(is_own);
            let (own_added, added): (Vec<&str>, Vec<&str>) = added.into_iter().partition(is_own);
            if !own_removed.is_empty() || !own_added.is_empty() {
                findings.look(UpgradePart::Schema, format!("table {table}: {}", shown(&own_removed, &own_added)));
            }
            if !removed.is_empty() || !added.is_empty() {
                let lines = shown(&removed, &added);
                of_directus.push(if was { format!("{table}: {lines}") } else { format!("{table} is new") });
            }
        }
        of_directus
    }
}

/// A table that differs.
struct TableDifference<'a> {
    table: &'a str,
    was: bool,
    is: bool,
    removed: Vec<&'a str>,
    added: Vec<&'a str>,
}

fn is_column_of(line: &str, fields: &BTreeSet<String>) -> bool {
    let name = line.strip_prefix("column ").and_then(|rest| rest.split(' ').next());
    name.is_some_and(|name| fields.contains(name))
}

/// The lines of one table that another does not have.
fn missing<'a>(from: Option<&'a BTreeSet<String>>, other: Option<&BTreeSet<String>>) -> Vec<&'a str> {
    let lines = from.into_iter().flatten().filter(|line| other.is_none_or(|other| !other.contains(*line)));
    lines.map(String::as_str).collect()
}

/// Removed lines with `-` and added ones with `+`, at most a few.
fn shown(removed: &[&str], added: &[&str]) -> String {
    const MOST: usize = 6;
    let removed = removed.iter().map(|line| format!("- {line}"));
    let lines: Vec<String> = removed.chain(added.iter().map(|line| format!("+ {line}"))).collect();
    let rest = lines.len().saturating_sub(MOST);
    let shown = lines[..lines.len() - rest].join(", ");
    if rest == 0 { shown } else { format!("{shown}, and {rest} more") }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::SchemaLines;
    use crate::report::UpgradeFindings;

    fn schema(tables: &[(&str, &[&str])]) -> SchemaLines {
        let tables = tables.iter().map(|(table, lines)| {
            ((*table).to_owned(), lines.iter().map(|&line| line.to_owned()).collect::<BTreeSet<_>>())
        });
        SchemaLines(tables.collect())
    }

    #[test]
    fn changed_lost_and_new_tables_are_found_with_their_lines() {
        let before = schema(&[("laps", &["column speed real"]), ("old", &["column id uuid"])]);
        let after = schema(&[("laps", &["column speed numeric"]), ("new", &["column id uuid"])]);
        let mut findings = UpgradeFindings::default();
        assert!(before.compare(&after, &BTreeMap::new(), &mut findings).is_empty());
        let expected = [
            "Look schema: table laps: - column speed real, + column speed numeric",
            "Note schema: table new is new: + column id uuid",
            "Look schema: table old is gone: - column id uuid",
        ];
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn of_a_table_of_directus_only_own_columns_are_findings() {
        let before = schema(&[("directus_users", &["column phone text", "column theme text"])]);
        let after = schema(&[("directus_users", &["column theme uuid", "column phones text"])]);
        let own = BTreeMap::from([("directus_users".to_owned(), BTreeSet::from(["phone".to_owned()]))]);
        let mut findings = UpgradeFindings::default();
        let of_directus = before.compare(&after, &own, &mut findings);
        assert_eq!(findings.lines(), ["Look schema: table directus_users: - column phone text"]);
        assert_eq!(of_directus, ["directus_users: - column theme text, + column phones text, + column theme uuid"]);
    }

    #[test]
    fn long_lists_end_with_their_number() {
        let lines: Vec<String> = (0..9).map(|number| format!("column c{number} text")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut findings = UpgradeFindings::default();
        schema(&[]).compare(&schema(&[("wide", &lines)]), &BTreeMap::new(), &mut findings);
        assert!(findings.lines()[0].ends_with("+ column c5 text, and 3 more"), "{:?}", findings.lines());
    }
}
