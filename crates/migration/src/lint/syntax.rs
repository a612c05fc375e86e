//! Names and effects of a parsed statement.

use entrypoint::witness::{Loss, TableName};
use squawk_syntax::ast::{self, AlterTableAction, AstNode, NameLike, Stmt};
use squawk_syntax::{SyntaxKind, SyntaxNode};

/// Returns the name in a node, such as `laps` or `timing.laps`. Without a schema it is in `public`.
pub(crate) fn name(node: &SyntaxNode) -> Option<TableName> {
    let parts = node.descendants().filter_map(|node| {
        let written = ast::PathSegment::cast(node.clone()).map(|segment| segment.text());
        written.or_else(|| ast::PathSegmentRef::cast(node).map(|segment| segment.text()))
    });
    let mut parts: Vec<String> = parts.collect();
    let name = parts.pop()?;
    Some(TableName { schema: parts.pop().unwrap_or_else(|| "public".to_owned()), name })
}

/// Returns all names of these kinds below a node.
fn names(node: &SyntaxNode, kinds: &[SyntaxKind]) -> Vec<TableName> {
    node.descendants().filter(|node| kinds.contains(&node.kind())).filter_map(|node| name(&node)).collect()
}

/// Returns the tables and indexes whose definition or rows a statement changes.
pub(crate) fn targets(stmt: &Stmt) -> Vec<TableName> {
    match stmt {
        Stmt::AlterTable(alter) => {
            alter.table_relation_name().and_then(|table| name(table.syntax())).into_iter().collect()
        }
        Stmt::CreateIndex(index) => {
            index.table_relation_name().and_then(|table| name(table.syntax())).into_iter().collect()
        }
        _ => names(stmt.syntax(), &[SyntaxKind::TABLE_NAME_REF, SyntaxKind::INDEX_REF]),
    }
}

/// Returns the tables and indexes that a statement creates.
pub(crate) fn created(stmt: &Stmt) -> Option<TableName> {
    match stmt {
        Stmt::CreateIndex(index) => {
            let mut created = name(index.index()?.syntax())?;
            // An index is in the schema of its table.
            created.schema = name(index.table_relation_name()?.syntax())?.schema;
            Some(created)
        }
        _ => created_table(stmt).map(|(table, _)| table),
    }
}

/// Returns the table that a statement creates, and true if it is temporary.
pub(crate) fn created_table(stmt: &Stmt) -> Option<(TableName, bool)> {
    let (table, persistence) = match stmt {
        Stmt::CreateTable(create) => (create.table_name()?, create.persistence()),
        Stmt::CreateTableAs(create) => (create.table_name()?, create.persistence()),
        _ => return None,
    };
    Some((name(table.syntax())?, matches!(persistence, Some(ast::Persistence::Temp(_)))))
}

/// Returns the data that a statement would destroy, as far as its text shows, with the offset of each place.
pub(crate) fn losses(stmt: &Stmt) -> Vec<(usize, Loss)> {
    let mut losses = Vec::new();
    let at = |node: &SyntaxNode| usize::from(node.text_range().start());
    match stmt {
        Stmt::DropTable(drop) => {
            let tables = drop.table_name_refs().filter_map(|table| Some((at(table.syntax()), name(table.syntax())?)));
            losses.extend(tables.map(|(at, table)| (at, Loss::Table(table))));
        }
        Stmt::AlterTable(alter) => {
            let Some(table) = alter.table_relation_name().and_then(|table| name(table.syntax())) else { return losses };
            for action in alter.actions() {
                if let AlterTableAction::DropColumn(drop) = action
                    && let Some(column) = drop.column_name_ref()
                {
                    losses.push((at(column.syntax()), Loss::Column(table.clone(), column.text())));
                }
            }
        }
        Stmt::Truncate(truncate) => {
            let tables = truncate.table_list().into_iter().flat_map(|list| list.table_relation_names());
            let tables = tables.filter_map(|table| Some((at(table.syntax()), name(table.syntax())?)));
            losses.extend(tables.map(|(at, table)| (at, Loss::Rows(table, 0))));
        }
        _ if may_modify_rows(stmt) => {
            for node in stmt.syntax().descendants() {
                let table = match node.kind() {
                    SyntaxKind::DELETE => ast::Delete::cast(node)
                        .and_then(|delete| delete.relation_name())
                        .map(|table| table.syntax().clone()),
                    SyntaxKind::MERGE if node.descendants().any(|node| node.kind() == SyntaxKind::MERGE_DELETE) => {
                        ast::Merge::cast(node)
                            .and_then(|merge| merge.table_relation_name())
                            .map(|table| table.syntax().clone())
                    }
                    _ => None,
                };
                if let Some((at, table)) = table.and_then(|table| Some((at(&table), name(&table)?))) {
                    losses.push((at, Loss::Rows(table, 0)));
                }
            }
        }
        _ => {}
    }
    losses
}

/// Returns true for statements that run their `DELETE`: the body of a function does not run when it is created.
pub(crate) fn may_modify_rows(stmt: &Stmt) -> bool {
    matches!(
        stmt,
        Stmt::Delete(_)
            | Stmt::Merge(_)
            | Stmt::Insert(_)
            | Stmt::Update(_)
            | Stmt::Select(_)
            | Stmt::SelectInto(_)
            | Stmt::CompoundSelect(_)
            | Stmt::CreateTableAs(_)
    )
}

/// Returns true if a statement contains `CASCADE`.
pub(crate) fn cascades(stmt: &Stmt) -> bool {
    stmt.syntax().descendants().any(|node| node.kind() == SyntaxKind::CASCADE)
}

/// Returns the tables and views that a query reads, without the names of its `WITH` clauses.
pub(crate) fn sources(query: &SyntaxNode) -> Vec<TableName> {
    let local: Vec<String> = query.descendants().filter_map(ast::CteName::cast).map(|name| name.text()).collect();
    let mut read = names(query, &[SyntaxKind::RELATION_NAME_REF, SyntaxKind::TABLE_NAME_REF]);
    read.retain(|table| !local.contains(&table.name));
    read.sort();
    read.dedup();
    read
}

/// Returns the one column of an index that Directus takes for a field's own: not unique, and without an expression or
/// further columns. It looks at nothing else (the query of `columnInfo` in `@directus/schema` 13.0.8), so a partial index or
/// one with another method counts too.
pub(crate) fn plain_index_column(index: &ast::CreateIndex) -> Option<String> {
    if index.unique_token().is_some() || index.index_include_clause().is_some() {
        return None;
    }
    let mut items = index.partition_item_list()?.partition_items();
    let (Some(item), None) = (items.next(), items.next()) else { return None };
    column(&item.expr()?)
}

/// Returns the one column of a unique constraint that an action adds.
pub(crate) fn unique_column(action: &AlterTableAction) -> Option<String> {
    let AlterTableAction::AddConstraint(add) = action else { return None };
    let ast::Constraint::UniqueConstraint(unique) = add.constraint()? else { return None };
    let names: Vec<String> = unique
        .index_parameters()?
        .syntax()
        .descendants()
        .filter_map(ast::ColumnNameRef::cast)
        .map(|name| name.text())
        .collect();
    <[String; 1]>::try_from(names).ok().map(|[name]| name)
}

/// Returns the name of an expression that is a column.
fn column(expr: &ast::Expr) -> Option<String> {
    let node = expr.syntax();
    let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
    let code = tokens.filter(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT));
    (code.count() == 1).then(|| ast::normalize_name_node(node))
}
