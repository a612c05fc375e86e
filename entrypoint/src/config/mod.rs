//! Phase 1: the variables, read as Directus reads them and checked as a whole.
//!
//! All problems are reported together, so that the operator can correct them at once.

mod advisories;
mod connection_string;
mod database;
mod env;
mod problems;
mod redis;
mod secrets;
mod tls;
mod unknown;

use std::path::PathBuf;
use std::time::Duration;

pub use database::{DatabaseConfig, Variables};
pub use env::Env;
pub use problems::Problems;
pub use redis::{RedisAddress, RedisConfig};
pub use secrets::redactor;

use crate::database::lock_retry::LockRetry;
use crate::log::LogStyle;
use crate::migrations::Acceptance;
use contract;

/// Values for Directus' variables that the operator did not set.
const DEFAULTS: [(&str, &str); 3] = [
    // Directus refuses to start without it.
    ("DB_PORT", "5432"),
    // Directus' own default is inside its code, which should not need to be writable.
    ("TEMP_PATH", "/tmp/directus"),
    // The image's health check requests this path every few seconds, which would fill the log.
    ("LOG_HTTP_IGNORE_PATHS", "/server/ping"),
];

/// Variables that a server must not see: with them it could change its schema.
const OF_THE_BOOT: [&str; 6] = [
    "BOOT_DB_USER",
    "BOOT_DB_USER_FILE",
    "BOOT_DB_PASSWORD",
    "BOOT_DB_PASSWORD_FILE",
    "BOOT_DB_CONNECTION_STRING",
    "BOOT_DB_CONNECTION_STRING_FILE",
];

/// The configuration of a boot.
#[derive(Debug)]
pub struct Config {
    /// The connection to PostgreSQL.
    pub database: DatabaseConfig,
    /// The Redis that Directus uses, if any.
    pub redis: Option<RedisConfig>,
    /// The paths of the image's parts.
    pub paths: Paths,
    /// The time limits of the phases.
    pub timeouts: Timeouts,
    /// Limits on waiting for locks.
    pub lock_retry: LockRetry,
    /// The edited migration that is accepted.
    pub migration_accept: Option<Acceptance>,
    /// `ADMIN_EMAIL`, if an administrator is to be created.
    pub admin_email: Option<String>,
    /// The mode of phase 6.
    pub schema_mode: SchemaMode,
    /// The digest of the one destructive plan that is allowed.
    pub allow_destructive: Option<String>,
    /// Days that removed data stays in the attic.
    pub attic_days: u32,
    /// The tables of `DB_EXCLUDE_TABLES`, without those that db-init owns.
    pub exclude_tables: Vec<String>,
    /// Directus' own variables that are not set and need another value than Directus' default in this image.
    pub defaults: Vec<(&'static str, &'static str)>,
    /// The origin of each ledger row: `version@revision`.
    pub image: String,
    /// Warnings for the operator, which do not prevent the boot.
    pub warnings: Vec<String>,
}

/// The paths of the image's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The folder of the SQL files before the schema; its sub-folder `post-schema` has those after it.
    pub db_init: PathBuf,
    /// The Directus snapshot.
    pub snapshot: PathBuf,
    /// The folder of the bridge, the start script and the pm2 file.
    pub scripts: PathBuf,
    /// The folder of Directus itself.
    pub directus: PathBuf,
    /// Custom migrations of Directus, which need not exist.
    pub custom_migrations: PathBuf,
}

/// The mode of phase 6 (`SCHEMA_APPLY_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaMode {
    /// Apply the snapshot, unless that would destroy data.
    Auto,
    /// Only show the plan.
    Plan,
    /// Skip the phase.
    Skip,
}

impl SchemaMode {
    fn from_env(env: &Env, problems: &mut Problems) -> SchemaMode {
        match env.plain("SCHEMA_APPLY_MODE") {
            None | Some("auto") => SchemaMode::Auto,
            Some("plan") => SchemaMode::Plan,
            Some("skip") => SchemaMode::Skip,
            Some(other) => {
                problems.add(format!("SCHEMA_APPLY_MODE is `{other}`: give auto, plan or skip"));
                SchemaMode::Auto
            }
        }
    }
}

