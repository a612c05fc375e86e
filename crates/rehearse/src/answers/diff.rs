//! Differences between JSON documents, in groups that a person can read.
//!
//! An addition is a note, because existing clients do not ask for it; a removal or a change is a finding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::report::{UpgradeFindings, UpgradePart};

/// Names or examples per finding.
const MOST: usize = 5;
/// Characters of a value.
const LONGEST: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum JsonChange {
    Removed,
    Changed,
    Added,
}

/// One place where two documents differ.
#[derive(Clone, Debug, PartialEq, Eq)]
struct JsonDifference {
    kind: JsonChange,
    /// Keys from the top; places of lists are `[]`.
    path: Vec<String>,
    values: String,
}

/// Compares two answers to the same question.
pub(super) fn answers(
    part: UpgradePart,
    asked: &str,
    before: &Value,
    after: Option<&Value>,
    findings: &mut UpgradeFindings,
) {
    let grouped = group(&differences(before, after), 0);
    for ((kind, path), examples) in grouped {
        report(part, &shortened(asked, 2 * LONGEST), kind, &path, &examples, findings);
    }
}

/// Compares two documents whose top keys are names of entries; the same difference of many entries is one finding.
pub(super) fn entries(path: &str, before: &Value, after: Option<&Value>, findings: &mut UpgradeFindings) {
    for ((kind, place), examples) in group(&differences(before, after), 1) {
        report(UpgradePart::Rest, path, kind, &place, &examples, findings);
    }
}

/// Compares two sets of names with a type each.
pub(super) fn names(
    part: UpgradePart,
    what: &str,
    before: &BTreeMap<String, String>,
    after: Option<&BTreeMap<String, String>>,
    findings: &mut UpgradeFindings,
) {
    let empty = BTreeMap::new();
    let after = after.unwrap_or(&empty);
    let removed: Vec<String> = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
    let changed = before.iter().filter_map(|(name, of)| {
        let now = after.get(name)?;
        (now != of).then(|| format!("{name} from {of} to {now}"))
    });
    let changed: Vec<String> = changed.collect();
    let added: Vec<String> = after.keys().filter(|name| !before.contains_key(*name)).cloned().collect();
    if !removed.is_empty() {
        findings.look(part, format!("{} {what} are gone: {}", removed.len(), first(&removed)));
    }
    if !changed.is_empty() {
        findings.look(part, format!("{} {what} have changed: {}", changed.len(), first(&changed)));
    }
    if !added.is_empty() {
        findings.note(part, format!("{} {what} are new: {}", added.len(), first(&added)));
    }
}

fn report(
    part: UpgradePart,
    asked: &str,
    kind: JsonChange,
    path: &str,
    examples: &BTreeSet<(String, String)>,
    findings: &mut UpgradeFindings,
) {
    let place = if path.is_empty() { String::new() } else { format!(" {path}") };
    let (entry, value) = examples.first().cloned().unwrap_or_default();
    let of = match (examples.len(), entry.as_str()) {
        (_, "") => value,
        (1, entry) => format!("{value} ({entry})"),
        (count, entry) => format!("{value} ({entry} and {} more)", count - 1),
    };
    match kind {
        JsonChange::Removed => findings.look(part, format!("{asked}:{place} is gone: {of}")),
        JsonChange::Changed => findings.look(part, format!("{asked}:{place} has changed: {of}")),
        JsonChange::Added => findings.note(part, format!("{asked}:{place} is new: {of}")),
    }
}

/// Groups differences by kind and path without its first keys, which name an entry; with the entries and values.
fn group(differences: &[JsonDifference], names: usize) -> BTreeMap<(JsonChange, String), BTreeSet<(String, String)>> {
    let mut grouped: BTreeMap<(JsonChange, String), BTreeSet<(String, String)>> = BTreeMap::new();
    for JsonDifference { kind, path, values } in differences {
        let (entry, rest) = path.split_at(names.min(path.len()));
        let key = (*kind, rest.join("."));
        grouped.entry(key).or_default().insert((entry.join("."), values.clone()));
    }
    grouped
}

fn differences(before: &Value, after: Option<&Value>) -> Vec<JsonDifference> {
    let mut found = Vec::new();
    match after {
        Some(after) => collect(before, after, &mut Vec::new(), &mut found),
        None => found.push(JsonDifference { kind: JsonChange::Removed, path: Vec::new(), values: shown(before) }),
    }
    found
}

