//! How to reach PostgreSQL, from Directus' `DB_*` variables and what pg adds to them, and the boot's own way there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use std::{fmt, iter};

use super::connection_string::ConnectionString;
use super::tls::{self, Ssl};
use super::{Env, Problems};
use crate::database::TlsClient;
use crate::secret::Secret;

/// PostgreSQL's port where none is given.
const DEFAULT_PORT: u16 = 5432;
/// Limits that a connection string may give a session as parameters of their own, beside `options`.
const LIMITS: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// Variables for a child, on top of the environment; `None` removes one.
pub type Variables = BTreeMap<&'static str, Option<String>>;

/// How to reach PostgreSQL.
pub struct DatabaseConfig {
    /// For messages: `db:5432`. Holds no secret.
    pub target: String,
    /// What the driver connects by.
    pub driver: tokio_postgres::Config,
    /// How the connection is encrypted; `None` for a plain one.
    pub tls: Option<TlsClient>,
    /// What every Directus process gets, so that it connects as was read here.
    pub(super) for_directus: Variables,
    /// What the bridge gets on top, so that it goes the boot's own way.
    pub(super) for_bridge: Variables,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the driver's configuration nor the variables: the password is in them.
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
        let search_path = search_path(env, problems);
        let operators = Settings::from_env(env, problems);
        let direct = Direct::from_env(env, problems);
        let (settings, for_bridge) = direct.instead_of(operators?, env, problems)?;
        let Settings { host, port, database, user, password, mut options, ssl, url: _ } = settings;
        if let Some(search_path) = search_path? {
            options.push(format!("-c search_path={}", escape_option(&search_path)));
        }
        let tls = tls::client(ssl, &host, env, problems);

        let mut driver = tokio_postgres::Config::new();
        match tls.as_ref().and_then(|tls| tls.server_name.clone()).zip(host.parse::<IpAddr>().ok()) {
            // The driver checks the certificate for the host, and connects to the address.
            Some((name, address)) => driver.host(name).hostaddr(address),
            None => driver.host(&host),
        };
        driver.port(port).dbname(database).user(user);
        if let Some(password) = password {
            driver.password(password.reveal());
        }
        let options = options.join(" ");
        if !options.is_empty() {
            driver.options(&options);
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
            target: format!("{host}:{port}"),
            driver,
            tls,
            for_directus: for_directus(env),
            for_bridge,
        })
    }
}

/// What was read, from wherever.
struct Settings {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: Option<Secret>,
    /// Session options, in the form of `PGOPTIONS`.
    options: Vec<String>,
    ssl: Ssl,
    /// Where all of it comes from, if not from parts.
    url: Option<ConnectionString>,
}

impl Settings {
    fn from_env(env: &Env, problems: &mut Problems) -> Option<Settings> {
        match env.get_text("DB_CONNECTION_STRING", problems) {
            Some(url) => from_url("DB_CONNECTION_STRING", &url, env, problems),
            None if problems.mention("DB_CONNECTION_STRING") => None,
            None => from_parts(env, problems),
        }
    }
}

/// `BOOT_DB_*`: the boot's own way, past a pooler.
struct Direct {
    host: Option<String>,
    port: Option<u16>,
    url: Option<String>,
}

impl Direct {
    fn from_env(env: &Env, problems: &mut Problems) -> Direct {
        let url = env.get_text("BOOT_DB_CONNECTION_STRING", problems);
        let host = env.get_text("BOOT_DB_HOST", problems);
        let port = port("BOOT_DB_PORT", env, problems);
        if url.is_some() && (host.is_some() || port.is_some()) {
            problems.add("BOOT_DB_CONNECTION_STRING is set beside BOOT_DB_HOST or BOOT_DB_PORT: keep one way");
        }
        Direct { host, port, url }
    }

    /// The boot's settings, and the variables by which the bridge comes to the same.
    fn instead_of(self, mut operators: Settings, env: &Env, problems: &mut Problems) -> Option<(Settings, Variables)> {
        if let Some(url) = self.url {
            let settings = from_url("BOOT_DB_CONNECTION_STRING", &url, env, problems)?;
            return Some((settings, set("DB_CONNECTION_STRING", "DB_CONNECTION_STRING_FILE", url)));
        }
        let mut variables = Variables::new();
        if self.host.is_none() && self.port.is_none() {
            return Some((operators, variables));
        }
        operators.host = self.host.unwrap_or(operators.host);
        operators.port = self.port.unwrap_or(operators.port);
        if let Some(url) = &operators.url {
            let url = url.with_server(&operators.host, operators.port);
            variables = set("DB_CONNECTION_STRING", "DB_CONNECTION_STRING_FILE", url);
        } else {
            variables.extend(set("DB_HOST", "DB_HOST_FILE", operators.host.clone()));
            variables.extend([("DB_PORT", Some(operators.port.to_string())), ("DB_PORT_FILE", None)]);
        }
        Some((operators, variables))
    }
}

/// A variable for the bridge; as a string, so that Directus does not guess what it is.
fn set(name: &'static str, file_name: &'static str, value: String) -> Variables {
    [(name, Some(format!("string:{value}"))), (file_name, None)].into()
}

