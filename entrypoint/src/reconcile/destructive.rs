//! Destructive plans: predicts the data that Directus would delete or narrow, and checks if the operator allowed it.
//!
//! `schema apply` deletes every collection and field that Directus tracks and the snapshot lacks, with its data. A
//! stale snapshot in a freshly built image has destroyed five collections that way. Therefore a plan that deletes or
//! narrows anything is refused before it runs, unless the operator allowed it by its digest. This prediction serves the
//! message; the protection is the [witness](crate::witness), which compares the actual losses with the [`Expectation`].

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::directus::protocol::{Change, Difference, Entity};
use crate::migrations::file::hex_sha256;
use crate::witness::catalog::{Catalog, Oid};
use crate::witness::{Announced, Loss, Permission, TableName};

/// The decision about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The plan is empty.
    Empty,
    /// No existing data is affected.
    Harmless,
    /// It leads to these losses, and the operator allowed it.
    Allowed(Vec<DataLoss>),
    /// It leads to losses, and the operator did not allow it.
    Refused {
        /// The expected losses.
        losses: Vec<DataLoss>,
        /// The value of `SCHEMA_ALLOW_DESTRUCTIVE` that allows exactly these.
        digest: String,
    },
}

/// An expected loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLoss {
    /// For example `delete collection laps`.
    pub words: String,
    /// The table or column whose rows or values are lost, if any.
    pub data: Option<Loss>,
}

/// Judges a plan by its expected losses; `allowed` is the operator's `SCHEMA_ALLOW_DESTRUCTIVE`.
#[must_use]
pub fn check_destructive(changes: &[Change], expectation: &Expectation<'_>, allowed: Option<&str>) -> Verdict {
    if changes.is_empty() {
        return Verdict::Empty;
    }
    let losses = expectation.losses(changes);
    if losses.is_empty() {
        return Verdict::Harmless;
    }
    let digest = digest(changes, expectation, &losses);
    // The part after the dash is for losses that only the witness detected.
    let allows = allowed.is_some_and(|allowed| allowed.split('-').next() == Some(digest.as_str()));
    if allows { Verdict::Allowed(losses) } else { Verdict::Refused { losses, digest } }
}

/// The value of `SCHEMA_ALLOW_DESTRUCTIVE` that also allows losses that the witness detected and the plan did not
/// announce.
#[must_use]
pub fn digest_with_witnessed(changes: &[Change], expectation: &Expectation<'_>, witnessed: &[Loss]) -> String {
    let witnessed: Vec<String> = witnessed.iter().map(Loss::to_string).collect();
    let plan = digest(changes, expectation, &expectation.losses(changes));
    format!("{plan}-{}", &hex_sha256(witnessed.join("\n").as_bytes())[..12])
}

/// Twelve hex digits over the losses and the changes that lead to them. The additions of a plan are not part of it, so that a
/// digest still allows the deletions after a boot that left them [waiting](super::waiting).
fn digest(changes: &[Change], expectation: &Expectation<'_>, losses: &[DataLoss]) -> String {
    let lossy: Vec<&Change> = changes.iter().filter(|change| expectation.loses(change, changes)).collect();
    let plan = serde_json::to_string(&lossy).expect("a plan serializes");
    let losses: Vec<&str> = losses.iter().map(|loss| loss.words.as_str()).collect();
    hex_sha256(format!("{plan}\n{}", losses.join("\n")).as_bytes())[..12].to_owned()
}

/// The effects of a plan on the catalog, which the witness accepts.
#[derive(Debug)]
pub struct Expectation<'a> {
    catalog: &'a Catalog,
    schema: String,
    tables: BTreeSet<&'a str>,
    columns: BTreeSet<(&'a str, &'a str)>,
    relations: BTreeSet<(&'a str, &'a str)>,
    /// Edited properties by column: collection and field.
    edits: BTreeMap<(&'a str, &'a str), Vec<&'a Difference>>,
}

