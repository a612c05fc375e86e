//! `MIGRATION_ACCEPT`: takes exactly one applied and then edited file as it now is.

use super::MigrationFile;

/// How much of a checksum is enough to mean one file.
const SHORTEST: usize = 12;

/// The one file, by name and new checksum.
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
    /// What is wrong with it, and the way out.
    pub fn parse(value: &str) -> Result<Acceptance, String> {
        let checksum =
            |text: &str| (SHORTEST..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
        match value.split_once(':') {
            Some((filename, digits)) if filename.ends_with(".sql") && checksum(digits) => {
                Ok(Acceptance { filename: filename.to_owned(), checksum: digits.to_ascii_lowercase() })
            }
            _ => Err(format!(
                "MIGRATION_ACCEPT is `{value}`: give <file>:<checksum>, with the {SHORTEST} or more digits that the \
                 boot named when it refused the file"
            )),
        }
    }

    /// Whether it means this file, as it now is.
    pub(super) fn takes(&self, file: &MigrationFile) -> bool {
        file.filename == self.filename && file.checksum.starts_with(&self.checksum)
    }

    /// What to say when nothing needed it.
    pub(crate) fn idle(&self) -> String {
        format!("MIGRATION_ACCEPT names {}, which needs no acceptance: remove it", self.filename)
    }
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
