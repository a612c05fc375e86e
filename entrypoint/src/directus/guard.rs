//! The guard: whether a plan may be applied. A pure function over the plan.
//!
//! `schema apply` deletes every collection and field that Directus knows and the snapshot lacks, with its data. A stale
//! snapshot in a freshly built image has destroyed five collections that way. So deletions and narrowing edits are
//! refused unless this very plan was allowed by its digest.

use serde_json::Value;

use super::protocol::{Change, Difference, DifferenceKind, Entity};
use crate::migrations::file::hex_sha256;

/// What the guard says about a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// There is nothing to do.
    Empty,
    /// It only adds, or changes what holds no data.
    Harmless,
    /// It would delete or narrow these, and was allowed.
    Allowed(Vec<Loss>),
    /// It would delete or narrow these.
    Refused {
        /// What.
        losses: Vec<Loss>,
        /// Names this very plan in `SCHEMA_ALLOW_DESTRUCTIVE`.
        digest: String,
    },
}

/// What a change would delete or narrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// In words: `delete collection laps`.
    pub words: String,
    /// The table with the rows that it concerns, if there are any.
    pub table: Option<String>,
    /// The column, if it concerns only that.
    pub column: Option<String>,
}

/// Rules on a plan; `allowed` is the digest that the operator gave.
#[must_use]
pub fn rule(changes: &[Change], allowed: Option<&str>) -> Ruling {
    if changes.is_empty() {
        return Ruling::Empty;
    }
    let losses: Vec<Loss> = changes.iter().filter_map(loss).collect();
    if losses.is_empty() {
        return Ruling::Harmless;
    }
    let digest = digest(changes);
    if allowed == Some(digest.as_str()) { Ruling::Allowed(losses) } else { Ruling::Refused { losses, digest } }
}

/// `11 collections, 83 fields, 16 relations`: how much a plan touches.
#[must_use]
pub fn summary(changes: &[Change]) -> String {
    let count = |entity: Entity, one: &str| {
        let number = changes.iter().filter(|change| change.entity == entity).count();
        (number > 0).then(|| format!("{number} {one}{}", if number == 1 { "" } else { "s" }))
    };
    let parts: Vec<String> = [
        count(Entity::Collection, "collection"),
        count(Entity::Field, "field"),
        count(Entity::SystemField, "system field"),
        count(Entity::Relation, "relation"),
    ]
    .into_iter()
    .flatten()
    .collect();
    parts.join(", ")
}

/// Changes for an operator: `laps`, `laps.speed (schema.is_nullable)`.
#[must_use]
pub fn names(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| {
            let paths: Vec<String> = change.diff.iter().map(dotted).filter(|path| !path.is_empty()).collect();
            if paths.is_empty() { name(change) } else { format!("{} ({})", name(change), paths.join(", ")) }
        })
        .collect()
}

/// Changes for an operator, one a line: `+ collection laps`, `- field laps.speed`, `~ field laps.speed (schema.is_nullable)`.
#[must_use]
pub fn sentences(changes: &[Change]) -> Vec<String> {
    let sentence = |(change, name): (&Change, String)| {
        let whole = |kind| change.diff.iter().any(|difference| difference.kind == kind && difference.path.is_empty());
        let sign = match () {
            () if whole(DifferenceKind::New) => '+',
            () if whole(DifferenceKind::Deleted) => '-',
            () => '~',
        };
        let entity = match change.entity {
            Entity::Collection => "collection",
            Entity::Field | Entity::SystemField => "field",
            Entity::Relation => "relation",
        };
        format!("{sign} {entity} {name}")
    };
    changes.iter().zip(names(changes)).map(sentence).collect()
}

/// Twelve hex digits over the whole plan: another plan has another digest.
fn digest(changes: &[Change]) -> String {
    let text = serde_json::to_string(changes).expect("a plan is plain data");
    hex_sha256(text.as_bytes())[..12].to_owned()
}

