//! The schema of a running server as Directus exports it, in the text of a snapshot.

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::api::Api;
use crate::engine::Engine;
use crate::snapshot_text::SnapshotText;

/// The file in the container. On stdout Directus truncates the snapshot after 64 KiB, because it exits before the pipe
/// has taken the rest.
const FILE: &str = "/tmp/trm-snapshot.yaml";

/// Returns the server's export, which is byte for byte that of Directus' command line.
///
/// # Errors
/// An answer of the server that is not an export.
pub async fn by_server(api: &Api) -> anyhow::Result<String> {
    let answer = api.call("GET", "/schema/snapshot?export=yaml", None).await?;
    match answer.body {
        Value::String(text) if answer.status == 200 => Ok(text),
        body => bail!("GET /schema/snapshot answers {}: {body}", answer.status),
    }
}

/// Exports by a second process of Directus in a container, which needs no login.
///
/// # Errors
/// A failed export, with the output of Directus.
pub async fn by_command_line(engine: &Engine, container: &str) -> anyhow::Result<String> {
    // As `cli.js`, but without its request to a public registry, which takes 8 seconds without internet access.
    let run = format!("{}/node_modules/@directus/api/dist/cli/run.js", contract::WORK_DIR);
    let script = format!("process.argv.splice(1, 0, 'directus'); await import('{run}')");
    let command = ["node", "--input-type=module", "--eval", &script, "--", "schema", "snapshot", "--yes", FILE];
    let (code, output) = engine.exec_with(container, &[("LOG_LEVEL", "error")], &command).await?;
    ensure!(code == 0, "Directus cannot export its schema (exit {code}): {output}");
    read(engine, container, FILE).await
}

/// Reads a snapshot in a container.
///
/// # Errors
/// A file that does not exist.
pub async fn read(engine: &Engine, container: &str, file: &str) -> anyhow::Result<String> {
    let (code, text) = engine.exec(container, &["cat", file]).await?;
    ensure!(code == 0, "failed to read {file} in Directus' container: {text}");
    Ok(format!("{text}\n"))
}

/// Parses an export of Directus, brings it into the order of the names, and removes the entries that belong to nothing,
/// whose names are returned, too.
///
/// # Errors
/// Text that is not a whole snapshot.
pub fn ordered(export: &str) -> anyhow::Result<(SnapshotText, Vec<String>)> {
    let mut export = SnapshotText::parse(export).context("the export of Directus")?;
    let orphans = export.remove_orphans();
    export.sort();
    Ok((export, orphans))
}
