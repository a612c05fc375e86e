//! The objects of the SQL files that Directus does not know, as they were recorded from the database of a boot.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use contract::Phase;
use entrypoint::migrations::MigrationSet;

/// The recorded objects, relative to the workspace.
pub const OBJECTS: &str = "docs/samples/objects.tsv";
/// The query that returns the rows of [`OBJECTS`] from the database of a boot.
pub const OBJECTS_QUERY: &str = include_str!("objects.sql");

/// A table, column, constraint, index or trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedObject {
    /// `table`, `column`, `constraint`, `index`, `trigger` or `extension`.
    pub kind: String,
    /// The table; of an extension, its own name.
    pub belongs_to: String,
    /// The name.
    pub name: String,
    /// SQL by PostgreSQL; of a column its type with NOT NULL and DEFAULT.
    pub definition: String,
    /// The comment in the database.
    pub comment: String,
}

/// The objects, and the SQL files that had been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedObjects {
    /// In the order of kind, table and place.
    pub objects: Vec<RecordedObject>,
    /// Checksums by phase and file name.
    files: BTreeMap<(String, String), String>,
}

impl RecordedObjects {
    /// Parses the rows of [`OBJECTS_QUERY`].
    ///
    /// # Errors
    /// A line that is not such a row.
    pub fn parse(text: &str) -> anyhow::Result<RecordedObjects> {
        let mut recorded = RecordedObjects::default();
        for (index, line) in text.lines().enumerate() {
            let mut cells = line.split('\t').map(str::to_owned);
            let (Some(kind), Some(belongs_to), Some(name), Some(definition)) =
                (cells.next(), cells.next(), cells.next(), cells.next())
            else {
                bail!("line {} has fewer than 4 columns: {line}", index + 1);
            };
            if kind == "file" {
                recorded.files.insert((belongs_to, name), definition);
            } else {
                let comment = cells.next().unwrap_or_default();
                recorded.objects.push(RecordedObject { kind, belongs_to, name, definition, comment });
            }
        }
        Ok(recorded)
    }

    /// Returns the names of the SQL files that were changed, added or removed since the recording.
    #[must_use]
    pub fn changed_files(&self, files: &MigrationSet) -> Vec<String> {
        let mut now = BTreeMap::new();
        for phase in [Phase::DbInit, Phase::PostSchema] {
            for file in files.of(phase) {
                now.insert((phase.name().to_owned(), file.filename.clone()), file.checksum.clone());
            }
        }
        let all = now.iter().chain(&self.files);
        let differs = all.filter(|(key, _)| now.get(*key) != self.files.get(*key));
        let mut names: Vec<String> = differs.map(|((_, name), _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns each difference of a database from this recording, as a sentence. Extensions depend on the server.
    #[must_use]
    pub fn differences(&self, actual: &RecordedObjects) -> Vec<String> {
        let [recorded, actual] = [self, actual].map(RecordedObjects::by_name);
        let missing = recorded.iter().filter_map(|(key, definition)| match actual.get(key) {
            Some(found) if found == definition => None,
            Some(found) => Some(format!("{} is `{found}` and documented as `{definition}`", describe(key))),
            None => Some(format!("{} is documented and not in the database", describe(key))),
        });
        let extra = actual.keys().filter(|key| !recorded.contains_key(*key));
        missing.chain(extra.map(|key| format!("{} is not documented", describe(key)))).collect()
    }

    /// The tables that belong to SQL files.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &RecordedObject> {
        self.objects.iter().filter(|object| object.kind == "table")
    }

    /// The objects of a table that are of one of these kinds.
    pub(crate) fn of<'a>(&'a self, table: &'a str, kinds: &'a [&str]) -> impl Iterator<Item = &'a RecordedObject> {
        let of_table = self.objects.iter().filter(move |object| object.belongs_to == table);
        of_table.filter(move |object| kinds.contains(&object.kind.as_str()))
    }

    fn by_name(&self) -> BTreeMap<(&str, &str, &str), &str> {
        let objects = self.objects.iter().filter(|object| object.kind != "extension");
        objects.map(|o| ((o.kind.as_str(), o.belongs_to.as_str(), o.name.as_str()), o.definition.as_str())).collect()
    }
}

fn describe((kind, belongs_to, name): &(&str, &str, &str)) -> String {
    if *kind == "table" { format!("table {name}") } else { format!("{kind} {belongs_to}.{name}") }
}

/// Reads the recording of the checkout.
pub(crate) fn read(path: &camino::Utf8Path) -> anyhow::Result<RecordedObjects> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    RecordedObjects::parse(&text).with_context(|| format!("{path} is not a recording"))
}

#[cfg(test)]
mod tests {
    use super::RecordedObjects;

    const TEXT: &str = "column\tlaps\tid\tuuid NOT NULL\tThe key.\nconstraint\tlaps\tpositive\tCHECK ((n > 0))\n\
                        extension\tpostgis\tpostgis\t\nfile\tdb-init\t001_laps.sql\tabc\ntable\tlaps\tlaps\t\n";

    #[test]
    fn rows_become_objects_and_files() {
        let recorded = RecordedObjects::parse(TEXT).unwrap();
        assert_eq!(recorded.objects.len(), 4);
        assert_eq!(recorded.objects[0].comment, "The key.");
        assert_eq!(recorded.tables().count(), 1);
        assert_eq!(recorded.of("laps", &["constraint", "index"]).count(), 1);
        let error = RecordedObjects::parse("table\tlaps\n").unwrap_err();
        assert_eq!(error.to_string(), "line 1 has fewer than 4 columns: table\tlaps");
    }

    #[test]
    fn every_difference_is_a_sentence() {
        let recorded = RecordedObjects::parse(TEXT).unwrap();
        assert_eq!(recorded.differences(&recorded), [""; 0]);
        let changed = TEXT.replace("n > 0", "n > 1").replace("column\tlaps\tid", "column\tlaps\tkey");
        let changed = changed.replace("postgis", "other");
        assert_eq!(
            recorded.differences(&RecordedObjects::parse(&changed).unwrap()),
            [
                "column laps.id is documented and not in the database",
                "constraint laps.positive is `CHECK ((n > 1))` and documented as `CHECK ((n > 0))`",
                "column laps.key is not documented"
            ]
        );
    }

    #[test]
    fn files_that_changed_since_the_recording_are_named() {
        let recorded = RecordedObjects::parse(TEXT).unwrap();
        let folder = std::env::temp_dir().join(format!("schema-docs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("002_more.sql"), "select 1;\n").unwrap();
        let files = entrypoint::migrations::MigrationSet::read(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(recorded.changed_files(&files), ["001_laps.sql", "002_more.sql"]);
    }
}
