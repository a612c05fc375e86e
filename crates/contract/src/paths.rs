//! Paths in the image.

/// The boot binary, owned by root and not writable by the image's user.
pub const BINARY: &str = "/usr/local/bin/entrypoint";

/// The working directory, which is upstream's (`cli.js`, `node_modules`).
pub const WORK_DIR: &str = "/directus";

/// Directus' own migrations, in [`WORK_DIR`]; upstream's layout.
pub const DIRECTUS_MIGRATIONS_SUBDIR: &str = "node_modules/@directus/api/dist/database/migrations";

/// Directus' modules, bundled and compiled when the image was built.
pub const BUNDLE_DIR: &str = "/directus/bundle";

/// SQL files that run before the Directus schema.
pub const DB_INIT_DIR: &str = "/directus/db-init";

/// Folder inside [`DB_INIT_DIR`] with the SQL files that run after the schema.
pub const POST_SCHEMA_SUBDIR: &str = "post-schema";

/// The Directus schema snapshot that a boot applies.
pub const SNAPSHOT_FILE: &str = "/directus/snapshots/schema.yaml";

/// Folder of the Node bridge, the server's start script and its pm2 file.
pub const SCRIPTS_DIR: &str = "/directus/scripts";

/// Directus extensions of the image, in Directus' default folder.
pub const EXTENSIONS_DIR: &str = "/directus/extensions";

/// Returns the path in the source tree of a file or folder of the image.
#[must_use]
pub fn in_tree(path: &'static str) -> &'static str {
    path.strip_prefix(WORK_DIR).map_or(path, |rest| rest.trim_start_matches('/'))
}
