//! One migration file: its number, its text, its checksum, its headers and statements.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::DirEntry;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::headers::Headers;
use super::place::Place;
use super::{InvalidMigrations, rules};

/// A migration file, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// `1` of `001_extensions.sql`; files are applied in this order.
    pub number: u64,
    /// `001_extensions.sql`; with the phase its identity in the ledger.
    pub filename: String,
    /// The text, with LF line ends and without a byte order mark.
    pub sql: String,
    /// SHA-256 over [`Self::sql`], in hex: the same on a Windows checkout.
    pub checksum: String,
    /// The same over the file's very bytes, where they are others; other runners have it in their ledgers.
    pub raw_checksum: Option<String>,
    /// Where the statements lie in [`Self::sql`].
    pub statements: Vec<Range<usize>>,
    /// What its headers say.
    pub headers: Headers,
}

impl MigrationFile {
    /// Checks a file's name and content.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place and the way out.
    pub fn parse(filename: &str, content: &[u8]) -> Result<MigrationFile, InvalidMigrations> {
        let one = |problem: String| InvalidMigrations(vec![problem]);
        let number = number(filename)
            .ok_or_else(|| one(format!("{filename} is no migration: name it NNN_words.sql, such as 004_laps.sql")))?;
        let text = std::str::from_utf8(content).map_err(|error| {
            let good = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            let Place { line, column, .. } = Place::at(&good, good.len());
            one(format!("{filename}:{line}:{column}: not UTF-8: save the file as UTF-8"))
        })?;
        let sql = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let (headers, statements, problems) = rules::check(filename, &sql);
        if !problems.is_empty() {
            return Err(InvalidMigrations(problems));
        }
        if statements.is_empty() {
            return Err(one(format!("{filename} holds no SQL: fill it or remove it")));
        }
        Ok(MigrationFile {
            number,
            filename: filename.to_owned(),
            checksum: hex_sha256(sql.as_bytes()),
            raw_checksum: (sql.len() != content.len()).then(|| hex_sha256(content)),
            sql,
            statements,
            headers,
        })
    }

    /// The checksums that another runner may have taken of this file, on a checkout with other line ends or with a
    /// byte order mark.
    pub(super) fn foreign_checksums(&self) -> Vec<String> {
        let crlf = self.sql.replace('\n', "\r\n");
        let mut checksums = vec![self.checksum.clone(), hex_sha256(crlf.as_bytes())];
        checksums.extend([&self.sql, &crlf].map(|text| hex_sha256(format!("\u{feff}{text}").as_bytes())));
        checksums.extend(self.raw_checksum.clone());
        checksums
    }
}

/// Reads all migrations of a folder, in order. Sub-folders, hidden files and `README.md` are passed over. `folder` stands
/// before each file's name in what is wrong.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn read_dir(folder: &str, dir: &Path) -> Result<Vec<MigrationFile>, InvalidMigrations> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return Err(InvalidMigrations(vec![format!("cannot read {}: {error}", dir.display())])),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                problems.push(vec![format!("cannot read {}: {error}", dir.display())]);
                continue;
            }
        };
        if !may_be_migration(&entry) {
            continue;
        }
        let filename = entry.file_name().to_string_lossy().into_owned();
        let path = entry.path();
        match std::fs::read(&path) {
            Ok(content) => match MigrationFile::parse(&filename, &content) {
                Ok(file) => files.push(file),
                Err(InvalidMigrations(found)) => {
                    problems.push(found.into_iter().map(|problem| format!("{folder}{problem}")).collect());
                }
            },
            Err(error) => problems.push(vec![format!("cannot read {}: {error}", path.display())]),
        }
    }
    files.sort_by(|a, b| (a.number, &a.filename).cmp(&(b.number, &b.filename)));
    // By file; within a file they are in the order of its lines.
    problems.sort();
    let mut problems = problems.concat();
    problems.extend(duplicates(&files).into_iter().map(|problem| format!("{folder}{problem}")));
    if problems.is_empty() { Ok(files) } else { Err(InvalidMigrations(problems)) }
}

/// Whether what lies in a folder is to be read: no sub-folder, no hidden file, not the README.
fn may_be_migration(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let is_folder = || match entry.file_type() {
        // A symbolic link may lead to one.
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    };
    !name.to_string_lossy().starts_with('.') && name != "README.md" && !is_folder()
}

