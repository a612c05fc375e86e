//! Keeps the data that a transaction is about to remove, as part of that transaction.

use super::SCHEMA;
use crate::migrations::MigrationFile;
use crate::migrations::scan::words;
use crate::quote::{identifier, literal};
use crate::witness::catalog::{Catalog, Oid};
use crate::witness::link::Rows;
use crate::witness::{Announcement, Link, LinkError, Loss, TableName};

/// Data that is kept until the work has shown whether it removes the original.
#[derive(Debug)]
pub struct Stash {
    id: u64,
    /// The table in the attic.
    stored: String,
    /// The expected loss.
    subject: Loss,
    how: How,
}

/// The way to keep the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// The table itself is moved. The work drops an empty one in its place.
    Move,
    /// The table's rows are copied.
    Copy,
    /// The column's values are copied with their primary keys.
    Column,
    /// A trigger copies rows as they are deleted.
    Rows,
    /// All rows are copied, and those that remain are removed from the copy after the work: dropping a partition does
    /// not fire a trigger.
    AllRows,
}

impl How {
    /// The value of `boot.attic.kind`.
    fn kind(self) -> &'static str {
        match self {
            How::Move | How::Copy => "table",
            How::Column => "column",
            How::Rows | How::AllRows => "rows",
        }
    }
}

/// A statement to insert into those of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The index of the file's statement to insert it before.
    pub before: usize,
    /// The statement to insert.
    pub sql: String,
}

/// The SQLSTATE of a statement of [`Stash::of_file`] if the file deleted rows of the table before it.
pub const NEEDS_COPY: &str = "BA001";

/// The number of characters of a table's name that its name in the attic repeats; PostgreSQL's limit is 63 bytes.
const MAX_NAME: usize = 40;

