//! The page of the data model, its picture, and the recorded objects of the SQL files.
//!
//! It knows no data model: everything comes from the snapshot, the SQL files and the recording.

mod dot;
mod field;
#[cfg(test)]
mod fixture;
mod markdown;
mod mermaid;
mod objects;
mod page;
mod picture;
mod snapshot;

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use contract::{DB_INIT_DIR, SNAPSHOT_FILE, in_tree};
use entrypoint::migrations::MigrationSet;

pub use objects::{OBJECTS, OBJECTS_QUERY, RecordedObject, RecordedObjects};

use self::page::Sources;
use self::snapshot::DocumentedSchema;

const PAGE: &str = "docs/data-model.md";
const PICTURE: &str = "docs/data-model.svg";

/// The texts of the documentation as they should be.
#[derive(Debug)]
pub struct ModelDocs {
    page: String,
    /// The picture's source.
    diagram: String,
}

impl ModelDocs {
    /// Generates the texts from the checkout.
    ///
    /// # Errors
    /// A source that cannot be read or parsed, or a recording of other SQL files than those of the checkout.
    pub fn generate() -> anyhow::Result<ModelDocs> {
        let schema = DocumentedSchema::read(&path(in_tree(SNAPSHOT_FILE)))?;
        let folder = path(in_tree(DB_INIT_DIR));
        let files = MigrationSet::read(folder.as_std_path()).with_context(|| format!("{folder} is not fit to ship"))?;
        let recorded = objects::read(&path(OBJECTS))?;
        let changed = recorded.changed_files(&files);
        ensure!(
            changed.is_empty(),
            "{OBJECTS} was recorded with other SQL files ({}): `cargo xtask image`, then `cargo xtask docs --record=model`",
            changed.join(", ")
        );
        let sources = Sources { schema: &schema, recorded: &recorded, files: &files };
        Ok(ModelDocs { page: sources.page(), diagram: dot::diagram(&schema, &recorded) })
    }

    /// Returns the files of the checkout that are not up to date.
    #[must_use]
    pub fn stale(&self) -> Vec<&'static str> {
        let mut stale = Vec::new();
        if read(PAGE) != self.page {
            stale.push(PAGE);
        }
        if !picture::is_of(&read(PICTURE), &self.diagram) {
            stale.push(PICTURE);
        }
        stale
    }

    /// Writes one of the files that [`ModelDocs::stale`] returned.
    ///
    /// # Errors
    /// The picture cannot be drawn, or the file cannot be written.
    pub fn write(&self, file: &str) -> anyhow::Result<()> {
        let text = match file {
            PICTURE => picture::draw(root(), &path("target"), &self.diagram)?,
            _ => self.page.clone(),
        };
        let path = path(file);
        std::fs::write(&path, text).with_context(|| format!("failed to write {path}"))
    }
}

/// Reads a file; empty if there is none, or one that is not text.
fn read(relative: &str) -> String {
    std::fs::read_to_string(path(relative)).unwrap_or_default()
}

fn path(relative: &str) -> Utf8PathBuf {
    root().join(relative)
}

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is a folder in `crates`")
}
