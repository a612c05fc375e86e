//! One migration file: its number, text, checksum, directives and statements.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::DirEntry;
use std::ops::Range;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::directives::Directives;
use super::source_location::SourceLocation;
use super::{InvalidMigrations, rules};

/// A migration file, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationFile {
    /// `1` of `001_extensions.sql`; files are applied in this order.
    pub number: u64,
    /// `001_extensions.sql`; together with the phase, the key in the ledger.
    pub filename: String,
    /// The text, with LF line ends and without a byte order mark.
    pub sql: String,
    /// SHA-256 over [`Self::sql`], in hex: the same on a Windows checkout.
    pub checksum: String,
    /// SHA-256 over the raw bytes, if they differ from [`Self::sql`]; other runners have it in their ledgers.
    pub raw_checksum: Option<String>,
    /// The byte ranges of the statements in [`Self::sql`].
    pub statements: Vec<Range<usize>>,
    /// The directives in the first lines.
    pub directives: Directives,
}

impl MigrationFile {
    /// Checks a file's name and content.
    ///
    /// # Errors
    /// Every problem of the file, each with its place and remedy.
    pub fn parse(filename: &str, content: &[u8]) -> Result<MigrationFile, InvalidMigrations> {
        let number = number(filename).ok_or_else(|| {
            InvalidMigrations::one(format!(
                "{filename} does not have the name of a migration: name it NNN_words.sql, such as 004_laps.sql"
            ))
        })?;
        let text = std::str::from_utf8(content).map_err(|error| {
            let good = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            let SourceLocation { line, column, .. } = SourceLocation::at(&good, good.len());
            InvalidMigrations::one(format!("{filename}:{line}:{column}: not UTF-8: save the file as UTF-8"))
        })?;
        let sql = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let (directives, statements, problems) = rules::check(filename, &sql);
        if !problems.is_empty() {
            return Err(InvalidMigrations(problems));
        }
        if statements.is_empty() {
            return Err(InvalidMigrations::one(format!("{filename} contains no SQL: fill it or remove it")));
        }
        Ok(MigrationFile {
            number,
            filename: filename.to_owned(),
            checksum: hex_sha256(sql.as_bytes()),
            raw_checksum: (sql.len() != content.len()).then(|| hex_sha256(content)),
            sql,
            statements,
            directives,
        })
    }

    /// Returns true if the file removes or narrows what servers of older images use, by its directives.
    #[must_use]
    pub fn is_contract(&self) -> bool {
        self.directives.breaks_older_images || self.directives.destroys.iter().any(|item| !item.is_rows())
    }

    #[cfg(feature = "boot")]
    /// The checksums that another runner may have recorded for this file, from a checkout with other line ends or with
    /// a byte order mark.
    pub(super) fn foreign_checksums(&self) -> Vec<String> {
        let crlf = self.sql.replace('\n', "\r\n");
        let mut checksums = vec![self.checksum.clone(), hex_sha256(crlf.as_bytes())];
        checksums.extend([&self.sql, &crlf].map(|text| hex_sha256(format!("\u{feff}{text}").as_bytes())));
        checksums.extend(self.raw_checksum.clone());
        checksums
    }
}

/// Reads all migrations of a folder, in order. Sub-folders, hidden files and `README.md` are skipped. `folder` is the
/// prefix of each file name in a problem.
///
/// # Errors
/// Every problem of the files.
pub(super) fn read_dir(folder: &str, dir: &Path) -> Result<Vec<MigrationFile>, InvalidMigrations> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return Err(InvalidMigrations::one(format!("cannot read {}: {error}", dir.display()))),
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
    files.sort_unstable_by(|a, b| (a.number, &a.filename).cmp(&(b.number, &b.filename)));
    // By file; the problems of one file are already in line order.
    problems.sort_unstable();
    let mut problems = problems.concat();
    problems.extend(duplicates(&files).into_iter().map(|problem| format!("{folder}{problem}")));
    if problems.is_empty() { Ok(files) } else { Err(InvalidMigrations(problems)) }
}

/// Returns true unless the entry is a folder, a hidden file or the README.
fn may_be_migration(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    !name.to_string_lossy().starts_with('.') && name != "README.md" && !is_folder(entry)
}

/// Returns true for a folder and for a symbolic link to one.
fn is_folder(entry: &DirEntry) -> bool {
    match entry.file_type() {
        Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    }
}

fn duplicates(files: &[MigrationFile]) -> Vec<String> {
    let mut by_number: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for file in files {
        by_number.entry(file.number).or_default().push(&file.filename);
    }
    by_number
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| format!("{} have the same number: give the newer one the next number", names.join(" and ")))
        .collect()
}

/// Returns the number of `NNN_words.sql`; None for any other name.
fn number(filename: &str) -> Option<u64> {
    let (number, words) = filename.strip_suffix(".sql")?.split_once('_')?;
    let has_good_words = !words.is_empty() && words.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if has_good_words && number.chars().all(|c| c.is_ascii_digit()) { number.parse().ok() } else { None }
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
    fn a_bad_name_is_refused_with_an_example_of_a_good_one() {
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
    fn a_file_that_is_not_utf_8_is_refused_with_its_place() {
        let problem = MigrationFile::parse("001_a.sql", b"select 1;\nselect '\xe4'").expect_err("Latin-1");
        assert_eq!(problem.to_string(), "001_a.sql:2:9: not UTF-8: save the file as UTF-8");
    }

    #[test]
    fn checksums_of_other_runners_match_with_any_line_ends_and_byte_order_mark() {
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
    fn ten_thousand_files_are_read_within_a_minute() {
        let began = std::time::Instant::now();
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let dir = folder.path();
        for number in 0..10_000 {
            std::fs::write(dir.join(format!("{number:05}_a.sql")), "select 1;\n").expect("writable");
        }
        let files = read_dir("", dir).expect("good files");
        assert_eq!((files.len(), files[9_999].number), (10_000, 9_999));
        // The bound only excludes quadratic growth: machines are shared.
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }

    #[test]
    fn two_files_with_one_number_are_refused() {
        let files = ["1_a.sql", "001_b.sql", "002_c.sql"]
            .map(|name| MigrationFile::parse(name, b"select 1").expect("a good file"));
        let problems = ["1_a.sql and 001_b.sql have the same number: give the newer one the next number"];
        assert_eq!(duplicates(&files), problems);
    }
}
