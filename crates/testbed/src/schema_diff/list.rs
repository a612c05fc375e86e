//! The list of changes that a reviewer reads.

use std::fmt;

use serde_json::Value;

use super::{Edit, ItemKind, LeafChange, SchemaChange};

/// Longest value in a line of the list, in characters.
const LONGEST_VALUE: usize = 70;
/// Characters that two long values keep of their common beginning.
const CONTEXT: usize = 12;

impl SchemaChange {
    /// Describes an added or removed item, and its rows or values, in brackets.
    fn details(&self, item: &Value) -> String {
        let mut details = Vec::new();
        if let Some(count) = self.count {
            let unit = if self.kind == ItemKind::Collection { "row" } else { "value" };
            details.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
        let property = |name: &str| item["schema"][name].as_bool().unwrap_or_default();
        match self.kind {
            ItemKind::Collection if !item["schema"].is_object() => details.push("a folder".to_owned()),
            ItemKind::Field => {
                let length = item["schema"]["max_length"].as_u64().map(|length| format!("({length})"));
                let kind = item["type"].as_str().unwrap_or("no type");
                details.push(format!("{kind}{}", length.unwrap_or_default()));
                if property("is_primary_key") {
                    details.push("primary key".to_owned());
                } else {
                    details.extend(property("is_unique").then(|| "unique".to_owned()));
                    details.extend((item["schema"]["is_nullable"] == false).then(|| "not null".to_owned()));
                }
            }
            ItemKind::Relation => {
                details.push(format!("to {}", item["related_collection"].as_str().unwrap_or("several collections")));
                let on_delete = item["schema"]["on_delete"].as_str();
                details.extend(on_delete.map(|action| format!("on delete {}", action.to_lowercase())));
            }
            _ => {}
        }
        if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) }
    }
}

impl fmt::Display for SchemaChange {
    /// One line, and one more for each differing property.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, details) = match &self.edit {
            Edit::Added(item) => ('+', self.details(item)),
            Edit::Removed(item) => ('-', self.details(item)),
            Edit::Changed(_) => ('~', String::new()),
        };
        let field = self.field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
        write!(f, "{sign} {}{}{field}{details}", self.kind.label(), self.collection)?;
        let Edit::Changed(leaves) = &self.edit else { return Ok(()) };
        leaves.iter().try_for_each(|leaf| write!(f, "\n    {leaf}"))
    }
}

impl fmt::Display for LeafChange {
    /// `property: old → new`; of lists, the elements that only one of them has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
        let label = if path.is_empty() { String::new() } else { format!("{path}: ") };
        if let (Some(Value::Array(old)), Some(Value::Array(new))) = (&self.old, &self.new) {
            let only = |these: &[Value], those: &[Value], sign: &str| {
                let only = these.iter().filter(|value| !those.contains(value));
                only.map(|value| format!("{sign} {}", cut(&value.to_string(), 0))).collect::<Vec<_>>()
            };
            let parts = [only(old, new, "-"), only(new, old, "+")].concat();
            if !parts.is_empty() {
                return write!(f, "{label}{}", parts.join(", "));
            }
        }
        let [old, new] = [&self.old, &self.new].map(|value| value.as_ref().map(Value::to_string));
        let [old, new] = [old, new].map(|text| text.unwrap_or_else(|| "absent".to_owned()));
        let same = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
        let from = same.saturating_sub(CONTEXT);
        write!(f, "{label}{} → {}", cut(&old, from), cut(&new, from))
    }
}

/// Shortens a long text to the part that begins at a character.
fn cut(text: &str, from: usize) -> String {
    if text.chars().count() <= LONGEST_VALUE {
        return text.to_owned();
    }
    let start = if from == 0 { "" } else { "…" };
    let part: String = text.chars().skip(from).take(LONGEST_VALUE).collect();
    let end = if text.chars().count() > from + LONGEST_VALUE { "…" } else { "" };
    format!("{start}{part}{end}")
}

/// Formats changes as a list for a reviewer, with a summary as its last line. A removed collection stands for its fields
/// and relations.
#[must_use]
pub fn list(changes: &[SchemaChange]) -> String {
    let is_removed = |change: &SchemaChange| matches!(change.edit, Edit::Removed(_));
    let collections = changes.iter().filter(|change| change.kind == ItemKind::Collection && is_removed(change));
    let removed: Vec<&str> = collections.map(|change| change.collection.as_str()).collect();
    let is_implied = |change: &SchemaChange| {
        is_removed(change) && change.field.is_some() && removed.contains(&change.collection.as_str())
    };
    let lines =
        changes.iter().filter(|change| !is_implied(change)).map(|change| format!("  {change}").replace('\n', "\n  "));
    let count = |is: fn(&Edit) -> bool| changes.iter().filter(|change| is(&change.edit)).count();
    let summary = format!(
        "  {} added, {} changed, {} removed",
        count(|edit| matches!(edit, Edit::Added(_))),
        count(|edit| matches!(edit, Edit::Changed(_))),
        count(|edit| matches!(edit, Edit::Removed(_))),
    );
    lines.chain([summary]).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{changes, list};

    fn document(choices: &Value, note: &str) -> Value {
        json!({
            "directus": "11.17.4",
            "collections": [
                { "collection": "laps", "schema": { "name": "laps" } },
                { "collection": "office", "meta": { "icon": "folder" } },
            ],
            "fields": [{
                "collection": "laps", "field": "status", "type": "string", "meta": { "note": note, "choices": choices },
                "schema": { "max_length": 16, "is_nullable": false, "is_unique": true },
            }],
            "relations": [{ "collection": "laps", "field": "entry", "related_collection": "entries",
                "schema": { "on_delete": "SET NULL" } }],
        })
    }

    fn lines(old: &Value, new: &Value) -> Vec<String> {
        changes(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_longer_list_is_reported_by_its_new_elements() {
        let old = document(&json!([{ "value": "a" }, { "value": "b" }]), "");
        let new = document(&json!([{ "value": "b" }]), "");
        assert_eq!(lines(&old, &new), ["~ field laps.status\n    meta.choices: - {\"value\":\"a\"}"]);
    }

    #[test]
    fn long_values_are_cut_to_the_part_that_differs() {
        let note = |end: &str| document(&Value::Null, &("x".repeat(200) + end));
        let found = lines(&note("one"), &note("two"));
        let expected = "~ field laps.status\n    meta.note: …xxxxxxxxxxxxone\" → …xxxxxxxxxxxxtwo\"";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn added_items_have_their_type_and_removed_collections_stand_for_their_fields() {
        let document = document(&Value::Null, "");
        let mut found = changes(&json!({}), &document);
        found[0].count = Some(1);
        let expected = "  + collection laps (1 row)\n  + collection office (a folder)\n  \
                        + field laps.status (string(16), unique, not null)\n  \
                        + relation laps.entry (to entries, on delete set null)\n  4 added, 0 changed, 0 removed";
        assert_eq!(list(&found), expected);
        let expected = "  - collection laps\n  - collection office (a folder)\n  0 added, 0 changed, 4 removed";
        assert_eq!(list(&changes(&document, &json!({}))), expected);
    }
}
