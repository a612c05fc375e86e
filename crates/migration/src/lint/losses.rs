//! Losses of data that a file announces by `-- destroys:`, and those that its statements cause as far as their text shows.

use entrypoint::migrations::MigrationFile;
use entrypoint::witness::{Announcement, Loss, TableName};
use squawk_syntax::ast::{AlterColumnOption, AlterTableAction, AstNode, NameLike, Stmt};

use super::finding::Found;
use super::source::Source;
use super::syntax;

/// Compares the announcements of a file with its statements.
pub(crate) fn check(file: &MigrationFile, source: &Source) -> Vec<Found> {
    let announced = &file.directives.destroys;
    let mut created = Vec::new();
    let (mut found, mut losses) = (Vec::new(), Vec::new());
    for unit in &source.units {
        created.extend(syntax::created_table(&unit.stmt).map(|(table, _)| table));
        for (at, loss) in syntax::losses(&unit.stmt) {
            // A table that the file itself creates held no data before.
            if !loss.table().is_some_and(|table| created.contains(table)) {
                losses.push((at, loss));
            }
        }
        if let Stmt::DropSchema(_) = unit.stmt
            && syntax::cascades(&unit.stmt)
            && announced.is_empty()
        {
            found.push(Found::new(
                unit.range.start,
                "undeclared-loss",
                "DROP SCHEMA … CASCADE destroys the tables in the schema, and the boot rolls the file back if one has rows",
                "add `-- destroys: table …` for each of them to the first lines",
            ));
        }
    }
    for (at, loss) in &losses {
        if !announced.iter().any(|announcement| announcement.covers(loss)) {
            found.push(undeclared(*at, loss));
        }
    }
    if !source.is_opaque {
        let vain = announced.iter().filter(|announcement| !may_happen(announcement, source, &losses));
        found.extend(
            vain.map(|announcement| vain_announcement(file, announcement, "no statement of the file destroys it")),
        );
    }
    found
}

/// The finding for a loss that was not announced.
pub(crate) fn undeclared(at: usize, loss: &Loss) -> Found {
    let reason = format!("it destroys {loss}, and the boot rolls the file back if that holds data (exit code 43)");
    Found::new(
        at,
        "undeclared-loss",
        reason,
        format!("if the data may go, add `-- destroys: {}` to the first lines", loss.directive()),
    )
}

/// The finding for an announcement that does not come true.
pub(crate) fn vain_announcement(file: &MigrationFile, announcement: &Announcement, reason: &str) -> Found {
    let (_, table) = announcement.table();
    let mut at = 0;
    for line in file.sql.split_inclusive('\n') {
        let comment = line.trim().trim_start_matches('-').trim_start();
        if comment.starts_with("destroys") && comment.contains(table) {
            break;
        }
        at += line.len();
    }
    let at = if at < file.sql.len() { at } else { 0 };
    let remedy = "remove the item from `-- destroys:`, or correct its name";
    Found::new(at, "announces-nothing", format!("`-- destroys: {announcement}`: {reason}"), remedy)
}

/// Returns true if a statement of the file can cause what was announced, also by a cascade or by moving a row.
fn may_happen(announcement: &Announcement, source: &Source, losses: &[(usize, Loss)]) -> bool {
    losses.iter().any(|(_, loss)| announcement.covers(loss) || is_dropped_with_its_table(announcement, loss))
        || source.units.iter().any(|unit| match &unit.stmt {
            Stmt::DropSchema(_) | Stmt::DropExtension(_) | Stmt::DropOwned(_) => true,
            // Foreign keys, triggers and detached partitions: the rows of any table.
            stmt if announcement.is_rows() => {
                matches!(stmt, Stmt::DropTable(_) | Stmt::Truncate(_) | Stmt::AlterTable(_))
                    || syntax::may_modify_rows(stmt) && !matches!(stmt, Stmt::Select(_))
            }
            // Columns of a type.
            Stmt::DropType(_) | Stmt::DropDomain(_) => syntax::cascades(&unit.stmt),
            stmt => retyped(stmt).iter().any(|loss| announcement.covers(loss)),
        })
}