/// The time limits of the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The limit until PostgreSQL answers a query, and the one until Redis answers.
    pub database: Duration,
    /// The limit until the boot lock is acquired.
    pub lock: Duration,
    /// The limit for bootstrap and schema together.
    pub directus: Duration,
}

impl Config {
    /// Reads and checks the variables.
    ///
    /// # Errors
    /// Every problem, not only the first.
    pub fn from_env(env: &Env) -> Result<Config, Problems> {
        let mut problems = Problems::default();
        // In Directus a config file overrides the environment, so the boot could use another database.
        if let Some(path) = env.plain("CONFIG_PATH") {
            problems.add(format!("CONFIG_PATH ({path}) is not supported: set the variables themselves"));
        }
        let mut warnings = unknown::unknown_names(env, &mut problems);
        warnings.extend(advisories::refuse_dangerous(env, &mut problems));
        let database = DatabaseConfig::from_env(env, &mut problems);
        let redis = RedisConfig::from_env(env, &mut problems);
        if env.get("SECRET", &mut problems).is_none() && !problems.mention("SECRET") {
            problems.add("SECRET is not set: give a long random text, the same for all replicas");
        }
        let admin_email = env.get("ADMIN_EMAIL", &mut problems);
        let admin_password = env.get("ADMIN_PASSWORD", &mut problems);
        match (&admin_email, &admin_password) {
            (Some(_), None) if !problems.mention("ADMIN_PASSWORD") => {
                problems.add("ADMIN_PASSWORD is not set, but ADMIN_EMAIL is: set both or neither");
            }
            (None, Some(_)) if !problems.mention("ADMIN_EMAIL") => {
                problems.add("ADMIN_EMAIL is not set, but ADMIN_PASSWORD is: set both or neither");
            }
            _ => {}
        }
        let timeouts = Timeouts {
            database: seconds(env, "BOOT_DATABASE_TIMEOUT", 60, &mut problems),
            lock: seconds(env, "BOOT_LOCK_TIMEOUT", 600, &mut problems),
            directus: seconds(env, "BOOT_DIRECTUS_TIMEOUT", 600, &mut problems),
        };
        let lock_retry = LockRetry {
            timeout: seconds(env, "MIGRATION_LOCK_TIMEOUT", 5, &mut problems),
            tries: tries(env, "MIGRATION_LOCK_TRIES", 6, &mut problems),
        };
        let attic_days = days(env, "BOOT_ATTIC_DAYS", 30, &mut problems);
        let migration_accept = env
            .plain("MIGRATION_ACCEPT")
            .and_then(|value| Acceptance::parse(value).map_err(|problem| problems.add(problem)).ok());
        let paths = Paths {
            db_init: path(env, "BOOT_DB_INIT_DIR", contract::DB_INIT_DIR),
            snapshot: path(env, "BOOT_SNAPSHOT_FILE", contract::SNAPSHOT_FILE),
            scripts: path(env, "BOOT_SCRIPTS_DIR", contract::SCRIPTS_DIR),
            directus: path(env, "BOOT_DIRECTUS_DIR", contract::WORK_DIR),
            custom_migrations: path(env, "MIGRATIONS_PATH", "migrations"),
        };
        let schema_mode = SchemaMode::from_env(env, &mut problems);
        let exclude_tables = env
            .get("DB_EXCLUDE_TABLES", &mut problems)
            .unwrap_or_else(|| "spatial_ref_sys,sysdiagrams".to_owned())
            .split(',')
            .map(|table| table.trim().to_owned())
            .filter(|table| !table.is_empty())
            .collect();
        let allow_destructive = env.get("SCHEMA_ALLOW_DESTRUCTIVE", &mut problems);
        match database {
            Some(database) if problems.is_empty() => Ok(Config {
                database,
                redis,
                paths,
                timeouts,
                lock_retry,
                migration_accept,
                attic_days,
                admin_email,
                schema_mode,
                allow_destructive,
                exclude_tables,
                defaults: DEFAULTS.into_iter().filter(|(name, _)| !env.is_set(name)).collect(),
                image: image_name(env).to_owned(),
                warnings,
            }),
            _ => Err(problems),
        }
    }

