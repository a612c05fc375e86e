//! PostgreSQL's error codes: which of them are worth another attempt, who can help, and what may be shown of them.
//!
//! The codes are those of "Appendix A. PostgreSQL Error Codes" of PostgreSQL 18. A code that is not in the table has its
//! class' entry (the first two characters); a class that is not in the table is the statement's fault.

/// The class of a connection error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retryability {
    /// The server is not ready or too busy: a retry may succeed.
    Transient,
    /// The server refused, and will refuse again.
    Final,
}

/// The party that can remove the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The author of the SQL file or of the snapshot: a new image is needed.
    Statement,
    /// The rows in the database contradict the statement: the image may be right.
    Data,
    /// The role, its privileges, or the variables that name it.
    Role,
    /// The server: its state, its resources, or its limits.
    Server,
}

/// The entry of a code or of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlStateEntry {
    /// Five characters, or the two of a class.
    pub code: &'static str,
    /// The class of the error when a connection is made.
    pub connecting: Retryability,
    /// The party that can remove the cause.
    pub fault: Party,
    /// For the operator: the variable, the command or the setting.
    pub remedy: &'static str,
}

const fn entry(code: &'static str, connecting: Retryability, fault: Party, remedy: &'static str) -> SqlStateEntry {
    SqlStateEntry { code, connecting, fault, remedy }
}

/// The code of a missing privilege.
pub const INSUFFICIENT_PRIVILEGE: &str = "42501";

use Party::{Data, Role, Server, Statement};
use Retryability::{Final, Transient};

/// Codes before their classes.
pub const SQLSTATES: &[SqlStateEntry] = &[
    entry("08", Transient, Server, "check the network and that PostgreSQL runs"),
    entry("0A", Final, Statement, "use a form that this version of PostgreSQL supports"),
    entry(
        "22P05",
        Final,
        Server,
        "move the data to a database with ENCODING 'UTF8': this encoding lacks the character",
    ),
    entry("22", Final, Data, "correct the rows that do not fit, then start again"),
    entry("23502", Final, Data, "fill the column in the rows where it is null, then start again"),
    entry("23503", Final, Data, "remove the rows whose reference does not exist, then start again"),
    entry("23505", Final, Data, "remove the duplicate rows, then start again"),
    entry("23514", Final, Data, "correct the rows that violate the constraint, then start again"),
    entry("23P01", Final, Data, "remove the rows that overlap, then start again"),
    entry("23", Final, Data, "correct the rows that violate the constraint, then start again"),
    entry("25006", Transient, Server, "connect to the primary: this server or role is read-only"),
    entry("25P03", Final, Server, "raise idle_in_transaction_session_timeout for the role, then start again"),
    entry("25P04", Final, Server, "raise transaction_timeout for the role, then start again"),
    entry("28P01", Final, Role, "correct DB_USER or DB_PASSWORD"),
    entry("28", Final, Role, "the role may not log in from here: correct DB_USER, the server's pg_hba.conf, or DB_SSL"),
    entry("3D000", Final, Role, "create the database or correct DB_DATABASE"),
    entry("40", Transient, Server, "start again: another session was in the way"),
    entry(INSUFFICIENT_PRIVILEGE, Final, Role, "grant the role the privilege that the message names"),
    entry("53100", Final, Server, "free disk space on the database server, then start again"),
    entry("53200", Final, Server, "give the database server more memory, then start again"),
    entry("53300", Transient, Server, "raise max_connections or the role's CONNECTION LIMIT, or end idle sessions"),
    entry("53", Final, Server, "give the database server what it lacks, then start again"),
    entry("54", Final, Statement, "make the statement smaller"),
    entry("55006", Transient, Server, "end the sessions that use the object, then start again"),
    entry("55P03", Transient, Server, "end the session that holds the lock, then start again"),
    entry(
        "55",
        Final,
        Server,
        "bring the object or the server into the state that the message names, then start again",
    ),
    entry(
        "57014",
        Final,
        Statement,
        "give the statement more time (`-- statement-timeout`, PGOPTIONS), or make it faster",
    ),
    entry("57P03", Transient, Server, "wait until the server has started"),
    entry("57P05", Final, Server, "raise idle_session_timeout for the role, then start again"),
    entry("57", Transient, Server, "start again once the server runs"),
    entry("58P01", Final, Server, "install the file that the message names on the database server, then start again"),
    entry("58", Transient, Server, "look at the database server's disk and log"),
    entry("F0", Final, Server, "correct the server's configuration files"),
    entry("P0001", Final, Data, "remove the cause that the message names, then start again"),
    entry("P0004", Final, Data, "remove the cause that the message names, then start again"),
    entry("XX001", Final, Server, "restore the database: a table is damaged"),
    entry("XX002", Final, Server, "rebuild the damaged index with REINDEX"),
    entry("XX", Final, Server, "look at the database server's log"),
];

