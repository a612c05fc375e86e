//! Extensions that SQL files require: `-- requires-extension: timescaledb (optional: trm.timescaledb=optional)`.

use std::fmt;

use tokio_postgres::Client;

use crate::log::Log;

/// An extension that a file requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredExtension {
    /// Its name.
    pub name: String,
    /// The session setting, with its value, by which the file does without it: `trm.timescaledb=optional`.
    pub optional: Option<String>,
}

/// The form of a requirement, for messages.
pub(super) const FORM: &str = "timescaledb (optional: trm.timescaledb=optional)";

/// An expression for the extensions of `$n` (a `text[]`) that the database does not have.
#[must_use]
pub fn missing(parameter: &str) -> String {
    format!(
        "array(select name from unnest({parameter}) name where name not in (select extname from pg_catalog.pg_extension))"
    )
}

impl RequiredExtension {
    /// Reads what stands behind the header's colon.
    pub(super) fn parse(text: &str) -> Option<RequiredExtension> {
        let is_word = |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "(),".contains(c));
        let (name, optional) = match text.split_once('(') {
            None => (text.trim(), None),
            Some((name, rest)) => {
                let setting = rest.trim().strip_suffix(')')?.trim().strip_prefix("optional:")?.trim();
                let (key, value) = setting.split_once('=')?;
                (is_word(key) && key.contains('.') && is_word(value)).then_some(())?;
                (name.trim(), Some(setting.to_owned()))
            }
        };
        is_word(name).then(|| RequiredExtension { name: name.to_owned(), optional })
    }
}

impl fmt::Display for RequiredExtension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.optional {
            Some(setting) => write!(f, " (optional: {setting})"),
            None => Ok(()),
        }
    }
}

/// Warns of each that the database does not have. `missing` are the names of those.
pub fn warn(required: &[RequiredExtension], missing: &[String], log: &Log) {
    for RequiredExtension { name, optional } in required.iter().filter(|extension| missing.contains(&extension.name)) {
        log.warn(match optional {
            Some(setting) => format!(
                "the database has no extension {name}, and the SQL files do without it (PGOPTIONS=\"-c {setting}\")"
            ),
            None => format!("the database has no extension {name}, which the SQL files require"),
        });
    }
}

/// The names of those that the database does not have.
///
/// # Errors
/// The driver's.
pub async fn read_missing(
    client: &Client,
    required: &[RequiredExtension],
) -> Result<Vec<String>, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {}", missing("$1::text[]")), &[&names(required)]).await?.get(0))
}

/// Their names, as a parameter for [`missing`].
#[must_use]
pub fn names(required: &[RequiredExtension]) -> Vec<&str> {
    required.iter().map(|extension| extension.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_read_as_they_are_displayed() {
        for text in ["postgis", FORM] {
            assert_eq!(RequiredExtension::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "a b",
            "a, b",
            "a (optional)",
            "a (optional: b)",
            "a (optional: b=c)",
            "(optional: a.b=c)",
            "a (b: c.d=e)",
        ] {
            assert_eq!(RequiredExtension::parse(text), None, "{text}");
        }
    }
}
