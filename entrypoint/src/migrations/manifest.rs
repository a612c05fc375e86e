//! What a boot needs to know of the files when there is nothing to apply, without reading them.
//!
//! Ten thousand files are read and checked in a tenth of a second, and even listing them takes as long as the rest of such
//! a boot. So the image's build does it once, leaves a note beside the files, and gives the folders a modification time
//! that the note tells. It counts while they have that: whatever is added, removed or renamed there changes it, and a
//! folder that is mounted over the image's has neither note nor time. It is trusted for the question whether there is
//! anything to do; whatever is applied is read from its file.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::hex_sha256;
use super::{InvalidMigrations, MigrationFile, MigrationSet, RequiredExtension};
use contract::{POST_SCHEMA_SUBDIR, Phase};

/// The note's name in the folder; as a hidden file it is no migration.
const FILE: &str = ".manifest";

/// The note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Before the schema.
    db_init: Part,
    /// After it.
    post_schema: Part,
    /// The tables that the files say they own.
    owned_tables: Vec<String>,
    /// The extensions that they require.
    required_extensions: Vec<RequiredExtension>,
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
        let manifest = Manifest::of(&MigrationSet::read(dir)?);
        let cannot = |what: &Path, error: io::Error| {
            InvalidMigrations(vec![format!("cannot write {}: {error}", what.display())])
        };
        let (text, path) = (manifest.to_text(), dir.join(FILE));
        std::fs::write(&path, &text).map_err(|error| cannot(&path, error))?;
        // Only now: the note itself is a change of its folder.
        for folder in folders(dir) {
            let times = FileTimes::new().set_modified(told_time(&text));
            File::open(&folder).and_then(|file| file.set_times(times)).map_err(|error| cannot(&folder, error))?;
        }
        Ok(manifest)
    }

    fn of(set: &MigrationSet) -> Manifest {
        Manifest {
            db_init: Part::of(&set.db_init),
            post_schema: Part::of(&set.post_schema),
            owned_tables: set.owned_tables().map(str::to_owned).collect(),
            required_extensions: set.required_extensions(),
        }
    }

    /// The note of a folder, if there is one and nothing has changed since.
    fn read(dir: &Path) -> Option<Manifest> {
        let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
        let is_unchanged =
            |folder: PathBuf| folder.metadata().and_then(|it| it.modified()).is_ok_and(|time| time == told_time(&text));
        if folders(dir).all(is_unchanged) { Manifest::parse(&text) } else { None }
    }

    /// The files of that phase.
    #[must_use]
    pub fn of_phase(&self, phase: Phase) -> &Part {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    /// A digest of what both ledgers come to.
    #[must_use]
    pub fn ledger_digest(&self) -> String {
        let [db_init, post_schema] =
            [&self.db_init, &self.post_schema].map(|part| part.ledger.as_deref().unwrap_or("-"));
        hex_sha256(format!("{db_init} {post_schema}").as_bytes())
    }

    /// The extensions that the files require.
    #[must_use]
    pub fn required_extensions(&self) -> &[RequiredExtension] {
        &self.required_extensions
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for Part { files, ledger } in [&self.db_init, &self.post_schema] {
            writeln!(text, "{files} {}", ledger.as_deref().unwrap_or("-")).expect("a String takes every write");
        }
        for table in &self.owned_tables {
            writeln!(text, "table {table}").expect("a String takes every write");
        }
        for extension in &self.required_extensions {
            writeln!(text, "extension {extension}").expect("a String takes every write");
        }
        text
    }

    fn parse(text: &str) -> Option<Manifest> {
        let mut lines = text.lines();
        let mut part = || {
            let (files, ledger) = lines.next()?.split_once(' ')?;
            Some(Part { files: files.parse().ok()?, ledger: (ledger != "-").then(|| ledger.to_owned()) })
        };
        let (db_init, post_schema) = (part()?, part()?);
        let (mut owned_tables, mut required_extensions) = (Vec::new(), Vec::new());
        for line in lines {
            match line.split_once(' ')? {
                ("table", table) => owned_tables.push(table.to_owned()),
                ("extension", extension) => required_extensions.push(RequiredExtension::parse(extension)?),
                _ => return None,
            }
        }
        Some(Manifest { db_init, post_schema, owned_tables, required_extensions })
    }
}

/// The folders that are there.
fn folders(dir: &Path) -> impl Iterator<Item = PathBuf> {
    [dir.to_owned(), dir.join(POST_SCHEMA_SUBDIR)].into_iter().filter(|folder| folder.exists())
}

/// The modification time that folders with this note have: one of a billion seconds, long ago, so that no change and no
/// tool gives it to a folder by chance. Whole seconds, because layers of images keep no more.
fn told_time(text: &str) -> SystemTime {
    let digest = hex_sha256(text.as_bytes());
    let number = u64::from_str_radix(&digest[..15], 16).expect("hex");
    SystemTime::UNIX_EPOCH + Duration::from_secs(number % 1_000_000_000)
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
                (Manifest::of(&set), OnceCell::from(set))
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
            folder.write("001_a.sql", "-- owns-table: laps\n-- requires-extension: timescaledb (optional: trm.timescaledb=optional)\nselect 1;\n");
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
        assert_eq!(written.owned_tables, ["laps"]);
        assert_eq!(written.required_extensions.len(), 1);
        assert_eq!(Manifest::read(&folder.0).as_ref(), Some(&written));
        assert_eq!(read.manifest(), &written);
        assert!(folder.is_unread());
    }

    #[test]
    fn one_file_more_or_less_or_by_another_name_makes_it_void() {
        let folder = Folder::new("void");
        assert!(!folder.is_unread(), "there is no note yet");
        Manifest::write(&folder.0).expect("good files");
        assert!(folder.is_unread());
        folder.write("post-schema/002_c.sql", "select 3;\n");
        assert!(!folder.is_unread());
        Manifest::write(&folder.0).expect("good files");
        assert!(folder.is_unread());
        std::fs::rename(folder.0.join("001_a.sql"), folder.0.join("001_z.sql")).expect("it is there");
        assert!(!folder.is_unread());
        Manifest::write(&folder.0).expect("good files");
        std::fs::remove_dir_all(folder.0.join(POST_SCHEMA_SUBDIR)).expect("it is there");
        assert!(!folder.is_unread());
    }

    #[test]
    fn a_note_of_other_files_is_none() {
        let (folder, other) = (Folder::new("one"), Folder::new("other"));
        other.write("002_b.sql", "select 3;\n");
        for folder in [&folder, &other] {
            Manifest::write(&folder.0).expect("good files");
        }
        // In place, so that the folder keeps its time.
        std::fs::copy(other.0.join(FILE), folder.0.join(FILE)).expect("both are there");
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