fn duplicates(files: &[MigrationFile]) -> Vec<String> {
    let mut by_number: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for file in files {
        by_number.entry(file.number).or_default().push(&file.filename);
    }
    by_number
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| format!("{} have the same number: give the newer one the next", names.join(" and ")))
        .collect()
}

/// The number of `NNN_words.sql`; `None` for any other name.
fn number(filename: &str) -> Option<u64> {
    let (number, words) = filename.strip_suffix(".sql")?.split_once('_')?;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if words.is_empty() || !words.chars().all(word) || !number.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    number.parse().ok()
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn hex_sha256(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("a String takes every write");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(content: &str) -> MigrationFile {
        MigrationFile::parse("001_a.sql", content.as_bytes()).expect("a good file")
    }

    #[test]
    fn the_checksum_does_not_change_with_line_ends_or_a_byte_order_mark() {
        let unix = parsed("select 1;\nselect 2;\n");
        assert_eq!(unix.checksum, parsed("select 1;\r\nselect 2;\r\n").checksum);
        assert_eq!(unix.checksum, parsed("\u{feff}select 1;\nselect 2;\n").checksum);
        assert_ne!(unix.checksum, parsed("select 1;\nselect 3;\n").checksum);
    }

    #[test]
    fn the_checksum_is_sha256_in_hex() {
        // sha256 of the empty string, FIPS 180-4's example.
        assert_eq!(hex_sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_bad_name_is_refused_with_a_good_one() {
        for name in ["extensions.sql", "001.sql", "001_.sql", "001_a b.sql", "x01_a.sql", "001_a.sql.bak", "001_a.SQL"]
        {
            let problem = MigrationFile::parse(name, b"select 1").expect_err(name).to_string();
            assert!(problem.contains("004_laps.sql"), "{problem}");
        }
        assert_eq!(number("010_faulty-column_2.sql"), Some(10));
    }

    #[test]
    fn a_file_without_sql_is_refused() {
        for content in ["", "  \n\n", "-- only words\n\n  -- more\n", "/* no */ ;;"] {
            assert!(MigrationFile::parse("001_a.sql", content.as_bytes()).is_err(), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_refused_with_the_place() {
        let problem = MigrationFile::parse("001_a.sql", b"select 1;\nselect '\xe4'").expect_err("Latin-1");
        assert_eq!(problem.to_string(), "001_a.sql:2:9: not UTF-8: save the file as UTF-8");
    }

    #[test]
    fn checksums_of_other_runners_are_known_by_line_ends_and_byte_order_mark() {
        let file = parsed("select 1;\nselect 2;\n");
        assert_eq!(file.raw_checksum, None);
        for raw in [
            "select 1;\nselect 2;\n",
            "select 1;\r\nselect 2;\r\n",
            "\u{feff}select 1;\nselect 2;\n",
            "\u{feff}select 1;\r\nselect 2;\r\n",
        ] {
            assert!(file.foreign_checksums().contains(&hex_sha256(raw.as_bytes())), "{raw:?}");
        }
        let mixed = "select 1;\r\nselect 2;\n";
        assert!(parsed(mixed).foreign_checksums().contains(&hex_sha256(mixed.as_bytes())));
        assert!(!file.foreign_checksums().contains(&hex_sha256(b"select 1;")));
    }

    #[test]
    fn ten_thousand_files_are_read_in_a_moment() {
        let began = std::time::Instant::now();
        let dir = std::env::temp_dir().join(format!("entrypoint-many-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("the temporary folder is writable");
        for number in 0..10_000 {
            std::fs::write(dir.join(format!("{number:05}_a.sql")), "select 1;\n").expect("writable");
        }
        let files = read_dir("", &dir).expect("good files");
        std::fs::remove_dir_all(&dir).expect("ours");
        assert_eq!((files.len(), files[9_999].number), (10_000, 9_999));
        assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    }

    #[test]
    fn two_files_with_one_number_are_refused() {
        let file = |name: &str| MigrationFile::parse(name, b"select 1").expect("a good file");
        let problems = duplicates(&[file("1_a.sql"), file("001_b.sql"), file("002_c.sql")]);
        assert_eq!(problems, ["1_a.sql and 001_b.sql have the same number: give the newer one the next"]);
    }
}
