//! The image at run time: the requirements of a deployment, and the questions that an orchestrator may ask.
//!
//! deploy/stack.yaml and the chart's files/image.yaml are written from this, and the chart reads the latter. The
//! Dockerfile and compose.dev.yaml cannot be written from it; a test of the repository compares them with it.

use crate::{BINARY, DEFAULT_PORT, VARIABLES, Variable};

/// The image at run time.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// The port that the server listens on.
    pub port: u16,
    /// The id of the image's user. Any other user works too.
    pub user: u32,
    /// The id of that user's group.
    pub group: u32,
    /// The probes, in the order of a container's life.
    pub probes: [ProbeSpec; 3],
    /// The only paths that the image writes to, so that the root file system can be read-only.
    pub writable: [WritablePath; 3],
    /// Seconds from SIGTERM to SIGKILL. Longer than the time limits of [`Runtime::drain`].
    pub stop_grace: u32,
    /// Memory in MiB that a replica needs to boot and to serve.
    pub memory_floor: u32,
    /// Memory in MiB at which a replica may be killed.
    pub memory_limit: u32,
    /// Thousandths of a processor that a replica needs.
    pub cpu_floor: u32,
    /// The variables that every deployment sets.
    pub settings: &'static [Setting],
    /// The variables of several replicas. Directus shares its caches, locks, rate limits and schedules by Redis.
    pub replicas: &'static [Setting],
    /// The variables of uploads in a bucket instead of a volume.
    pub bucket: &'static [Setting],
    /// The variables by which a server that gets SIGTERM finishes the requests that it has accepted.
    pub drain: &'static [Setting],
}

/// One question of `entrypoint healthcheck`, and how often to ask it.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSpec {
    /// The argument of `healthcheck`.
    pub name: &'static str,
    /// The meaning of a success, as a phrase.
    pub asks: &'static str,
    /// Seconds between two questions.
    pub interval: u32,
    /// Seconds for an answer; longer than the probe's own time limit.
    pub timeout: u32,
    /// Failures in a row after which the answer counts as no.
    pub failures: u32,
}

impl ProbeSpec {
    /// The command of the probe.
    #[must_use]
    pub fn command(&self) -> [&'static str; 3] {
        [BINARY, "healthcheck", self.name]
    }
}

/// A path that the image writes to.
#[derive(Clone, Copy, Debug)]
pub struct WritablePath {
    /// The name of its volume.
    pub name: &'static str,
    /// The path in the container.
    pub path: &'static str,
    /// The kind of storage.
    pub storage: Storage,
    /// The files in it, as a phrase.
    pub content: &'static str,
}

/// The kind of storage behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Empty at each start; with the largest size in MiB.
    Scratch(u32),
    /// Kept, and the same for all replicas.
    Shared,
}

/// A variable that a deployment sets.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name in the environment.
    pub name: &'static str,
    /// The origin of the value.
    pub value: SettingValue,
    /// The reason for it, as a phrase.
    pub reason: &'static str,
}

impl Setting {
    /// The variable in the table of those that the boot reads.
    #[must_use]
    pub fn variable(&self) -> Option<&'static Variable> {
        VARIABLES.iter().find(|variable| variable.name == self.name)
    }
}

/// The origin of a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// The operator chooses it; there is no default.
    Asked,
    /// The operator may change it.
    Default(&'static str),
    /// A file with the value, named by `<NAME>_FILE`.
    Secret,
}

const fn asked(name: &'static str, reason: &'static str) -> Setting {
    Setting { name, value: SettingValue::Asked, reason }
}

const fn default(name: &'static str, value: &'static str, reason: &'static str) -> Setting {
    Setting { name, value: SettingValue::Default(value), reason }
}

const fn secret(name: &'static str, reason: &'static str) -> Setting {
    Setting { name, value: SettingValue::Secret, reason }
}

const PROBE_INTERVAL: u32 = 5;

/// Seconds from the start of a container until its server answers, at most: the time limits of the boot, one after the
/// other. `BOOT_DATABASE_TIMEOUT`, then `BOOT_LOCK_TIMEOUT` (the longest migration of another replica), then
/// `BOOT_DIRECTUS_TIMEOUT`. An orchestrator must not kill a container earlier.
pub const START_BUDGET: u32 = 60 + 600 + 600;

