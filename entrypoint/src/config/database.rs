//! The connection to PostgreSQL: Directus' `DB_*` variables with the `PG*` ones that pg adds, and `BOOT_DB_*`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, iter};

use super::connection_string::ConnectionString;
use super::tls::{self, Ssl};
use super::{Env, Problems};
use crate::database::{TlsClient, settings};
use crate::secret::Secret;
use tokio_postgres::config::SslMode;

/// PostgreSQL's default port.
const DEFAULT_PORT: u16 = 5432;
/// The schemas of the boot. By default, PostgreSQL's search_path begins with the schema of the role's name.
const OWN_SCHEMAS: [&str; 2] = ["boot", "attic"];
/// Session settings that a connection string may contain as separate parameters, in addition to `options`.
const LIMITS: [&str; 3] = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/// Variables for a child, on top of the environment; `None` removes one.
pub type Variables = BTreeMap<&'static str, Option<String>>;

/// The settings of a connection to PostgreSQL.
pub struct DatabaseConfig {
    /// The server for messages: `db:5432`. Contains no secret.
    pub target: String,
    /// The host name, the address, or the folder of a UNIX socket.
    pub host: String,
    /// The port, which is also part of a socket's name.
    pub port: u16,
    /// The driver's configuration, without the server.
    pub driver: tokio_postgres::Config,
    /// `DB_SEARCH_PATH` is set.
    pub has_search_path: bool,
    /// Names of the session settings that the operator gives.
    pub given_settings: Vec<String>,
    /// The folder of the scripts, for connections that Node makes.
    pub scripts: PathBuf,
    /// The TLS settings; `None` for a plain connection.
    pub tls: Option<TlsClient>,
    /// The role of the server, if the boot has another one.
    pub server_role: Option<String>,
    /// Variables for every Directus process, so that it connects in the same way.
    pub(super) for_directus: Variables,
    /// Further variables for the bridge, so that it uses `BOOT_DB_*`.
    pub(super) for_bridge: Variables,
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the driver's configuration and the variables, which contain the password.
        f.debug_struct("DatabaseConfig").field("target", &self.target).field("tls", &self.tls).finish_non_exhaustive()
    }
}

impl DatabaseConfig {
    /// Reads the `DB_*` variables; `None` after adding to `problems`.
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
        let settings = Settings::from_env(env, problems);
        let direct = Direct::from_env(env, problems);
        let settings = settings?;
        let server_role = settings.user.clone();
        let (settings, for_bridge) = direct.apply_to(settings, env, problems)?;
        let Settings { host, port, database, user, password, mut options, ssl, url: _ } = settings;
        let search_path = search_path?;
        let has_search_path = search_path.is_some();
        if let Some(search_path) = search_path {
            options.push(format!("-c search_path={}", escape_option(&search_path)));
        }
        if !has_search_path && OWN_SCHEMAS.contains(&user.as_str()) {
            problems.add(format!(
                "DB_USER or BOOT_DB_USER is `{user}`, the name of a schema of the boot, where PostgreSQL would look first: \
                 rename the role, or set DB_SEARCH_PATH=public"
            ));
        }
        let tls = tls::client(ssl, &host, env, problems);
        let server_role = Some(server_role).filter(|role| *role != user);

        let mut driver = tokio_postgres::Config::new();
        driver.dbname(database).user(user).application_name(application_name(env));
        // The connection is encrypted, if at all, before the driver gets it.
        driver.ssl_mode(SslMode::Disable);
        if let Some(password) = password {
            driver.password(password.reveal());
        }
        let options = options.join(" ");
        if !options.is_empty() {
            driver.options(&options);
        }
        Some(DatabaseConfig {
            target: format!("{host}:{port}"),
            host,
            port,
            driver,
            has_search_path,
            given_settings: settings::names_in_options(&options),
            scripts: env.plain("BOOT_SCRIPTS_DIR").unwrap_or(contract::SCRIPTS_DIR).into(),
            tls,
            server_role,
            for_directus: for_directus(env),
            for_bridge,
        })
    }
}

impl DatabaseConfig {
    /// Variables for a Node process that connects as the boot does.
    #[must_use]
    pub fn bridge_variables(&self) -> Variables {
        let mut variables = self.for_directus.clone();
        variables.extend(self.for_bridge.clone());
        variables.insert(contract::SESSION_SQL, Some(settings::fix(&self.given_settings)));
        variables
    }
}