fn find(code: &str) -> Option<&'static SqlStateEntry> {
    let exact = SQLSTATES.iter().find(|entry| entry.code == code);
    exact.or_else(|| SQLSTATES.iter().find(|entry| entry.code.len() == 2 && code.starts_with(entry.code)))
}

/// Returns the class of an error when a connection is made.
#[must_use]
pub fn retryability(code: &str) -> Retryability {
    find(code).map_or(Final, |entry| entry.connecting)
}

/// Returns the party that can remove the cause of an error in a statement.
#[must_use]
pub fn fault(code: &str) -> Party {
    find(code).map_or(Statement, |entry| entry.fault)
}

/// Returns the remedy; `None` for a code that is the statement's own fault.
#[must_use]
pub fn remedy(code: &str) -> Option<&'static str> {
    find(code).map(|entry| entry.remedy)
}

/// The remedy for a statement that PostgreSQL refused, for its cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The party that can remove the cause.
    pub party: Party,
    text: String,
}

impl Remedy {
    /// The remedy for an error that PostgreSQL reported to a role. `by_author` is the one for a statement that is wrong.
    #[must_use]
    pub fn of(code: &str, message: &str, role: &str, by_author: &str) -> Remedy {
        if let Some(text) = remedy_of_extension(message) {
            return Remedy { party: Party::Server, text };
        }
        let party = fault(code);
        let remedy = remedy(code).unwrap_or_default();
        let text = match party {
            Party::Statement if remedy.is_empty() => by_author.to_owned(),
            Party::Statement => format!("{remedy}; {by_author}"),
            Party::Data => format!("{remedy}; or {by_author}"),
            Party::Role => grant(message, role).unwrap_or_else(|| remedy.to_owned()),
            Party::Server => remedy.to_owned(),
        };
        Remedy { party, text }
    }

    /// The remedy for a statement that is wrong.
    #[must_use]
    pub fn author(text: &str) -> Remedy {
        Remedy { party: Party::Statement, text: text.to_owned() }
    }
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns the remedy if the server lacks the files of an extension. PostgreSQL reports this as 0A000 or 58P01, by its
/// English message. A library with a version in its name is that of the version which the database uses, such as
/// TimescaleDB's; without it no statement succeeds.
#[must_use]
pub fn remedy_of_extension(message: &str) -> Option<String> {
    let between = |start: &str, end: &str| Some(message.split_once(start)?.1.split_once(end)?.0);
    if let Some(name) = between("extension \"", "\" is not available") {
        return Some(format!("install the extension {name} on the database server, then start again"));
    }
    let library = between("could not access file \"$libdir/", "\"")?;
    Some(match library.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => format!(
            "start the server with an image that has {name} {version}; or, if its image is newer, update the database with \
             psql -X -c 'ALTER EXTENSION {name} UPDATE', then start again"
        ),
        _ => format!("install the library {library} on the database server, then start again"),
    })
}

/// PostgreSQL's English words for a missing privilege, and the statement that gives it: `{object}` and `{role}` are
/// quoted already where they need it. From `aclcheck_error` of PostgreSQL 18's `aclchk.c` and the callers of 42501.
const GRANTS: [(&str, &str); 24] = [
    ("permission denied for database ", "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {object} TO {role}"),
    ("permission denied for schema ", "GRANT USAGE, CREATE ON SCHEMA {object} TO {role}"),
    ("permission denied for table ", "GRANT ALL ON TABLE {object} TO {role}"),
    ("permission denied for relation ", "GRANT ALL ON TABLE {object} TO {role}"),
    ("permission denied for view ", "GRANT ALL ON TABLE {object} TO {role}"),
    ("permission denied for materialized view ", "GRANT ALL ON TABLE {object} TO {role}"),
    ("permission denied for sequence ", "GRANT ALL ON SEQUENCE {object} TO {role}"),
    ("permission denied for function ", "GRANT EXECUTE ON ROUTINE {object} TO {role}"),
    ("permission denied for procedure ", "GRANT EXECUTE ON ROUTINE {object} TO {role}"),
    ("permission denied for type ", "GRANT USAGE ON TYPE {object} TO {role}"),
    ("permission denied for language ", "GRANT USAGE ON LANGUAGE {object} TO {role}"),
    ("permission denied for tablespace ", "GRANT CREATE ON TABLESPACE {object} TO {role}"),
    ("permission denied for foreign server ", "GRANT USAGE ON FOREIGN SERVER {object} TO {role}"),
    ("permission denied to create extension ", "CREATE EXTENSION {object} in this database"),
    ("permission denied to set parameter ", "GRANT SET ON PARAMETER {object} TO {role}"),
    ("permission denied to create role", "ALTER ROLE {role} CREATEROLE"),
    ("permission denied to create database", "ALTER ROLE {role} CREATEDB"),
    ("must be owner of table ", "ALTER TABLE {object} OWNER TO {role}"),
    ("must be owner of view ", "ALTER VIEW {object} OWNER TO {role}"),
    ("must be owner of sequence ", "ALTER SEQUENCE {object} OWNER TO {role}"),
    ("must be owner of function ", "ALTER ROUTINE {object} OWNER TO {role}"),
    ("must be owner of type ", "ALTER TYPE {object} OWNER TO {role}"),
    ("must be owner of schema ", "ALTER SCHEMA {object} OWNER TO {role}"),
    ("must be owner of extension ", "the statement as the owner of the extension {object}"),
];