impl Stash {
    /// Keeps the data of a plan's allowed losses: moves tables and copies columns.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn of_plan(
        link: &mut Link<'_>,
        catalog: &Catalog,
        losses: &[&Loss],
        image: &str,
    ) -> Result<Vec<Stash>, LinkError> {
        let mut stashes = Vec::new();
        for loss in losses {
            let Some(oid) = loss.table().and_then(|table| catalog.number_of(table)) else {
                continue;
            };
            let how = match loss {
                Loss::Table(_) => How::Move,
                Loss::Column(_, column) if catalog.find_column(oid, column).is_some() => How::Column,
                _ => continue,
            };
            let stash = Stash::create(link, catalog, oid, (*loss).clone(), how, "schema apply", image).await?;
            if how == How::Move {
                link.rows(&stash.move_statement(catalog, oid, false)).await?;
            }
            stashes.push(stash);
        }
        Ok(stashes)
    }

    /// Keeps the data that a SQL file announces as lost. A table that the file drops with a separate statement is moved
    /// right before that statement, and a trigger copies deleted rows. All other data is copied before the file runs,
    /// and so is everything if `may_move` is false, because an earlier attempt has shown that the file evades the quick
    /// ways.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn of_file(
        link: &mut Link<'_>,
        catalog: &Catalog,
        file: &MigrationFile,
        may_move: bool,
        image: &str,
    ) -> Result<(Vec<Stash>, Vec<Insertion>), LinkError> {
        let (mut stashes, mut insertions) = (Vec::new(), Vec::new());
        for announcement in &file.directives.destroys {
            let (schema, name) = announcement.table();
            // A missing table cannot be destroyed; the boot warns about it afterwards.
            let Some(oid) = catalog.find_table(schema, name) else { continue };
            let Some(table) = catalog.table_name(oid).cloned() else { continue };
            // The boot's own tables and those in the attic are not kept.
            if table.schema == SCHEMA || table.schema == "boot" {
                continue;
            }
            let has_parts = catalog.has_parts(oid);
            // If it were moved, the file's CASCADE would not drop the tables that inherit from it.
            let is_alone = catalog.children(oid).next().is_none() && catalog.relations[&oid].parent.is_none();
            let drop = dropping_statement(file, announcement).filter(|_| may_move && is_alone);
            let (subject, how) = match announcement.column() {
                Some(column) if catalog.find_column(oid, column).is_some() => {
                    (Loss::Column(table, column.to_owned()), How::Column)
                }
                Some(_) => continue,
                None if announcement.is_rows() && (has_parts || !may_move) => (Loss::Rows(table, 0), How::AllRows),
                None if announcement.is_rows() => (Loss::Rows(table, 0), How::Rows),
                None if drop.is_some() => (Loss::Table(table), How::Move),
                None => (Loss::Table(table), How::Copy),
            };
            let stash = Stash::create(link, catalog, oid, subject, how, &file.filename, image).await?;
            if let (How::Move, Some(Drop { statement, cascades })) = (how, drop) {
                insertions.push(Insertion { before: statement, sql: stash.move_statement(catalog, oid, cascades) });
            }
            stashes.push(stash);
        }
        Ok((stashes, insertions))
    }

    /// Adds the entry to the list, and copies the data that has to be copied before the work.
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
        let definition = definition(link, catalog, oid, column, &key, how == How::Copy).await?;
        // Not `if not exists`, because that sends a notice.
        if link.number(&format!("select (to_regnamespace({}) is null)::int", literal(SCHEMA))).await? == 1 {
            link.rows(&format!("create schema {SCHEMA}")).await?;
        }
        let insert = format!(
            "insert into boot.attic (kind, schema_name, table_name, column_name, stored, definition, source, image)
             values ({}, {}, {}, {}, '', {}::jsonb, {}, {}) returning id",
            literal(how.kind()),
            literal(&table.schema),
            literal(&table.name),
            column.map_or_else(|| "null".to_owned(), literal),
            literal(&definition),
            literal(source),
            literal(image),
        );
        let id = link.number(&insert).await?;
        let short: String = table.name.chars().take(MAX_NAME).filter(|c| c.len_utf8() == 1).collect();
        let stored = format!("{short}_{id}");
        link.rows(&format!("update boot.attic set stored = {} where id = {id}", literal(&stored))).await?;
        let stash = Stash { id, stored, subject, how };
        let (target, origin, rows) = (stash.target(), table.quoted(), catalog.rows_of(oid));
        match how {
            How::Move => {}
            How::Copy => {
                // The defaults are in the definition instead, because their sequences may be dropped with the table.
                let like = "including all excluding defaults excluding identity excluding generated";
                link.rows(&format!(
                    "create table {target} (like {origin} {like}); insert into {target} select * from {origin}"
                ))
                .await?;
            }
            How::AllRows => drop(link.rows(&format!("create table {target} as select * from {rows}")).await?),
            How::Column => {
                let column = identifier(column.unwrap_or_default());
                // Without a key, only whole rows show where a value belongs.
                let columns = match key.as_slice() {
                    [] => "*".to_owned(),
                    key => {
                        let keys = key.iter().map(|name| identifier(name)).filter(|name| *name != column);
                        keys.chain([column.clone()]).collect::<Vec<_>>().join(", ")
                    }
                };
                let select = format!("select {columns} from {rows} where {column} is not null");
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

    /// Moves the table with its partitions, and creates an empty one in its place. Drops its foreign keys, since
    /// nothing in the attic may reference rows that are in use; their definitions are in the list. If `cascades`, also
    /// drops the foreign keys to it and the views over it. Fails with [`NEEDS_COPY`] if rows were deleted before.
    fn move_statement(&self, catalog: &Catalog, oid: Oid, cascades: bool) -> String {
        let relation = &catalog.relations[&oid];
        let (table, filenode, deleted) = (&relation.name, relation.filenode, catalog.deleted(oid));
        let (origin, stored) = (table.quoted(), identifier(&self.stored));
        let target = self.target();
        let body = format!(
            "declare
                part record;
                f record;
            begin
                if pg_catalog.pg_stat_get_xact_tuples_deleted({oid}) > {deleted}
                   or (select relfilenode <> {filenode} from pg_catalog.pg_class where oid = {oid}) then
                    raise exception 'rows were deleted before' using errcode = '{NEEDS_COPY}';
                end if;
                for f in select conname, conrelid::regclass as owner from pg_catalog.pg_constraint
                         where contype = 'f' and conparentid = 0
                           and (conrelid = {oid} or {cascades} and confrelid = {oid}) loop
                    execute format('alter table %s drop constraint %I', f.owner, f.conname);
                end loop;
                for f in select distinct v.oid::regclass as name, v.relkind
                         from pg_catalog.pg_depend d
                         join pg_catalog.pg_rewrite r on r.oid = d.objid and d.classid = 'pg_catalog.pg_rewrite'::regclass
                         join pg_catalog.pg_class v on v.oid = r.ev_class
                         where {cascades} and d.refobjid = {oid} and d.refclassid = 'pg_catalog.pg_class'::regclass loop
                    execute format('drop %s if exists %s cascade',
                        case f.relkind when 'm' then 'materialized view' else 'view' end, f.name);
                end loop;
                for part in select relid, row_number() over () as number
                            from pg_catalog.pg_partition_tree({oid}) where level > 0 loop
                    execute format('alter table %s rename to %I', part.relid, {part} || part.number);
                    execute format('alter table %s set schema {SCHEMA}', part.relid);
                end loop;
                alter table {origin} rename to {stored};
                alter table {schema}.{stored} set schema {SCHEMA};
                create table {origin} (like {target} including all);
            end",
            part = literal(&format!("{}_p", self.stored)),
            schema = identifier(&table.schema),
        );
        format!("do {}", literal(&body).trim_start())
    }

    /// Creates a row trigger for DELETE and one for TRUNCATE, which also fire in sessions that replicate. The rows pass
    /// through JSON, so that a column that the file adds in the meantime does no harm.
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
             create trigger {trigger}_all before truncate on {origin} for each statement execute function {function}();
             alter table {origin} enable always trigger {trigger}, enable always trigger {trigger}_all",
            trigger = trigger.trim_matches('"'),
            body = literal(&body),
        )
    }

    fn function(&self) -> String {
        format!("attic_keep_{}", self.id)
    }

    /// Removes the triggers, and the rows that remain in the table from a full copy of it. Call it after the work,
    /// before the witness reads the catalog.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn end_work(&self, link: &mut Link<'_>) -> Result<(), LinkError> {
        if self.how == How::Rows {
            let function = identifier(&self.function());
            // Also drops the triggers, if the table still has them; the notice about those is suppressed.
            link.rows(&format!(
                "set local client_min_messages = warning; drop function if exists {SCHEMA}.{function}() cascade; \
                 set local client_min_messages to default"
            ))
            .await?;
        }
        if let (How::AllRows, Some(table)) = (self.how, self.subject.table()) {
            let (target, kept) = (self.target(), identifier(&format!("{}_kept", self.stored)));
            let columns = "select string_agg(format('%I', attname), ', ' order by attnum) from pg_catalog.pg_attribute";
            let columns =
                link.rows(&format!("{columns} where attrelid = {}::regclass and attnum > 0", literal(&target))).await?;
            let columns = columns.into_iter().flatten().flatten().next().unwrap_or_default();
            // If the table's columns have changed, the copy stays complete; a restore skips rows whose key exists.
            link.attempt(&format!(
                "create table {SCHEMA}.{kept} as select * from {target} except all select {columns} from {};
                 drop table {target}; alter table {SCHEMA}.{kept} rename to {}",
                table.quoted(),
                identifier(&self.stored)
            ))
            .await?;
        }
        Ok(())
    }

    /// Returns true if it contains every deleted row; a file may have disabled the triggers.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn is_complete(&self, link: &mut Link<'_>, losses: &[Loss]) -> Result<bool, LinkError> {
        let Some(table) = self.subject.table().filter(|_| self.how == How::Rows) else { return Ok(true) };
        let rows = link.number(&format!("select count(*) from {}", self.target())).await?;
        // The rows of a rewritten table were truncated or cast, and a cast does not fire triggers.
        Ok(losses.iter().all(|loss| match loss {
            Loss::Rows(lost, number) => lost != table || rows >= *number,
            Loss::Rewritten(lost) => lost != table,
            _ => true,
        }))
    }

    /// Returns true if the work removed the original of the kept data.
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