/// The settings from a URL or from separate variables.
struct Settings {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: Option<Secret>,
    /// Session options, in the form of `PGOPTIONS`.
    options: Vec<String>,
    ssl: Ssl,
    /// The URL, if the settings come from one.
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

/// `BOOT_DB_*`: the boot's own connection, which bypasses a pooler or has another role.
struct Direct {
    host: Option<String>,
    port: Option<u16>,
    role: Option<(String, String)>,
    url: Option<String>,
}

impl Direct {
    fn from_env(env: &Env, problems: &mut Problems) -> Direct {
        let url = env.get_text("BOOT_DB_CONNECTION_STRING", problems);
        let host = env.get_text("BOOT_DB_HOST", problems);
        let port = port("BOOT_DB_PORT", env, problems);
        let role = boot_role(env, problems);
        if url.is_some() && (host.is_some() || port.is_some() || role.is_some()) {
            problems.add(
                "BOOT_DB_CONNECTION_STRING is set together with BOOT_DB_HOST, BOOT_DB_PORT or BOOT_DB_USER: keep one of \
                 them",
            );
        }
        Direct { host, port, role, url }
    }

    /// Returns the boot's settings, and the variables that give the bridge the same ones.
    fn apply_to(self, mut settings: Settings, env: &Env, problems: &mut Problems) -> Option<(Settings, Variables)> {
        if let Some(url) = self.url {
            let settings = from_url("BOOT_DB_CONNECTION_STRING", &url, env, problems)?;
            return Some((settings, set("DB_CONNECTION_STRING", "DB_CONNECTION_STRING_FILE", url)));
        }
        let mut variables = Variables::new();
        if self.host.is_none() && self.port.is_none() && self.role.is_none() {
            return Some((settings, variables));
        }
        if self.role.as_ref().is_some_and(|(user, _)| *user == settings.user) {
            problems.add(
                "BOOT_DB_USER is the role of DB_USER, too: name the owner of the schema in it and another role in DB_USER, \
                 or unset BOOT_DB_USER and BOOT_DB_PASSWORD",
            );
        }
        settings.host = self.host.unwrap_or(settings.host);
        settings.port = self.port.unwrap_or(settings.port);
        if let Some(url) = &settings.url {
            let url = url.with(&settings.host, settings.port, self.role.as_ref());
            variables = set("DB_CONNECTION_STRING", "DB_CONNECTION_STRING_FILE", url);
        } else {
            variables.extend(set("DB_HOST", "DB_HOST_FILE", settings.host.clone()));
            variables.extend([("DB_PORT", Some(settings.port.to_string())), ("DB_PORT_FILE", None)]);
            if let Some((user, password)) = &self.role {
                variables.extend(set("DB_USER", "DB_USER_FILE", user.clone()));
                variables.extend(set("DB_PASSWORD", "DB_PASSWORD_FILE", password.clone()));
            }
        }
        if let Some((user, password)) = self.role {
            settings.user = user;
            settings.password = Some(Secret::new(password));
        }
        Some((settings, variables))
    }
}

/// Name and password of the boot's role.
fn boot_role(env: &Env, problems: &mut Problems) -> Option<(String, String)> {
    match ["BOOT_DB_USER", "BOOT_DB_PASSWORD"].map(|name| env.get(name, problems)) {
        [Some(user), Some(password)] => Some((user, password)),
        [None, None] => None,
        [user, _] => {
            let [set, missing] = if user.is_some() {
                ["BOOT_DB_USER", "BOOT_DB_PASSWORD"]
            } else {
                ["BOOT_DB_PASSWORD", "BOOT_DB_USER"]
            };
            if !problems.mention(missing) {
                problems.add(format!("{missing} is not set, but {set} is: set both or neither"));
            }
            None
        }
    }
}

/// A variable for the bridge, marked as a string so that Directus does not guess its type.
fn set(name: &'static str, file_name: &'static str, value: String) -> Variables {
    [(name, Some(format!("string:{value}"))), (file_name, None)].into()
}

/// Reads a URL as pg does: missing parts come from `PG*`.
fn from_url(variable: &str, url: &str, env: &Env, problems: &mut Problems) -> Option<Settings> {
    let string = match ConnectionString::parse(url) {
        Ok(string) => string,
        Err(problem) => {
            problems.add(format!("{variable} {problem}"));
            return None;
        }
    };
    let ssl = tls::from_parameters(&string.parameters, variable, problems);
    let asks_for_tls =
        tls::has_options(env) || !matches!(env.get("DB_SSL", problems).as_deref(), None | Some("false" | "0"));
    if matches!(ssl, Ssl::Unset) && asks_for_tls {
        // Directus reads either the URL or the parts, so it would connect without the TLS that the operator set.
        problems.add(format!(
            "{variable} makes Directus ignore DB_SSL and DB_SSL__…: append ?sslmode=verify-full \
             (and &sslrootcert=<file>) to it instead"
        ));
    }
    let port = match (string.port, env.plain("PGPORT")) {
        (Some(port), _) => port,
        (None, None) => DEFAULT_PORT,
        (None, Some(_)) => port("PGPORT", env, problems)?,
    };
    let [host, database, user] = [
        (&string.host, "PGHOST", "host"),
        (&string.database, "PGDATABASE", "database"),
        (&string.user, "PGUSER", "user"),
    ]
    .map(|(part, fallback, name)| {
        let value = part.clone().or_else(|| env.plain(fallback).map(str::to_owned));
        if value.is_none() {
            problems.add(format!("{variable} does not name a {name}: postgres://user:password@host:5432/database"));
        }
        value
    });
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
    let host = env.get_text("DB_HOST", problems);
    let [database, user] = ["DB_DATABASE", "DB_USER"].map(|name| env.get(name, problems));
    for (value, name, remedy) in [
        (&host, "DB_HOST", "name PostgreSQL's host"),
        (&database, "DB_DATABASE", "name the database"),
        (&user, "DB_USER", "name the role"),
    ] {
        if value.is_none() && !problems.mention(name) {
            problems.add(format!("{name} is not set: {remedy}"));
        }
    }
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

/// Escapes a value for `options`, where an unescaped space ends it.
fn escape_option(value: &str) -> String {
    value.chars().fold(String::new(), |mut escaped, character| {
        escaped.extend(iter::once('\\').filter(|_| character.is_whitespace() || character == '\\'));
        escaped.push(character);
        escaped
    })
}

/// Reads `DB_SEARCH_PATH` as knex sets it in every session: a list of quoted names. The outer `None` means a problem.
#[allow(clippy::option_option)]
fn search_path(env: &Env, problems: &mut Problems) -> Option<Option<String>> {
    let Some((value, marked)) = env.read("DB_SEARCH_PATH", problems) else {
        return if problems.mention("DB_SEARCH_PATH") { None } else { Some(None) };
    };
    let names: Vec<&str> = value.split(',').filter(|name| !name.is_empty()).collect();
    let problem = if names.iter().any(|name| name.trim() != *name || name.contains('"')) {
        "contains spaces or quotes, which Directus reads as part of a name: write a,b"
    } else if marked && names.len() > 1 {
        "is marked as a string, which Directus reads as one name: remove `string:`"
    } else if !marked && names.iter().any(|name| may_change_type(name)) {
        "contains a name that Directus may read as a number or a boolean: rename that schema"
    } else if names.is_empty() {
        "does not contain a name: name PostgreSQL schemas, comma-separated"
    } else {
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        return Some(Some(quoted.join(",")));
    };
    problems.add(format!("DB_SEARCH_PATH {problem}"));
    None
}

/// Returns true if Directus may read a name as a number, a boolean or null.
fn may_change_type(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        || matches!(name, "true" | "false" | "null")
}

/// Removes `DB_SSL` if `DB_SSL__*` are set, which are more specific: Directus would use the one that is last in the
/// environment.
fn for_directus(env: &Env) -> Variables {
    if tls::has_options(env) { [("DB_SSL", None), ("DB_SSL_FILE", None)].into() } else { Variables::new() }
}

/// The name in `pg_stat_activity`, by which a waiting replica names the holder of the lock: the container's host name.
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
    fn a_connection_string_replaces_the_parts() {
        let (config, problems) = read(&[("DB_CONNECTION_STRING", "postgres://u:hunter2@h:99/d")]);
        assert_eq!(problems, "");
        let config = config.expect("no problems");
        assert_eq!(config.target, "h:99");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_bad_connection_string_is_not_quoted() {
        let (config, problems) = read(&[("DB_CONNECTION_STRING", "postgres://u:hunter2@h:x/d?y")]);
        assert!(config.is_none());
        assert!(problems.starts_with("DB_CONNECTION_STRING has a port that is not a number"), "{problems}");
        assert!(!problems.contains("hunter2"));
    }

    #[test]
    fn a_port_that_is_not_a_number_is_quoted() {
        let (_, problems) = read(&[PARTS.as_slice(), &[("DB_PORT", "db")]].concat());
        assert_eq!(problems, "DB_PORT is `db`: give a number from 1 to 65535");
    }
}