/// What pg makes of a URL: parts that it lacks come from `PG*`.
fn from_url(variable: &str, url: &str, env: &Env, problems: &mut Problems) -> Option<Settings> {
    let string = match ConnectionString::parse(url) {
        Ok(string) => string,
        Err(complaint) => {
            problems.add(format!("{variable} {complaint}"));
            return None;
        }
    };
    let ssl = tls::from_parameters(&string.parameters, variable, problems);
    let asks_for_tls =
        tls::has_options(env) || !matches!(env.get("DB_SSL", problems).as_deref(), None | Some("false" | "0"));
    if matches!(ssl, Ssl::Unset) && asks_for_tls {
        // Directus reads either the URL or the parts. To connect in the clear is not what the operator meant.
        problems.add(format!(
            "{variable} makes Directus overlook DB_SSL and DB_SSL__…: append ?sslmode=verify-full \
             (and &sslrootcert=<file>) to it instead"
        ));
    }
    let port = match (string.port, env.plain("PGPORT")) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(_)) => port("PGPORT", env, problems)?,
    };
    let mut part = |given: &Option<String>, fallback: &str, what: &str| {
        let value = given.clone().or_else(|| env.plain(fallback).map(str::to_owned));
        if value.is_none() {
            problems.add(format!("{variable} names no {what}: postgres://user:password@host:5432/database"));
        }
        value
    };
    let host = part(&string.host, "PGHOST", "host");
    let database = part(&string.database, "PGDATABASE", "database");
    let user = part(&string.user, "PGUSER", "user");
    let limits = LIMITS.iter().filter_map(|name| {
        let value = string.parameters.get(name)?;
        Some(format!("-c {name}={}", escape_option(value)))
    });
    Some(Settings {
        port,
        password: string.password.clone().or_else(|| password_of_pg(env)),
        options: options(string.parameters.get("options"), env).into_iter().chain(limits).collect(),
        ssl,
        host: host?,
        database: database?,
        user: user?,
        url: Some(string),
    })
}

fn from_parts(env: &Env, problems: &mut Problems) -> Option<Settings> {
    let ssl = tls::from_variables(env, problems);
    let mut required = |name: &str, what: &str| {
        let value = if name == "DB_HOST" { env.get_text(name, problems) } else { env.get(name, problems) };
        if value.is_none() && !problems.mention(name) {
            problems.add(format!("{name} is not set: {what}"));
        }
        value
    };
    let host = required("DB_HOST", "name PostgreSQL's host");
    let database = required("DB_DATABASE", "name the database");
    let user = required("DB_USER", "name the role");
    let password = env.get("DB_PASSWORD", problems).map(Secret::new);
    let port = port("DB_PORT", env, problems).or_else(|| (!problems.mention("DB_PORT")).then_some(DEFAULT_PORT));
    let (host, database, user, port) = (host?, database?, user?, port?);

    Some(Settings {
        password: password.or_else(|| password_of_pg(env)),
        options: options(env.get("DB_OPTIONS", problems).as_deref(), env),
        host,
        port,
        database,
        user,
        ssl,
        url: None,
    })
}

fn port(name: &str, env: &Env, problems: &mut Problems) -> Option<u16> {
    let text = env.get(name, problems)?;
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Some(port),
        _ => {
            problems.add(format!("{name} is `{text}`: give a number from 1 to 65535"));
            None
        }
    }
}

fn password_of_pg(env: &Env) -> Option<Secret> {
    env.plain("PGPASSWORD").map(|password| Secret::new(password.to_owned()))
}

fn options(given: Option<&str>, env: &Env) -> Vec<String> {
    given.or(env.plain("PGOPTIONS")).map(str::to_owned).into_iter().collect()
}

/// A value within `options`, where a space ends it.
fn escape_option(value: &str) -> String {
    value.chars().fold(String::new(), |mut escaped, character| {
        escaped.extend(iter::once('\\').filter(|_| character.is_whitespace() || character == '\\'));
        escaped.push(character);
        escaped
    })
}

/// `DB_SEARCH_PATH` as knex sets it in every session: a list of quoted names. The outer `None` stands for a problem.
#[allow(clippy::option_option)]
fn search_path(env: &Env, problems: &mut Problems) -> Option<Option<String>> {
    let Some((value, marked)) = env.read("DB_SEARCH_PATH", problems) else {
        return if problems.mention("DB_SEARCH_PATH") { None } else { Some(None) };
    };
    let names: Vec<&str> = value.split(',').filter(|name| !name.is_empty()).collect();
    let complaint = if names.iter().any(|name| name.trim() != *name || name.contains('"')) {
        "holds spaces or quotes, which Directus takes as part of a name: write a,b"
    } else if marked && names.len() > 1 {
        "is marked as one string, which Directus takes for one name: remove `string:`"
    } else if !marked && names.iter().any(|name| is_guessed_otherwise(name)) {
        "holds what Directus may take for a number or a truth value: rename that schema"
    } else if names.is_empty() {
        "holds no name: name PostgreSQL schemas, comma-separated"
    } else {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        return Some(Some(quoted.join(",")));
    };
    problems.add(format!("DB_SEARCH_PATH {complaint}"));
    None
}

/// Whether Directus may take a name for something else than a text.
fn is_guessed_otherwise(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        || matches!(name, "true" | "false" | "null")
}

/// `DB_SSL` beside `DB_SSL__*`: Directus obeys whichever stands later in the environment. The latter say more.
fn for_directus(env: &Env) -> Variables {
    if tls::has_options(env) { [("DB_SSL", None), ("DB_SSL_FILE", None)].into() } else { Variables::new() }
}

/// What `pg_stat_activity` shows, and what a waiting replica names as the holder: the container's host name.
fn application_name(env: &Env) -> String {
    format!("boot of {}", env.plain("HOSTNAME").unwrap_or("an unnamed host"))
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
        assert!(problems.starts_with("DB_CONNECTION_STRING has a port that is no number"), "{problems}");
        assert!(!problems.contains("hunter2"));
    }

    #[test]
    fn a_port_that_is_no_number_is_named() {
        let (_, problems) = read(&[PARTS.as_slice(), &[("DB_PORT", "db")]].concat());
        assert_eq!(problems, "DB_PORT is `db`: give a number from 1 to 65535");
    }
}
