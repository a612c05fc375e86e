//! How to reach PostgreSQL, from Directus' `DB_*` variables.

use std::fmt;
use std::time::Duration;

use super::{Env, Problems};
use crate::secret::Secret;

/// How to reach PostgreSQL.
pub struct DatabaseConfig {
    /// For messages: `db:5432`. Holds no secret.
    pub target: String,
    /// What the driver connects by.
    pub driver: tokio_postgres::Config,
    /// Whether and how the connection is encrypted.
    pub tls: Tls,
    /// Whether the operator said that a server without TimescaleDB will do.
    pub timescaledb_optional: bool,
}

/// Whether and how the connection is encrypted; Directus' `DB_SSL` and `DB_SSL__*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Plain.
    Off,
    /// Encrypted, whoever answers (`DB_SSL__REJECT_UNAUTHORIZED=false`).
    Unchecked,
    /// Encrypted and checked against Mozilla's roots, as Node does.
    Checked,
    /// Encrypted and checked against these PEM certificates.
    CheckedAgainst(Secret),
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the driver's configuration: it holds the password.
        f.debug_struct("DatabaseConfig").field("target", &self.target).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl DatabaseConfig {
    /// Reads the `DB_*` variables; `None` if `problems` has got a reason.
    pub(super) fn from_env(env: &Env, problems: &mut Problems) -> Option<DatabaseConfig> {
        match env.get("DB_CLIENT", problems).as_deref() {
            Some("pg") => {}
            Some(other) => problems.add(format!(
                "DB_CLIENT is `{other}`{}: set it to `pg`",
                if other == "sqlite3" { ", the base image's preset" } else { "" }
            )),
            None if problems.mention("DB_CLIENT") => {}
            None => problems.add("DB_CLIENT is not set: set it to `pg`"),
        }
        let tls = tls(env, problems);
        let driver = match env.get("DB_CONNECTION_STRING", problems).map(Secret::new) {
            Some(url) => from_connection_string(&url, problems),
            None if problems.mention("DB_CONNECTION_STRING") => None,
            None => from_parts(env, problems),
        };
        let mut driver = driver?;
        let options = env.plain("PGOPTIONS").unwrap_or_default();
        if !options.is_empty() {
            driver.options(options);
        }
        // A cut network is noticed in about five seconds instead of never. The user timeout is in seconds here,
        // unlike libpq's.
        driver
            .keepalives_idle(Duration::from_secs(2))
            .keepalives_interval(Duration::from_secs(1))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(5))
            .application_name(application_name(env));
        Some(DatabaseConfig {
            target: target(&driver),
            timescaledb_optional: says_timescaledb_is_optional(options),
            driver,
            tls,
        })
    }
}

fn from_connection_string(url: &Secret, problems: &mut Problems) -> Option<tokio_postgres::Config> {
    match url.reveal().parse::<tokio_postgres::Config>() {
        Ok(driver) if driver.get_hosts().is_empty() || driver.get_dbname().is_none() => {
            problems
                .add("DB_CONNECTION_STRING names no host or no database: postgres://user:password@host:5432/database");
            None
        }
        Ok(driver) => Some(driver),
        // The parser's own message quotes parameter names only, but the string it parsed is secret: say neither.
        Err(_) => {
            problems.add("DB_CONNECTION_STRING is no URL of the form postgres://user:password@host:5432/database");
            None
        }
    }
}

fn from_parts(env: &Env, problems: &mut Problems) -> Option<tokio_postgres::Config> {
    let mut required = |name: &str, what: &str| {
        let value = env.get(name, problems);
        if value.is_none() && !problems.mention(name) {
            problems.add(format!("{name} is not set: {what}"));
        }
        value
    };
    let host = required("DB_HOST", "name PostgreSQL's host");
    let database = required("DB_DATABASE", "name the database");
    let user = required("DB_USER", "name the role");
    let password = env.get("DB_PASSWORD", problems);
    let port = match env.get("DB_PORT", problems) {
        None => 5432,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                problems.add(format!("DB_PORT is `{text}`: give a number from 1 to 65535"));
                return None;
            }
        },
    };
    let (host, database, user) = (host?, database?, user?);
    let mut driver = tokio_postgres::Config::new();
    driver.host(host).port(port).dbname(database).user(user);
    if let Some(password) = password {
        driver.password(password);
    }
    Some(driver)
}

