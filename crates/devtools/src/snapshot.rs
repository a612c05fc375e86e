//! `snapshot`: saves the schema of the running stack in the checkout, as Directus writes it.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use testbed::cmd::Cmd;
use testbed::compose::{self, Compose};
use testbed::ui;
use testbed::workspace;

const FILE: &str = "snapshots/schema.yaml";
/// The file in the container. On stdout Directus truncates the snapshot after 64 KiB, because it exits before the pipe
/// has taken the rest.
const FILE_INSIDE: &str = "/tmp/trm-snapshot.yaml";

/// Returns the code of Directus' command without the request to a public registry with which `cli.js` begins: it takes 8
/// seconds on a network without internet access.
fn script() -> String {
    let run = format!("{}/node_modules/@directus/api/dist/cli/run.js", contract::WORK_DIR);
    format!("process.argv.splice(1, 0, 'directus'); await import('{run}')")
}

/// Runs `snapshot`.
pub(crate) async fn run(flags: &grammar::SnapshotFlags) -> anyhow::Result<ExitCode> {
    let stack = Compose::new(&flags.project.name);
    if stack.container(compose::DIRECTUS).await?.is_none() {
        bail!("there is no stack {}; `cargo xtask dev-reset` creates one", stack.project());
    }
    ui::status("Reading", &format!("the schema of {}", stack.project()));
    exec(&stack)
        .args(["node", "--input-type=module", "--eval", &script(), "--"])
        .args(["schema", "snapshot", "--yes", FILE_INSIDE])
        .read()
        .await?;
    let text = exec(&stack).args(["cat", FILE_INSIDE]).read().await?;
    let text = format!("{}\n", text.replace("\r\n", "\n").trim_end());
    let new = SnapshotEntries::parse(&text).context("Directus did not write a snapshot")?;

    let path = workspace::path(FILE);
    let old_text = std::fs::read_to_string(&path).unwrap_or_default();
    if old_text == text {
        ui::result(&format!("{FILE} is up to date"));
        return Ok(ExitCode::SUCCESS);
    }
    // A file that cannot be parsed counts as empty.
    let old = SnapshotEntries::parse(&old_text).unwrap_or_default();
    std::fs::write(&path, &text).with_context(|| format!("failed to write {path}"))?;
    ui::result(&format!("{FILE} is written\n{}", render(&old, &new)));
    Ok(ExitCode::SUCCESS)
}

/// Returns the beginning of a command in the container of Directus.
fn exec(stack: &Compose) -> Cmd {
    stack.cmd(["exec", "--no-TTY", "--env", "LOG_LEVEL=error", compose::DIRECTUS])
}

/// The names of a snapshot's collections and fields.
#[derive(Debug, Default, PartialEq, Eq)]
struct SnapshotEntries {
    collections: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl SnapshotEntries {
    fn parse(text: &str) -> anyhow::Result<SnapshotEntries> {
        #[derive(Deserialize)]
        struct SavedSnapshot {
            collections: Vec<SnapshotCollection>,
            fields: Vec<SnapshotField>,
            /// The last part: a truncated snapshot lacks it.
            #[serde(rename = "relations")]
            _relations: Vec<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct SnapshotCollection {
            collection: String,
        }
        #[derive(Deserialize)]
        struct SnapshotField {
            collection: String,
            field: String,
        }
        let snapshot: SavedSnapshot = serde_saphyr::from_str(text)?;
        Ok(SnapshotEntries {
            collections: snapshot.collections.into_iter().map(|item| item.collection).collect(),
            fields: snapshot.fields.into_iter().map(|item| format!("{}.{}", item.collection, item.field)).collect(),
        })
    }
}

/// Lists added and removed collections and fields.
fn render(old: &SnapshotEntries, new: &SnapshotEntries) -> String {
    let mut lines = Vec::new();
    for (kind, old, new) in [("collection", &old.collections, &new.collections), ("field", &old.fields, &new.fields)] {
        lines.extend(new.difference(old).map(|name| format!("  + {kind} {name}")));
        lines.extend(old.difference(new).map(|name| format!("  - {kind} {name}")));
    }
    if lines.is_empty() {
        lines.push("  no collection or field was added or removed; settings of some have changed".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{SnapshotEntries, render};

    const OLD: &str = "version: 1\ncollections:\n  - collection: a\nfields:\n  - collection: a\n    field: id\n    type: uuid\nrelations: []\n";
    const NEW: &str = "collections:\n  - collection: b\n    meta: {icon: no}\nfields:\n  - collection: b\n    field: yes\nrelations: []\n";

    #[test]
    fn added_and_removed_collections_and_fields_are_listed() {
        let (old, new) = (SnapshotEntries::parse(OLD).unwrap(), SnapshotEntries::parse(NEW).unwrap());
        assert_eq!(render(&old, &new), "  + collection b\n  - collection a\n  + field b.yes\n  - field a.id");
    }

    #[test]
    fn a_change_of_settings_alone_is_reported() {
        let schema = SnapshotEntries::parse(OLD).unwrap();
        assert!(render(&schema, &schema).contains("settings of some have changed"));
    }

    #[test]
    fn an_empty_truncated_or_invalid_snapshot_is_an_error() {
        assert!(SnapshotEntries::parse("").is_err());
        assert!(SnapshotEntries::parse(OLD.strip_suffix("relations: []\n").unwrap()).is_err());
        assert!(SnapshotEntries::parse("ERROR: something\n").is_err());
    }
}
