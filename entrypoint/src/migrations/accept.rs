//! `MIGRATION_ACCEPT`: accepts exactly one file that was edited after it was applied.

use super::MigrationFile;

/// Minimum number of hex digits of the checksum, enough to identify one version of a file.
const MIN_DIGITS: usize = 12;

/// The accepted file, by name and new checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// `002_speed.sql`.
    pub filename: String,
    /// Its checksum in lower-case hex, or the first 12 digits or more.
    pub checksum: String,
}

impl Acceptance {
    /// Reads `002_speed.sql:0123456789ab`.
    ///
    /// # Errors
    /// The problem and its remedy.
    pub fn parse(value: &str) -> Result<Acceptance, String> {
        match value.split_once(':') {
            Some((filename, digits)) if filename.ends_with(".sql") && is_checksum(digits) => {
                Ok(Acceptance { filename: filename.to_owned(), checksum: digits.to_ascii_lowercase() })
            }
            _ => Err(format!(
                "MIGRATION_ACCEPT is `{value}`: give <file>:<checksum>, with the {MIN_DIGITS} or more digits that the \
                 boot printed when it refused the file"
            )),
        }
    }

    /// Returns true if this is the file, with its present content.
    pub(super) fn covers(&self, file: &MigrationFile) -> bool {
        file.filename == self.filename && file.checksum.starts_with(&self.checksum)
    }

    /// The warning for an acceptance that no file needed.
    pub(crate) fn not_needed(&self) -> String {
        format!("MIGRATION_ACCEPT names {}, which needs no acceptance: remove it", self.filename)
    }
}

fn is_checksum(text: &str) -> bool {
    (MIN_DIGITS..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_twelve_digits_are_needed() {
        let good = Acceptance::parse("002_b.sql:0123456789AB").expect("well formed");
        assert_eq!((good.filename.as_str(), good.checksum.as_str()), ("002_b.sql", "0123456789ab"));
        for bad in ["", "002_b.sql", "002_b.sql:0123456789a", "002_b.sql:0123456789ag", "b:0123456789ab", "*"] {
            assert!(Acceptance::parse(bad).expect_err(bad).contains("give <file>:<checksum>"));
        }
        assert!(Acceptance::parse(&format!("002_b.sql:{}", "a".repeat(65))).is_err());
    }
}
