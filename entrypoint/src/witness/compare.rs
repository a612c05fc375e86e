//! The differences between two catalogs by which the second one holds less. A pure function.

use std::collections::BTreeSet;

use super::catalog::{Catalog, Constraint, Oid};
use super::loss::Loss;

/// The schema that removed data is kept in; a table that was moved there is gone for everybody else.
pub const ATTIC: &str = "attic";

/// What `after` lacks of `before`, the largest first: a lost table stands for everything that was in it.
#[must_use]
pub fn compare(before: &Catalog, after: &Catalog) -> Vec<Loss> {
    let mut losses = BTreeSet::new();
    let gone = lost_tables(before, after);
    for table in &gone {
        losses.insert(table_loss(before, *table, &gone));
    }
    let remains = |table: Oid| !gone.contains(&table) && after.relations.contains_key(&table);
    compare_rows(before, after, &remains, &mut losses);
    for ((table, number), column) in before.columns.iter().filter(|((table, _), _)| remains(*table)) {
        let Some(name) = before.table_name(*table).cloned() else { continue };
        let Some(now) = after.columns.get(&(*table, *number)) else {
            losses.insert(Loss::Column(name, column.name.clone()));
            continue;
        };
        if now.data_type != column.data_type {
            losses.insert(Loss::Retyped {
                table: name.clone(),
                column: column.name.clone(),
                from: column.data_type.clone(),
                to: now.data_type.clone(),
                rewritten: is_tree_rewritten(before, after, *table),
            });
        }
        if now.not_null != column.not_null {
            losses.insert(Loss::NotNull(name.clone(), column.name.clone(), now.not_null));
        }
        if column.default.is_some() && now.default.is_none() {
            losses.insert(Loss::Default(name, column.name.clone()));
        }
    }
    for (identity, constraint) in &before.constraints {
        if remains(constraint.table) && !after.constraints.contains_key(identity) && !is_rewritten_in(after, constraint)
        {
            losses.extend(constraint_loss(before, constraint));
        }
    }
    for ((kind, name), object) in &before.objects {
        if object.table.is_none_or(&remains) && !after.objects.contains_key(&(kind.clone(), name.clone())) {
            losses.insert(Loss::Object(kind.clone(), name.clone()));
        }
    }
    losses.into_iter().collect()
}

/// Tables that are gone or were moved into the attic.
fn lost_tables(before: &Catalog, after: &Catalog) -> BTreeSet<Oid> {
    let is_lost = |oid: &Oid, schema: &str| match after.relations.get(oid) {
        Some(now) => now.name.schema == ATTIC && schema != ATTIC,
        None => true,
    };
    let tables = before.relations.iter().filter(|(_, relation)| relation.is_table());
    tables.filter(|(oid, relation)| is_lost(oid, &relation.name.schema)).map(|(oid, _)| *oid).collect()
}

/// A lost partition of a table that remains is a loss of that table's rows.
fn table_loss(before: &Catalog, table: Oid, gone: &BTreeSet<Oid>) -> Loss {
    let root = before.root(table);
    let name = before.relations[&root].name.clone();
    if root == table || gone.contains(&root) { Loss::Table(name) } else { Loss::Rows(name, 0) }
}

/// Deleted rows and rewritten tables, by the table at the top of a tree of partitions.
fn compare_rows(before: &Catalog, after: &Catalog, remains: &impl Fn(Oid) -> bool, losses: &mut BTreeSet<Loss>) {
    let mut deleted: std::collections::BTreeMap<Oid, u64> = std::collections::BTreeMap::new();
    for (oid, _) in before.relations.iter().filter(|(oid, relation)| relation.is_table() && remains(**oid)) {
        let root = before.root(*oid);
        let number = after.deleted(*oid).saturating_sub(before.deleted(*oid));
        if number > 0 {
            *deleted.entry(root).or_default() += number;
        }
        if is_rewritten(before, after, *oid) {
            losses.insert(Loss::Rewritten(before.relations[&root].name.clone()));
        }
    }
    for (root, number) in deleted {
        losses.insert(Loss::Rows(before.relations[&root].name.clone(), number));
    }
}

fn is_tree_rewritten(before: &Catalog, after: &Catalog, table: Oid) -> bool {
    // A partitioned table has no file of its own.
    let mut tree = before.relations.keys().filter(|oid| **oid == table || before.root(**oid) == table);
    tree.any(|oid| is_rewritten(before, after, *oid))
}

fn is_rewritten(before: &Catalog, after: &Catalog, table: Oid) -> bool {
    let filenode = |catalog: &Catalog| catalog.relations.get(&table).map(|relation| relation.filenode);
    filenode(before) != filenode(after)
}

/// Returns true if the same constraint or index is there with another expression: PostgreSQL writes that anew when the type of a
/// column changes.
fn is_rewritten_in(after: &Catalog, constraint: &Constraint) -> bool {
    after.constraints.values().any(|other| **other == *constraint)
}