/// Returns the remedy for a missing privilege; `None` for a message in another language or about another object.
fn grant(message: &str, role: &str) -> Option<String> {
    GRANTS.iter().find_map(|(words, statement)| {
        let (_, object) = message.split_once(words)?;
        let statement =
            statement.replace("{object}", object.split(':').next().unwrap_or(object)).replace("{role}", &quoted(role));
        Some(format!("let the owner or a superuser run {statement}, then start again"))
    })
}

/// Quotes a name as a SQL identifier if it needs quotes.
fn quoted(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Classes whose DETAIL or message can contain the content of a row: cardinality, data and integrity errors, a view's
/// check, and what a function raises.
const WITH_CONTENT: [&str; 5] = ["21", "22", "23", "44", "P0"];

fn has_content(code: &str) -> bool {
    WITH_CONTENT.iter().any(|class| code.starts_with(class))
}

/// Returns the part of a DETAIL that cannot contain the content of a row: of `Key (a, b)=(1, 2) already exists.` the names
/// of the columns.
#[must_use]
pub fn safe_detail(code: &str, detail: &str) -> Option<String> {
    if !has_content(code) {
        return Some(detail.to_owned());
    }
    // The words are translated, the punctuation is not. Nowhere else can names be distinguished from values.
    let (_, rest) = detail.split_once('(').filter(|_| matches!(code, "23503" | "23505" | "23P01"))?;
    let (columns, _) = rest.split_once(")=(")?;
    Some(format!("columns {columns}"))
}

/// Returns a message without the values that data errors quote: `invalid input syntax for type integer: "…"`.
#[must_use]
pub fn without_values(code: &str, message: &str) -> String {
    // Integrity errors quote names of constraints and tables, and errors of encodings the names of encodings.
    if !code.starts_with("22") || matches!(code, "22021" | "22P05") {
        return message.to_owned();
    }
    let Some((before, rest)) = message.split_once('"') else { return message.to_owned() };
    match rest.rsplit_once('"') {
        Some((_, after)) => format!("{before}\"…\"{after}"),
        None => before.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The errors that a boot can meet, with the verdict while connecting and the party that can help.
    const MET: &[(&str, Retryability, Party)] = &[
        ("08006", Transient, Server),
        ("0A000", Final, Statement),
        ("22012", Final, Data),
        ("22P02", Final, Data),
        ("22P05", Final, Server),
        ("23001", Final, Data),
        ("23502", Final, Data),
        ("23503", Final, Data),
        ("23505", Final, Data),
        ("23514", Final, Data),
        ("23P01", Final, Data),
        ("25006", Transient, Server),
        ("25P03", Final, Server),
        ("25P04", Final, Server),
        ("28000", Final, Role),
        ("28P01", Final, Role),
        ("2BP01", Final, Statement),
        ("2D000", Final, Statement),
        ("3D000", Final, Role),
        ("3F000", Final, Statement),
        ("40001", Transient, Server),
        ("40P01", Transient, Server),
        ("42501", Final, Role),
        ("42601", Final, Statement),
        ("42P01", Final, Statement),
        ("53100", Final, Server),
        ("53200", Final, Server),
        ("53300", Transient, Server),
        ("53400", Final, Server),
        ("54001", Final, Statement),
        ("55000", Final, Server),
        ("55006", Transient, Server),
        ("55P03", Transient, Server),
        ("57014", Final, Statement),
        ("57P01", Transient, Server),
        ("57P02", Transient, Server),
        ("57P03", Transient, Server),
        ("57P05", Final, Server),
        ("58030", Transient, Server),
        ("F0000", Final, Server),
        ("54000", Final, Statement),
        ("58P01", Final, Server),
        ("P0001", Final, Data),
        ("P0004", Final, Data),
        ("XX000", Final, Server),
        ("XX001", Final, Server),
        ("XX002", Final, Server),
    ];

    #[test]
    fn every_error_that_a_boot_can_meet_has_a_class() {
        for (code, connecting, party) in MET {
            assert_eq!((retryability(code), fault(code)), (*connecting, *party), "{code}");
        }
    }

    #[test]
    fn every_row_of_the_table_is_met() {
        for row in SQLSTATES {
            let is_met = MET.iter().any(|(code, ..)| find(code) == Some(row));
            assert!(is_met, "{}", row.code);
        }
    }

    #[test]
    fn a_missing_extension_is_the_fault_of_the_server() {
        let remedy = Remedy::of("0A000", "extension \"postgis\" is not available", "boot", "correct the file");
        assert_eq!(remedy.party, Server);
        assert_eq!(remedy.to_string(), "install the extension postgis on the database server, then start again");
    }

    #[test]
    fn a_missing_library_is_the_fault_of_the_server() {
        let remedy = |library: &str| {
            remedy_of_extension(&format!("could not access file \"$libdir/{library}\": No such file or directory"))
        };
        assert_eq!(remedy("postgis-3").as_deref().map(|text| text.contains("ALTER EXTENSION postgis")), Some(true));
        assert_eq!(
            remedy("hstore").as_deref(),
            Some("install the library hstore on the database server, then start again")
        );
        assert_eq!(remedy_of_extension("could not access file \"/tmp/x\""), None);
    }

    #[test]
    fn every_party_but_the_author_gets_a_remedy_of_its_own() {
        for (code, _, party) in MET.iter().filter(|(_, _, party)| *party != Statement) {
            assert!(remedy(code).is_some_and(|remedy| !remedy.contains("image")), "{code}: {party:?}");
        }
    }

    #[test]
    fn codes_come_before_their_classes() {
        for (index, entry) in SQLSTATES.iter().enumerate() {
            let is_twice = SQLSTATES[..index].iter().any(|before| before.code == entry.code);
            let is_hidden =
                SQLSTATES[..index].iter().any(|before| entry.code.len() == 5 && entry.code.starts_with(before.code));
            assert!(!is_twice && !is_hidden, "{}", entry.code);
        }
    }

    #[test]
    fn a_missing_privilege_is_granted_by_name() {
        for (message, words) in [
            ("permission denied for database trm", "run GRANT CONNECT, CREATE, TEMPORARY ON DATABASE trm TO \"Boot\","),
            ("changing laps: must be owner of table laps", "run ALTER TABLE laps OWNER TO \"Boot\", then start again"),
            ("permission denied to create extension \"postgis\": Must be", "run CREATE EXTENSION \"postgis\" in"),
            ("keine Berechtigung", "grant the role the privilege that the message names"),
        ] {
            let remedy = Remedy::of("42501", message, "Boot", "").to_string();
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    #[test]
    fn remedies_follow_the_party() {
        for (code, words) in [
            ("42P01", "correct the file"),
            ("23505", "remove the duplicate rows, then start again; or correct the file"),
            ("53100", "free disk space on the database server, then start again"),
        ] {
            assert_eq!(Remedy::of(code, "", "boot", "correct the file").to_string(), words);
        }
    }

    #[test]
    fn content_of_rows_is_cut() {
        assert_eq!(
            safe_detail("23505", "Key (email, team)=(a@b, 1) already exists.").as_deref(),
            Some("columns email, team")
        );
        assert_eq!(safe_detail("23514", "Failing row contains (1, secret)."), None);
        assert_eq!(safe_detail("23502", "Failing row contains (1, x)=(null)."), None);
        assert_eq!(safe_detail("P0001", "the row is (secret)"), None);
        assert_eq!(safe_detail("2BP01", "view v depends on table t").as_deref(), Some("view v depends on table t"));
        let message = "invalid input syntax for type integer: \"se\"cret\"";
        assert_eq!(without_values("22P02", message), "invalid input syntax for type integer: \"…\"");
        assert_eq!(without_values("22003", "value \"9\" is out of range"), "value \"…\" is out of range");
        let message = "character in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\"";
        assert_eq!(without_values("22P05", message), message);
        assert_eq!(without_values("23505", "constraint \"laps_key\""), "constraint \"laps_key\"");
    }
}
