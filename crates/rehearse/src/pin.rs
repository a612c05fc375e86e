//! Writes a version as the new pin. The Dockerfile holds it; the other places repeat it for readers.

use anyhow::{Context as _, bail, ensure};
use grammar::DirectusVersion;
use testbed::cmd::Cmd;
use testbed::{schema_export, ui, workspace};

use crate::images;
use crate::report::RehearsalVerdict;

/// The files that contain the pin, and the text around it.
const PLACES: [(&str, &str, &str); 3] = [
    ("Dockerfile", "ARG DIRECTUS_IMAGE=directus/directus:", "\n"),
    (".env.example", "#DIRECTUS_IMAGE=directus/directus:", "\n"),
    ("README.md", "upstream's Directus ", ", reduced"),
];
const SNAPSHOT: &str = "snapshots/schema.yaml";
const NEXT: &str = "next: review crates/contract/src/advisories.rs for this version (a test compares REVIEWED_PIN with the pin), \
                    then `cargo xtask docs`, `cargo xtask ci`, and record the sample logs with `cargo xtask docs --record`";

/// Refuses to overwrite changes that are not committed; before the rehearsal, which takes minutes.
pub(crate) async fn ensure_committed() -> anyhow::Result<()> {
    let files = PLACES.iter().map(|(file, ..)| *file).chain([SNAPSHOT]);
    let changed = Cmd::new("git").args(["status", "--porcelain", "--"]).args(files).capture().await?;
    ensure!(
        // Without a repository there is nothing to lose track of.
        !changed.status.success() || changed.stdout.is_empty(),
        "--write would overwrite changes that are not committed:\n{}\ncommit them first",
        changed.stdout
    );
    Ok(())
}

/// Refuses to write after a verdict that forbids it. `digest` is that of the findings.
pub(crate) fn ensure_allowed(verdict: RehearsalVerdict, digest: &str, accepted: Option<&str>) -> anyhow::Result<()> {
    match (verdict, accepted) {
        (RehearsalVerdict::Safe, _) => Ok(()),
        (RehearsalVerdict::Failed, _) => bail!("the pin is not written: the upgrade fails"),
        (RehearsalVerdict::Look, Some(accepted)) if accepted == digest => Ok(()),
        (RehearsalVerdict::Look, Some(accepted)) => bail!(
            "the pin is not written: the findings are not those of --accept {accepted}; read them, and accept them with \
             --accept {digest}"
        ),
        (RehearsalVerdict::Look, None) => {
            bail!("the pin is not written: read the findings, and accept exactly these with --write --accept {digest}")
        }
    }
}

/// Writes the version into all places, and the export of the candidate as the snapshot.
pub(crate) fn write(version: DirectusVersion, snapshot: Option<&str>) -> anyhow::Result<()> {
    let old = images::pin()?.to_string();
    // All are read before the first is written.
    let mut texts = Vec::new();
    for (file, before, after) in PLACES {
        let path = workspace::path(file);
        let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        let text = replaced(&text, &format!("{before}{old}{after}"), &format!("{before}{version}{after}"));
        texts.push((file, text.with_context(|| file.to_owned())?));
    }
    if let Some(export) = snapshot {
        let (export, _) = schema_export::ordered(export)?;
        texts.push((SNAPSHOT, export.to_string()));
    }
    for (file, text) in texts {
        let path = workspace::path(file);
        if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        std::fs::write(&path, text).with_context(|| format!("failed to write {path}"))?;
        ui::status("Written", file);
    }
    ui::status("Pinned", &format!("Directus {version} instead of {old}; {NEXT}"));
    Ok(())
}

/// Replaces a text that must occur exactly once.
fn replaced(text: &str, old: &str, new: &str) -> anyhow::Result<String> {
    let count = text.matches(old).count();
    ensure!(count == 1, "`{}` occurs {count} times, not once", old.trim_end());
    Ok(text.replacen(old, new, 1))
}

#[cfg(test)]
mod tests {
    use testbed::workspace;

    use super::{PLACES, ensure_allowed, replaced};
    use crate::images;
    use crate::report::RehearsalVerdict;

    #[test]
    fn only_a_safe_upgrade_or_accepted_findings_become_the_pin() {
        ensure_allowed(RehearsalVerdict::Safe, "0123", None).unwrap();
        ensure_allowed(RehearsalVerdict::Look, "0123", Some("0123")).unwrap();
        for accepted in [None, Some("4567")] {
            let error = ensure_allowed(RehearsalVerdict::Look, "0123", accepted).unwrap_err().to_string();
            assert!(error.ends_with("--accept 0123"), "{error}");
        }
        assert!(ensure_allowed(RehearsalVerdict::Failed, "0123", Some("0123")).is_err());
    }

    #[test]
    fn every_place_holds_the_pin_exactly_once() {
        let pin = images::pin().unwrap();
        for (file, before, after) in PLACES {
            let text = std::fs::read_to_string(workspace::path(file)).unwrap();
            let new = replaced(&text, &format!("{before}{pin}{after}"), &format!("{before}99.0.0{after}"));
            assert!(new.unwrap().contains("99.0.0"), "{file}");
        }
    }

    #[test]
    fn a_place_without_the_pin_is_an_error() {
        assert!(replaced("a 1 b", "a 2 b", "").unwrap_err().to_string().contains("occurs 0 times"));
        assert!(replaced("x x", "x", "y").is_err());
    }
}
