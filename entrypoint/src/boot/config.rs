//! Phase 1: the configuration and the image's own files.

use serde_json::json;

use crate::config::{Config, Env, SchemaMode, Variables, image_name};
use crate::database::servers;
use crate::directus::{Release, SnapshotFile};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::Migrations;
use crate::migrations::file::hex_sha256;
use contract::Phase;

/// The result of phase 1: the configuration and the image's own files, read and checked.
#[derive(Debug)]
pub struct DesiredState {
    /// The configuration from the variables.
    pub config: Config,
    /// The SQL files of phases 4 and 7.
    pub migrations: Migrations,
    /// The snapshot file of phase 6.
    pub snapshot: SnapshotFile,
    /// The version of Directus and its migrations.
    pub directus: Release,
}

impl DesiredState {
    /// The identity of the schema that the image describes: the second half of the key of its servers' locks.
    #[must_use]
    pub fn id(&self) -> u32 {
        let described = [&self.directus.version, &self.snapshot.digest, &self.migrations.manifest().ledger_digest()];
        let hash = hex_sha256(described.map(String::as_str).join(" ").as_bytes());
        u32::from_str_radix(&hash[..8], 16).unwrap_or_default()
    }

    /// The variables of the server, among them its identity.
    #[must_use]
    pub fn server_variables(&self) -> Variables {
        let mut variables = self.config.server_variables(self.migrations.owned_tables());
        let Config { database, image, .. } = &self.config;
        let name = format!("{}{image}", servers::SERVER_OF);
        let server = json!({"id": self.id(), "name": name, "host": database.host, "port": database.port});
        variables.insert(contract::SERVER, Some(server.to_string()));
        variables
    }

    /// A schema's fingerprint together with a hash of the tables that are hidden from Directus. The two determine how
    /// Directus sees the schema.
    #[must_use]
    pub fn stamp(&self, fingerprint: &str) -> String {
        let hidden = self.config.excluded_tables(self.migrations.owned_tables()).join(",");
        format!("{fingerprint} {}", &hex_sha256(hidden.as_bytes())[..12])
    }
}

/// Phase 1. Needs only the environment and the image.
///
/// # Errors
/// [`BootError::Config`], [`BootError::Migrations`], [`BootError::Snapshot`] or [`BootError::NoDirectus`].
pub fn read_desired_state(env: &Env, log: &Log) -> Result<DesiredState, BootError> {
    log.begin(Phase::Config);
    // First, so that the log of a container names its image even if nothing else can be read.
    log.note(format!("image {}, entrypoint {}", image_name(env), env!("CARGO_PKG_VERSION")));
    let config = Config::from_env(env)?;
    for warning in &config.warnings {
        log.warn(warning);
    }
    let migrations = Migrations::open(&config.paths.db_init)?;
    let snapshot = match SnapshotFile::read(&config.paths.snapshot) {
        Err(invalid) if config.schema_mode == SchemaMode::Skip => {
            log.warn(format!("{invalid}; SCHEMA_APPLY_MODE=skip, so it is not needed"));
            SnapshotFile::unread(&config.paths.snapshot)
        }
        read => read?,
    };
    let directus = Release::read(&config.paths.directus, &config.paths.custom_migrations)?;
    // Set once: a log has one boot.
    drop(log.tally().contents.set((directus.version.clone(), snapshot.short_digest().to_owned())));
    log.done(format!(
        "{} + {} migrations, snapshot {}, Directus {}",
        migrations.manifest().of_phase(Phase::DbInit).files,
        migrations.manifest().of_phase(Phase::PostSchema).files,
        snapshot.short_digest(),
        directus.version,
    ));
    Ok(DesiredState { config, migrations, snapshot, directus })
}
