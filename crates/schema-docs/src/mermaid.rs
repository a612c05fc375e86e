//! The diagram as Mermaid text, which forges render: keys, unique columns and references.

use crate::objects::RecordedObjects;
use crate::snapshot::{DocumentedField, DocumentedRelation, DocumentedSchema};
use std::collections::BTreeSet;

/// The text of the diagram.
pub(crate) fn diagram(schema: &DocumentedSchema, recorded: &RecordedObjects) -> String {
    let mut text = "erDiagram\n".to_owned();
    for collection in schema.collections.iter().filter(|collection| collection.schema.is_some()) {
        entity(&mut text, schema, &collection.name);
    }
    for name in schema.extended() {
        entity(&mut text, schema, name);
    }
    for table in recorded.tables() {
        text += &format!("    {}\n", quoted(&table.name));
    }
    for relation in &schema.relations {
        for target in relation.targets() {
            text += &format!("    {}\n", reference(schema, relation, target));
        }
    }
    text
}

fn entity(text: &mut String, schema: &DocumentedSchema, name: &str) {
    let columns: Vec<String> = schema.fields_of(name).filter_map(|field| column(schema, field)).collect();
    *text += &match columns.as_slice() {
        [] => format!("    {}\n", quoted(name)),
        _ => format!("    {} {{\n{}    }}\n", quoted(name), columns.concat()),
    };
}

/// A line for a key, a reference or a unique column.
fn column(schema: &DocumentedSchema, field: &DocumentedField) -> Option<String> {
    let column = field.schema.as_ref()?;
    let mut keys = BTreeSet::new();
    if column.is_primary_key {
        keys.insert("PK");
    } else if column.is_unique {
        keys.insert("UK");
    }
    if schema.relation_of(field).is_some() {
        keys.insert("FK");
    }
    let keys: Vec<&str> = keys.into_iter().collect();
    let kind = word(field.kind.as_deref().unwrap_or("unknown"));
    (!keys.is_empty()).then(|| format!("        {kind} {} {}\n", word(&field.name), keys.join(", ")))
}

/// `events ||--o{ entries : event_id`: each entry has one event. A nullable reference has none or one.
fn reference(schema: &DocumentedSchema, relation: &DocumentedRelation, target: &str) -> String {
    let mut fields = schema.fields_of(&relation.collection).filter(|field| field.name == relation.field);
    let column = fields.next().and_then(|field| field.schema.as_ref());
    let one = if column.is_some_and(|column| !column.is_nullable) { "||" } else { "|o" };
    let many = if column.is_some_and(|column| column.is_unique) { "o|" } else { "o{" };
    format!("{} {one}--{many} {} : {}", quoted(target), quoted(&relation.collection), quoted(&relation.field))
}

/// A name that need not be an identifier of Mermaid.
fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "'")) }
}

/// A word of a column, which cannot be quoted.
fn word(name: &str) -> String {
    let word: String = name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) { format!("_{word}") } else { word }
}

#[cfg(test)]
mod tests {
    use super::diagram;
    use crate::fixture;

    #[test]
    fn keys_and_references_are_drawn_and_unusual_names_are_quoted() {
        let expected = "erDiagram\n    settings\n    drivers {\n        integer id PK\n    }\n\
            \x20   \"lap-times\" {\n        string car FK\n        integer driver FK\n    }\n\
            \x20   directus_users {\n        string license UK\n    }\n    probes\n\
            \x20   settings ||--o{ \"lap-times\" : car\n    directus_files ||--o{ \"lap-times\" : car\n\
            \x20   drivers |o--o{ \"lap-times\" : driver\n";
        let lines = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&diagram(&fixture::schema(), &fixture::recorded())), lines(expected));
    }
}