fn tls(env: &Env, problems: &mut Problems) -> Tls {
    let on = match env.get("DB_SSL", problems).as_deref() {
        None => None,
        Some("true" | "1") => Some(true),
        Some("false" | "0") => Some(false),
        Some(other) => {
            problems.add(format!("DB_SSL is `{other}`: give true or false"));
            None
        }
    };
    let ca = env.get("DB_SSL__CA", problems).map(Secret::new);
    let unchecked = env.get("DB_SSL__REJECT_UNAUTHORIZED", problems).as_deref() == Some("false");
    for name in ["DB_SSL__CERT", "DB_SSL__KEY"] {
        if env.get(name, problems).is_some() {
            problems.add(format!("{name}: client certificates are not supported: use a password"));
        }
    }
    match (on, ca, unchecked) {
        (Some(false), _, _) | (None, None, false) => Tls::Off,
        (_, _, true) => Tls::Unchecked,
        (_, Some(ca), false) => Tls::CheckedAgainst(ca),
        (Some(true), None, false) => Tls::Checked,
    }
}

/// `db:5432`, `/run/postgresql:5432`; no secret.
fn target(driver: &tokio_postgres::Config) -> String {
    let port = driver.get_ports().first().copied().unwrap_or(5432);
    let host = match driver.get_hosts().first() {
        Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
        Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
        None => "?".to_owned(),
    };
    format!("{host}:{port}")
}

/// What `pg_stat_activity` shows, and what a waiting replica names as the holder: the container's host name.
fn application_name(env: &Env) -> String {
    format!("boot of {}", env.plain("HOSTNAME").unwrap_or("an unnamed host"))
}

/// Whether `PGOPTIONS` has `-c trm.timescaledb=optional` (libpq also takes `-ctrm…` and `--trm…`).
fn says_timescaledb_is_optional(options: &str) -> bool {
    options.contains("trm.timescaledb=optional")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<DatabaseConfig>, String) {
        let env: Env = [("DB_CLIENT", "pg")]
            .iter()
            .chain(variables)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut problems = Problems::default();
        let config = DatabaseConfig::from_env(&env, &mut problems);
        (config, problems.to_string())
    }

    const PARTS: [(&str, &str); 3] = [("DB_HOST", "db"), ("DB_DATABASE", "d"), ("DB_USER", "u")];

    fn tls_of(variables: &[(&str, &str)]) -> Tls {
        let (config, problems) = read(&[&PARTS, variables].concat());
        assert_eq!(problems, "");
        config.expect("no problems").tls
    }

    #[test]
    fn parts_become_a_target() {
        let (config, problems) = read(&[PARTS.as_slice(), &[("DB_PORT", "5433")]].concat());
        assert_eq!(problems, "");
        assert_eq!(config.expect("no problems").target, "db:5433");
    }

    #[test]
    fn a_connection_string_stands_for_the_parts() {
        let (config, problems) = read(&[("DB_CONNECTION_STRING", "postgres://u:hunter2@h:99/d")]);
        assert_eq!(problems, "");
        let config = config.expect("no problems");
        assert_eq!(config.target, "h:99");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_bad_connection_string_is_not_repeated() {
        let (config, problems) = read(&[("DB_CONNECTION_STRING", "postgres://u:hunter2@h:x/d?y")]);
        assert!(config.is_none());
        assert!(problems.starts_with("DB_CONNECTION_STRING is no URL"), "{problems}");
        assert!(!problems.contains("hunter2"));
    }

    #[test]
    fn a_port_that_is_no_number_is_named() {
        let (_, problems) = read(&[PARTS.as_slice(), &[("DB_PORT", "db")]].concat());
        assert_eq!(problems, "DB_PORT is `db`: give a number from 1 to 65535");
    }

    #[test]
    fn tls_follows_directus() {
        assert_eq!(tls_of(&[]), Tls::Off);
        assert_eq!(tls_of(&[("DB_SSL", "false")]), Tls::Off);
        assert_eq!(tls_of(&[("DB_SSL", "true")]), Tls::Checked);
        assert_eq!(tls_of(&[("DB_SSL__REJECT_UNAUTHORIZED", "false")]), Tls::Unchecked);
        assert_eq!(tls_of(&[("DB_SSL__CA", "pem")]), Tls::CheckedAgainst(Secret::new("pem".to_owned())));
    }

    #[test]
    fn the_way_out_of_timescaledb_is_read_from_pgoptions() {
        assert!(says_timescaledb_is_optional("-c statement_timeout=0 -c trm.timescaledb=optional"));
        assert!(!says_timescaledb_is_optional("-c trm.timescaledb=required"));
    }
}
