//! The work of a boot that waits while servers of other images run: everything that removes or narrows.
//!
//! A roll has two phases. In the first, *expand*, the boots of the new image apply what only adds, and the servers of both
//! images serve. In the second, *contract*, no server of another image runs any more, and a boot applies the rest.

use crate::database::ImageServers;
use crate::directus::protocol::{Change, DifferenceKind, Entity};
use crate::migrations::MigrationFile;

use super::Expectation;
use contract::Phase;

/// The work that waits.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Each change or file in words; none if nothing waits.
    pub work: Vec<String>,
    /// The servers of other images that run.
    pub servers: Vec<ImageServers>,
}

/// Returns the changes of a plan that wait.
///
/// # Errors
/// A change that adds, and is possible only after one that would have to wait.
pub fn changes<'a>(all: &'a [Change], expectation: &Expectation<'_>) -> Result<Vec<&'a Change>, &'a Change> {
    let waiting: Vec<&Change> = all.iter().filter(|change| expectation.loses(change, all)).collect();
    let needs = |change: &Change, other: &Change| {
        let is_same = change.collection == other.collection && change.field == other.field;
        match (change.entity, other.entity) {
            // A relation is possible only for the final type of its field.
            (Entity::Relation, Entity::Field) => is_same && !other.is_deletion(),
            (_, Entity::Collection) => change.collection == other.collection,
            (one, other) => is_same && one == other,
        }
    };
    match all.iter().find(|change| adds(change) && waiting.iter().any(|other| needs(change, other))) {
        Some(stuck) => Err(stuck),
        None => Ok(waiting),
    }
}

fn adds(change: &Change) -> bool {
    change.is_whole(DifferenceKind::New)
}

/// Pending files, in order: those that run now, and those that wait.
pub type FileParts<'a, 'f> = (&'a [&'f MigrationFile], &'a [&'f MigrationFile]);

/// Splits the pending files into those that run now and those at the end that wait, because they remove or narrow. None of
/// them waits if one that adds follows, because the order of the files is the same on every database.
///
/// # Errors
/// The file that adds, and follows one that would have to wait.
pub fn files<'a, 'f>(pending: &'a [&'f MigrationFile]) -> Result<FileParts<'a, 'f>, &'f MigrationFile> {
    let first = pending.iter().position(|file| file.is_contract()).unwrap_or(pending.len());
    let (now, later) = pending.split_at(first);
    match later.iter().find(|file| !file.is_contract()) {
        Some(stuck) => Err(stuck),
        None => Ok((now, later)),
    }
}

/// Files that wait, in words.
#[must_use]
pub fn in_words(files: &[&MigrationFile]) -> Vec<String> {
    files.iter().map(|file| format!("{} {}", Phase::PostSchema.name(), file.filename)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::witness::Catalog;

    fn change(entity: &str, field: Option<&str>, diff: Value) -> Change {
        serde_json::from_value(json!({"entity": entity, "collection": "laps", "field": field, "diff": diff}))
            .expect("the change is valid")
    }

    fn waiting(plan: &[Change]) -> Result<Vec<String>, String> {
        let catalog = Catalog::default();
        let expectation = Expectation::new(plan, &catalog, "public");
        changes(plan, &expectation)
            .map(|waiting| waiting.iter().map(|change| change.name()).collect())
            .map_err(Change::name)
    }

    const ADDED: &str = "N";
    const DELETED: &str = "D";

    fn whole(entity: &str, field: Option<&str>, kind: &str) -> Change {
        change(entity, field, json!([{"kind": kind}]))
    }

    fn narrowed(field: &str) -> Change {
        change(
            "field",
            Some(field),
            json!([{"kind": "E", "path": ["schema", "is_nullable"], "lhs": true, "rhs": false}]),
        )
    }

    #[test]
    fn deletions_and_narrowing_edits_wait() {
        let plan = [
            whole("field", Some("lap_time"), ADDED),
            whole("field", Some("speed"), DELETED),
            narrowed("number"),
            change("field", Some("note"), json!([{"kind": "E", "path": ["meta", "note"], "lhs": "a", "rhs": "b"}])),
        ];
        assert_eq!(waiting(&plan), Ok(vec!["laps.speed".to_owned(), "laps.number".to_owned()]));
    }

    #[test]
    fn an_addition_that_needs_a_waiting_change_is_named() {
        for plan in [
            [whole("collection", None, DELETED), whole("collection", None, ADDED)],
            [whole("field", Some("driver"), DELETED), whole("field", Some("driver"), ADDED)],
            [narrowed("driver"), whole("relation", Some("driver"), ADDED)],
        ] {
            assert_eq!(waiting(&plan), Err(plan[1].name()));
        }
    }

    #[test]
    fn a_relation_that_is_replaced_does_not_wait() {
        let plan = [whole("relation", Some("driver"), DELETED), whole("relation", Some("driver"), ADDED)];
        assert_eq!(waiting(&plan), Ok(vec![]));
    }

    fn file(name: &str, sql: &str) -> MigrationFile {
        MigrationFile::parse(name, sql.as_bytes()).expect("a good file")
    }

    #[test]
    fn files_that_remove_wait_if_none_that_adds_follows() {
        let adds = file("001_a.sql", "create table pits (id int)");
        let removes = file("002_b.sql", "-- destroys: column laps.speed\nalter table laps drop column speed");
        let breaks = file("003_c.sql", "-- breaks-older-images\nalter table laps rename to rounds");
        let deletes = file("004_d.sql", "-- destroys: rows of laps\ndelete from laps");
        assert_eq!(files(&[&adds]), Ok((&[&adds][..], &[][..])));
        assert_eq!(files(&[&adds, &removes, &breaks]), Ok((&[&adds][..], &[&removes, &breaks][..])));
        // Rows may go while older images run.
        assert_eq!(files(&[&deletes]), Ok((&[&deletes][..], &[][..])));
        assert_eq!(files(&[&removes, &adds]), Err(&adds));
    }
}
