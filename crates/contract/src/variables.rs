//! The variables that the boot reads, as data: the README's table is generated from it.

/// Who gives a variable its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableGroup {
    /// Directus' own; the boot reads them as Directus does.
    Directus,
    /// Ours.
    Boot,
}

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Who gives it its meaning.
    pub group: VariableGroup,
    /// What holds when it is not set: a value, or `required`, or `–`.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub description: &'static str,
    /// Whether its value must never be shown.
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

/// Every variable that the boot reads. Each of Directus' may also be given as `<NAME>_FILE`, the path of a file that
/// holds the value.
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
        "A `postgres://` URL instead of the five above; TLS by its sslmode, DB_SSL does not count beside it.",
    )
    .secret(),
    Variable::directus("DB_SSL", "false", "`true`: TLS, checked against Mozilla's roots, as Node does."),
    Variable::directus("DB_SSL__CA", "–", "PEM certificates to check the server's against; switches TLS on."),
    Variable::directus("DB_SSL__CERT", "–", "The client's PEM certificate, with DB_SSL__KEY.").secret(),
    Variable::directus("DB_SSL__KEY", "–", "Its PEM private key.").secret(),
    Variable::directus("DB_SSL__REJECT_UNAUTHORIZED", "true", "`false`: TLS without checking the certificate."),
    Variable::directus("DB_SEARCH_PATH", "–", "PostgreSQL schemas, comma-separated, instead of the role's own."),
    Variable::directus(
        "DB_EXCLUDE_TABLES",
        "spatial_ref_sys,sysdiagrams",
        "Tables that Directus must not see; tables that db-init owns are added.",
    ),
    Variable::directus("SECRET", "required", "Signs tokens; the same for all replicas.").secret(),
    Variable::directus("ADMIN_EMAIL", "–", "The first administrator, made when the database has none."),
    Variable::directus("ADMIN_PASSWORD", "–", "Their password.").secret(),
    Variable::directus("PORT", "8055", "The port that the server listens on and `healthcheck` asks."),
    Variable::directus("LOG_STYLE", "pretty", "`raw`: one JSON object a line."),
    Variable::directus(
        "LOG_HTTP_IGNORE_PATHS",
        "/server/ping",
        "Requests that Directus does not log; by default the health check's.",
    ),
    Variable::directus("TEMP_PATH", "/tmp/directus", "Where Directus bundles app extensions."),
    Variable::directus(
        "PGOPTIONS",
        "–",
        "Session options. SQL files may ask for settings here, such as one that lets a server without an extension pass.",
    ),
    Variable::boot(
        "BOOT_DATABASE_TIMEOUT",
        "60",
        "Seconds to wait for PostgreSQL to answer, before and during the boot.",
    ),
    Variable::boot("BOOT_LOCK_TIMEOUT", "600", "Seconds to wait for another boot of the same database."),
    Variable::boot("BOOT_DIRECTUS_TIMEOUT", "600", "Seconds that bootstrap and schema may take together."),
    Variable::boot("BOOT_DB_HOST", "DB_HOST", "PostgreSQL itself, where DB_HOST is a pooler; for the boot alone."),
    Variable::boot("BOOT_DB_PORT", "DB_PORT", "Its port."),
    Variable::boot("BOOT_DB_CONNECTION_STRING", "–", "The same as a `postgres://` URL.").secret(),
    Variable::boot(
        "MIGRATION_LOCK_TIMEOUT",
        "5",
        "Seconds that a migration waits for a lock before it lets go and tries again.",
    ),
    Variable::boot("MIGRATION_LOCK_TRIES", "6", "How often it tries."),
    Variable::boot(
        "MIGRATION_ACCEPT",
        "–",
        "`<file>:<checksum>`: takes one edited file, applied before, as it now is.",
    ),
    Variable::boot(
        "SCHEMA_APPLY_MODE",
        "auto",
        "`plan`: show what the snapshot would change and serve without it; `skip`: do not even look.",
    ),
    Variable::boot("SCHEMA_ALLOW_DESTRUCTIVE", "–", "The digest of one refused plan, to allow exactly that one."),
    Variable::boot(
        "BOOT_ATTIC_DAYS",
        "30",
        "Days that removed tables, columns and rows can be restored (`entrypoint attic`); boots with work purge older ones.",
    ),
    Variable::boot("BOOT_DB_INIT_DIR", "/directus/db-init", "Where the SQL files lie."),
    Variable::boot("BOOT_SNAPSHOT_FILE", "/directus/snapshots/schema.yaml", "The snapshot."),
    Variable::boot("BOOT_DIRECTUS_DIR", "/directus", "Where Directus lies."),
    Variable::boot("BOOT_SCRIPTS_DIR", "/directus/scripts", "Where the bridge and the start script lie."),
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
