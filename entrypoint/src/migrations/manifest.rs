//! The manifest: a digest of the SQL files for boots with nothing to apply, which then need not read the files.
//!
//! Reading and checking ten thousand files takes a tenth of a second, and even listing them takes as long as the rest of
//! such a boot. So the build of the image does it once, writes a manifest next to the files, and sets the folders'
//! modification time to one derived from the manifest. The manifest is valid while the folders have that time: adding,
//! removing or renaming a file changes it, and a folder mounted over the image's has neither manifest nor time. It only
//! decides if there is anything to do; a file that is applied is always read.

use std::cell::OnceCell;
use std::fmt::Write as _;
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::hex_sha256;
use super::{InvalidMigrations, MigrationFile, MigrationSet, RequiredExtension};
use contract::{POST_SCHEMA_SUBDIR, Phase};

/// The manifest's name in the folder; hidden files are not read as migrations.
const FILE: &str = ".manifest";

/// The summary of the SQL files of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    db_init: Part,
    post_schema: Part,
    /// The tables of all `-- owns-table` directives.
    owned_tables: Vec<String>,
    required_extensions: Vec<RequiredExtension>,
}

/// The files of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The number of files.
    pub files: usize,
    /// The digest of `boot.migrations` once exactly these files are applied: SHA-256 over sorted lines of
    /// `<file> <checksum>`; None without files.
    pub ledger: Option<String>,
}

impl Part {
    fn of(files: &[MigrationFile]) -> Part {
        let mut rows: Vec<String> = files.iter().map(|file| format!("{} {}", file.filename, file.checksum)).collect();
        rows.sort_unstable();
        let ledger = (!rows.is_empty()).then(|| hex_sha256(rows.join("\n").as_bytes()));
        Part { files: files.len(), ledger }
    }

    fn parse(line: &str) -> Option<Part> {
        let (files, ledger) = line.split_once(' ')?;
        Some(Part { files: files.parse().ok()?, ledger: (ledger != "-").then(|| ledger.to_owned()) })
    }
}

