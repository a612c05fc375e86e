//! The snapshot that a running server's own Directus saves.

use acceptance::container::Container;
use anyhow::ensure;
use testbed::engine::Engine;

/// On stdout Directus truncates the snapshot after 64 KiB, because it exits before the pipe has taken the rest.
const FILE: &str = "/tmp/rehearsal.yaml";

/// Saves the snapshot of a running container and returns its text, as `cargo xtask snapshot` writes it.
pub(crate) async fn snapshot(engine: &Engine, container: &Container) -> anyhow::Result<String> {
    // Without `cli.js`, which first asks a public registry for updates.
    let run = format!("{}/node_modules/@directus/api/dist/cli/run.js", contract::WORK_DIR);
    let script = format!("process.argv.splice(1, 0, 'directus'); await import('{run}')");
    let command = ["node", "--input-type=module", "--eval", &script, "--", "schema", "snapshot", "--yes", FILE];
    let (code, output) = engine.exec_with(&container.id, &[("LOG_LEVEL", "error")], &command).await?;
    ensure!(code == 0, "{} cannot save a snapshot (exit {code}): {output}", container.name);
    let (code, text) = engine.exec(&container.id, &["cat", FILE]).await?;
    // The last part: a truncated snapshot lacks it.
    ensure!(code == 0 && text.contains("\nrelations:"), "{} has saved no whole snapshot: {text}", container.name);
    Ok(format!("{}\n", text.replace("\r\n", "\n").trim_end()))
}
