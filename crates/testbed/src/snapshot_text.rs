//! A snapshot as text: the entries that Directus wrote, in an order that does not depend on the database.
//!
//! Directus orders fields and relations by the ids of their rows, so the same schema gives another text in another
//! database, and two fields that two branches add to one collection always conflict. Here names decide. The text of an
//! entry is never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::schema::is_system;
use crate::schema_diff::ItemKind;

/// Beginning of an entry of a list.
const ENTRY: &str = "  - ";

/// A snapshot in the form in which Directus writes YAML.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotText {
    /// The lines before the first list.
    head: String,
    /// The properties in the head.
    properties: Map<String, Value>,
    lists: BTreeMap<ItemKind, Vec<SnapshotEntry>>,
}

#[derive(Clone, Debug)]
struct SnapshotEntry {
    /// Whole lines.
    text: String,
    value: Value,
}

/// Two texts of the same value are equal: versions of Directus write some values in another form.
impl PartialEq for SnapshotEntry {
    fn eq(&self, other: &SnapshotEntry) -> bool {
        self.value == other.value
    }
}

impl SnapshotEntry {
    fn text_of(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    /// The primary key is the first field of its collection, and so of a new table.
    fn order(&self) -> (&str, bool, &str) {
        let is_key = self.value["schema"]["is_primary_key"] == true;
        (self.text_of("collection"), !is_key, self.text_of("field"))
    }

    fn name(&self) -> String {
        match self.text_of("field") {
            "" => self.text_of("collection").to_owned(),
            field => format!("{}.{field}", self.text_of("collection")),
        }
    }
}

/// Parses the text of a snapshot, in YAML or JSON, as a document.
pub fn document(text: &str) -> anyhow::Result<Value> {
    let document: Value = serde_saphyr::from_str(text).context("is not valid YAML")?;
    for kind in [ItemKind::Collection, ItemKind::Field, ItemKind::Relation] {
        let list = kind.list();
        ensure!(document[list].is_array(), "is not a snapshot, or only a part of one: it has no list `{list}`");
    }
    Ok(document)
}

impl SnapshotText {
    /// Parses a text that Directus wrote.
    ///
    /// # Errors
    /// The text is not a snapshot, or a snapshot in another form (JSON, other indentation).
    pub fn parse(text: &str) -> anyhow::Result<SnapshotText> {
        let mut document = document(text)?;
        let mut head = String::new();
        let mut texts: BTreeMap<ItemKind, Vec<String>> = BTreeMap::new();
        let mut current = None;
        for line in text.split_inclusive('\n') {
            let list = ItemKind::LISTS.into_iter().find(|kind| {
                line.split_once(':').is_some_and(|(key, rest)| key == kind.list() && ["", "[]"].contains(&rest.trim()))
            });
            if let Some(kind) = list {
                current = Some(texts.entry(kind).or_default());
                continue;
            }
            match &mut current {
                None => head.push_str(line),
                Some(entries) if line.starts_with(ENTRY) => entries.push(line.to_owned()),
                Some(entries) => {
                    entries.last_mut().context("is not in the form in which Directus writes YAML")?.push_str(line)
                }
            }
        }
        let mut properties = document.as_object_mut().map(std::mem::take).unwrap_or_default();
        let mut lists = BTreeMap::new();
        for (kind, texts) in texts {
            let values = properties.remove(kind.list());
            let values = values.and_then(|mut values| values.as_array_mut().map(std::mem::take)).unwrap_or_default();
            ensure!(values.len() == texts.len(), "is not in the form in which Directus writes YAML");
            let entries = texts.into_iter().zip(values).map(|(text, value)| SnapshotEntry { text, value });
            lists.insert(kind, entries.collect());
        }
        Ok(SnapshotText { head, properties, lists })
    }

    /// Returns the snapshot as a document.
    #[must_use]
    pub fn document(&self) -> Value {
        let lists = self
            .lists
            .iter()
            .map(|(kind, entries)| (kind.list().to_owned(), entries.iter().map(|entry| entry.value.clone()).collect()));
        Value::Object(self.properties.clone().into_iter().chain(lists).collect())
    }

    /// Orders the entries of each list by their names; the primary key of a collection comes first.
    pub fn sort(&mut self) {
        for entries in self.lists.values_mut() {
            entries.sort_by(|a, b| a.order().cmp(&b.order()));
        }
    }

