//! The losses between two readings of the catalog. A pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::catalog::{Catalog, Constraint, Oid, Relation};
use super::loss::Loss;

/// The schema for removed data. A table that was moved there counts as lost.
pub const ATTIC: &str = "attic";

/// Returns the parts of `before` that `after` lacks, the largest first. A lost table includes everything in it.
#[must_use]
pub fn compare(before: &Catalog, after: &Catalog) -> Vec<Loss> {
    let mut losses = BTreeSet::new();
    let mut changed: Vec<_> = before.relations.iter().collect();
    changed.retain(|(oid, relation)| !is_same(relation, after.relations.get(oid)));
    let gone: BTreeSet<Oid> = changed
        .iter()
        .filter(|(oid, relation)| relation.is_table() && is_gone(relation, after.relations.get(oid)))
        .map(|(oid, _)| **oid)
        .collect();
    for table in &gone {
        losses.insert(table_loss(before, *table, &gone));
    }
    for (oid, relation) in changed.into_iter().filter(|(oid, _)| !gone.contains(oid)) {
        if let Some(loss) = object_loss(relation, after) {
            losses.insert(loss);
        }
        let Some(now) = after.relations.get(oid) else { continue };
        if relation.is_table() && relation.filenode != now.filenode {
            losses.insert(Loss::Rewritten(before.relations[&before.root(*oid)].name.clone()));
        }
        losses.extend(column_losses(relation, now, || is_tree_rewritten(before, after, *oid)));
        losses.extend(relation.constraints.iter().filter_map(|(definition, constraint)| {
            // PostgreSQL rewrites an expression when the type of a column changes.
            let is_kept =
                now.constraints.contains_key(definition) || now.constraints.values().any(|other| other == constraint);
            (!is_kept).then(|| constraint_loss(relation, constraint))
        }));
        let lost = relation.objects.difference(&now.objects);
        losses.extend(lost.map(|(kind, name)| Loss::Object(kind.clone(), format!("{name} on {}", relation.name))));
    }
    let types = before.enum_types.difference(&after.enum_types);
    losses.extend(types.map(|name| Loss::Object("enum type".to_owned(), name.clone())));
    losses.extend(deleted_rows(before, after, &gone));
    losses.into_iter().collect()
}

/// Returns true if both are from the same reading, or equal.
fn is_same(relation: &Rc<Relation>, now: Option<&Rc<Relation>>) -> bool {
    now.is_some_and(|now| Rc::ptr_eq(relation, now) || relation == now)
}

/// Returns true if a table was dropped, or moved into the attic.
fn is_gone(relation: &Relation, now: Option<&Rc<Relation>>) -> bool {
    now.is_none_or(|now| now.name.schema == ATTIC && relation.name.schema != ATTIC)
}

/// The loss of a view, sequence or foreign table, unless another one has its name.
fn object_loss(relation: &Relation, after: &Catalog) -> Option<Loss> {
    let kind = relation.kind_of_object()?;
    let is_kept = after.relations.values().any(|now| now.kind == relation.kind && now.name == relation.name);
    (!is_kept).then(|| Loss::Object(kind.to_owned(), relation.name.to_string()))
}

fn column_losses(relation: &Relation, now: &Relation, is_rewritten: impl Fn() -> bool) -> Vec<Loss> {
    let name = &relation.name;
    let mut losses = Vec::new();
    for (number, column) in &relation.columns {
        let Some(now) = now.columns.get(number) else {
            losses.push(Loss::Column(name.clone(), column.name.clone()));
            continue;
        };
        if now.data_type != column.data_type {
            losses.push(Loss::Retyped {
                table: name.clone(),
                column: column.name.clone(),
                from: column.data_type.clone(),
                to: now.data_type.clone(),
                rewritten: is_rewritten(),
            });
        }
        if now.not_null != column.not_null {
            losses.push(Loss::NotNull(name.clone(), column.name.clone(), now.not_null));
        }
        if column.default.is_some() && now.default.is_none() {
            losses.push(Loss::Default(name.clone(), column.name.clone()));
        }
    }
    losses
}

/// The loss of a table. If only a partition is lost, it is a loss of rows of the partitioned table.
fn table_loss(before: &Catalog, table: Oid, gone: &BTreeSet<Oid>) -> Loss {
    let root = before.root(table);
    let name = before.relations[&root].name.clone();
    if root == table || gone.contains(&root) { Loss::Table(name) } else { Loss::Rows(name, 0) }
}

/// Deleted rows, summed over each tree of partitions.
fn deleted_rows(before: &Catalog, after: &Catalog, gone: &BTreeSet<Oid>) -> Vec<Loss> {
    let mut deleted: BTreeMap<Oid, u64> = BTreeMap::new();
    for (oid, now) in after.written.iter().filter(|(oid, _)| before.relations.contains_key(oid) && !gone.contains(oid))
    {
        let number = now.deleted.saturating_sub(before.deleted(*oid));
        if number > 0 {
            *deleted.entry(before.root(*oid)).or_default() += number;
        }
    }
    deleted.into_iter().map(|(root, number)| Loss::Rows(before.relations[&root].name.clone(), number)).collect()
}

/// Returns true if the table or a part of it was rewritten; a partitioned table itself has no file.
fn is_tree_rewritten(before: &Catalog, after: &Catalog, table: Oid) -> bool {
    before.relations.iter().any(|(oid, relation)| {
        let is_rewritten = after.relations.get(oid).is_none_or(|now| now.filenode != relation.filenode);
        is_rewritten && before.root(*oid) == table
    })
}

