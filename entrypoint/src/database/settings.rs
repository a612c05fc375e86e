//! Settings of a session that the boot fixes, against those of the server, the database and the role.
//!
//! The SQL files of an image, Directus' statements and the boot's own must mean the same in every database, and no
//! timeout for an application's sessions may end a boot. A setting that the operator gives in `PGOPTIONS` or in the
//! connection string is left alone.

use contract::failure;

/// Fixed settings and their values, as `current_setting` shows them. A server without one is not asked for it.
const FIXED: [(&str, &str); 30] = [
    // Limits that end a session or a statement.
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("lock_timeout", "0"),
    ("statement_timeout", "0"),
    ("transaction_timeout", "0"),
    // The meaning of statements and values.
    ("array_nulls", "on"),
    ("backslash_quote", "safe_encoding"),
    ("bytea_output", "hex"),
    ("check_function_bodies", "on"),
    ("DateStyle", "ISO, MDY"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("extra_float_digits", "1"),
    ("gin_fuzzy_search_limit", "0"),
    ("IntervalStyle", "postgres"),
    ("quote_all_identifiers", "off"),
    ("restrict_nonsystem_relation_kind", ""),
    ("row_security", "on"),
    ("standard_conforming_strings", "on"),
    ("TimeZone", "UTC"),
    ("transform_null_equals", "off"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
    // Messages and errors.
    ("client_min_messages", "notice"),
    ("exit_on_error", "off"),
    // A killed boot holds its lock until its statement ends; the server notices within this time. Not before version 14.
    ("client_connection_check_interval", "500ms"),
    // The same for a boot whose packets vanish: by the system's defaults, PostgreSQL would keep its session, and the lock,
    // for two hours.
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
];

/// The same for settings that only a superuser may change. A role that has another value cannot boot.
const FIXED_BY_SUPERUSER: [(&str, &str); 2] = [
    // `replica` switches foreign keys and triggers off.
    ("session_replication_role", "origin"),
    // `off` hides deleted rows from the witness.
    ("track_counts", "on"),
];

/// Returns the statement that fixes the settings, except those that the operator has given. It can be repeated.
#[must_use]
pub fn fix(given: &[String]) -> String {
    let wanted = FIXED.iter().filter(|(name, _)| !given.iter().any(|other| other.eq_ignore_ascii_case(name)));
    format!("select set_config(name, value, false) {} where current_setting(name, true) <> value", rows(wanted))
}

/// Returns the statements that bring every setting back to the values of the connection, fixed as above: a
/// `set search_path` or `set role` in one migration must affect neither the ledger nor the next migration.
#[must_use]
pub fn reset(given: &[String]) -> String {
    format!("reset session authorization; reset all; {}", fix(given))
}

/// Returns the query for settings of a superuser that are not as usual: name, present value and usual value.
#[must_use]
pub fn unusual() -> String {
    let from = rows(FIXED_BY_SUPERUSER.iter());
    format!("select name, current_setting(name), value {from} where current_setting(name) <> value")
}

/// Settings as rows of a query.
fn rows<'a>(settings: impl Iterator<Item = &'a (&'static str, &'static str)>) -> String {
    let values: Vec<String> = settings.map(|(name, value)| format!("('{name}', '{value}')")).collect();
    format!("from (values {}) fixed (name, value)", values.join(", "))
}

/// The settings of a session do not allow a boot.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The role may not change the setting back.
    #[error(
        "{name} is `{present}` for this role or database, the boot needs `{wanted}`, and the role may not set it; {}",
        failure::SETTING.ending_for(name)
    )]
    Unusual {
        /// The setting.
        name: String,
        /// The value of the role, the database or the server.
        present: String,
        /// The value that the boot needs.
        wanted: String,
    },
    /// New tables would be created where Directus does not look.
    #[error(
        "new tables would be created in {}, by the search_path `{search_path}` of the role or database, but Directus looks \
         into `public`; {}",
        schema.as_ref().map_or_else(|| "no schema".to_owned(), |schema| format!("the schema `{schema}`")),
        failure::SEARCH_PATH.ending_for("public")
    )]
    SearchPath {
        /// The first existing schema of the path; `None` if there is none, or the role may not use it.
        schema: Option<String>,
        /// `search_path`.
        search_path: String,
    },
    /// A query failed.
    #[error(transparent)]
    Query(#[from] tokio_postgres::Error),
}

/// Names of the settings in the form of `PGOPTIONS`: `-c name=value`, `-cname=value` or `--name=value`.
#[must_use]
pub fn names_in_options(options: &str) -> Vec<String> {
    let words: Vec<&str> = options.split_whitespace().collect();
    let mut names = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let assignment =
            match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|rest| !rest.is_empty())) {
                Some(assignment) => assignment,
                None if index > 0 && words[index - 1] == "-c" => word,
                None => continue,
            };
        names.extend(assignment.split_once('=').map(|(name, _)| name.replace('-', "_")));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_operator_are_left_alone() {
        assert!(fix(&[]).contains("('statement_timeout', '0')"));
        let given = names_in_options("-c Statement_Timeout=5s");
        assert!(!fix(&given).contains("'statement_timeout'"));
        assert!(fix(&given).contains("'idle_session_timeout'"));
    }

    #[test]
    fn options_are_read_in_each_form() {
        let names = names_in_options("-c a=1 -cb=2 --c-d=3 -c search_path=x\\ y -c e");
        assert_eq!(names, ["a", "b", "c_d", "search_path"]);
    }
}