    /// Removes fields and relations of collections that the snapshot does not have, which the boot would refuse, and
    /// returns their names. Directus writes them for tables that SQL removed, or that it does not track.
    pub fn remove_orphans(&mut self) -> Vec<String> {
        let entries = self.lists.get(&ItemKind::Collection).into_iter().flatten();
        let known: BTreeSet<String> = entries.map(|entry| entry.text_of("collection").to_owned()).collect();
        let exists = |name: &str| name.is_empty() || is_system(name) || known.contains(name);
        let mut removed = Vec::new();
        for (kind, label) in [(ItemKind::Field, "field"), (ItemKind::Relation, "relation")] {
            let entries = self.lists.entry(kind).or_default();
            let is_orphan = |entry: &mut SnapshotEntry| {
                !exists(entry.text_of("collection")) || !exists(entry.text_of("related_collection"))
            };
            removed.extend(entries.extract_if(.., is_orphan).map(|entry| format!("{label} {}", entry.name())));
        }
        removed
    }

    /// Adds the changes that `other` made since `base`, entry by entry. Of an entry that both sides changed, the lines are
    /// merged.
    ///
    /// # Errors
    /// The names of the entries in which both sides changed the same lines or lines next to each other, and of those that
    /// one side added to a collection that the other side removed.
    pub fn merge(&mut self, base: &SnapshotText, other: &SnapshotText) -> Result<(), Vec<String>> {
        let mut conflicts = Vec::new();
        for kind in ItemKind::LISTS {
            let [ours, base, theirs] = [&*self, base, other].map(|side| side.entries(kind));
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let mut merged = Vec::new();
            for name in names {
                let [our, old, their] = [&ours, &base, &theirs].map(|entries| entries.get(name).copied());
                if our == old {
                    merged.extend(their.cloned());
                } else if their == old || their == our {
                    merged.extend(our.cloned());
                } else if let Some(entry) = merge_lines(old, our, their) {
                    merged.push(entry);
                } else {
                    conflicts.push(format!("{}{name}", kind.label()));
                }
            }
            if !merged.is_empty() || self.lists.contains_key(&kind) {
                self.lists.insert(kind, merged);
            }
        }
        if other.head != base.head {
            if self.head != base.head && self.head != other.head {
                conflicts.push("the version of Directus".to_owned());
            }
            self.head.clone_from(&other.head);
            self.properties.clone_from(&other.properties);
        }
        if conflicts.is_empty() {
            conflicts = self.remove_orphans();
        }
        self.sort();
        if conflicts.is_empty() { Ok(()) } else { Err(conflicts) }
    }

