//! The rules of this project about single statements.

use std::collections::BTreeSet;

use contract::Phase;
use entrypoint::migrations::MigrationFile;
use entrypoint::witness::TableName;
use grammar::{LintRule, LintRuleKind, LintScope};
use squawk_syntax::ast::{AlterTableAction, AstNode, NameLike, Stmt};

use super::collections::Collections;
use super::finding::Found;
use super::source::{Source, SourceUnit};
use super::{losses, squawk, syntax};
use crate::new_file::UNFINISHED;

/// A file with everything that its findings depend on.
#[derive(Clone, Copy)]
pub(crate) struct FileContext<'a> {
    pub(crate) phase: Phase,
    pub(crate) file: &'a MigrationFile,
    pub(crate) source: &'a Source,
    pub(crate) collections: &'a Collections,
    /// Tables and indexes that the release creates, in this file and in earlier ones. No server uses them yet.
    pub(crate) new: &'a BTreeSet<TableName>,
    /// The tables of all `-- owns-table` directives.
    pub(crate) owned: &'a BTreeSet<String>,
}

/// Returns the findings of all rules in a file, except those that need a database.
pub(crate) fn check(context: FileContext) -> Vec<Found> {
    let FileContext { source, file, .. } = context;
    let in_transaction = !file.directives.no_transaction;
    let mut found = squawk::check(source, in_transaction);
    for finding in &mut found {
        finding.is_exempt = is_exempt(context, finding);
    }
    for (at, message) in &source.unreadable {
        let remedy = "write the statement in a simpler form; if PostgreSQL accepts it as it is, allow this finding";
        found.push(Found::new(*at, "unreadable", format!("the parser of the lint stops here: {message}"), remedy));
    }
    if in_transaction && !source.ends_with_assertion {
        let remedy = "end the file with a DO block that reads the catalog and raises an error, as `cargo xtask migration new` \
                      writes it";
        found.push(Found::new(
            0,
            "no-assertion",
            "nothing asserts the result of the file: IF NOT EXISTS compares names only",
            remedy,
        ));
    }
    if let Some(at) = file.sql.find(UNFINISHED) {
        let reason = "the assertion is that of the template, which fails every boot";
        found.push(Found::new(
            at,
            "no-assertion",
            reason,
            "query the catalog in it, and raise an error for each difference",
        ));
    }
    for unit in &source.units {
        statement(context, unit, &mut found);
    }
    found.extend(losses::check(file, source));
    found
}

/// Returns true if a finding of squawk is about tables that no server uses yet.
fn is_exempt(context: FileContext, finding: &Found) -> bool {
    let scope = LintRule::of(finding.rule).map(|rule| rule.kind);
    let Some(LintRuleKind::Squawk { scope: LintScope::Locks | LintScope::ShippedTables, .. }) = scope else {
        return false;
    };
    let targets = context.source.unit_at(finding.at).map(|unit| syntax::targets(&unit.stmt)).unwrap_or_default();
    !targets.is_empty() && targets.iter().all(|target| context.new.contains(target))
}

fn statement(context: FileContext, unit: &SourceUnit, found: &mut Vec<Found>) {
    let FileContext { collections, owned, .. } = context;
    let at = unit.range.start;
    match &unit.stmt {
        Stmt::CreateIndex(index) => {
            let table = index.table_relation_name().and_then(|table| syntax::name(table.syntax()));
            if let (Some(table), Some(column)) = (table, syntax::plain_index_column(index))
                && let Some(fields) = collections.fields(&table)
                && fields.contains(&column)
            {
                found.push(Found::new(
                    at,
                    "index-on-field",
                    format!("Directus takes a plain index over {table}.{column} for the field's own, and every later schema apply fails"),
                    "set the field to indexed in Directus and save the snapshot; an index over several columns or an expression is safe",
                ));
            }
        }
        Stmt::CreateView(view) => view_sources(context, at, view.query().map(|query| query.syntax().clone()), found),
        Stmt::CreateMaterializedView(view) => {
            view_sources(context, at, view.query().map(|query| query.syntax().clone()), found);
        }
        Stmt::AlterTable(alter) => {
            let Some(table) = alter.table_relation_name().and_then(|table| syntax::name(table.syntax())) else {
                return;
            };
            let Some(fields) = collections.fields(&table) else { return };
            for action in alter.actions() {
                collection_change(&table, fields, &action, found);
            }
        }
        _ => {}
    }
    if let Some((table, false)) = syntax::created_table(&unit.stmt)
        && !owned.contains(&table.name)
        && !owned.contains(&format!("{}.{}", table.schema, table.name))
        && !collections.is_directus(&table)
    {
        found.push(Found::new(
            at,
            "table-without-owner",
            format!(
                "no file has `-- owns-table: {table}`: Directus offers the table for tracking, and no boot compares it"
            ),
            format!("add `-- owns-table: {table}` to the first lines of this file"),
        ));
    }
    if context.phase == Phase::DbInit
        && !unit.is_guarded
        && let Some(table) = needed_tables(&unit.stmt).into_iter().find(|table| collections.fields(table).is_some())
    {
        found.push(Found::new(
            at,
            "collection-before-schema",
            format!("an empty database does not have the collection {table} when this file runs"),
            "move the file to post-schema, or ask to_regclass in a DO block",
        ));
    }
}

/// Returns the tables without which a statement fails.
fn needed_tables(stmt: &Stmt) -> Vec<TableName> {
    let is_optional = match stmt {
        Stmt::AlterTable(alter) => alter.if_exists().is_some(),
        Stmt::DropTable(drop) => drop.if_exists().is_some(),
        Stmt::CreateFunction(_) | Stmt::CreateProcedure(_) => true,
        _ => false,
    };
    if is_optional { Vec::new() } else { syntax::sources(stmt.syntax()) }
}

fn view_sources(context: FileContext, at: usize, query: Option<squawk_syntax::SyntaxNode>, found: &mut Vec<Found>) {
    let read = query.map(|query| syntax::sources(&query)).unwrap_or_default();
    if let Some(table) = read.iter().find(|table| context.collections.is_directus(table)) {
        found.push(Found::new(
            at,
            "view-on-collection",
            format!("with a view over {table}, PostgreSQL refuses every change of the type of its columns by Directus"),
            "use a function with a dynamic query, or a table that a trigger fills",
        ));
    }
}

fn collection_change(table: &TableName, fields: &BTreeSet<String>, action: &AlterTableAction, found: &mut Vec<Found>) {
    let at = usize::from(action.syntax().text_range().start());
    let change = match action {
        AlterTableAction::AddColumn(add) => add
            .column_name()
            .map(|column| column.text())
            .filter(|column| !fields.contains(column))
            .map(|column| ("adds", column)),
        AlterTableAction::DropColumn(drop) => drop.column_name_ref().map(|column| ("drops", column.text())),
        AlterTableAction::RenameColumn(rename) => rename.column_name_ref().map(|column| ("renames", column.text())),
        _ => None,
    };
    if let Some((verb, column)) = change {
        found.push(Found::new(
            at,
            "column-of-collection",
            format!("it {verb} {table}.{column}, which the snapshot decides: the next schema apply undoes it or fails"),
            "change the field in Directus and save the snapshot",
        ));
    }
    if let Some(column) = syntax::unique_column(action).filter(|column| fields.contains(column)) {
        found.push(Found::new(
            at,
            "index-on-field",
            format!("Directus takes a unique constraint over {table}.{column} for the field's own, and later schema applies drop it or fail"),
            "set the field to unique in Directus and save the snapshot",
        ));
    }
}