impl<'a> Expectation<'a> {
    /// Derives the effects of a plan of Directus on the tables of one PostgreSQL schema.
    #[must_use]
    pub fn new(changes: &'a [Change], catalog: &'a Catalog, schema: &str) -> Expectation<'a> {
        let mut expectation = Expectation {
            catalog,
            schema: schema.to_owned(),
            tables: BTreeSet::new(),
            columns: BTreeSet::new(),
            relations: BTreeSet::new(),
            edits: BTreeMap::new(),
        };
        for change in changes {
            let collection = change.collection.as_str();
            let field = change.field.as_deref().unwrap_or_default();
            match change.entity {
                Entity::Collection if change.is_deletion() => drop(expectation.tables.insert(collection)),
                Entity::Collection => {}
                Entity::Field if change.is_deletion() => drop(expectation.columns.insert((collection, field))),
                Entity::Relation => drop(expectation.relations.insert((collection, field))),
                Entity::Field | Entity::SystemField => {
                    expectation.edits.entry((collection, field)).or_default().extend(&change.diff);
                }
            }
        }
        expectation
    }

    /// The expected losses, in the order of the plan; those of constraints last.
    fn losses(&self, changes: &[Change]) -> Vec<DataLoss> {
        let mut losses: Vec<DataLoss> = changes.iter().filter_map(|change| self.loss(change, changes)).collect();
        losses.extend(self.constraints_of_deleted_columns());
        losses
    }

    /// Returns true if a change of the plan deletes or narrows.
    #[must_use]
    pub fn loses(&self, change: &Change, changes: &[Change]) -> bool {
        self.loss(change, changes).is_some()
    }

    fn loss(&self, change: &Change, changes: &[Change]) -> Option<DataLoss> {
        let table = self.table(&change.collection);
        let (entity, data) = match change.entity {
            Entity::Collection => ("collection", Some(Loss::Table(table))),
            Entity::Field => ("field", Some(Loss::Column(table, change.field.clone().unwrap_or_default()))),
            // Only the index of a system field changes, which contains no other data.
            Entity::SystemField => return None,
            // A relation is a constraint. Replacing it by another one is an edit.
            Entity::Relation if changes.iter().any(|other| other.replaces(change)) => return None,
            Entity::Relation => ("relation", None),
        };
        let narrowed: Vec<String> = change.diff.iter().filter(|edit| narrows(edit)).map(words).collect();
        let words = if change.is_deletion() {
            format!("delete {entity} {}", change.name())
        } else if narrowed.is_empty() {
            return None;
        } else {
            format!("narrow {entity} {}: {}", change.name(), narrowed.join(", "))
        };
        Some(DataLoss { words, data })
    }

    /// Constraints and indexes of several columns, which PostgreSQL drops together with any of the columns.
    fn constraints_of_deleted_columns(&self) -> Vec<DataLoss> {
        let mut losses = Vec::new();
        let own = self.catalog.relations.values().filter(|relation| relation.name.schema == self.schema);
        for relation in own.filter(|relation| !self.tables.contains(relation.name.name.as_str())) {
            let table = relation.name.name.as_str();
            for constraint in relation.constraints.values().filter(|constraint| constraint.columns.len() > 1) {
                let columns = relation.column_names(&constraint.columns);
                if columns.iter().any(|column| self.columns.contains(&(table, column))) {
                    let kind = if constraint.kind == 'i' { "index" } else { "constraint" };
                    let words = format!("drop {kind} {} on {table} ({})", constraint.name, columns.join(", "));
                    losses.push(DataLoss { words, data: None });
                }
            }
        }
        losses
    }

    fn table(&self, name: &str) -> TableName {
        TableName { schema: self.schema.clone(), name: name.to_owned() }
    }

    /// The name of the table, if it is in Directus' schema.
    fn own_table(&self, table: Oid) -> Option<&str> {
        let name = self.catalog.table_name(table)?;
        (name.schema == self.schema).then_some(name.name.as_str())
    }

    fn edits(&self, table: &str, column: &str, properties: &[&str]) -> bool {
        let edits = self.edits.get(&(table, column));
        edits.is_some_and(|edits| edits.iter().any(|edit| properties.contains(&edit.dotted().as_str())))
    }

    fn permission_for_constraint(&self, table: &str, kind: &str, columns: &[String], references: Option<Oid>) -> bool {
        let is_column_deleted = columns.iter().any(|column| self.columns.contains(&(table, column.as_str())));
        let only_column = columns.first().map(String::as_str).filter(|_| columns.len() == 1);
        is_column_deleted
            || match kind {
                "foreign key" => {
                    let target = references.and_then(|oid| self.own_table(oid));
                    target.is_some_and(|target| self.tables.contains(target))
                        || only_column.is_some_and(|column| self.relations.contains(&(table, column)))
                }
                "unique constraint" => {
                    only_column.is_some_and(|column| self.edits(table, column, &["schema.is_unique"]))
                }
                "primary key" => {
                    only_column.is_some_and(|column| self.edits(table, column, &["schema.is_primary_key"]))
                }
                "index" => only_column.is_some_and(|column| {
                    self.edits(table, column, &["schema.is_indexed", "schema.is_unique", "schema.is_primary_key"])
                }),
                _ => false,
            }
    }
}