impl Manifest {
    /// Reads and checks all files of a folder, and writes the manifest into it.
    ///
    /// # Errors
    /// Every problem of the files, or that the manifest cannot be written.
    pub fn write(dir: &Path) -> Result<Manifest, InvalidMigrations> {
        let manifest = Manifest::of(&MigrationSet::read(dir)?);
        let (text, path) = (manifest.to_text(), dir.join(FILE));
        std::fs::write(&path, &text).map_err(|error| cannot_write(&path, &error))?;
        // Last, because writing the manifest changes the time of its folder.
        for folder in folders(dir) {
            let times = FileTimes::new().set_modified(time_of(&text));
            let set = File::open(&folder).and_then(|file| file.set_times(times));
            set.map_err(|error| cannot_write(&folder, &error))?;
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

    /// Reads the manifest of a folder; None if it is missing or the folder has changed since.
    fn read(dir: &Path) -> Option<Manifest> {
        let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
        let time = time_of(&text);
        let is_valid = folders(dir).all(|folder| folder.metadata().and_then(|it| it.modified()).ok() == Some(time));
        if is_valid { Manifest::parse(&text) } else { None }
    }

    /// The files of that phase.
    #[must_use]
    pub fn of_phase(&self, phase: Phase) -> &Part {
        if phase == Phase::PostSchema { &self.post_schema } else { &self.db_init }
    }

    /// A digest of both ledgers once all files are applied.
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
        let (db_init, post_schema) = (Part::parse(lines.next()?)?, Part::parse(lines.next()?)?);
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

/// The folders of both phases that exist.
fn folders(dir: &Path) -> impl Iterator<Item = PathBuf> {
    [dir.to_owned(), dir.join(POST_SCHEMA_SUBDIR)].into_iter().filter(|folder| folder.exists())
}

fn cannot_write(path: &Path, error: &io::Error) -> InvalidMigrations {
    InvalidMigrations::one(format!("cannot write {}: {error}", path.display()))
}

/// The modification time of folders with this manifest, or of a file with this digest: one of a billion seconds before
/// September 2001, so that no change and no tool gives it to one of them by chance. Whole seconds, because image layers
/// keep no finer time.
pub(crate) fn time_of(text: &str) -> SystemTime {
    let digest = hex_sha256(text.as_bytes());
    let number = u64::from_str_radix(&digest[..15], 16).expect("hex");
    SystemTime::UNIX_EPOCH + Duration::from_secs(number % 1_000_000_000)
}

/// The image's files: their manifest, and the files themselves once they are needed.
#[derive(Debug)]
pub struct Migrations {
    dir: PathBuf,
    manifest: Manifest,
    set: OnceCell<MigrationSet>,
}

impl Migrations {
    /// Reads the manifest, or if there is no valid one, reads and checks the files.
    ///
    /// # Errors
    /// Every problem of the files, if they were read.
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

    /// The summary of the files.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the files; the first call may have to read and check them.
    ///
    /// # Errors
    /// Every problem of the files.
    pub fn files(&self) -> Result<&MigrationSet, InvalidMigrations> {
        if let Some(set) = self.set.get() {
            return Ok(set);
        }
        let set = MigrationSet::read(&self.dir)?;
        Ok(self.set.get_or_init(|| set))
    }

    /// The tables of all `-- owns-table` directives; Directus must not see them.
    pub fn owned_tables(&self) -> impl Iterator<Item = &str> {
        self.manifest.owned_tables.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Folder {
            let dir = tempfile::tempdir().expect("the temporary folder is writable");
            std::fs::create_dir_all(dir.path().join(POST_SCHEMA_SUBDIR)).expect("the temporary folder is writable");
            let folder = Folder(dir);
            folder.write("001_a.sql", "-- owns-table: laps\n-- requires-extension: timescaledb (optional: trm.timescaledb=optional)\nselect 1;\n");
            folder.write("post-schema/001_b.sql", "select 2;\n");
            folder
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.0.path().join(name), content).expect("the temporary folder is writable");
        }

        fn is_unread(&self) -> bool {
            Migrations::open(self.0.path()).expect("good files").set.get().is_none()
        }
    }

    #[test]
    fn the_manifest_equals_a_summary_of_the_files() {
        let folder = Folder::new();
        let read = Migrations::open(folder.0.path()).expect("good files");
        let written = Manifest::write(folder.0.path()).expect("good files");
        assert_eq!(written.owned_tables, ["laps"]);
        assert_eq!(written.required_extensions.len(), 1);
        assert_eq!(Manifest::read(folder.0.path()).as_ref(), Some(&written));
        assert_eq!(read.manifest(), &written);
        assert!(folder.is_unread());
    }

    #[test]
    fn adding_removing_or_renaming_a_file_invalidates_the_manifest() {
        let folder = Folder::new();
        assert!(!folder.is_unread(), "there is no manifest yet");
        Manifest::write(folder.0.path()).expect("good files");
        assert!(folder.is_unread());
        folder.write("post-schema/002_c.sql", "select 3;\n");
        assert!(!folder.is_unread());
        Manifest::write(folder.0.path()).expect("good files");
        assert!(folder.is_unread());
        std::fs::rename(folder.0.path().join("001_a.sql"), folder.0.path().join("001_z.sql")).expect("it exists");
        assert!(!folder.is_unread());
        Manifest::write(folder.0.path()).expect("good files");
        std::fs::remove_dir_all(folder.0.path().join(POST_SCHEMA_SUBDIR)).expect("it exists");
        assert!(!folder.is_unread());
    }

    #[test]
    fn a_manifest_of_other_files_is_ignored() {
        let (folder, other) = (Folder::new(), Folder::new());
        other.write("002_b.sql", "select 3;\n");
        for folder in [&folder, &other] {
            Manifest::write(folder.0.path()).expect("good files");
        }
        // Overwritten in place, so that the folder keeps its time.
        std::fs::copy(other.0.path().join(FILE), folder.0.path().join(FILE)).expect("both files exist");
        assert!(!folder.is_unread());
    }

    #[test]
    fn faulty_files_get_no_manifest() {
        let folder = Folder::new();
        folder.write("002_broken.sql", "select '\n");
        assert!(Manifest::write(folder.0.path()).is_err());
        assert!(!folder.0.path().join(FILE).exists());
    }
}