fn constraint_loss(before: &Catalog, constraint: &Constraint) -> Option<Loss> {
    let table = before.table_name(constraint.table)?.clone();
    let (name, columns) = (constraint.name.clone(), before.column_names(constraint.table, &constraint.columns));
    let kind = match constraint.kind {
        'p' => "primary key",
        'u' => "unique constraint",
        'f' => "foreign key",
        'c' => "check",
        'x' => "exclusion constraint",
        _ => return Some(Loss::Index { table, name, columns }),
    };
    Some(Loss::Constraint { table, kind, name, columns, references: constraint.references })
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::catalog::Written;
    use super::super::catalog::tests::with_table;
    use super::super::loss::TableName;
    use super::*;

    fn laps() -> Catalog {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("speed", "real")]);
        with_table(&mut catalog, 20, "cars", &[]);
        catalog
    }

    fn losses(change: impl FnOnce(&mut Catalog)) -> Vec<String> {
        let mut after = laps();
        change(&mut after);
        compare(&laps(), &after).iter().map(Loss::to_string).collect()
    }

    fn drop_table(catalog: &mut Catalog, oid: Oid) {
        catalog.relations.remove(&oid);
        catalog.columns.retain(|(table, _), _| *table != oid);
        catalog.constraints.retain(|_, constraint| constraint.table != oid);
    }

    #[test]
    fn an_unchanged_catalog_and_additions_are_no_loss() {
        assert!(losses(|_| {}).is_empty());
        assert!(losses(|after| with_table(after, 30, "events", &[])).is_empty());
    }

    #[test]
    fn a_dropped_table_stands_for_everything_in_it() {
        assert_eq!(losses(|after| drop_table(after, 10)), ["table laps"]);
    }

    #[test]
    fn a_table_that_was_dropped_and_created_again_is_lost() {
        let replaced = |after: &mut Catalog| {
            drop_table(after, 10);
            with_table(after, 11, "laps", &[("speed", "real")]);
        };
        assert_eq!(losses(replaced), ["table laps"]);
    }

    #[test]
    fn a_table_in_the_attic_is_lost_and_a_renamed_one_is_not() {
        let rename = |schema: &str| {
            let name = TableName { schema: schema.to_owned(), name: "other".to_owned() };
            losses(|after| Rc::make_mut(after.relations.get_mut(&10).expect("there")).name = name)
        };
        assert_eq!(rename("attic"), ["table laps"]);
        assert!(rename("public").is_empty());
    }

    #[test]
    fn columns_are_compared_by_number() {
        assert_eq!(losses(|after| drop(after.columns.remove(&(10, 2)))), ["column laps.speed"]);
        assert!(
            losses(|after| Rc::make_mut(after.columns.get_mut(&(10, 2)).expect("there")).name = "pace".to_owned())
                .is_empty()
        );
        let retyped = losses(|after| {
            Rc::make_mut(after.columns.get_mut(&(10, 2)).expect("there")).data_type = "integer".to_owned()
        });
        assert_eq!(retyped, ["column laps.speed (real to integer)"]);
    }

    #[test]
    fn deleted_rows_count_from_the_beginning_of_the_work() {
        let mut before = laps();
        let deleted = |number| Written { deleted: number, ..Written::default() };
        before.written.insert(10, deleted(2));
        let mut after = before.clone();
        assert!(compare(&before, &after).is_empty());
        after.written.insert(10, deleted(5));
        let laps = TableName { schema: "public".to_owned(), name: "laps".to_owned() };
        assert_eq!(compare(&before, &after), [Loss::Rows(laps, 3)]);
    }

    #[test]
    fn a_lost_partition_is_a_loss_of_rows() {
        let with_partition = |mut catalog: Catalog| {
            with_table(&mut catalog, 40, "laps_2026", &[]);
            Rc::make_mut(catalog.relations.get_mut(&40).expect("there")).parent = Some(10);
            // It inherits all of its columns.
            catalog.columns.retain(|(table, _), _| *table != 40);
            catalog
        };
        let losses: Vec<String> = compare(&with_partition(laps()), &laps()).iter().map(Loss::to_string).collect();
        assert_eq!(losses, ["rows of laps"]);
    }

    #[test]
    fn a_column_of_a_partitioned_table_is_rewritten_in_its_partitions() {
        let mut before = laps();
        with_table(&mut before, 40, "laps_2026", &[]);
        Rc::make_mut(before.relations.get_mut(&40).expect("there")).parent = Some(10);
        before.columns.retain(|(table, _), _| *table != 40);
        let mut after = before.clone();
        Rc::make_mut(after.columns.get_mut(&(10, 2)).expect("there")).data_type = "integer".to_owned();
        Rc::make_mut(after.relations.get_mut(&40).expect("there")).filenode += 1;
        let losses = compare(&before, &after);
        assert!(losses.iter().any(|loss| matches!(loss, Loss::Retyped { rewritten: true, .. })), "{losses:?}");
    }

    #[test]
    fn a_constraint_is_lost_unless_an_equal_one_replaces_it() {
        assert_eq!(losses(|after| after.constraints.clear()).len(), 2);
        let rewritten = |after: &mut Catalog| {
            let (_, constraint) = after.constraints.pop_first().expect("there are two");
            after.constraints.insert("with another expression".to_owned(), constraint);
        };
        assert!(losses(rewritten).is_empty());
        let renamed = |after: &mut Catalog| {
            after.constraints.values_mut().for_each(|one| Rc::make_mut(one).name = "x".to_owned())
        };
        assert!(losses(renamed).is_empty());
    }
}