/// Returns true for a column or rows of a table that is dropped.
fn is_dropped_with_its_table(announcement: &Announcement, loss: &Loss) -> bool {
    let (schema, name) = announcement.table();
    let is_same = |table: &TableName| table.name == name && schema.is_none_or(|schema| schema == table.schema);
    matches!(loss, Loss::Table(table) if is_same(table))
}

/// Returns the columns to which a statement gives another type, as losses.
fn retyped(stmt: &Stmt) -> Vec<Loss> {
    let Stmt::AlterTable(alter) = stmt else { return Vec::new() };
    let Some(table) = alter.table_relation_name().and_then(|table| syntax::name(table.syntax())) else {
        return Vec::new();
    };
    let columns = alter.actions().filter_map(|action| match action {
        AlterTableAction::AlterColumn(change) if matches!(change.option(), Some(AlterColumnOption::SetType(_))) => {
            Some(Loss::Column(table.clone(), change.column_name_ref()?.text()))
        }
        _ => None,
    });
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(sql: &str) -> Vec<String> {
        let file = MigrationFile::parse("001_a.sql", sql.as_bytes()).expect(sql);
        check(&file, &Source::parse(sql)).into_iter().map(|found| format!("{} {}", found.at, found.rule)).collect()
    }

    #[test]
    fn a_loss_needs_an_announcement() {
        for (sql, directive) in [
            ("drop table if exists laps;", "table laps"),
            ("alter table public.laps drop column if exists speed;", "column laps.speed"),
            ("delete from laps where speed > 300;", "rows of laps"),
            ("truncate public.laps;", "rows of laps"),
            ("with old as (delete from laps returning *) insert into cars select * from old;", "rows of laps"),
            ("merge into laps using cars on true when matched then delete;", "rows of laps"),
            ("do $$ begin if true then\n drop table laps; end if; end $$;", "table laps"),
            (
                "do $$ declare r record; begin for r in delete from laps returning * loop null; end loop; end $$;",
                "rows of laps",
            ),
        ] {
            let found = rules(sql);
            assert!(found.len() == 1 && found[0].ends_with("undeclared-loss"), "{sql}: {found:?}");
            assert_eq!(rules(&format!("-- destroys: {directive}\n{sql}")), [""; 0], "{sql}");
        }
        assert_eq!(rules("drop schema timing cascade;"), ["0 undeclared-loss"]);
    }

    #[test]
    fn a_statement_that_destroys_nothing_needs_no_announcement() {
        for sql in [
            "create table public.laps (id int); drop table laps;",
            "create temp table old as select 1; delete from old; drop table old;",
            "create function f() returns void language sql begin atomic delete from laps; end;",
            "create function f() returns void language plpgsql as $$ begin delete from laps; end $$;",
            "drop index a;",
            "update laps set speed = 1;",
            "drop schema timing;",
        ] {
            assert_eq!(rules(sql), [""; 0], "{sql}");
        }
    }

    #[test]
    fn an_announcement_must_be_possible() {
        for sql in ["drop table cars;", "select 1;", "alter table laps drop column pace;"] {
            let sql = format!("-- About laps.\n-- destroys: table laps, column laps.pace, table cars\n{sql}");
            let found = rules(&sql);
            assert!(found.contains(&"15 announces-nothing".to_owned()), "{sql}: {found:?}");
        }
    }

    #[test]
    fn an_announcement_may_come_true_in_ways_that_the_text_does_not_show() {
        for (directive, sql) in [
            ("table laps", "do $$ begin execute 'drop table laps'; end $$;"),
            ("table laps", "select public.clean_up();"),
            ("table laps", "drop schema timing cascade;"),
            ("rows of laps", "update laps set year = 2026;"),
            ("rows of laps", "-- destroys: rows of cars\ndelete from cars;"),
            ("column laps.speed", "alter table laps alter column pace type int, alter column speed type int;"),
            ("rows of laps", "alter table laps detach partition laps_2025;"),
            ("column laps.speed", "-- destroys: table laps\ndrop table laps;"),
            ("column laps.speed", "drop domain speed cascade;"),
        ] {
            let sql = format!("-- destroys: {directive}\n{sql}");
            assert_eq!(rules(&sql), [""; 0], "{sql}");
        }
    }
}