/// The properties that make up the type of a column.
const TYPE: [&str; 5] =
    ["type", "schema.data_type", "schema.max_length", "schema.numeric_precision", "schema.numeric_scale"];
/// Directus' metadata about the schema, whose rows a second plan verifies.
const METADATA: [&str; 3] = ["directus_collections", "directus_fields", "directus_relations"];
/// Tables from which Directus deletes the rows of a collection together with the collection.
const ABOUT_ITEMS: [&str; 4] = ["directus_activity", "directus_permissions", "directus_presets", "directus_revisions"];

impl Announced for Expectation<'_> {
    fn permission(&self, loss: &Loss) -> Permission {
        let Some(table) = loss.table().filter(|table| table.schema == self.schema).map(|table| table.name.as_str())
        else {
            return if matches!(loss, Loss::Rows(..) | Loss::Rewritten(_)) {
                Permission::Measured
            } else {
                Permission::Refused
            };
        };
        let is_announced = match loss {
            Loss::Table(_) => self.tables.contains(table),
            Loss::Column(_, column) => self.columns.contains(&(table, column)),
            Loss::Retyped { column, rewritten, .. } => {
                let edits = self.edits.get(&(table, column.as_str()));
                let narrows = edits.is_some_and(|edits| edits.iter().any(|edit| narrows(edit)));
                if self.edits(table, column, &TYPE) && *rewritten && !narrows {
                    return Permission::Measured;
                }
                self.edits(table, column, &TYPE)
            }
            Loss::NotNull(_, column, _) => self.edits(table, column, &["schema.is_nullable", "schema.is_primary_key"]),
            Loss::Default(_, column) => {
                self.edits(table, column, &["schema.default_value", "schema.has_auto_increment"])
                    || self.edits(table, column, &TYPE)
            }
            Loss::Constraint { kind, columns, references, .. } => {
                self.permission_for_constraint(table, kind, columns, *references)
            }
            Loss::Index { columns, .. } => self.permission_for_constraint(table, "index", columns, None),
            Loss::Rows(..) if METADATA.contains(&table) => return Permission::Ignored,
            Loss::Rows(..) if ABOUT_ITEMS.contains(&table) && !self.tables.is_empty() => return Permission::Ignored,
            Loss::Rows(..) | Loss::Rewritten(_) => return Permission::Measured,
            Loss::Object(..) => false,
        };
        if is_announced { Permission::Announced } else { Permission::Refused }
    }
}

/// Returns true if an edit can fail on existing data, or truncate it.
pub(crate) fn narrows(difference: &Difference) -> bool {
    let (lhs, rhs) = (&difference.lhs, &difference.rhs);
    match difference.dotted().as_str() {
        "type" | "schema.data_type" => lhs != rhs,
        "schema.max_length" | "schema.numeric_precision" | "schema.numeric_scale" => {
            match (lhs.as_u64(), rhs.as_u64()) {
                // A missing limit (`None`) is wider than any limit.
                (None, Some(_)) => true,
                (Some(before), Some(after)) => after < before,
                (_, None) => false,
            }
        }
        "schema.is_nullable" => rhs == &Value::Bool(false),
        "schema.is_unique" | "schema.is_primary_key" => rhs == &Value::Bool(true),
        _ => false,
    }
}

