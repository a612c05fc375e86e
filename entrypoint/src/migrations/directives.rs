//! The directives of a migration: comment lines at its top that control how it is applied.

use std::time::Duration;

use strsim::levenshtein;

use contract::DIRECTIVES;

use super::extension::RequiredExtension;
use crate::witness::Announcement;
use crate::witness::announced::FORMS;

/// The directives of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `-- no-transaction`: runs each statement on its own, for statements that cannot run in a transaction.
    pub no_transaction: bool,
    /// `-- statement-timeout: 30s`: the limit for each statement of a file without a transaction, otherwise for the
    /// whole file.
    pub statement_timeout: Option<Duration>,
    /// `-- owns-table: laps, pits`: tables that the file creates and Directus must not see.
    pub owned_tables: Vec<String>,
    /// `-- breaks-older-images`: images without this file can no longer serve.
    pub breaks_older_images: bool,
    /// `-- destroys: table laps, rows of cars`: the data that the file destroys on purpose.
    pub destroys: Vec<Announcement>,
    /// `-- requires-extension: postgis`: extensions that the file needs; every boot warns if one is missing.
    pub required_extensions: Vec<RequiredExtension>,
}

/// Maximum edit distance at which a word counts as a misspelt directive.
const MAX_TYPO_DISTANCE: usize = 2;

/// A problem of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadDirective {
    /// Offset of its line's dashes.
    pub(super) at: usize,
    /// The problem and its remedy.
    pub(super) problem: String,
}

/// Reads the comment lines before the first statement.
pub(super) fn read(sql: &str) -> (Directives, Vec<BadDirective>) {
    let mut directives = Directives::default();
    let mut bad = Vec::new();
    let mut destroys_at = None;
    let mut at = 0;
    for line in sql.split_inclusive('\n') {
        let text = line.trim();
        let dashes = at + (line.len() - line.trim_start().len());
        at += line.len();
        let Some(comment) = text.strip_prefix("--") else { if text.is_empty() { continue } else { break } };
        if let Err(problem) = directives.add(comment.trim()) {
            bad.push(BadDirective { at: dashes, problem });
        }
        if !directives.destroys.is_empty() {
            destroys_at.get_or_insert(dashes);
        }
    }
    if let Some(at) = destroys_at.filter(|_| directives.no_transaction) {
        let problem = "`-- destroys:` in a file with `-- no-transaction`, which cannot be rolled back and may not destroy \
                       anything: move the destructive statement into a file without `-- no-transaction`";
        bad.push(BadDirective { at, problem: problem.to_owned() });
    }
    (directives, bad)
}

impl Directives {
    /// Parses one comment line, which need not be a directive.
    fn add(&mut self, line: &str) -> Result<(), String> {
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, Some(value.trim())),
            None => (line, None),
        };
        match (name, value) {
            ("no-transaction", None) => self.no_transaction = true,
            ("breaks-older-images", None) => self.breaks_older_images = true,
            ("statement-timeout", Some(value)) => {
                let duration = duration(value).ok_or_else(|| {
                    format!(
                        "`{value}` is not a duration: give a whole number above 0 with its unit, ms, s or min, such as 30s"
                    )
                })?;
                if self.statement_timeout.replace(duration).is_some() {
                    return Err("a second `-- statement-timeout`: keep one".to_owned());
                }
            }
            ("owns-table", Some(value)) => {
                let tables: Vec<&str> = value.split(',').map(str::trim).collect();
                if tables.contains(&"") {
                    return Err(format!("`-- {line}` does not name a table: write {}", example("owns-table")));
                }
                self.owned_tables.extend(tables.into_iter().map(str::to_owned));
            }
            ("requires-extension", Some(value)) => {
                let extension = RequiredExtension::parse(value).ok_or_else(|| {
                    format!("`-- {line}` does not name an extension: write {}", example("requires-extension"))
                })?;
                self.required_extensions.push(extension);
            }
            ("destroys", Some(value)) => {
                for item in value.split(',') {
                    let announcement = Announcement::parse(item)
                        .ok_or_else(|| format!("`-- {line}`: write {FORMS}, separated by commas"))?;
                    self.destroys.push(announcement);
                }
            }
            _ => {
                if let Some(name) = misspelt(line) {
                    return Err(format!("`-- {line}` is not a directive: write {}", example(name)));
                }
            }
        }
        Ok(())
    }
}

