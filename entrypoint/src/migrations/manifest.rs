//! What a boot needs to know of the files when there is nothing to apply, without reading them.
//!
//! Ten thousand files are read and checked in a tenth of a second, which is ten times what the rest of such a boot
//! takes. So the image's build does it once and leaves a note beside the files. It counts while the folders hold the
//! same names: a folder that is mounted over the image's has no note, and one more file makes it void. It is trusted for
//! the question whether there is anything to do; whatever is applied is read from its file.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::file::hex_sha256;
use super::{InvalidMigrations, MigrationFile, MigrationSet};
use crate::contract::{POST_SCHEMA_SUBDIR, Phase};

/// The note's name in the folder; as a hidden file it is no migration.
const FILE: &str = ".manifest";

/// The note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 over the names of all files.
    names: String,
    /// Before the schema.
    db_init: Part,
    /// After it.
    post_schema: Part,
    /// The tables that the files say they own.
    owned_tables: Vec<String>,
}

/// The files of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// How many there are.
    pub files: usize,
    /// What `boot.migrations` comes to once exactly these are applied: SHA-256 over `<file> <checksum>`, sorted, a line
    /// each; none where there are no files.
    pub ledger: Option<String>,
}

impl Part {
    fn of(files: &[MigrationFile]) -> Part {
        let mut rows: Vec<String> = files.iter().map(|file| format!("{} {}", file.filename, file.checksum)).collect();
        rows.sort_unstable();
        let ledger = (!rows.is_empty()).then(|| hex_sha256(rows.join("\n").as_bytes()));
        Part { files: files.len(), ledger }
    }
}

impl Manifest {
    /// Reads and checks all files of a folder, and writes the note into it.
    ///
    /// # Errors
    /// All that is wrong with the files, or that the note cannot be written.
    pub fn write(dir: &Path) -> Result<Manifest, InvalidMigrations> {
        let manifest = Manifest::of(&MigrationSet::read(dir)?, dir);
        let path = dir.join(FILE);
        std::fs::write(&path, manifest.to_text())
            .map_err(|error| InvalidMigrations(vec![format!("cannot write {}: {error}", path.display())]))?;
        Ok(manifest)
    }

    fn of(set: &MigrationSet, dir: &Path) -> Manifest {
        Manifest {
            names: names(dir).unwrap_or_default(),
            db_init: Part::of(&set.db_init),
            post_schema: Part::of(&set.post_schema),
            owned_tables: set.owned_tables().map(str::to_owned).collect(),
        }
    }

    /// The note of a folder, if there is one and it is about these files.
    fn read(dir: &Path) -> Option<Manifest> {
        let manifest = Manifest::parse(&std::fs::read_to_string(dir.join(FILE)).ok()?)?;
        (names(dir)? == manifest.names).then_some(manifest)
    }

