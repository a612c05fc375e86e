//! Keeps what a transaction is about to remove, as part of that transaction.

use super::SCHEMA;
use crate::migrations::MigrationFile;
use crate::migrations::scan::words;
use crate::witness::catalog::{Catalog, Oid};
use crate::witness::link::{identifier, literal};
use crate::witness::{Announcement, Link, LinkError, Loss, TableName};

/// Data that is kept until it is known what the work removed.
#[derive(Debug)]
pub struct Stash {
    id: u64,
    /// The table in the attic.
    stored: String,
    /// The loss that it is kept for.
    subject: Loss,
    how: How,
}

/// The way in which data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The table itself is moved, and an empty one takes its place for the work to drop.
    Move,
    /// The table's rows are copied.
    Copy,
    /// The column's values are copied with their keys.
    Column,
    /// A trigger copies rows as they are deleted.
    Rows,
}

impl How {
    /// The value of `boot.attic.kind`.
    fn kind(self) -> &'static str {
        match self {
            How::Move | How::Copy => "table",
            How::Column => "column",
            How::Rows => "rows",
        }
    }
}

/// A statement to run right before one of a file's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The index of the file's statement.
    pub before: usize,
    /// The statement.
    pub sql: String,
}

/// The longest part of a table's name that its name in the attic repeats; PostgreSQL's limit is 63 bytes.
const MAX_NAME: usize = 40;

impl Stash {
    /// For the allowed losses of a plan: tables are moved, columns copied. `source` is the image's name.
    ///
    /// # Errors
    /// The connection's.
    pub async fn of_plan(
        link: &mut Link<'_>,
        catalog: &Catalog,
        losses: &[&Loss],
        image: &str,
    ) -> Result<Vec<Stash>, LinkError> {
        let mut stashes = Vec::new();
        for loss in losses {
            let Some(oid) = loss.table().and_then(|table| catalog.find_table(Some(&table.schema), &table.name)) else {
                continue;
            };
            let how = match loss {
                Loss::Table(_) => How::Move,
                Loss::Column(_, column) if catalog.find_column(oid, column).is_some() => How::Column,
                _ => continue,
            };
            let stash = Stash::create(link, catalog, oid, (*loss).clone(), how, "schema apply", image).await?;
            if how == How::Move {
                link.rows(&stash.move_statement(catalog, oid)).await?;
            }
            stashes.push(stash);
        }
        Ok(stashes)
    }

    /// For what a SQL file declares. A table that the file drops by a plain `DROP TABLE` is moved right before that
    /// statement; any other one is copied before the file runs.
    ///
    /// # Errors
    /// The connection's.
    pub async fn of_file(
        link: &mut Link<'_>,
        catalog: &Catalog,
        file: &MigrationFile,
        image: &str,
    ) -> Result<(Vec<Stash>, Vec<Insertion>), LinkError> {
        let (mut stashes, mut insertions) = (Vec::new(), Vec::new());
        for announcement in &file.headers.destroys {
            let (schema, name) = announcement.table();
            // What is not there cannot be destroyed; the boot warns of it afterwards.
            let Some(oid) = catalog.find_table(schema, name) else { continue };
            let Some(table) = catalog.table_name(oid).cloned() else { continue };
            // The boot's own tables and the attic are not kept a second time.
            if table.schema == SCHEMA || table.schema == "boot" {
                continue;
            }
            let (subject, how, drop) = match announcement.column() {
                Some(column) if catalog.find_column(oid, column).is_some() => {
                    (Loss::Column(table, column.to_owned()), How::Column, None)
                }
                Some(_) => continue,
                None if announcement.is_rows() => (Loss::Rows(table, 0), How::Rows, None),
                None => match plain_drop(file, announcement) {
                    Some(statement) => (Loss::Table(table), How::Move, Some(statement)),
                    None => (Loss::Table(table), How::Copy, None),
                },
            };
            let stash = Stash::create(link, catalog, oid, subject, how, &file.filename, image).await?;
            if let Some(before) = drop {
                insertions.push(Insertion { before, sql: stash.move_statement(catalog, oid) });
            }
            stashes.push(stash);
        }
        Ok((stashes, insertions))
    }

