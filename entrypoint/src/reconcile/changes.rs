//! Descriptions of a plan for the operator.

use crate::directus::protocol::{Change, Difference, DifferenceKind, Entity};

const ENTITIES: [(Entity, &str); 4] = [
    (Entity::Collection, "collection"),
    (Entity::Field, "field"),
    (Entity::SystemField, "system field"),
    (Entity::Relation, "relation"),
];

/// The number of changed entities: `11 collections, 83 fields, 16 relations`; empty if there are none.
#[must_use]
pub fn summary(changes: &[Change]) -> String {
    let mut parts = Vec::new();
    for (entity, noun) in ENTITIES {
        let number = changes.iter().filter(|change| change.entity == entity).count();
        if number > 0 {
            parts.push(format!("{number} {noun}{}", if number == 1 { "" } else { "s" }));
        }
    }
    parts.join(", ")
}

/// The changed entities: `laps`, `laps.speed (schema.is_nullable)`.
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

/// One line per change: `+ collection laps`, `- field laps.speed`, `~ field laps.speed (schema.is_nullable)`.
#[must_use]
pub fn sentences(changes: &[Change]) -> Vec<String> {
    changes.iter().zip(names(changes)).map(|(change, name)| sentence(change, &name)).collect()
}

fn sentence(change: &Change, name: &str) -> String {
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
}
