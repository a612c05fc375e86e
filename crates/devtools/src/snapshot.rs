//! `snapshot`: the running stack's schema, as Directus writes it, into the checkout.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use testbed::compose::{self, Compose};
use testbed::ui;
use testbed::workspace;

const FILE: &str = "snapshots/schema.yaml";
/// Where it lies in the container: on its standard output Directus cuts it off after 64 KiB, because it exits before a
/// pipe has taken the rest.
const FILE_INSIDE: &str = "/tmp/trm-snapshot.yaml";

/// What Directus' own command does, without its question to a public registry that `cli.js` begins with: on a network
/// without a way out that takes 8 seconds.
fn script() -> String {
    let run = format!("{}/node_modules/@directus/api/dist/cli/run.js", contract::WORK_DIR);
    format!("process.argv.splice(1, 0, 'directus'); await import('{run}')")
}

/// Runs `snapshot`.
pub(crate) async fn run(flags: &grammar::Snapshot) -> anyhow::Result<ExitCode> {
    let stack = Compose::new(&flags.project.name);
    if stack.container(compose::DIRECTUS).await?.is_none() {
        bail!("there is no stack {}; `cargo xtask dev-reset` makes one", stack.project());
    }
    ui::status("Reading", &format!("the schema of {}", stack.project()));
    let exec = |arguments: &[&str]| {
        stack.cmd(["exec", "--no-TTY", "--env", "LOG_LEVEL=error", compose::DIRECTUS]).args(arguments).read()
    };
    let save = ["schema", "snapshot", "--yes", FILE_INSIDE];
    exec(&[&["node", "--input-type=module", "--eval", &script(), "--"], save.as_slice()].concat()).await?;
    let text = exec(&["cat", FILE_INSIDE]).await?;
    let text = format!("{}\n", text.replace("\r\n", "\n").trim_end());
    let new = Schema::parse(&text).context("what Directus wrote is no snapshot")?;

    let path = workspace::path(FILE);
    let old_text = std::fs::read_to_string(&path).unwrap_or_default();
    if old_text == text {
        ui::result(&format!("{FILE} is up to date"));
        return Ok(ExitCode::SUCCESS);
    }
    // A file that cannot be read has nothing in it that could be lost.
    let old = Schema::parse(&old_text).unwrap_or_default();
    std::fs::write(&path, &text).with_context(|| format!("failed to write {path}"))?;
    ui::result(&format!("{FILE} is written\n{}", render(&old, &new)));
    Ok(ExitCode::SUCCESS)
}

/// The names of what a snapshot holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Schema {
    collections: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Schema {
    fn parse(text: &str) -> anyhow::Result<Schema> {
        #[derive(Deserialize)]
        struct Snapshot {
            collections: Vec<Collection>,
            fields: Vec<Field>,
            /// Its last part: without it the text is not the whole snapshot.
            #[serde(rename = "relations")]
            _relations: Vec<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct Collection {
            collection: String,
        }
        #[derive(Deserialize)]
        struct Field {
            collection: String,
            field: String,
        }
        let snapshot: Snapshot = serde_saphyr::from_str(text)?;
        Ok(Schema {
            collections: snapshot.collections.into_iter().map(|item| item.collection).collect(),
            fields: snapshot.fields.into_iter().map(|item| format!("{}.{}", item.collection, item.field)).collect(),
        })
    }
}

/// What was added and removed, by name.
fn render(old: &Schema, new: &Schema) -> String {
    let mut lines = Vec::new();
    for (what, old, new) in [("collection", &old.collections, &new.collections), ("field", &old.fields, &new.fields)] {
        lines.extend(new.difference(old).map(|name| format!("  + {what} {name}")));
        lines.extend(old.difference(new).map(|name| format!("  - {what} {name}")));
    }
    if lines.is_empty() {
        lines.push("  no collection or field was added or removed; settings of some have changed".to_owned());
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Schema, render};

    const OLD: &str = "version: 1\ncollections:\n  - collection: a\nfields:\n  - collection: a\n    field: id\n    type: uuid\nrelations: []\n";
    const NEW: &str = "collections:\n  - collection: b\n    meta: {icon: no}\nfields:\n  - collection: b\n    field: yes\nrelations: []\n";

    #[test]
    fn what_was_added_and_removed_is_named() {
        let (old, new) = (Schema::parse(OLD).unwrap(), Schema::parse(NEW).unwrap());
        assert_eq!(render(&old, &new), "  + collection b\n  - collection a\n  + field b.yes\n  - field a.id");
    }

    #[test]
    fn a_change_of_settings_alone_is_said_to_be_one() {
        let schema = Schema::parse(OLD).unwrap();
        assert!(render(&schema, &schema).contains("settings of some have changed"));
    }

    #[test]
    fn what_is_no_snapshot_is_an_error() {
        assert!(Schema::parse("").is_err());
        assert!(Schema::parse(OLD.strip_suffix("relations: []\n").unwrap()).is_err());
        assert!(Schema::parse("ERROR: something\n").is_err());
    }
}