/// Keeps the data that was removed and drops the other stashes. Returns one sentence per stash.
///
/// # Errors
/// Fails if a query does.
pub async fn reconcile_ledger(
    link: &mut Link<'_>,
    stashes: Vec<Stash>,
    losses: &[Loss],
) -> Result<Vec<String>, LinkError> {
    let mut sentences = Vec::with_capacity(stashes.len());
    for stash in stashes {
        let Stash { id, subject, .. } = &stash;
        if stash.happened(losses) {
            sentences.push(format!("removed {subject}; `attic restore {id}` brings it back"));
        } else {
            link.rows(&format!("drop table if exists {}; delete from boot.attic where id = {id}", stash.target()))
                .await?;
            sentences.push(format!("{subject} was announced as lost, but was not removed"));
        }
    }
    Ok(sentences)
}

/// The definition that a restore needs in addition to the data, as JSON: the key and type of a column, the foreign keys
/// from and to a table, and for a copy the defaults of its columns.
async fn definition(
    link: &mut Link<'_>,
    catalog: &Catalog,
    oid: Oid,
    column: Option<&str>,
    key: &[String],
    is_copy: bool,
) -> Result<String, LinkError> {
    let foreign_keys = link
        .rows(&format!(
            "select coalesce(json_agg(json_build_object('table', conrelid::regclass::text, 'name', conname,
                 'definition', pg_catalog.pg_get_constraintdef(oid)) order by conrelid <> {oid}, conname), '[]')
             from pg_catalog.pg_constraint where contype = 'f' and conparentid = 0 and {oid} in (conrelid, confrelid)"
        ))
        .await?;
    let defaults = if is_copy {
        link.rows(&format!(
            "select json_agg(json_build_object('column', a.attname, 'identity', a.attidentity,
                 'generated', a.attgenerated, 'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid)))
             from pg_catalog.pg_attribute a
             left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
             where a.attrelid = {oid} and a.attnum > 0 and not a.attisdropped
               and (d.adbin is not null or a.attidentity <> '')"
        ))
        .await?
    } else {
        Vec::new()
    };
    let column = column.and_then(|column| catalog.find_column(oid, column)).map(|(_, column)| column);
    Ok(serde_json::json!({
        "key": key,
        "type": column.map(|column| &column.data_type),
        "notNull": column.map(|column| column.not_null),
        "default": column.and_then(|column| column.default.as_ref()),
        "foreignKeys": first_json(foreign_keys),
        "defaults": first_json(defaults),
    })
    .to_string())
}