    /// Adds the entry to the list, and copies what has to be copied before the work.
    async fn create(
        link: &mut Link<'_>,
        catalog: &Catalog,
        oid: Oid,
        subject: Loss,
        how: How,
        source: &str,
        image: &str,
    ) -> Result<Stash, LinkError> {
        let table = catalog.relations[&oid].name.clone();
        let column = if let Loss::Column(_, column) = &subject { Some(column.clone()) } else { None };
        let column = column.as_deref();
        let key = catalog.primary_key(oid);
        let definition = definition(link, catalog, oid, column, &key).await?;
        let optional = |text: Option<&str>| text.map_or_else(|| "null".to_owned(), literal);
        // Asked first, because `if not exists` sends a notice.
        if link.number(&format!("select (to_regnamespace({}) is null)::int", literal(SCHEMA))).await? == 1 {
            link.rows(&format!("create schema {SCHEMA}")).await?;
        }
        let insert = format!(
            "insert into boot.attic (kind, schema_name, table_name, column_name, stored, definition, source, image)
             values ({}, {}, {}, {}, '', {}::jsonb, {}, {}) returning id",
            literal(how.kind()),
            literal(&table.schema),
            literal(&table.name),
            optional(column),
            literal(&definition),
            literal(source),
            literal(image),
        );
        let id = link.number(&insert).await?;
        let short: String = table.name.chars().take(MAX_NAME).filter(|c| c.len_utf8() == 1).collect();
        let stored = format!("{short}_{id}");
        link.rows(&format!("update boot.attic set stored = {} where id = {id}", literal(&stored))).await?;
        let stash = Stash { id, stored, subject, how };
        let (target, origin) = (stash.target(), table.quoted());
        match how {
            How::Move => {}
            How::Copy => drop(link.rows(&format!("create table {target} as select * from {origin}")).await?),
            How::Column => {
                let column = identifier(column.unwrap_or_default());
                // Without a key, only whole rows tell which value belonged where.
                let columns = match key.as_slice() {
                    [] => "*".to_owned(),
                    key => {
                        key.iter().map(|name| identifier(name)).chain([column.clone()]).collect::<Vec<_>>().join(", ")
                    }
                };
                let select = format!("select {columns} from {origin} where {column} is not null");
                link.rows(&format!("create table {target} as {select}")).await?;
            }
            How::Rows => drop(link.rows(&stash.trigger_statements(&table)).await?),
        }
        Ok(stash)
    }

    /// The table in the attic, for SQL.
    fn target(&self) -> String {
        format!("{SCHEMA}.{}", identifier(&self.stored))
    }

    /// Moves the table with its partitions, and puts an empty one in its place. Its foreign keys go: nothing in the
    /// attic may hold on to rows that are in use; their definitions are in the list.
    fn move_statement(&self, catalog: &Catalog, oid: Oid) -> String {
        let table = &catalog.relations[&oid].name;
        let (origin, stored) = (table.quoted(), identifier(&self.stored));
        let target = self.target();
        let body = format!(
            "declare
                part record;
                f record;
            begin
                for f in select conname from pg_catalog.pg_constraint
                         where conrelid = {name}::regclass and contype = 'f' and conparentid = 0 loop
                    execute format('alter table {origin} drop constraint %I', f.conname);
                end loop;
                for part in select relid, row_number() over () as number
                            from pg_catalog.pg_partition_tree({name}::regclass) where level > 0 loop
                    execute format('alter table %s rename to %I', part.relid, {part} || part.number);
                    execute format('alter table %s set schema {SCHEMA}', part.relid);
                end loop;
                alter table {origin} rename to {stored};
                alter table {schema}.{stored} set schema {SCHEMA};
                create table {origin} (like {target} including all);
            end",
            name = literal(&origin),
            part = literal(&format!("{}_p", self.stored)),
            schema = identifier(&table.schema),
        );
        format!("do {}", literal(&body).trim_start())
    }

    /// A trigger for DELETE by row and one for TRUNCATE. Rows pass through JSON, so that a column that the file adds in
    /// between does no harm.
    fn trigger_statements(&self, table: &TableName) -> String {
        let (target, origin) = (self.target(), table.quoted());
        let function = format!("{SCHEMA}.{}", identifier(&self.function()));
        let trigger = identifier(&self.function());
        let body = format!(
            "begin
                if tg_op = 'TRUNCATE' then
                    insert into {target} select (jsonb_populate_record(null::{target}, to_jsonb(t))).* from {origin} t;
                else
                    insert into {target} select (jsonb_populate_record(null::{target}, to_jsonb(old))).*;
                end if;
                return null;
            end"
        );
        format!(
            "create table {target} (like {origin});
             create function {function}() returns trigger language plpgsql as {body};
             create trigger {trigger} after delete on {origin} for each row execute function {function}();
             create trigger {trigger}_all before truncate on {origin} for each statement execute function {function}()",
            trigger = trigger.trim_matches('"'),
            body = literal(&body),
        )
    }

    fn function(&self) -> String {
        format!("attic_keep_{}", self.id)
    }

    /// After the work: removes the triggers. To be called before the witness looks.
    ///
    /// # Errors
    /// The connection's.
    pub async fn end_work(&self, link: &mut Link<'_>) -> Result<(), LinkError> {
        if self.how == How::Rows {
            let function = identifier(&self.function());
            // With its triggers, if the table still has them; the notice about those is not of interest.
            link.rows(&format!(
                "set local client_min_messages = warning; drop function if exists {SCHEMA}.{function}() cascade; \
                 set local client_min_messages to default"
            ))
            .await?;
        }
        Ok(())
    }