    /// The files of that phase.
    #[must_use]
    pub fn of_phase(&self, phase: Phase) -> &Part {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    fn to_text(&self) -> String {
        let mut text = format!("names {}\n", self.names);
        for Part { files, ledger } in [&self.db_init, &self.post_schema] {
            writeln!(text, "{files} {}", ledger.as_deref().unwrap_or("-")).expect("a String takes every write");
        }
        for table in &self.owned_tables {
            writeln!(text, "{table}").expect("a String takes every write");
        }
        text
    }

    fn parse(text: &str) -> Option<Manifest> {
        let mut lines = text.lines();
        let names = lines.next()?.strip_prefix("names ")?.to_owned();
        let mut part = || {
            let (files, ledger) = lines.next()?.split_once(' ')?;
            Some(Part { files: files.parse().ok()?, ledger: (ledger != "-").then(|| ledger.to_owned()) })
        };
        let (db_init, post_schema) = (part()?, part()?);
        Some(Manifest { names, db_init, post_schema, owned_tables: lines.map(str::to_owned).collect() })
    }
}

/// SHA-256 over the names of the files in both folders; none where they cannot be listed.
fn names(dir: &Path) -> Option<String> {
    let mut all = Vec::new();
    for (folder, prefix) in [(dir.to_owned(), ""), (dir.join(POST_SCHEMA_SUBDIR), POST_SCHEMA_SUBDIR)] {
        if !prefix.is_empty() && !folder.exists() {
            continue;
        }
        for entry in std::fs::read_dir(folder).ok()? {
            let entry = entry.ok()?;
            if super::file::may_be_migration(&entry) {
                all.push(format!("{prefix}/{}", entry.file_name().to_string_lossy()));
            }
        }
    }
    all.sort_unstable();
    Some(hex_sha256(all.join("\n").as_bytes()))
}

/// The image's files: the note about them, and the files themselves once somebody asks for them.
#[derive(Debug)]
pub struct Migrations {
    dir: PathBuf,
    manifest: Manifest,
    set: OnceCell<MigrationSet>,
}

impl Migrations {
    /// Goes by the note, or without one reads and checks the files.
    ///
    /// # Errors
    /// Everything that is wrong with the files, if they were read.
    pub fn open(dir: &Path) -> Result<Migrations, InvalidMigrations> {
        let (manifest, set) = match Manifest::read(dir) {
            Some(manifest) => (manifest, OnceCell::new()),
            None => {
                let set = MigrationSet::read(dir)?;
                (Manifest::of(&set, dir), OnceCell::from(set))
            }
        };
        Ok(Migrations { dir: dir.to_owned(), manifest, set })
    }

    /// What is known of the files.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files, read and checked.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn files(&self) -> Result<&MigrationSet, InvalidMigrations> {
        if let Some(set) = self.set.get() {
            return Ok(set);
        }
        let set = MigrationSet::read(&self.dir)?;
        Ok(self.set.get_or_init(|| set))
    }

    /// The tables that the files say they own; Directus must not see them.
    pub fn owned_tables(&self) -> impl Iterator<Item = &str> {
        self.manifest.owned_tables.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let dir = std::env::temp_dir().join(format!("entrypoint-manifest-{}-{name}", std::process::id()));
            std::fs::create_dir_all(dir.join(POST_SCHEMA_SUBDIR)).expect("the temporary folder is writable");
            let folder = Folder(dir);
            folder.write("001_a.sql", "-- owns-table: positions\nselect 1;\n");
            folder.write("post-schema/001_b.sql", "select 2;\n");
            folder
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.0.join(name), content).expect("the temporary folder is writable");
        }

        fn is_unread(&self) -> bool {
            Migrations::open(&self.0).expect("good files").set.get().is_none()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).expect("the folder is ours");
        }
    }

    #[test]
    fn the_note_says_what_the_files_say() {
        let folder = Folder::new("same");
        let read = Migrations::open(&folder.0).expect("good files");
        let written = Manifest::write(&folder.0).expect("good files");
        assert_eq!(written.owned_tables, ["positions"]);
        assert_eq!(Manifest::read(&folder.0).as_ref(), Some(&written));
        assert_eq!(read.manifest(), &written);
        assert!(folder.is_unread());
    }

    #[test]
    fn one_file_more_or_less_makes_it_void() {
        let folder = Folder::new("void");
        assert!(!folder.is_unread(), "there is no note yet");
        Manifest::write(&folder.0).expect("good files");
        assert!(folder.is_unread());
        folder.write("post-schema/002_c.sql", "select 3;\n");
        assert!(!folder.is_unread());
        std::fs::remove_file(folder.0.join("post-schema/002_c.sql")).expect("it is there");
        assert!(folder.is_unread());
        folder.write(FILE, "names");
        assert!(!folder.is_unread());
    }

    #[test]
    fn faulty_files_get_no_note() {
        let folder = Folder::new("faulty");
        folder.write("002_broken.sql", "select '\n");
        assert!(Manifest::write(&folder.0).is_err());
        assert!(!folder.0.join(FILE).exists());
    }
}