/// The first value of a result as JSON; null if there is none.
fn first_json(rows: Rows) -> serde_json::Value {
    let text = rows.into_iter().flatten().flatten().next();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// A statement of a file that drops tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Drop {
    /// The index of the statement in the file.
    statement: usize,
    /// True for CASCADE.
    cascades: bool,
}

/// The first DROP TABLE of a file that names this table.
fn dropping_statement(file: &MigrationFile, announcement: &Announcement) -> Option<Drop> {
    let (_, table) = announcement.table();
    file.statements.iter().enumerate().find_map(|(statement, range)| {
        let (names, cascades) = dropped_tables(&file.sql[range.clone()])?;
        names.iter().any(|name| name.table().1 == table).then_some(Drop { statement, cascades })
    })
}

/// The tables of a DROP TABLE, and true if it cascades. `None` for other statements and those with comments.
fn dropped_tables(statement: &str) -> Option<(Vec<Announcement>, bool)> {
    let mut first = words(statement).map(str::to_ascii_lowercase);
    if first.next()? != "drop" || first.next()? != "table" || statement.contains("--") || statement.contains("/*") {
        return None;
    }
    // The words may differ in case and white space.
    let mut rest = statement.trim_start().get("drop".len()..)?.trim_start().get("table".len()..)?.trim();
    if let Some(after) = strip_word(rest, "if").and_then(|rest| strip_word(rest, "exists")) {
        rest = after;
    }
    let cascade = strip_last_word(rest, "cascade");
    rest = cascade.or_else(|| strip_last_word(rest, "restrict")).unwrap_or(rest);
    let mut names = Vec::new();
    let mut in_quotes = false;
    for name in rest.split(|c: char| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    }) {
        names.push(Announcement::parse(&format!("table {}", name.trim()))?);
    }
    Some((names, cascade.is_some()))
}

fn strip_last_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, last) = text.split_at_checked(text.len().checked_sub(word.len())?)?;
    (last.eq_ignore_ascii_case(word) && head.ends_with(char::is_whitespace)).then(|| head.trim_end())
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let head = text.get(..word.len())?;
    let rest = &text[word.len()..];
    (head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drop_in(sql: &str) -> Option<(usize, bool)> {
        let file = MigrationFile::parse("001_a.sql", sql.as_bytes()).expect("the file is valid");
        let announcement = Announcement::parse("table laps").expect("the announcement is valid");
        dropping_statement(&file, &announcement).map(|drop| (drop.statement, drop.cascades))
    }

    fn happened(subject: Loss, loss: Loss) -> bool {
        Stash { id: 1, stored: "laps_1".to_owned(), subject, how: How::Copy }.happened(&[loss])
    }

    #[test]
    fn the_statement_that_drops_a_table_is_found() {
        assert_eq!(drop_in("select 1; drop table laps;"), Some((1, false)));
        assert_eq!(drop_in("DROP  TABLE\n IF EXISTS public.\"laps\" restrict"), Some((0, false)));
        assert_eq!(drop_in("drop table \"a, b\", laps cascade"), Some((0, true)));
        for other in
            ["drop table cars", "drop table laps /* all */ cascade", "select 'drop table laps'", "drop view laps"]
        {
            assert_eq!(drop_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_stash_is_kept_only_for_its_own_loss() {
        let laps = TableName { schema: "public".to_owned(), name: "laps".to_owned() };
        let (table, column) = (Loss::Table(laps.clone()), Loss::Column(laps.clone(), "speed".to_owned()));
        assert!(happened(column.clone(), table.clone()));
        assert!(happened(column.clone(), column.clone()));
        assert!(!happened(table, column));
        assert!(happened(Loss::Rows(laps.clone(), 0), Loss::Rewritten(laps)));
    }
}