/// What a change would destroy, if anything.
fn loss(change: &Change) -> Option<Loss> {
    let entity = match change.entity {
        Entity::Collection => "collection",
        Entity::Field => "field",
        Entity::SystemField => return None,
        Entity::Relation => "relation",
    };
    // A collection that becomes a folder, or a field that becomes an alias, loses its table or column all the same.
    let gone = |difference: &Difference| {
        difference.kind == DifferenceKind::Deleted && matches!(dotted(difference).as_str(), "" | "schema")
    };
    let narrowed: Vec<String> = change.diff.iter().filter(|difference| narrows(difference)).map(words).collect();
    let words = if change.diff.iter().any(gone) {
        format!("delete {entity} {}", name(change))
    } else if !narrowed.is_empty() {
        format!("narrow {entity} {}: {}", name(change), narrowed.join(", "))
    } else {
        return None;
    };
    // A relation is a constraint and holds no rows of its own.
    let table = (change.entity != Entity::Relation).then(|| change.collection.clone());
    let column = table.as_ref().and(change.field.clone());
    Some(Loss { words, table, column })
}

/// Whether an edit can fail on, or cut, data that is there.
fn narrows(difference: &Difference) -> bool {
    let (lhs, rhs) = (&difference.lhs, &difference.rhs);
    match dotted(difference).as_str() {
        "type" | "schema.data_type" => lhs != rhs,
        "schema.max_length" | "schema.numeric_precision" | "schema.numeric_scale" => {
            match (lhs.as_u64(), rhs.as_u64()) {
                // Without a limit before, any limit is narrower; without one after, nothing is.
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
    format!("{} {} → {}", dotted(difference), difference.lhs, difference.rhs)
}

fn name(change: &Change) -> String {
    match &change.field {
        Some(field) => format!("{}.{field}", change.collection),
        None => change.collection.clone(),
    }
}

fn dotted(difference: &Difference) -> String {
    let parts: Vec<String> =
        difference.path.iter().map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(entity: &str, field: Option<&str>, diff: Value) -> Change {
        serde_json::from_value(json!({"entity": entity, "collection": "laps", "field": field, "diff": diff}))
            .expect("a change")
    }

    fn edit(path: [&str; 2], lhs: Value, rhs: Value) -> Change {
        change("field", Some("speed"), json!([{"kind": "E", "path": path, "lhs": lhs, "rhs": rhs}]))
    }

    fn is_refused(change: Change) -> bool {
        matches!(rule(&[change], None), Ruling::Refused { .. })
    }

    #[test]
    fn an_empty_plan_is_empty() {
        assert_eq!(rule(&[], None), Ruling::Empty);
    }

    #[test]
    fn additions_are_harmless() {
        let plan = [
            change("collection", None, json!([{"kind": "N"}])),
            change("field", Some("speed"), json!([{"kind": "N"}])),
            change("relation", Some("entry"), json!([{"kind": "N"}])),
        ];
        assert_eq!(rule(&plan, None), Ruling::Harmless);
        assert_eq!(summary(&plan), "1 collection, 1 field, 1 relation");
    }

    #[test]
    fn deletions_are_refused() {
        for (entity, field, words) in [
            ("collection", None, "delete collection laps"),
            ("field", Some("speed"), "delete field laps.speed"),
            ("relation", Some("speed"), "delete relation laps.speed"),
        ] {
            let Ruling::Refused { losses, .. } = rule(&[change(entity, field, json!([{"kind": "D"}]))], None) else {
                panic!("{entity} may be deleted");
            };
            let told: Vec<&str> = losses.iter().map(|loss| loss.words.as_str()).collect();
            assert_eq!(told, [words]);
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
    fn widening_edits_and_meta_are_harmless() {
        assert!(!is_refused(edit(["schema", "max_length"], json!(10), json!(255))));
        assert!(!is_refused(edit(["schema", "max_length"], json!(10), json!(null))));
        assert!(!is_refused(edit(["schema", "is_nullable"], json!(false), json!(true))));
        assert!(!is_refused(edit(["schema", "is_unique"], json!(true), json!(false))));
        assert!(!is_refused(edit(["meta", "note"], json!("a"), json!(null))));
    }

    #[test]
    fn a_field_that_becomes_an_alias_and_a_collection_that_becomes_a_folder_are_refused() {
        let schema_gone = json!([{"kind": "D", "path": ["schema"], "lhs": {}}]);
        assert!(is_refused(change("field", Some("speed"), schema_gone.clone())));
        assert!(is_refused(change("collection", None, schema_gone)));
    }

    #[test]
    fn a_deleted_part_of_the_meta_is_no_deletion_of_the_entity() {
        let plan = change("field", Some("speed"), json!([{"kind": "D", "path": ["meta", "options", "min"], "lhs": 1}]));
        assert!(!is_refused(plan));
    }

    #[test]
    fn a_digest_allows_one_plan_and_no_other() {
        let plan = [change("collection", None, json!([{"kind": "D"}]))];
        let Ruling::Refused { digest, .. } = rule(&plan, None) else { panic!("not refused") };
        assert!(matches!(rule(&plan, Some(&digest)), Ruling::Allowed(_)));
        let other = [change("field", Some("speed"), json!([{"kind": "D"}]))];
        assert!(matches!(rule(&other, Some(&digest)), Ruling::Refused { .. }));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        /// A change, and whether it loses something.
        fn any_change() -> impl Strategy<Value = (Change, bool)> {
            let edit = |path: [&'static str; 2], lhs: Value, rhs: Value| json!([{"kind": "E", "path": path, "lhs": lhs, "rhs": rhs}]);
            let diffs = vec![
                (json!([{"kind": "N"}]), false),
                (json!([{"kind": "D"}]), true),
                (json!([{"kind": "D", "path": ["schema"], "lhs": {}}]), true),
                (json!([{"kind": "D", "path": ["meta", "options"], "lhs": {}}]), false),
                (json!([{"kind": "A", "path": ["meta", "translations"]}]), false),
                (edit(["meta", "note"], json!("a"), json!("b")), false),
                (edit(["schema", "max_length"], json!(10), json!(20)), false),
                (edit(["schema", "max_length"], json!(20), json!(10)), true),
                (edit(["schema", "is_nullable"], json!(true), json!(false)), true),
                (edit(["schema", "data_type"], json!("text"), json!("integer")), true),
            ];
            let entities = prop::sample::select(vec!["collection", "field", "relation", "system-field"]);
            (entities, 0_u8..4, prop::sample::select(diffs)).prop_map(|(entity, number, (diff, loses))| {
                let name = format!("f{number}");
                // Of Directus' own fields only an index can change.
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

        proptest! {
            #[test]
            fn a_plan_is_refused_exactly_if_a_change_of_it_loses_something(plan in any_plan()) {
                let losses = plan.iter().filter(|(_, loses)| *loses).count();
                match rule(&changes(&plan), None) {
                    Ruling::Empty => prop_assert!(plan.is_empty()),
                    Ruling::Harmless => prop_assert!(losses == 0 && !plan.is_empty()),
                    Ruling::Refused { losses: told, .. } => prop_assert!(losses > 0 && told.len() == losses),
                    Ruling::Allowed(_) => prop_assert!(false, "nobody allowed it"),
                }
            }

            #[test]
            fn a_digest_allows_its_own_plan_and_none_that_differs(one in any_plan(), other in any_plan()) {
                let (one, other) = (changes(&one), changes(&other));
                if let Ruling::Refused { digest, .. } = rule(&one, None) {
                    prop_assert!(matches!(rule(&one, Some(&digest)), Ruling::Allowed(_)));
                    let ruling = rule(&other, Some(&digest));
                    prop_assert!(one == other || !matches!(ruling, Ruling::Allowed(_)), "{ruling:?}");
                }
            }
        }
    }
}
