//! Conflicts when git merges two branches that each edited the schema, for four layouts of the snapshot, and when
//! `cargo xtask snapshot --merge` does. `cargo test -p testbed --test merge_conflicts -- --nocapture` prints the table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use camino::Utf8Path;
use testbed::snapshot_text::SnapshotText;
use testbed::workspace;

/// Names of new fields, by pairs.
const FIELDS: [[&str; 2]; 6] = [
    ["insurance", "sponsor"],
    ["country", "timezone"],
    ["color", "fuel"],
    ["firmware", "sim"],
    ["age_limit", "fee"],
    ["phone", "website"],
];
/// Names of new collections, by pairs.
const COLLECTIONS: [[&str; 2]; 6] = [
    ["checkpoints", "stages"],
    ["penalties", "sponsors"],
    ["laps", "results"],
    ["tyres", "weather"],
    ["badges", "briefings"],
    ["documents", "hotels"],
];
/// A schema in the order of Directus.
type BranchSchema = Vec<Entry>;
type Branches = Vec<[BranchSchema; 2]>;

#[derive(Clone)]
struct Entry {
    list: String,
    collection: String,
    text: String,
}

#[test]
fn the_order_of_names_saves_more_conflicts_than_one_file_per_collection() {
    let text = std::fs::read_to_string(workspace::path(contract::in_tree(contract::SNAPSHOT_FILE))).unwrap();
    let base = schema(&text);
    let cases = cases(&base);
    let mut totals = [0; 5];
    println!("one file by ids, by names; a file per collection by ids, by names; --merge");
    let sorted = by_name(&base);
    for (name, branches) in &cases {
        let mut counts = [0; 5];
        for [ours, theirs] in branches {
            let [mut our, their] = [ours, theirs].map(by_name);
            let orders = [
                [&base, ours, theirs].map(Clone::clone),
                [&sorted, &our, &their].map(|text| schema(&text.to_string())),
            ];
            for (index, (per_collection, order)) in [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().enumerate() {
                let files = orders[order].each_ref().map(|schema| files(schema, per_collection == 1));
                counts[index] += usize::from(has_conflict(&files));
            }
            counts[4] += usize::from(our.merge(&sorted, &their).is_err());
        }
        println!("{counts:?} of {}: {name}", branches.len());
        totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    println!("{totals:?} of {}", cases.iter().map(|(_, branches)| branches.len()).sum::<usize>());
    let [ids, names, split_ids, split_names, merged] = totals;
    assert!(merged < split_names && split_names < names && names < split_ids && split_ids < ids, "{totals:?}");
}

/// Pairs of branches by the kind of their edits.
fn cases(base: &BranchSchema) -> Vec<(&'static str, Branches)> {
    let tables: BTreeSet<&str> =
        base.iter().filter(|entry| entry.list == "collections").map(|e| e.collection.as_str()).collect();
    let tables: Vec<&str> = tables.into_iter().collect();
    let table = |at: usize| tables[at % tables.len()];
    let branch = |edits: &[&dyn Fn(&mut BranchSchema)]| {
        let mut schema = base.clone();
        edits.iter().for_each(|edit| edit(&mut schema));
        schema
    };
    let mut cases = Vec::new();
    for (apart, field, relation) in [
        (1, "a field each, in different collections", "a relation each, from different collections"),
        (0, "a field each, in the same collection", "a relation each, from the same collection"),
    ] {
        let pairs = FIELDS.iter().enumerate();
        let fields = pairs.clone().map(|(at, [one, two])| {
            [branch(&[&|s| add_field(s, table(at), one)]), branch(&[&|s| add_field(s, table(at + apart), two)])]
        });
        cases.push((field, fields.collect()));
        let relations = pairs.map(|(at, [one, two])| {
            [branch(&[&|s| add_relation(s, table(at), one)]), branch(&[&|s| add_relation(s, table(at + apart), two)])]
        });
        cases.push((relation, relations.collect()));
    }
    let collections = COLLECTIONS.map(|names| names.map(|name| branch(&[&|s| add_collection(s, name)])));
    cases.push(("a collection each", collections.into()));
    for (name, keys) in [
        ("different settings of one collection", ["icon", "sort"]),
        ("one setting of one collection", ["icon", "icon"]),
    ] {
        let pairs = tables.iter().take(3);
        let branches =
            pairs.map(|table| [0, 1].map(|side| branch(&[&|s| set(s, table, keys[side], &side.to_string())])));
        cases.push((name, branches.collect()));
    }
    let weeks = [0, 2, 4].map(|at| {
        [0, 1].map(|side| {
            branch(&[
                &|s| add_field(s, table(at), FIELDS[at][side]),
                &|s| add_field(s, table(at + 1), FIELDS[at + 1][side]),
                &|s| add_relation(s, table(at + 2 * side), "referee"),
                &|s| add_collection(s, COLLECTIONS[at][side]),
            ])
        })
    });
    cases.push(("two fields, a relation and a collection each", weeks.into()));
    cases
}

fn add_field(schema: &mut BranchSchema, collection: &str, name: &str) {
    let text_field = |entry: &&Entry| entry.list == "fields" && entry.text.contains("    type: string\n");
    copy(schema, text_field, collection, Some(name));
}

fn add_relation(schema: &mut BranchSchema, collection: &str, name: &str) {
    let name = format!("{name}_id");
    add_field(schema, collection, &name);
    copy(schema, |entry| entry.list == "relations", collection, Some(&name));
}

fn add_collection(schema: &mut BranchSchema, name: &str) {
    copy(schema, |entry| entry.list == "collections", name, None);
    add_field(schema, name, "name");
    add_field(schema, name, "started_at");
}

/// Copies the first entry of a kind under another name, to the place where Directus writes a new one: after the others of
/// its collection.
fn copy(schema: &mut BranchSchema, is: impl Fn(&&Entry) -> bool, collection: &str, field: Option<&str>) {
    let mut entry = schema.iter().find(is).expect("an entry to copy").clone();
    let old = entry.text.lines().find_map(|line| line.strip_prefix("    field: ")).map(str::to_owned);
    entry.text = entry.text.replace(&format!(": {}\n", entry.collection), &format!(": {collection}\n"));
    if let (Some(old), Some(new)) = (old, field) {
        entry.text = entry.text.replace(&format!(": {old}\n"), &format!(": {new}\n"));
    }
    entry.collection = collection.to_owned();
    let is_before = |other: &Entry| other.list == entry.list && other.collection.as_str() <= collection;
    let before = schema.iter().rposition(is_before).map(|at| at + 1);
    let at = before.or_else(|| schema.iter().position(|other| other.list == entry.list)).expect("the list has entries");
    schema.insert(at, entry);
}

/// Sets a property of a collection.
fn set(schema: &mut BranchSchema, collection: &str, key: &str, value: &str) {
    let is = |entry: &&mut Entry| entry.list == "collections" && entry.collection == collection;
    let entry = schema.iter_mut().find(is).expect("the collection");
    let key = format!("      {key}: ");
    let lines = entry.text.split_inclusive('\n');
    entry.text =
        lines.map(|line| if line.starts_with(&key) { format!("{key}{value}\n") } else { line.to_owned() }).collect();
}

fn schema(text: &str) -> BranchSchema {
    let (mut schema, mut list) = (BranchSchema::new(), String::new());
    for line in text.split_inclusive('\n') {
        if !line.starts_with(' ') {
            list = line.trim_end().trim_end_matches(':').to_owned();
        } else if let Some(name) = line.strip_prefix("  - collection: ") {
            schema.push(Entry { list: list.clone(), collection: name.trim().to_owned(), text: line.to_owned() });
        } else {
            schema.last_mut().expect("an entry").text.push_str(line);
        }
    }
    schema
}

/// Brings a schema into the order of the names.
fn by_name(schema: &BranchSchema) -> SnapshotText {
    let list = |name: &str| {
        let entries = schema.iter().filter(|entry| entry.list == name);
        format!("{name}:\n{}", entries.map(|entry| entry.text.as_str()).collect::<String>())
    };
    let mut text = SnapshotText::parse(&["collections", "fields", "relations"].map(list).concat()).unwrap();
    text.sort();
    text
}

/// The texts of the files of a layout by their names.
fn files(schema: &BranchSchema, per_collection: bool) -> BTreeMap<&str, String> {
    let mut files: BTreeMap<&str, String> = BTreeMap::new();
    let mut list = "";
    for entry in schema {
        let file = files.entry(if per_collection { &entry.collection } else { "all" }).or_default();
        if !per_collection && list != entry.list {
            list = &entry.list;
            file.push_str(&format!("{list}:\n"));
        }
        file.push_str(&entry.text);
    }
    files
}

/// Returns true if git cannot merge one of the files.
fn has_conflict([base, ours, theirs]: &[BTreeMap<&str, String>; 3]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let names: BTreeSet<&&str> = ours.keys().chain(theirs.keys()).collect();
    names.into_iter().any(|name| {
        let sides = [("ours", ours), ("base", base), ("theirs", theirs)];
        for (side, files) in sides {
            std::fs::write(folder.join(side), files.get(*name).map_or("", String::as_str)).unwrap();
        }
        let mut git = Command::new("git");
        git.args(["merge-file", "--stdout", "--quiet"]).args(sides.map(|(side, _)| folder.join(side)));
        let code = git.output().unwrap().status.code().expect("git ended");
        assert!(code < 128, "git merge-file failed with {code}");
        code > 0
    })
}