fn words(difference: &Difference) -> String {
    format!("{} {} → {}", difference.dotted(), difference.lhs, difference.rhs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::changes::summary;
    use super::*;
    use crate::witness::catalog::Constraint;
    use crate::witness::read::tests::with_table;

    fn change(entity: &str, field: Option<&str>, diff: Value) -> Change {
        serde_json::from_value(json!({"entity": entity, "collection": "laps", "field": field, "diff": diff}))
            .expect("the change is valid")
    }

    fn edit(path: [&str; 2], lhs: Value, rhs: Value) -> Change {
        change("field", Some("speed"), edited(path, lhs, rhs))
    }

    fn edited(path: [&str; 2], lhs: Value, rhs: Value) -> Value {
        json!([{"kind": "E", "path": path, "lhs": lhs, "rhs": rhs}])
    }

    fn laps() -> TableName {
        TableName { schema: "public".to_owned(), name: "laps".to_owned() }
    }

    /// Judges a plan for a database with the table `laps`.
    fn check(changes: &[Change], allowed: Option<&str>) -> Verdict {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("speed", "real")]);
        check_destructive(changes, &Expectation::new(changes, &catalog, "public"), allowed)
    }

    fn is_refused(change: Change) -> bool {
        matches!(check(&[change], None), Verdict::Refused { .. })
    }

    #[test]
    fn an_empty_plan_is_empty() {
        assert_eq!(check(&[], None), Verdict::Empty);
    }

    #[test]
    fn additions_are_harmless() {
        let plan = [
            change("collection", None, json!([{"kind": "N"}])),
            change("field", Some("speed"), json!([{"kind": "N"}])),
            change("relation", Some("entry"), json!([{"kind": "N"}])),
        ];
        assert_eq!(check(&plan, None), Verdict::Harmless);
        assert_eq!(summary(&plan), "1 collection, 1 field, 1 relation");
    }

    #[test]
    fn deletions_are_refused() {
        for (entity, field, words) in [
            ("collection", None, "delete collection laps"),
            ("field", Some("speed"), "delete field laps.speed"),
            ("relation", Some("speed"), "delete relation laps.speed"),
        ] {
            let Verdict::Refused { losses, .. } = check(&[change(entity, field, json!([{"kind": "D"}]))], None) else {
                panic!("deleting the {entity} was not refused");
            };
            let expected: Vec<&str> = losses.iter().map(|loss| loss.words.as_str()).collect();
            assert_eq!(expected, [words]);
        }
    }

    #[test]
    fn narrowing_edits_are_refused() {
        assert!(is_refused(edit(["schema", "max_length"], json!(255), json!(10))));
        assert!(is_refused(edit(["schema", "max_length"], json!(null), json!(10))));
        assert!(is_refused(edit(["schema", "is_nullable"], json!(true), json!(false))));
        assert!(is_refused(edit(["schema", "is_unique"], json!(false), json!(true))));
        assert!(is_refused(edit(["schema", "data_type"], json!("text"), json!("integer"))));
    }

    #[test]
    fn widening_edits_and_edits_of_metadata_are_harmless() {
        assert!(!is_refused(edit(["schema", "max_length"], json!(10), json!(255))));
        assert!(!is_refused(edit(["schema", "max_length"], json!(10), json!(null))));
        assert!(!is_refused(edit(["schema", "is_nullable"], json!(false), json!(true))));
        assert!(!is_refused(edit(["schema", "is_unique"], json!(true), json!(false))));
        assert!(!is_refused(edit(["meta", "note"], json!("a"), json!(null))));
    }

    #[test]
    fn a_relation_that_is_replaced_is_an_edit() {
        let plan = [
            change("relation", Some("entry"), json!([{"kind": "D"}])),
            change("relation", Some("entry"), json!([{"kind": "N"}])),
        ];
        assert_eq!(check(&plan, None), Verdict::Harmless);
    }

    #[test]
    fn a_constraint_that_is_dropped_with_a_deleted_column_is_listed() {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("number", "integer"), ("speed", "real")]);
        let unique =
            Constraint { name: "laps_number_speed".to_owned(), kind: 'u', columns: vec![2, 3], references: None };
        let laps = catalog.relations.get_mut(&10).map(std::rc::Rc::make_mut).expect("the table exists");
        laps.constraints.insert("unique".to_owned(), unique);
        let plan = [change("field", Some("speed"), json!([{"kind": "D"}]))];
        let expectation = Expectation::new(&plan, &catalog, "public");
        let words: Vec<String> = expectation.losses(&plan).into_iter().map(|loss| loss.words).collect();
        assert_eq!(words, ["delete field laps.speed", "drop constraint laps_number_speed on laps (number, speed)"]);
    }

    #[test]
    fn only_losses_in_the_plan_are_announced() {
        let mut catalog = Catalog::default();
        with_table(&mut catalog, 10, "laps", &[("speed", "real"), ("name", "text")]);
        let plan = [
            change("field", Some("speed"), json!([{"kind": "D"}])),
            change("field", Some("name"), json!([{"kind": "E", "path": ["schema", "is_nullable"], "rhs": true}])),
        ];
        let expectation = Expectation::new(&plan, &catalog, "public");
        let other = TableName { schema: "timing".to_owned(), name: "laps".to_owned() };
        for (loss, permission) in [
            (Loss::Column(laps(), "speed".to_owned()), Permission::Announced),
            (Loss::Column(laps(), "name".to_owned()), Permission::Refused),
            (Loss::NotNull(laps(), "name".to_owned(), false), Permission::Announced),
            (Loss::Table(laps()), Permission::Refused),
            (Loss::Rows(laps(), 1), Permission::Measured),
            (Loss::Column(other, "speed".to_owned()), Permission::Refused),
        ] {
            assert_eq!(expectation.permission(&loss), permission, "{loss}");
        }
    }

    #[test]
    fn a_digest_for_witnessed_losses_also_allows_the_plan() {
        let plan = [change("collection", None, json!([{"kind": "D"}]))];
        let catalog = Catalog::default();
        let expectation = Expectation::new(&plan, &catalog, "public");
        let witnessed = [Loss::Object("view".to_owned(), "fastest".to_owned())];
        let digest = digest_with_witnessed(&plan, &expectation, &witnessed);
        assert!(matches!(check_destructive(&plan, &expectation, Some(&digest)), Verdict::Allowed(_)));
        assert_ne!(digest, digest_with_witnessed(&plan, &expectation, &[]));
    }

    #[test]
    fn a_digest_does_not_allow_another_plan() {
        let plan = [change("collection", None, json!([{"kind": "D"}]))];
        let Verdict::Refused { digest, .. } = check(&plan, None) else { panic!("the plan was not refused") };
        assert!(matches!(check(&plan, Some(&digest)), Verdict::Allowed(_)));
        let other = [change("field", Some("speed"), json!([{"kind": "D"}]))];
        assert!(matches!(check(&other, Some(&digest)), Verdict::Refused { .. }));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        /// A change, and true if it leads to a loss.
        fn any_change() -> impl Strategy<Value = (Change, bool)> {
            let diffs = vec![
                (json!([{"kind": "N"}]), false),
                (json!([{"kind": "D"}]), true),
                (edited(["meta", "options"], json!({}), json!(null)), false),
                (edited(["meta", "note"], json!("a"), json!("b")), false),
                (edited(["schema", "max_length"], json!(10), json!(20)), false),
                (edited(["schema", "max_length"], json!(20), json!(10)), true),
                (edited(["schema", "is_nullable"], json!(true), json!(false)), true),
                (edited(["schema", "data_type"], json!("text"), json!("integer")), true),
            ];
            let entities = prop::sample::select(vec!["collection", "field", "relation", "system-field"]);
            (entities, 0_u8..4, prop::sample::select(diffs)).prop_map(|(entity, number, (diff, loses))| {
                let name = format!("f{number}");
                // A system field can only change its index.
                (
                    change(entity, (entity != "collection").then_some(name.as_str()), diff),
                    loses && entity != "system-field",
                )
            })
        }

        fn any_plan() -> impl Strategy<Value = Vec<(Change, bool)>> {
            prop::collection::vec(any_change(), 0..6)
        }

        fn changes(plan: &[(Change, bool)]) -> Vec<Change> {
            plan.iter().map(|(change, _)| change.clone()).collect()
        }

        /// The changes that lead to a loss, without the additions of the plan.
        fn lossy(plan: &[Change]) -> Vec<&Change> {
            let catalog = Catalog::default();
            let expectation = Expectation::new(plan, &catalog, "public");
            plan.iter().filter(|change| expectation.loses(change, plan)).collect()
        }

        fn is_replaced(change: &Change, plan: &[(Change, bool)]) -> bool {
            change.entity == Entity::Relation && plan.iter().any(|(other, _)| other.replaces(change))
        }

        proptest! {
            #[test]
            fn a_plan_is_refused_if_and_only_if_a_change_leads_to_a_loss(plan in any_plan()) {
                let number = plan.iter().filter(|(change, loses)| *loses && !is_replaced(change, &plan)).count();
                match check(&changes(&plan), None) {
                    Verdict::Empty => prop_assert!(plan.is_empty()),
                    Verdict::Harmless => prop_assert!(number == 0 && !plan.is_empty()),
                    Verdict::Refused { losses, .. } => prop_assert!(number > 0 && losses.len() == number),
                    Verdict::Allowed(_) => prop_assert!(false, "the operator did not allow it"),
                }
            }

            #[test]
            fn a_digest_allows_its_own_losses_only(one in any_plan(), other in any_plan()) {
                let (one, other) = (changes(&one), changes(&other));
                if let Verdict::Refused { digest, .. } = check(&one, None) {
                    prop_assert!(matches!(check(&one, Some(&digest)), Verdict::Allowed(_)));
                    let verdict = check(&other, Some(&digest));
                    let is_same = lossy(&one) == lossy(&other);
                    prop_assert!(is_same || !matches!(verdict, Verdict::Allowed(_)), "{verdict:?}");
                }
            }
        }
    }
}
