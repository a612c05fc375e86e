//! A plan in words.

use crate::directus::protocol::{Change, Difference, DifferenceKind, Entity};

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
            let paths: Vec<String> =
                change.diff.iter().map(Difference::dotted).filter(|path| !path.is_empty()).collect();
            if paths.is_empty() { change.name() } else { format!("{} ({})", change.name(), paths.join(", ")) }
        })
        .collect()
}

/// Changes for an operator, one a line: `+ collection laps`, `- field laps.speed`, `~ field laps.speed (schema.is_nullable)`.
#[must_use]
pub fn sentences(changes: &[Change]) -> Vec<String> {
    let sentence = |(change, name): (&Change, String)| {
        let sign = if change.is_whole(DifferenceKind::New) {
            '+'
        } else if change.is_deletion() {
            '-'
        } else {
            '~'
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
