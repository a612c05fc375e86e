//! The variables that the boot reads. The reference is generated from them.

/// The program that defines a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableGroup {
    /// A variable of Directus, which the boot reads as Directus does.
    Directus,
    /// A variable of the boot.
    Boot,
}

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name in the environment.
    pub name: &'static str,
    /// The program that defines it.
    pub group: VariableGroup,
    /// The value when it is not set; `required`, or `–` if it has none.
    pub default: &'static str,
    /// The description in the reference, in full sentences.
    pub description: &'static str,
    /// True if the value must never be shown.
    pub secret: bool,
}

impl Variable {
    const fn directus(name: &'static str, default: &'static str, description: &'static str) -> Self {
        Variable { name, group: VariableGroup::Directus, default, description, secret: false }
    }

    const fn boot(name: &'static str, default: &'static str, description: &'static str) -> Self {
        Variable { name, group: VariableGroup::Boot, default, description, secret: false }
    }

    const fn secret(self) -> Self {
        Variable { secret: true, ..self }
    }
}

/// All variables that the boot reads. Each variable of Directus may also be set as `<NAME>_FILE`, the path of a file that
/// contains the value.
pub const VARIABLES: &[Variable] = &[
    Variable::directus("DB_CLIENT", "required", "`pg`. The base image presets `sqlite3`, so it must be set."),
    Variable::directus("DB_HOST", "required", "PostgreSQL's host name or address."),
    Variable::directus("DB_PORT", "5432", "PostgreSQL's port."),
    Variable::directus("DB_DATABASE", "required", "The database; it must exist."),
    Variable::directus("DB_USER", "required", "The role; it must be allowed to create schemas and tables."),
    Variable::directus("DB_PASSWORD", "–", "The role's password.").secret(),
    Variable::directus(
        "DB_CONNECTION_STRING",
        "–",
        "A `postgres://` URL instead of the five above. Its sslmode controls TLS; DB_SSL is ignored.",
    )
    .secret(),
    Variable::directus("DB_SSL", "false", "`true`: TLS, verified against Mozilla's root certificates, as Node does."),
    Variable::directus("DB_SSL__CA", "–", "PEM certificates to verify the server's certificate with; turns TLS on."),
    Variable::directus("DB_SSL__CERT", "–", "The client's PEM certificate; needs DB_SSL__KEY.").secret(),
    Variable::directus("DB_SSL__KEY", "–", "The PEM private key of DB_SSL__CERT.").secret(),
    Variable::directus("DB_SSL__REJECT_UNAUTHORIZED", "true", "`false`: TLS without verifying the certificate."),
    Variable::directus("DB_SEARCH_PATH", "–", "PostgreSQL schemas, comma-separated, instead of the role's default."),
    Variable::directus(
        "DB_EXCLUDE_TABLES",
        "spatial_ref_sys,sysdiagrams",
        "Tables that Directus must not see; tables that db-init owns are added.",
    ),
    Variable::directus("SECRET", "required", "Signs tokens; the same for all replicas.").secret(),
    Variable::directus(
        "ADMIN_EMAIL",
        "–",
        "The e-mail address of the first administrator, created when the database has none.",
    ),
    Variable::directus("ADMIN_PASSWORD", "–", "The password of the first administrator.").secret(),
    Variable::directus("PORT", "8055", "The port that the server listens on and `healthcheck` queries."),
    Variable::directus(
        "REDIS",
        "–",
        "The URL of Redis, which the boot waits for. `REDIS_HOST`, `REDIS_PORT`, `REDIS_PATH` and `REDIS_USERNAME` are read \
         too.",
    )
    .secret(),
    Variable::directus("REDIS_PASSWORD", "–", "The password of Redis.").secret(),
    Variable::directus("LOG_STYLE", "pretty", "`raw`: one JSON object per line."),
    Variable::directus(
        "LOG_HTTP_IGNORE_PATHS",
        "/server/ping",
        "Requests that Directus does not log; by default the health check's.",
    ),
    Variable::directus("TEMP_PATH", "/tmp/directus", "The folder in which Directus bundles app extensions."),
    Variable::directus(
        "WEBSOCKETS_REST_AUTH",
        "handshake",
        "`public` is refused, because of [CVE-2026-126539](advisories.md).",
    ),
    Variable::directus("WEBSOCKETS_GRAPHQL_AUTH", "handshake", "As above."),
    Variable::directus(
        "PGOPTIONS",
        "–",
        "Session options. SQL files may require settings here, such as one that makes an extension optional.",
    ),
    Variable::boot(
        "BOOT_DATABASE_TIMEOUT",
        "60",
        "Seconds to wait for an answer of PostgreSQL, before and during the boot, and of Redis.",
    ),
    Variable::boot("BOOT_LOCK_TIMEOUT", "600", "Seconds to wait for another boot of the same database."),
    Variable::boot("BOOT_DIRECTUS_TIMEOUT", "600", "Seconds that bootstrap and schema may take together."),
    Variable::boot("BOOT_DB_HOST", "DB_HOST", "PostgreSQL's host for the boot alone, where DB_HOST is a pooler."),
    Variable::boot("BOOT_DB_PORT", "DB_PORT", "PostgreSQL's port for the boot alone."),
    Variable::boot(
        "BOOT_DB_USER",
        "DB_USER",
        "The role of the boot alone, which owns the schema; DB_USER then only needs to exist. See [two \
         roles](../operate.md#two-roles).",
    ),
    Variable::boot("BOOT_DB_PASSWORD", "DB_PASSWORD", "The password of BOOT_DB_USER.").secret(),
    Variable::boot("BOOT_DB_CONNECTION_STRING", "–", "A `postgres://` URL for the boot alone.").secret(),
    Variable::boot(
        "MIGRATION_LOCK_TIMEOUT",
        "5",
        "Seconds that a migration waits for a lock before it rolls back and tries again.",
    ),
    Variable::boot("MIGRATION_LOCK_TRIES", "6", "The number of tries to get that lock."),
    Variable::boot(
        "MIGRATION_ACCEPT",
        "–",
        "`<file>:<checksum>`: accepts one file that was edited after it was applied, without running it again.",
    ),
    Variable::boot(
        "SCHEMA_APPLY_MODE",
        "auto",
        "`plan`: log the changes of the snapshot and start the server without them; `skip`: ignore the snapshot.",
    ),
    Variable::boot("SCHEMA_ALLOW_DESTRUCTIVE", "–", "The digest of one refused plan, to allow exactly this plan."),
    Variable::boot(
        "BOOT_ATTIC_DAYS",
        "30",
        "Days that removed tables, columns and rows can be restored (`entrypoint attic`). Boots that change the database purge older ones.",
    ),
    Variable::boot(
        "BOOT_ACCEPT_ADVISORY",
        "–",
        "The CVE number of an [advisory](advisories.md) whose dangerous setting the operator accepts; the boot then only warns.",
    ),
    Variable::boot(
        "BOOT_METRICS_FILE",
        "–",
        "The path of a file ending in `.prom`, or a folder, for [the metrics of the boot](metrics.md).",
    ),
    Variable::boot("BOOT_DB_INIT_DIR", "/directus/db-init", "The folder of the SQL files."),
    Variable::boot("BOOT_SNAPSHOT_FILE", "/directus/snapshots/schema.yaml", "The path of the snapshot."),
    Variable::boot("BOOT_DIRECTUS_DIR", "/directus", "The folder of Directus."),
    Variable::boot("BOOT_SCRIPTS_DIR", "/directus/scripts", "The folder of the bridge and the start script."),
];

#[cfg(test)]
mod tests {
    use super::VARIABLES;

    #[test]
    fn names_are_unique_and_descriptions_are_sentences() {
        for (index, variable) in VARIABLES.iter().enumerate() {
            assert!(VARIABLES[..index].iter().all(|other| other.name != variable.name), "{} twice", variable.name);
            assert!(variable.description.ends_with('.'), "{}: no full stop", variable.name);
        }
    }
}
