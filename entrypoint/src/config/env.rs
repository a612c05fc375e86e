//! The environment as Directus reads it: `X`, or the content of the file that `X_FILE` names.

use std::collections::BTreeMap;
use std::path::Path;

use super::Problems;

/// Casts that Directus supports as a prefix of a value (`string:12`; `has-cast-prefix` of `@directus/env`).
const CASTS: [&str; 6] = ["string", "number", "regex", "array", "json", "boolean"];
/// The cast that only prevents Directus from guessing the type.
const STRING_MARK: &str = "string:";

/// A copy of the environment.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// An environment of these variables, for tests.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Env {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The environment of this process; invalid UTF-8 is replaced lossily, as in Node.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect()
    }

    /// Returns the value of `name`, or the content of the file that `<name>_FILE` names; an empty value counts as not set.
    /// Problems of the value are added to `problems`.
    #[must_use]
    pub fn get(&self, name: &str, problems: &mut Problems) -> Option<String> {
        self.read(name, problems).map(|(value, _)| value)
    }

    /// Like [`Self::get`] for a text whose type Directus guesses: it reads a text with a comma as a list.
    #[must_use]
    pub fn get_text(&self, name: &str, problems: &mut Problems) -> Option<String> {
        match self.read(name, problems)? {
            (value, false) if value.contains(',') => {
                problems.add(format!(
                    "{name} contains a comma, and Directus would read it as a list: put `string:` in front of the value"
                ));
                None
            }
            (value, _) => Some(value),
        }
    }

    /// Returns the value, and true if it is marked as a string.
    pub(super) fn read(&self, name: &str, problems: &mut Problems) -> Option<(String, bool)> {
        let file_name = format!("{name}_FILE");
        let direct = self.plain(name);
        let (value, marked) = match (direct, self.plain(&file_name)) {
            (Some(_), Some(_)) => {
                problems.add(format!("{name} and {file_name} are both set: keep one"));
                return None;
            }
            (Some(value), None) => (value.to_owned(), false),
            // A mark on the path applies to the content.
            (None, Some(path)) => {
                let marked = path.strip_prefix(STRING_MARK);
                (read_file(&file_name, marked.unwrap_or(path), problems)?, marked.is_some())
            }
            (None, None) => return None,
        };
        match value.split_once(':') {
            _ if marked => Some((value, true)),
            Some(("string", rest)) => Some((rest.to_owned(), true)),
            Some((cast, _)) if CASTS.contains(&cast) => {
                problems.add(format!("{name} begins with the cast `{cast}:`: give the plain value"));
                None
            }
            _ => Some((value, false)),
        }
    }

    /// Returns true if `name` is set to an empty value.
    #[must_use]
    pub fn is_empty(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(String::is_empty)
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns true if `name` or `<name>_FILE` has a value.
    #[must_use]
    pub fn is_set(&self, name: &str) -> bool {
        self.plain(name).is_some() || self.plain(&format!("{name}_FILE")).is_some()
    }

    /// Returns the raw value of `name`, without `_FILE`; an empty one counts as not set.
    #[must_use]
    pub fn plain(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Env(variables.into_iter().collect())
    }
}

fn read_file(variable: &str, path: &str, problems: &mut Problems) -> Option<String> {
    match std::fs::read_to_string(Path::new(path)) {
        // Directus does not trim: it would use the line break as part of a password. A PEM file should end in one.
        Ok(value) if value.ends_with('\n') && !value.starts_with("-----BEGIN") => {
            problems.add(format!(
                "{variable}: {path} ends in a line break, which Directus would read as part of the value: remove it"
            ));
            None
        }
        Ok(value) if value.is_empty() => {
            problems.add(format!("{variable}: {path} is empty"));
            None
        }
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(format!("{variable}: cannot read {path}: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A temporary file with this content, and its path.
    fn file(content: &str) -> (tempfile::TempPath, String) {
        let file = tempfile::NamedTempFile::new().expect("the temporary folder is writable").into_temp_path();
        std::fs::write(&file, content).expect("the file is writable");
        let path = file.to_str().expect("a UTF-8 path").to_owned();
        (file, path)
    }

    #[test]
    fn a_value_is_read_from_its_file() {
        let mut problems = Problems::default();
        let (_file, path) = file("hunter2");
        assert_eq!(
            Env::of(&[("DB_PASSWORD_FILE", &path)]).get("DB_PASSWORD", &mut problems).as_deref(),
            Some("hunter2")
        );
        assert!(problems.is_empty());
    }

    #[test]
    fn a_value_together_with_its_file_is_refused() {
        let mut problems = Problems::default();
        assert_eq!(Env::of(&[("SECRET", "a"), ("SECRET_FILE", "/b")]).get("SECRET", &mut problems), None);
        assert_eq!(problems.to_string(), "SECRET and SECRET_FILE are both set: keep one");
    }

    #[test]
    fn a_file_with_a_trailing_line_break_is_refused_rather_than_trimmed() {
        let mut problems = Problems::default();
        let (_file, path) = file("hunter2\n");
        assert_eq!(Env::of(&[("DB_PASSWORD_FILE", &path)]).get("DB_PASSWORD", &mut problems), None);
        assert!(problems.to_string().contains("ends in a line break"));
        assert!(!problems.to_string().contains("hunter2"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let mut problems = Problems::default();
        assert_eq!(Env::of(&[("SECRET_FILE", "/no/such/file")]).get("SECRET", &mut problems), None);
        assert!(problems.to_string().starts_with("SECRET_FILE: cannot read /no/such/file"));
    }

    #[test]
    fn the_string_cast_is_removed_and_others_are_refused() {
        let mut problems = Problems::default();
        assert_eq!(Env::of(&[("DB_USER", "string:42")]).get("DB_USER", &mut problems).as_deref(), Some("42"));
        assert_eq!(Env::of(&[("DB_USER", "json:{}")]).get("DB_USER", &mut problems), None);
        assert_eq!(Env::of(&[("DB_HOST", "fe80:1")]).get("DB_HOST", &mut problems).as_deref(), Some("fe80:1"));
    }

    #[test]
    fn a_comma_needs_the_string_cast_if_directus_guesses_the_type() {
        let mut problems = Problems::default();
        assert_eq!(Env::of(&[("DB_HOST", "string:a,b")]).get_text("DB_HOST", &mut problems).as_deref(), Some("a,b"));
        let (_file, path) = file("a,b");
        let path = format!("string:{path}");
        assert_eq!(Env::of(&[("DB_HOST_FILE", &path)]).get_text("DB_HOST", &mut problems).as_deref(), Some("a,b"));
        assert!(problems.is_empty(), "{problems}");
        assert_eq!(Env::of(&[("DB_HOST", "a,b")]).get_text("DB_HOST", &mut problems), None);
        assert!(problems.to_string().starts_with("DB_HOST contains a comma"), "{problems}");
    }

    #[test]
    fn an_empty_value_counts_as_not_set() {
        assert_eq!(Env::of(&[("SECRET", "")]).get("SECRET", &mut Problems::default()), None);
    }
}
