//! The headers of a migration: comment lines at its top that say how it is to be applied.

use std::time::Duration;

use strsim::levenshtein;

use super::extension::{self, RequiredExtension};
use crate::witness::Announcement;
use crate::witness::announced::FORMS;

/// What the headers of a file say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// `-- no-transaction`: each statement by itself, for those that cannot run in a transaction.
    pub no_transaction: bool,
    /// `-- statement-timeout: 30s`: how long the file's SQL may take; each statement without a transaction, otherwise
    /// all of it.
    pub statement_timeout: Option<Duration>,
    /// `-- owns-table: laps, pits`: tables that the file makes and Directus must not see.
    pub owned_tables: Vec<String>,
    /// `-- breaks-older-images`: images without this file cannot serve any more.
    pub breaks_older_images: bool,
    /// `-- destroys: table laps, rows of cars`: the data that the file destroys on purpose.
    pub destroys: Vec<Announcement>,
    /// `-- requires-extension: postgis`: extensions that the file needs; every boot warns where one is missing.
    pub required_extensions: Vec<RequiredExtension>,
}

/// The headers there are: name, and an example of a value for those that have one.
const KNOWN: [(&str, Option<&str>); 6] = [
    ("no-transaction", None),
    ("statement-timeout", Some("30s")),
    ("owns-table", Some("laps, pits")),
    ("breaks-older-images", None),
    ("destroys", Some("table laps")),
    ("requires-extension", Some(extension::FORM)),
];
/// How many letters a word may be away from a header's name to be taken for a slip.
const SLIP: usize = 2;

/// Something wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadHeader {
    /// Offset of its line's dashes.
    pub(super) at: usize,
    /// What it is, and the way out.
    pub(super) problem: String,
}

/// Reads the comment lines before the first statement.
pub(super) fn read(sql: &str) -> (Headers, Vec<BadHeader>) {
    let mut headers = Headers::default();
    let mut bad = Vec::new();
    let mut destroys_at = None;
    let mut at = 0;
    for line in sql.split_inclusive('\n') {
        let text = line.trim();
        let dashes = at + (line.len() - line.trim_start().len());
        at += line.len();
        let Some(comment) = text.strip_prefix("--") else { if text.is_empty() { continue } else { break } };
        if let Err(problem) = headers.add(comment.trim()) {
            bad.push(BadHeader { at: dashes, problem });
        }
        if !headers.destroys.is_empty() {
            destroys_at.get_or_insert(dashes);
        }
    }
    if let Some(at) = destroys_at.filter(|_| headers.no_transaction) {
        let problem = "`-- destroys:` in a file with `-- no-transaction`, which cannot be rolled back and may not destroy \
                       anything: move the statement that does into a file without `-- no-transaction`";
        bad.push(BadHeader { at, problem: problem.to_owned() });
    }
    (headers, bad)
}

impl Headers {
    /// Takes one comment line, which need not be a header.
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
                        "`{value}` is no time: give a whole number above 0 with its unit, ms, s or min, such as 30s"
                    )
                })?;
                if self.statement_timeout.replace(duration).is_some() {
                    return Err("a second `-- statement-timeout`: keep one".to_owned());
                }
            }
            ("owns-table", Some(value)) => {
                let tables: Vec<&str> = value.split(',').map(str::trim).collect();
                if tables.contains(&"") {
                    return Err(format!("`-- {line}` names no table: write {}", example(2)));
                }
                self.owned_tables.extend(tables.into_iter().map(str::to_owned));
            }
            ("requires-extension", Some(value)) => {
                let extension = RequiredExtension::parse(value)
                    .ok_or_else(|| format!("`-- {line}` names no extension: write {}", example(5)))?;
                self.required_extensions.push(extension);
            }
            ("destroys", Some(value)) => {
                for item in value.split(',') {
                    let announcement = Announcement::parse(item)
                        .ok_or_else(|| format!("`-- {line}`: write {FORMS}, with commas in between"))?;
                    self.destroys.push(announcement);
                }
            }
            _ => {
                if let Some(meant) = meant(line) {
                    return Err(format!("`-- {line}` is no header: write {}", example(meant)));
                }
            }
        }
        Ok(())
    }
}

/// Which header a comment line is a slip of, if of any.
fn meant(line: &str) -> Option<usize> {
    let before_colon = line.split(':').next().unwrap_or(line);
    let first_word = before_colon.split_whitespace().next().unwrap_or("");
    let distances = [before_colon, first_word]
        .into_iter()
        // Prose is long; comparing it would only cost time.
        .filter(|text| text.len() <= 32)
        .flat_map(|text| KNOWN.iter().enumerate().map(move |(index, (name, _))| (text, index, *name)))
        .map(|(text, index, name)| (levenshtein(&as_header(text), name), index));
    distances.min().filter(|(distance, _)| *distance <= SLIP).map(|(_, index)| index)
}

/// A comment's words in the form of a header's name.
fn as_header(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace([' ', '_'], "-")
}

/// A header as it is written: `-- statement-timeout: 30s`, in back quotes.
fn example(index: usize) -> String {
    match KNOWN[index] {
        (name, None) => format!("`-- {name}`, alone in its line"),
        (name, Some(value)) => format!("`-- {name}: {value}`"),
    }
}

/// `500ms`, `30s`, `5min`, as PostgreSQL writes them.
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

    fn good(sql: &str) -> Headers {
        let (headers, bad) = read(sql);
        assert_eq!(bad, [], "{sql}");
        headers
    }

    #[test]
    fn all_headers_are_read_from_the_top_only() {
        let headers = good(
            "-- Laps of cars.\n-- owns-table: laps, pits\n--no-transaction\n\n-- statement-timeout: 5min\n\
             -- breaks-older-images\nselect 1;\n-- owns-table: not_this\n-- no-transactions\n",
        );
        assert!(headers.no_transaction && headers.breaks_older_images);
        assert_eq!(headers.owned_tables, ["laps", "pits"]);
        assert_eq!(headers.statement_timeout, Some(Duration::from_secs(300)));
        assert_eq!(good("-- Adds: a column\nselect 1"), Headers::default());
    }

    #[test]
    fn a_slip_is_an_error_with_the_header_that_was_meant() {
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
            let (headers, bad) = read(&format!("-- First.\n  -- {line}\nselect 1"));
            assert_eq!(headers, Headers::default(), "{line}");
            assert_eq!(bad.len(), 1, "{line}");
            assert_eq!(bad[0].at, 12);
            assert!(bad[0].problem.contains(meant), "{}", bad[0].problem);
        }
    }

    #[test]
    fn a_time_needs_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2 min"), Some(Duration::from_secs(120)));
        for bad in ["", "30", "0s", "s", "-1s", "1.5s", "1h", "99999999999999999999s", "35792min"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert!(read("-- statement-timeout: soon\n").1[0].problem.contains("`soon` is no time"));
        assert!(read("-- statement-timeout: 1s\n-- statement-timeout: 2s\n").1[0].problem.contains("keep one"));
        assert!(read("-- owns-table: a,,b\n").1[0].problem.contains("names no table"));
    }
}
