//! A second build of the image, from a copy of the sources in another folder and without any cache.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use super::revision::Revision;
use super::{BuildMode, build_binary, build_command, run_build, variant};
use crate::base_images::Resolved;
use crate::cmd::Cmd;
use crate::engine::{Engine, ImageInfo};
use crate::session::EngineSession;
use crate::workspace;

/// Builds the checkout's sources again, with the base and the variant of an image. Returns the name of the new image,
/// which belongs to the session.
///
/// # Errors
/// A checkout without git, a build that fails.
pub async fn rebuild(session: &EngineSession, image: &ImageInfo, base: &Resolved) -> anyhow::Result<String> {
    // Removed at the end of this function.
    let temporary = tempfile::Builder::new().prefix("trm-rebuild-").tempdir().context("failed to create a folder")?;
    let folder = Utf8PathBuf::try_from(temporary.path().to_owned()).context("the temporary folder is not UTF-8")?;
    copy_sources(&folder).await?;
    build_binary(BuildMode::Release, None, &folder, &folder.join("target")).await?;
    let variant = variant::variant_of(image);
    let tag = format!("trm-rebuild/{}:{}", variant.name(), session.id());
    let revision = Revision::read().await;
    let mut cmd = build_command(&tag, variant, base, None, &revision, None).arg("--no-cache");
    for (name, value) in session.labels() {
        cmd = cmd.arg("--label").arg(format!("{name}={value}"));
    }
    run_build(&cmd.arg(&folder)).await?;
    Ok(tag)
}

/// Copies the files that git tracks or would add.
async fn copy_sources(folder: &Utf8Path) -> anyhow::Result<()> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let list = Cmd::new("git").args(list).read().await.context("the sources are copied by git's list")?;
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        let (from, to) = (workspace::path(path), folder.join(path));
        // Deleted, but not committed yet.
        if !from.is_file() {
            continue;
        }
        let parent = to.parent().context("a path in a folder has a parent")?;
        std::fs::create_dir_all(parent).with_context(|| format!("failed to create {parent}"))?;
        std::fs::copy(&from, &to).with_context(|| format!("failed to copy {from} to {to}"))?;
    }
    Ok(())
}

/// The digest of everything that two builds of the same sources have in common: the layers and the configuration, without
/// the time of the build and the label of a run. BuildKit before 0.11 writes that time into the image, so that the ids
/// differ there.
#[must_use]
pub fn content_digest(image: &ImageInfo) -> String {
    let ImageInfo { user, labels, environment, entrypoint, health_command, layers, .. } = image;
    let mut labels: Vec<(&String, &String)> = labels.iter().filter(|(name, _)| *name != EngineSession::LABEL).collect();
    labels.sort_unstable();
    let content = serde_json::json!([user, labels, environment, entrypoint, health_command, layers]);
    let hash = Sha256::digest(content.to_string());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that an image is from the sources of the checkout.
///
/// # Errors
/// The label names another revision.
pub async fn ensure_of_checkout(labels: &HashMap<String, String>) -> anyhow::Result<()> {
    let revision = Revision::read().await.name;
    let label = labels.get("org.opencontainers.image.revision").map_or("unknown", String::as_str);
    ensure!(label == revision, "the image is of revision {label}, and the checkout of {revision}");
    Ok(())
}

/// Returns the image's metadata; a missing image is an error.
pub async fn info(engine: &Engine, image: &str) -> anyhow::Result<ImageInfo> {
    engine.image(image).await?.with_context(|| format!("there is no image {image}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_digest_depends_on_layers_and_configuration_and_not_on_the_run() {
        let image = ImageInfo { user: "node".to_owned(), layers: vec!["sha256:a".to_owned()], ..ImageInfo::default() };
        let mut other = image.clone();
        other.id = "sha256:b".to_owned();
        other.labels.insert(EngineSession::LABEL.to_owned(), "trm-run-x".to_owned());
        assert_eq!(content_digest(&image), content_digest(&other));
        other.labels.insert("a".to_owned(), "b".to_owned());
        assert_ne!(content_digest(&image), content_digest(&other));
        let layers = vec!["sha256:c".to_owned()];
        assert_ne!(content_digest(&image), content_digest(&ImageInfo { layers, ..image.clone() }));
    }
}