    /// The tables that Directus must not see: those of `DB_EXCLUDE_TABLES`, and those that db-init owns.
    #[must_use]
    pub fn excluded_tables<'a>(&self, owned_tables: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut excluded = self.exclude_tables.clone();
        for table in owned_tables {
            if !excluded.iter().any(|other| other == table) {
                excluded.push(table.to_owned());
            }
        }
        excluded
    }

    /// The server's variables on top of the environment, so that it has the same configuration as the boot.
    #[must_use]
    pub fn server_variables<'a>(&self, owned_tables: impl IntoIterator<Item = &'a str>) -> Variables {
        let excluded = self.excluded_tables(owned_tables);
        let defaults = self.defaults.iter().map(|(name, value)| (*name, Some((*value).to_owned())));
        let mut variables: Variables = defaults.collect();
        variables.extend([("DB_EXCLUDE_TABLES", Some(excluded.join(","))), ("DB_EXCLUDE_TABLES_FILE", None)]);
        variables.extend(self.database.for_directus.clone());
        variables.extend(OF_THE_BOOT.map(|name| (name, None)));
        let data_model = self.database.server_role.is_some().then(|| contract::DATA_MODEL_READ_ONLY.to_owned());
        variables.insert(contract::DATA_MODEL, data_model);
        variables
    }

    /// The bridge's variables on top of the environment. It connects by `BOOT_DB_*` if they are set, because it runs
    /// Directus' migrations, whose locks do not hold through a pooler either.
    #[must_use]
    pub fn bridge_variables<'a>(&self, owned_tables: impl IntoIterator<Item = &'a str>) -> Variables {
        let mut variables = self.server_variables(owned_tables);
        variables.extend(self.database.bridge_variables());
        variables
    }
}

/// The style of the log, which is needed before the configuration is read.
#[must_use]
pub fn log_style(env: &Env) -> LogStyle {
    LogStyle::from_variable(env.plain("LOG_STYLE"))
}

fn path(env: &Env, name: &str, default: &str) -> PathBuf {
    PathBuf::from(env.plain(name).unwrap_or(default))
}

/// The image's version and revision, `1.4.0@4f2c…`; `unknown` outside of an image.
#[must_use]
pub fn image_name(env: &Env) -> &str {
    env.plain("BOOT_IMAGE").unwrap_or("unknown")
}

fn seconds(env: &Env, name: &str, default: u64, problems: &mut Problems) -> Duration {
    let seconds = match env.get(name, problems).map(|value| (value.parse::<u64>(), value)) {
        None => default,
        Some((Ok(seconds), _)) if seconds > 0 => seconds,
        Some((_, value)) => {
            problems.add(format!("{name} is `{value}`: give a whole number of seconds above 0"));
            default
        }
    };
    Duration::from_secs(seconds)
}

fn days(env: &Env, name: &str, default: u32, problems: &mut Problems) -> u32 {
    match env.plain(name).map(|value| (value, value.parse::<u32>())) {
        None => default,
        Some((_, Ok(days))) => days,
        Some((value, _)) => {
            problems.add(format!("{name} is `{value}`: give a whole number of days, 0 or more"));
            default
        }
    }
}