/// Returns the directive that a comment line misspells, if any.
fn misspelt(line: &str) -> Option<&'static str> {
    let before_colon = line.split(':').next().unwrap_or(line);
    let first_word = before_colon.split_whitespace().next().unwrap_or("");
    let distances = [before_colon, first_word]
        .into_iter()
        // A longer text is prose, and comparing it costs time.
        .filter(|text| text.len() <= 32)
        .flat_map(|text| DIRECTIVES.iter().map(move |directive| (text, directive.name)))
        .map(|(text, name)| (levenshtein(&as_name(text), name), name));
    distances.min().filter(|(distance, _)| *distance <= MAX_TYPO_DISTANCE).map(|(_, name)| name)
}

/// Returns a comment's words in the form of a directive's name.
fn as_name(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

/// Returns an example of the directive in back quotes: `-- statement-timeout: 30s`.
fn example(name: &str) -> String {
    match DIRECTIVES.iter().find(|directive| directive.name == name).and_then(|directive| directive.example) {
        None => format!("`-- {name}`, alone on its line"),
        Some(value) => format!("`-- {name}: {value}`"),
    }
}

/// Parses `500ms`, `30s`, `5min`, the form that PostgreSQL uses.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim_start() {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        _ => return None,
    };
    // PostgreSQL keeps milliseconds in 31 bits.
    let ms = number.checked_mul(factor).filter(|ms| (1..=2_147_483_647).contains(ms))?;
    Some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(sql: &str) -> Directives {
        let (directives, bad) = read(sql);
        assert_eq!(bad, [], "{sql}");
        directives
    }

    #[test]
    fn all_directives_are_read_from_the_top_only() {
        let directives = good(
            "-- Laps of cars.\n-- owns-table: laps, pits\n--no-transaction\n\n-- statement-timeout: 5min\n\
             -- breaks-older-images\nselect 1;\n-- owns-table: not_this\n-- no-transactions\n",
        );
        assert!(directives.no_transaction && directives.breaks_older_images);
        assert_eq!(directives.owned_tables, ["laps", "pits"]);
        assert_eq!(directives.statement_timeout, Some(Duration::from_secs(300)));
        assert_eq!(good("-- Adds: a column\nselect 1"), Directives::default());
    }

    #[test]
    fn a_misspelt_directive_is_an_error_that_names_the_intended_one() {
        for (line, meant) in [
            ("no-transactions", "`-- no-transaction`"),
            ("No-Transaction", "`-- no-transaction`"),
            ("no transaction", "`-- no-transaction`"),
            ("no-transaction: true", "`-- no-transaction`"),
            ("no-transaction because of VACUUM", "`-- no-transaction`"),
            ("statement_timeout: 30s", "`-- statement-timeout: 30s`"),
            ("statement-timeout 30s", "`-- statement-timeout: 30s`"),
            ("owns-tables: a", "`-- owns-table: laps, pits`"),
            ("break-older-image", "`-- breaks-older-images`"),
        ] {
            let (directives, bad) = read(&format!("-- First.\n  -- {line}\nselect 1"));
            assert_eq!(directives, Directives::default(), "{line}");
            assert_eq!(bad.len(), 1, "{line}");
            assert_eq!(bad[0].at, 12);
            assert!(bad[0].problem.contains(meant), "{}", bad[0].problem);
        }
    }

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2 min"), Some(Duration::from_secs(120)));
        for bad in ["", "30", "0s", "s", "-1s", "1.5s", "1h", "99999999999999999999s", "35792min"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert!(read("-- statement-timeout: soon\n").1[0].problem.contains("`soon` is not a duration"));
        assert!(read("-- statement-timeout: 1s\n-- statement-timeout: 2s\n").1[0].problem.contains("keep one"));
        assert!(read("-- owns-table: a,,b\n").1[0].problem.contains("does not name a table"));
    }
}
