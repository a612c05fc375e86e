//! Extensions that SQL files require: `-- requires-extension: timescaledb (optional: trm.timescaledb=optional)`.

use std::fmt;

#[cfg(feature = "boot")]
use tokio_postgres::Client;

#[cfg(feature = "boot")]
use crate::log::Log;

/// An extension that a file requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredExtension {
    /// The name, as in `pg_extension`.
    pub name: String,
    /// The session setting and value that let the file run without it: `trm.timescaledb=optional`.
    pub optional: Option<String>,
}

/// Returns a SQL expression for the extensions of `$n` (a `text[]`) that the database lacks.
#[must_use]
pub fn missing(parameter: &str) -> String {
    format!(
        "array(select name from unnest({parameter}) name where name not in (select extname from pg_catalog.pg_extension))"
    )
}

impl RequiredExtension {
    /// Parses the directive's value.
    pub(super) fn parse(text: &str) -> Option<RequiredExtension> {
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

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "(),".contains(c))
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

#[cfg(feature = "boot")]
/// Logs a warning for each required extension whose name is in `missing`.
pub fn warn(required: &[RequiredExtension], missing: &[String], log: &Log) {
    for RequiredExtension { name, optional } in required.iter().filter(|extension| missing.contains(&extension.name)) {
        log.warn(match optional {
            Some(setting) => format!(
                "the database has no extension {name}, and the SQL files run without it (PGOPTIONS=\"-c {setting}\")"
            ),
            None => format!("the database has no extension {name}, which the SQL files require"),
        });
    }
}

#[cfg(feature = "boot")]
/// Returns the names of the required extensions that the database lacks.
///
/// # Errors
/// The driver's.
pub async fn read_missing(
    client: &Client,
    required: &[RequiredExtension],
) -> Result<Vec<String>, tokio_postgres::Error> {
    Ok(client.query_one(&format!("select {}", missing("$1::text[]")), &[&names(required)]).await?.get(0))
}

/// Returns the names of the extensions, as the parameter for [`missing`].
#[must_use]
pub fn names(required: &[RequiredExtension]) -> Vec<&str> {
    required.iter().map(|extension| extension.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_displayed_requirement_parses_to_the_same_requirement() {
        for text in ["postgis", "timescaledb (optional: trm.timescaledb=optional)"] {
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