    /// Whether the work removed what this is kept for.
    fn happened(&self, losses: &[Loss]) -> bool {
        losses.iter().any(|loss| match (&self.subject, loss) {
            (
                Loss::Column(table, column),
                Loss::Column(lost, name) | Loss::Retyped { table: lost, column: name, .. },
            ) => table == lost && column == name,
            (Loss::Rows(table, _), Loss::Rows(lost, _) | Loss::Rewritten(lost) | Loss::Table(lost))
            | (Loss::Table(table) | Loss::Column(table, _), Loss::Table(lost)) => table == lost,
            _ => false,
        })
    }
}

/// Keeps what was removed and drops the rest of the stashes. Returns a sentence for each.
///
/// # Errors
/// The connection's.
pub async fn settle(link: &mut Link<'_>, stashes: Vec<Stash>, losses: &[Loss]) -> Result<Vec<String>, LinkError> {
    let mut sentences = Vec::with_capacity(stashes.len());
    for stash in stashes {
        let Stash { id, subject, .. } = &stash;
        if stash.happened(losses) {
            sentences.push(format!("removed {subject}; `attic restore {id}` brings it back"));
        } else {
            link.rows(&format!("drop table if exists {}; delete from boot.attic where id = {id}", stash.target()))
                .await?;
            sentences.push(format!("{subject} was to be removed and was not"));
        }
    }
    Ok(sentences)
}

/// What a restore needs beside the data, as JSON: the key and type of a column, and the foreign keys of a table in both
/// directions.
async fn definition(
    link: &mut Link<'_>,
    catalog: &Catalog,
    oid: Oid,
    column: Option<&str>,
    key: &[String],
) -> Result<String, LinkError> {
    let foreign_keys = link
        .rows(&format!(
            "select coalesce(json_agg(json_build_object('table', conrelid::regclass::text, 'name', conname,
                 'definition', pg_catalog.pg_get_constraintdef(oid)) order by conrelid <> {oid}, conname), '[]')
             from pg_catalog.pg_constraint where contype = 'f' and conparentid = 0 and {oid} in (conrelid, confrelid)"
        ))
        .await?;
    let foreign_keys = foreign_keys.into_iter().flatten().flatten().next().unwrap_or_else(|| "[]".to_owned());
    let foreign_keys: serde_json::Value = serde_json::from_str(&foreign_keys).unwrap_or_default();
    let column = column.and_then(|column| catalog.find_column(oid, column)).map(|(_, column)| column);
    Ok(serde_json::json!({
        "key": key,
        "type": column.map(|column| &column.data_type),
        "notNull": column.map(|column| column.not_null),
        "default": column.and_then(|column| column.default.as_ref()),
        "foreignKeys": foreign_keys,
    })
    .to_string())
}

/// The statement of a file that drops exactly this table and nothing with it.
fn plain_drop(file: &MigrationFile, announcement: &Announcement) -> Option<usize> {
    file.statements.iter().position(|range| {
        let statement = &file.sql[range.clone()];
        let mut words = words(statement).map(str::to_ascii_lowercase);
        let mut is = |word: &str| words.next().as_deref() == Some(word);
        if !(is("drop") && is("table")) || statement.contains(',') {
            return false;
        }
        let rest: Vec<&str> = statement.split_whitespace().collect();
        let cascades = rest.iter().any(|word| word.eq_ignore_ascii_case("cascade"));
        let name = rest.iter().rev().find(|word| !word.eq_ignore_ascii_case("restrict"));
        let named = name.and_then(|name| Announcement::parse(&format!("table {}", name.trim_end_matches(';'))));
        !cascades && named.is_some_and(|named| named.table().1 == announcement.table().1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop_in(sql: &str) -> Option<usize> {
        let file = MigrationFile::parse("001_a.sql", sql.as_bytes()).expect("a good file");
        plain_drop(&file, &Announcement::parse("table laps").expect("a good announcement"))
    }

    #[test]
    fn a_plain_drop_is_found_and_others_are_not() {
        assert_eq!(drop_in("select 1; drop table laps;"), Some(1));
        assert_eq!(drop_in("drop table if exists public.\"laps\" restrict"), Some(0));
        for other in ["drop table laps cascade", "drop table laps, cars", "drop table cars", "select 'drop table laps'"]
        {
            assert_eq!(drop_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_stash_is_kept_for_its_own_loss_only() {
        let laps = TableName { schema: "public".to_owned(), name: "laps".to_owned() };
        let stash = |subject: Loss| Stash { id: 1, stored: "laps_1".to_owned(), subject, how: How::Copy };
        let column = Loss::Column(laps.clone(), "speed".to_owned());
        assert!(stash(column.clone()).happened(&[Loss::Table(laps.clone())]));
        assert!(stash(column.clone()).happened(std::slice::from_ref(&column)));
        assert!(!stash(Loss::Table(laps.clone())).happened(&[column]));
        assert!(stash(Loss::Rows(laps.clone(), 0)).happened(&[Loss::Rewritten(laps)]));
    }
}