fn collect(before: &Value, after: &Value, path: &mut Vec<String>, found: &mut Vec<JsonDifference>) {
    match (before, after) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                path.push(key.clone());
                match (one.get(key), other.get(key)) {
                    (Some(before), Some(after)) => collect(before, after, path, found),
                    (Some(before), None) => push(JsonChange::Removed, path, shown(before), found),
                    (None, Some(after)) => push(JsonChange::Added, path, shown(after), found),
                    (None, None) => {}
                }
                path.pop();
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            path.push("[]".to_owned());
            for (before, after) in one.iter().zip(other) {
                collect(before, after, path, found);
            }
            path.pop();
        }
        _ if before != after => push(JsonChange::Changed, path, format!("{} → {}", shown(before), shown(after)), found),
        _ => {}
    }
}

fn push(kind: JsonChange, path: &[String], values: String, found: &mut Vec<JsonDifference>) {
    found.push(JsonDifference { kind, path: path.to_vec(), values });
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string(), LONGEST)
}

fn shortened(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}

fn first(names: &[String]) -> String {
    let rest = if names.len() == MOST + 1 { 0 } else { names.len().saturating_sub(MOST) };
    let shown = names[..names.len() - rest].join(", ");
    if rest == 0 { shown } else { format!("{shown}, and {rest} more") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{answers, entries, names};
    use crate::report::{UpgradeFindings, UpgradePart};

    #[test]
    fn removed_and_changed_values_are_findings_and_new_ones_are_notes() {
        let mut findings = UpgradeFindings::default();
        let (before, after) = (json!([{ "id": 1, "a": 1, "b": 2 }]), json!([{ "id": 2, "b": 2, "c": 3 }]));
        answers(UpgradePart::Rest, "/items/laps", &before, Some(&after), &mut findings);
        let expected = [
            "Look REST: /items/laps: [].a is gone: 1",
            "Look REST: /items/laps: [].id has changed: 1 → 2",
            "Note REST: /items/laps: [].c is new: 3",
        ];
        assert_eq!(findings.lines(), expected);
    }

    #[test]
    fn equal_answers_have_no_differences_and_a_missing_one_is_found() {
        let mut findings = UpgradeFindings::default();
        answers(
            UpgradePart::GraphQl,
            "{ laps }",
            &json!({ "a": [1, null] }),
            Some(&json!({ "a": [1, null] })),
            &mut findings,
        );
        assert!(findings.lines().is_empty());
        answers(UpgradePart::GraphQl, "{ laps }", &json!([1]), None, &mut findings);
        assert_eq!(findings.lines(), ["Look GraphQL: { laps }: is gone: [1]"]);
    }

    #[test]
    fn lists_of_other_lengths_differ_as_a_whole() {
        let mut findings = UpgradeFindings::default();
        answers(UpgradePart::Rest, "/x", &json!([1, 2]), Some(&json!([1])), &mut findings);
        assert_eq!(findings.lines(), ["Look REST: /x: has changed: [1,2] → [1]"]);
    }

    #[test]
    fn the_same_difference_of_many_entries_is_one_line() {
        let entry = |extra: bool| {
            let meta = if extra { json!({ "hidden": false, "status": "active" }) } else { json!({ "hidden": false }) };
            json!({ "meta": meta })
        };
        let document = |extra| json!({ "cars": entry(extra), "laps": entry(extra), "pits": entry(extra) });
        let mut findings = UpgradeFindings::default();
        entries("/collections", &document(false), Some(&document(true)), &mut findings);
        assert_eq!(findings.lines(), ["Note REST: /collections: meta.status is new: \"active\" (cars and 2 more)"]);
    }

    #[test]
    fn names_are_counted_and_the_first_are_shown() {
        let set = |names: &[&str]| -> BTreeMap<String, String> {
            names.iter().map(|name| ((*name).to_owned(), "Int".to_owned())).collect()
        };
        let mut after = set(&["b", "c", "d", "e", "f", "g", "h", "i", "j"]);
        after.insert("b".to_owned(), "String".to_owned());
        let mut findings = UpgradeFindings::default();
        names(UpgradePart::GraphQl, "fields", &set(&["a", "b"]), Some(&after), &mut findings);
        let expected = [
            "Look GraphQL: 1 fields are gone: a",
            "Look GraphQL: 1 fields have changed: b from Int to String",
            "Note GraphQL: 8 fields are new: c, d, e, f, g, and 3 more",
        ];
        assert_eq!(findings.lines(), expected);
    }
}