    fn entries(&self, kind: ItemKind) -> BTreeMap<String, &SnapshotEntry> {
        self.lists.get(&kind).into_iter().flatten().map(|entry| (entry.name(), entry)).collect()
    }
}

/// Merges an entry that is on both sides; `None` for a conflict.
fn merge_lines(
    old: Option<&SnapshotEntry>,
    our: Option<&SnapshotEntry>,
    their: Option<&SnapshotEntry>,
) -> Option<SnapshotEntry> {
    let text = diffy::merge(&old?.text, &our?.text, &their?.text).ok()?;
    let [value]: [Value; 1] = serde_saphyr::from_str(&text).ok()?;
    Some(SnapshotEntry { text, value })
}

impl fmt::Display for SnapshotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)?;
        for (kind, entries) in &self.lists {
            writeln!(f, "{}:{}", kind.list(), if entries.is_empty() { " []" } else { "" })?;
            entries.iter().try_for_each(|entry| f.write_str(&entry.text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{SnapshotText, document};

    const TEXT: &str = "version: 1\ndirectus: 11.17.4\ncollections:\n  - collection: laps\n    meta:\n      note: |-\n        \
                        A lap.\n\n          - collection: not an entry\n  - collection: crews\nfields:\n  - collection: laps\n    \
                        field: speed\n  - collection: laps\n    field: id\n    schema:\n      is_primary_key: true\n  \
                        - collection: crews\n    field: id\nsystemFields: []\nrelations: []\n";

    fn parsed(text: &str) -> SnapshotText {
        SnapshotText::parse(text).unwrap()
    }

    fn sorted(text: &str) -> String {
        let mut snapshot = parsed(text);
        snapshot.sort();
        snapshot.to_string()
    }

    #[test]
    fn a_text_is_the_sum_of_its_entries() {
        assert_eq!(parsed(TEXT).to_string(), TEXT);
        assert_eq!(parsed(TEXT).document(), document(TEXT).unwrap());
    }

    #[test]
    fn entries_are_ordered_by_name_after_the_primary_key() {
        let text = sorted(TEXT);
        let names: Vec<&str> = text.lines().filter(|line| line.starts_with("    field: ")).collect();
        assert_eq!(names, ["    field: id", "    field: id", "    field: speed"]);
        assert!(text.contains("  - collection: crews\n  - collection: laps\n    meta:\n"), "{text}");
        assert_eq!(document(&text).unwrap()["collections"][1], document(TEXT).unwrap()["collections"][0]);
        assert_eq!(sorted(&text), text);
    }

    #[test]
    fn fields_and_relations_of_unknown_collections_are_removed_and_those_of_directus_are_kept() {
        let relations = "relations:\n  - collection: gone\n    field: a\n  - collection: laps\n    field: b\n    \
                         related_collection: gone\n  - collection: laps\n    field: c\n    related_collection: directus_users\n  \
                         - collection: laps\n    field: d\n    related_collection: null\n";
        let text = TEXT.replace("  - collection: crews\nfields", "fields").replace("relations: []\n", relations);
        let mut snapshot = parsed(&text);
        assert_eq!(snapshot.remove_orphans(), ["field crews.id", "relation gone.a", "relation laps.b"]);
        let kept = snapshot.to_string();
        assert!(kept.contains("field: c\n") && kept.contains("field: d\n") && !kept.contains("gone"), "{kept}");
        assert_eq!(snapshot.remove_orphans(), [""; 0]);
    }

    #[test]
    fn changes_of_both_sides_are_merged_and_a_contradiction_is_named() {
        let ours = TEXT.replace("field: speed", "field: pace");
        let theirs = TEXT.replace("A lap.", "One lap.").replace("11.17.4", "12.4.1");
        let mut merged = parsed(&ours);
        assert_eq!(merged.merge(&parsed(TEXT), &parsed(&theirs)), Ok(()));
        let both = ours.replace("A lap.", "One lap.").replace("11.17.4", "12.4.1");
        assert_eq!(merged.to_string(), sorted(&both));

        let other = TEXT.replace("A lap.", "Laps.");
        let mut merged = parsed(&theirs);
        assert_eq!(merged.merge(&parsed(TEXT), &parsed(&other)), Err(vec!["collection laps".to_owned()]));
    }

    #[test]
    fn different_properties_of_one_entry_are_merged() {
        let base = TEXT.replace("      note:", "      icon: flag\n      group: null\n      note:");
        let (ours, theirs) = (base.replace("flag", "timer"), base.replace("A lap.", "One lap."));
        let mut merged = parsed(&ours);
        assert_eq!(merged.merge(&parsed(&base), &parsed(&theirs)), Ok(()));
        assert_eq!(merged.to_string(), sorted(&ours.replace("A lap.", "One lap.")));
    }

    #[test]
    fn a_field_that_one_side_adds_to_a_collection_that_the_other_removes_is_a_conflict() {
        let field = "  - collection: crews\n    field: id\n";
        let ours = TEXT.replace("  - collection: crews\nfields", "fields").replace(field, "");
        let theirs = TEXT.replace(field, &format!("{field}  - collection: crews\n    field: name\n"));
        let conflicts = parsed(&ours).merge(&parsed(TEXT), &parsed(&theirs)).unwrap_err();
        assert_eq!(conflicts, ["field crews.name"]);
    }

    #[test]
    fn text_that_is_not_a_whole_snapshot_of_directus_is_an_error() {
        let error = |text: &str| format!("{:#}", SnapshotText::parse(text).unwrap_err());
        assert!(error("").contains("it has no list `collections`"), "{}", error(""));
        assert!(error(TEXT.strip_suffix("relations: []\n").unwrap()).contains("it has no list `relations`"));
        assert!(error("a: [").starts_with("is not valid YAML: "));
        let json = r#"{"collections": [], "fields": [{"collection": "a"}], "relations": []}"#;
        assert_eq!(document(json).unwrap()["fields"][0]["collection"], "a");
        let flow = "collections: []\nfields: [{collection: a}]\nrelations: []\n";
        assert!(error(flow).contains("not in the form"), "{}", error(flow));
    }
}