fn constraint_loss(relation: &Relation, constraint: &Constraint) -> Loss {
    let (table, name) = (relation.name.clone(), constraint.name.clone());
    let columns = relation.column_names(&constraint.columns);
    let kind = match constraint.kind {
        'p' => "primary key",
        'u' => "unique constraint",
        'f' => "foreign key",
        'c' => "check",
        'x' => "exclusion constraint",
        _ => return Loss::Index { table, name, columns },
    };
    Loss::Constraint { table, kind, name, columns, references: constraint.references }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{Column, Written};
    use super::super::name::TableName;
    use super::super::read::tests::with_table;
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
        words(&compare(&laps(), &after))
    }

    fn relation(catalog: &mut Catalog, oid: Oid) -> &mut Relation {
        Rc::make_mut(catalog.relations.get_mut(&oid).expect("the relation exists"))
    }

    /// Turns the table into a part of `laps`, with inherited columns only.
    fn make_part(catalog: &mut Catalog, oid: Oid) {
        let part = relation(catalog, oid);
        part.parent = Some(10);
        part.columns.clear();
    }

    fn speed(catalog: &mut Catalog) -> &mut Column {
        relation(catalog, 10).columns.get_mut(&2).expect("the column exists")
    }

    fn words(losses: &[Loss]) -> Vec<String> {
        losses.iter().map(Loss::to_string).collect()
    }

    fn with_partition() -> Catalog {
        let mut catalog = laps();
        with_table(&mut catalog, 40, "laps_2026", &[]);
        make_part(&mut catalog, 40);
        catalog
    }

    fn with_view(oid: Oid) -> Catalog {
        let mut catalog = laps();
        with_table(&mut catalog, oid, "fastest", &[]);
        relation(&mut catalog, oid).kind = 'v';
        catalog
    }

    fn rename_table(schema: &str) -> Vec<String> {
        let name = TableName { schema: schema.to_owned(), name: "other".to_owned() };
        losses(|after| relation(after, 10).name = name)
    }

    #[test]
    fn an_unchanged_catalog_and_additions_are_not_losses() {
        assert!(losses(|_| {}).is_empty());
        assert!(losses(|after| with_table(after, 30, "events", &[])).is_empty());
    }

    #[test]
    fn a_dropped_table_includes_everything_in_it() {
        assert_eq!(losses(|after| drop(after.relations.remove(&10))), ["table laps"]);
    }

    #[test]
    fn a_dropped_and_recreated_table_is_lost() {
        let losses = losses(|after| {
            drop(after.relations.remove(&10));
            with_table(after, 11, "laps", &[("speed", "real")]);
        });
        assert_eq!(losses, ["table laps"]);
    }

    #[test]
    fn a_table_in_the_attic_is_lost_and_a_renamed_one_is_not() {
        assert_eq!(rename_table("attic"), ["table laps"]);
        assert!(rename_table("public").is_empty());
    }

    #[test]
    fn columns_are_compared_by_number() {
        assert_eq!(losses(|after| drop(relation(after, 10).columns.remove(&2))), ["column laps.speed"]);
        assert!(losses(|after| speed(after).name = "pace".to_owned()).is_empty());
        let retyped = losses(|after| speed(after).data_type = "integer".to_owned());
        assert_eq!(retyped, ["column laps.speed (real to integer)"]);
    }

    #[test]
    fn deleted_rows_count_from_the_beginning_of_the_work() {
        let mut before = laps();
        before.written.insert(10, Written { deleted: 2, ..Written::default() });
        let mut after = before.clone();
        assert!(compare(&before, &after).is_empty());
        after.written.insert(10, Written { deleted: 5, ..Written::default() });
        let laps = TableName { schema: "public".to_owned(), name: "laps".to_owned() };
        assert_eq!(compare(&before, &after), [Loss::Rows(laps, 3)]);
    }

    #[test]
    fn a_lost_partition_is_a_loss_of_rows() {
        assert_eq!(words(&compare(&with_partition(), &laps())), ["rows of laps"]);
    }

    #[test]
    fn a_column_of_a_partitioned_table_is_rewritten_in_its_partitions() {
        let before = with_partition();
        let mut after = before.clone();
        speed(&mut after).data_type = "integer".to_owned();
        relation(&mut after, 40).filenode += 1;
        let losses = compare(&before, &after);
        assert!(losses.iter().any(|loss| matches!(loss, Loss::Retyped { rewritten: true, .. })), "{losses:?}");
    }

    #[test]
    fn a_constraint_is_lost_unless_an_equal_one_replaces_it() {
        assert_eq!(losses(|after| relation(after, 10).constraints.clear()).len(), 1);
        let rewritten = losses(|after| {
            let constraints = &mut relation(after, 10).constraints;
            let (_, constraint) = constraints.pop_first().expect("the table has a constraint");
            constraints.insert("with another expression".to_owned(), constraint);
        });
        assert!(rewritten.is_empty());
        let renamed = losses(|after| {
            relation(after, 10).constraints.values_mut().for_each(|one| one.name = "x".to_owned());
        });
        assert!(renamed.is_empty());
    }

    #[test]
    fn a_dropped_trigger_is_lost_and_one_on_a_renamed_table_is_not() {
        let trigger = ("trigger".to_owned(), "check_lap".to_owned());
        let mut before = laps();
        relation(&mut before, 10).objects.insert(trigger);
        assert_eq!(words(&compare(&before, &laps())), ["trigger check_lap on laps"]);
        let mut after = before.clone();
        relation(&mut after, 10).name.name = "rounds".to_owned();
        assert!(compare(&before, &after).is_empty());
    }

    #[test]
    fn a_view_that_is_recreated_under_its_name_is_kept() {
        assert!(compare(&with_view(50), &with_view(51)).is_empty());
        assert_eq!(words(&compare(&with_view(50), &laps())), ["view fastest"]);
    }
}