/// The image of this repository.
pub const RUNTIME: Runtime = Runtime {
    port: DEFAULT_PORT,
    user: 1000,
    group: 1000,
    probes: [
        ProbeSpec {
            name: "startup",
            asks: "the boot is over and the server answers",
            interval: PROBE_INTERVAL,
            timeout: 5,
            failures: START_BUDGET / PROBE_INTERVAL,
        },
        ProbeSpec {
            name: "ready",
            asks: "the server answers, and the database answers and has this image's schema",
            interval: 10,
            // The server and then the database have 4 s each.
            timeout: 10,
            failures: 2,
        },
        ProbeSpec {
            name: "live",
            asks: "the server answers, with any status; the database is not asked",
            interval: PROBE_INTERVAL,
            timeout: 5,
            failures: 3,
        },
    ],
    writable: [
        WritablePath {
            name: "uploads",
            path: "/directus/uploads",
            storage: Storage::Shared,
            content: "uploaded files, unless they go to a bucket",
        },
        WritablePath {
            name: "pm2",
            path: "/home/node/.pm2",
            storage: Storage::Scratch(16),
            content: "sockets and the process list of pm2; another user than the image's has them below /tmp",
        },
        WritablePath {
            name: "tmp",
            path: "/tmp",
            storage: Storage::Scratch(256),
            content: "bundles of app extensions, and temporary files of uploads and transformations",
        },
    ],
    stop_grace: 30,
    // An idle server took 184 MiB on the stand-in, a first boot 226 MB (docs/BENCHMARKS.md); the rest is for requests.
    memory_floor: 512,
    memory_limit: 1024,
    cpu_floor: 250,
    settings: &[
        asked("DB_HOST", "PostgreSQL's host name or address"),
        default("DB_PORT", "5432", "PostgreSQL's port"),
        default("DB_DATABASE", "directus", "the database, which must exist"),
        default("DB_USER", "directus", "a role that may create schemas and tables"),
        default("DB_SSL", "", "true for a database outside: encrypted, and verified"),
        default("PGOPTIONS", "", "options of sessions, such as one that makes an extension optional"),
        secret("DB_PASSWORD", "the role's password"),
        secret("SECRET", "signs tokens; the same for all replicas"),
        asked("PUBLIC_URL", "the URL in a browser"),
        asked("ADMIN_EMAIL", "the first administrator, created in a database that has none"),
        secret("ADMIN_PASSWORD", "the password of the first administrator"),
    ],
    replicas: &[
        asked("REDIS_HOST", "Redis or Valkey: by its bus, replicas forget cached schemas"),
        default("REDIS_PORT", "6379", "its port"),
        secret("REDIS_PASSWORD", "its password"),
        default("SYNCHRONIZATION_STORE", "redis", "a schedule runs once, not in each replica"),
        default("CACHE_STORE", "redis", "one cache for all replicas"),
        default("RATE_LIMITER_STORE", "redis", "limits count the requests of all replicas"),
    ],
    bucket: &[
        default("STORAGE_LOCATIONS", "s3", "the name of the location"),
        default("STORAGE_S3_DRIVER", "s3", "the driver"),
        asked("STORAGE_S3_BUCKET", "the bucket"),
        default("STORAGE_S3_REGION", "us-east-1", "its region"),
        asked("STORAGE_S3_ENDPOINT", "the server"),
        secret("STORAGE_S3_KEY", "the access key"),
        secret("STORAGE_S3_SECRET", "the secret key"),
    ],
    drain: &[
        default("SERVER_SHUTDOWN_TIMEOUT", "20000", "milliseconds for requests at SIGTERM"),
        default("PM2_KILL_TIMEOUT", "25000", "milliseconds until pm2 kills the server"),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        [RUNTIME.settings, RUNTIME.replicas, RUNTIME.bucket, RUNTIME.drain].into_iter().flatten()
    }

    fn number(settings: &[Setting], name: &str) -> u32 {
        let setting = settings.iter().find(|setting| setting.name == name).expect("the setting exists");
        let SettingValue::Default(value) = setting.value else { panic!("{name} has no default") };
        value.parse().expect("a number")
    }

    #[test]
    fn the_start_budget_is_the_sum_of_the_time_limits_of_a_boot() {
        let limits = ["BOOT_DATABASE_TIMEOUT", "BOOT_LOCK_TIMEOUT", "BOOT_DIRECTUS_TIMEOUT"].map(|name| {
            let limit = VARIABLES.iter().find(|variable| variable.name == name).expect("the limit exists");
            limit.default.parse::<u32>().expect("a number of seconds")
        });
        assert_eq!(limits.iter().sum::<u32>(), START_BUDGET);
        let startup = &RUNTIME.probes[0];
        assert_eq!(startup.interval * startup.failures, START_BUDGET);
    }

    #[test]
    fn the_server_may_finish_before_pm2_kills_it_and_pm2_before_the_engine_does() {
        let server = number(RUNTIME.drain, "SERVER_SHUTDOWN_TIMEOUT");
        let pm2 = number(RUNTIME.drain, "PM2_KILL_TIMEOUT");
        assert!(server < pm2 && pm2 < RUNTIME.stop_grace * 1000);
    }

    #[test]
    fn secrets_are_those_of_the_table_of_variables_and_required_variables_are_set() {
        for setting in settings() {
            if let Some(variable) = setting.variable() {
                assert_eq!(setting.value == SettingValue::Secret, variable.secret, "{}", setting.name);
            }
        }
        for variable in VARIABLES.iter().filter(|variable| variable.default == "required") {
            // The image sets it.
            let is_set = variable.name == "DB_CLIENT" || settings().any(|setting| setting.name == variable.name);
            assert!(is_set, "{} is required and no deployment sets it", variable.name);
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = settings().map(|setting| setting.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