fn tries(env: &Env, name: &str, default: u32, problems: &mut Problems) -> u32 {
    match env.plain(name).map(|value| (value, value.parse::<u32>())) {
        None => default,
        Some((_, Ok(tries))) if tries > 0 => tries,
        Some((value, _)) => {
            problems.add(format!("{name} is `{value}`: give a whole number above 0"));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("DB_CLIENT", "pg"),
        ("DB_HOST", "db"),
        ("DB_DATABASE", "directus"),
        ("DB_USER", "directus"),
        ("DB_PASSWORD", "hunter2"),
        ("SECRET", "s3cret"),
    ];

    fn config(change: impl Fn(&mut BTreeMap<String, String>)) -> Result<Config, Problems> {
        let mut variables = GOOD.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        change(&mut variables);
        Config::from_env(&variables.into_iter().collect())
    }

    fn with(name: &str, value: &str) -> Result<Config, Problems> {
        config(|variables| drop(variables.insert(name.to_owned(), value.to_owned())))
    }

    #[test]
    fn a_minimal_configuration_is_enough() {
        let config = config(|_| ()).expect("a complete configuration");
        assert_eq!(config.timeouts.database, Duration::from_secs(60));
        assert_eq!(config.paths.db_init, PathBuf::from("/directus/db-init"));
        assert_eq!(config.server_variables([])["DB_PORT"].as_deref(), Some("5432"));
    }

    #[test]
    fn all_problems_are_reported_together() {
        let problems = config(|variables| {
            variables.remove("DB_DATABASE");
            variables.remove("SECRET");
            variables.insert("BOOT_LOCK_TIMEOUT".to_owned(), "soon".to_owned());
        })
        .expect_err("three problems");
        let text = problems.to_string();
        for part in ["DB_DATABASE is not set", "SECRET is not set", "BOOT_LOCK_TIMEOUT is `soon`"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn debug_output_of_the_configuration_contains_no_secret() {
        let text = format!("{:?}", with("ADMIN_EMAIL", "a@b.c").map_err(|problems| problems.to_string()));
        assert!(!text.contains("hunter2") && !text.contains("s3cret"));
        let text = format!("{:?}", config(|_| ()));
        assert!(!text.contains("hunter2") && !text.contains("s3cret"), "{text}");
    }

    #[test]
    fn the_sqlite_preset_of_the_base_image_is_refused() {
        let problems = with("DB_CLIENT", "sqlite3").expect_err("not PostgreSQL");
        assert!(problems.to_string().contains("DB_CLIENT is `sqlite3`"), "{problems}");
    }

    #[test]
    fn an_administrator_needs_both_an_email_and_a_password() {
        assert!(with("ADMIN_EMAIL", "a@b.c").is_err());
        assert!(with("ADMIN_PASSWORD", "x").is_err());
    }

    #[test]
    fn a_config_file_that_would_override_the_environment_is_refused() {
        assert!(with("CONFIG_PATH", "/x.env").is_err());
    }

    #[test]
    fn the_server_gets_nothing_of_the_role_of_the_boot() {
        let config = config(|variables| {
            variables.insert("BOOT_DB_USER".to_owned(), "owner".to_owned());
            variables.insert("BOOT_DB_PASSWORD".to_owned(), "hunter3".to_owned());
        })
        .expect("a complete configuration");
        assert_eq!(config.database.server_role.as_deref(), Some("directus"));
        let (server, bridge) = (config.server_variables([]), config.bridge_variables([]));
        for name in ["BOOT_DB_USER", "BOOT_DB_PASSWORD", "BOOT_DB_PASSWORD_FILE", "BOOT_DB_CONNECTION_STRING"] {
            assert_eq!(server[name], None, "{name}");
        }
        assert!(!server.contains_key("DB_USER") && !server.contains_key("DB_PASSWORD"));
        assert_eq!(server[contract::DATA_MODEL].as_deref(), Some(contract::DATA_MODEL_READ_ONLY));
        assert_eq!(bridge["DB_USER"].as_deref(), Some("string:owner"));
        assert_eq!(bridge["DB_PASSWORD"].as_deref(), Some("string:hunter3"));
    }

    #[test]
    fn one_role_leaves_the_data_model_to_the_server() {
        let config = config(|_| ()).expect("a complete configuration");
        assert_eq!(config.database.server_role, None);
        assert_eq!(config.server_variables([])[contract::DATA_MODEL], None);
    }

    #[test]
    fn owned_tables_are_added_to_those_that_the_operator_excludes() {
        let config = with("DB_EXCLUDE_TABLES", "a, positions").expect("a good value");
        let variables = config.server_variables(["positions", "laps"]);
        assert_eq!(variables["DB_EXCLUDE_TABLES"].as_deref(), Some("a,positions,laps"));
        assert_eq!(variables["DB_EXCLUDE_TABLES_FILE"], None);
    }
}
