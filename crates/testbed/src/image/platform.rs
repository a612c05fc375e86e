//! Builds for another processor than this machine's.
//!
//! The binary is cross-compiled. The steps of the image build that run a program (Node bundles and compiles Directus, the
//! binary writes the manifest) run it for the image's platform, so the engine must be able to emulate it.

use std::time::Duration;

use anyhow::{bail, ensure};
use grammar::{Platform, Variant};
use serde::Deserialize;

use crate::base_images::{BaseImage, Resolved};
use crate::cmd::Cmd;
use crate::setup;

/// Time for a registry's answer, after which it counts as unreachable.
const REGISTRY_ANSWER: Duration = Duration::from_secs(20);

/// The part of an image index (OCI) or a manifest list (Docker) that names the platforms.
#[derive(Deserialize)]
struct ImageIndex {
    #[serde(default)]
    manifests: Vec<IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    platform: Option<IndexPlatform>,
}

#[derive(Deserialize)]
struct IndexPlatform {
    os: String,
    architecture: String,
}

/// Returns the platform if it is not this machine's own.
pub(super) fn foreign(platform: Option<Platform>) -> Option<Platform> {
    platform.filter(|platform| platform.processor() != std::env::consts::ARCH)
}

/// Returns the base of an image for a foreign platform. The build reads it from its registry: the engine has one platform
/// of each name, and other builds need this machine's.
///
/// # Errors
/// A builder that does not run programs of the platform, a base that is not published for it or cannot be asked for, and
/// `--variant full`.
pub(super) async fn foreign_base(platform: Platform, variant: Variant) -> anyhow::Result<Resolved> {
    let name = platform.name();
    ensure!(
        variant == Variant::Slim,
        "--variant full for {name}: its layers are measured against the base, which this engine has for its own platform \
         only; build it on a machine of {name}"
    );
    let builder = Cmd::new("docker").args(["buildx", "inspect"]).read().await?;
    let runs = platforms_of_builder(&builder);
    ensure!(
        runs.contains(&name),
        "the builder runs programs of {} and not of {name}: install an emulator for them \
         (Debian: `apt-get install qemu-user-static binfmt-support`), or build on a machine of {name}",
        runs.join(", ")
    );
    let image = BaseImage::directus()?.name;
    let published = published_platforms(&image).await?;
    ensure!(
        published.iter().any(|published| published == name),
        "{image} is published for {}, and not for {name}",
        if published.is_empty() { "one platform".to_owned() } else { published.join(", ") }
    );
    Ok(Resolved { name: image, stand_in: false })
}

/// Returns the platforms of an image's index in its registry; none if the name is of a single image.
async fn published_platforms(image: &str) -> anyhow::Result<Vec<String>> {
    let inspect = Cmd::new("docker").args(["buildx", "imagetools", "inspect", "--raw", image]);
    let reason = match tokio::time::timeout(REGISTRY_ANSWER, inspect.capture()).await {
        Ok(Ok(output)) if output.status.success() => return platforms_of_index(&output.stdout),
        Ok(Ok(output)) => output.stderr.lines().last().unwrap_or("no reason").trim_start_matches("ERROR: ").to_owned(),
        Ok(Err(error)) => return Err(error),
        Err(_) => format!("no answer within {} s", REGISTRY_ANSWER.as_secs()),
    };
    bail!(
        "the registry of {image} cannot be asked for its platforms ({reason}): build where it answers, or on a machine of \
         the platform; a stand-in is of the platform of the machine that builds it"
    )
}

fn platforms_of_index(json: &str) -> anyhow::Result<Vec<String>> {
    let index: ImageIndex = serde_json::from_str(json)?;
    let platforms = index.manifests.into_iter().filter_map(|entry| entry.platform);
    Ok(platforms.map(|IndexPlatform { os, architecture }| format!("{os}/{architecture}")).collect())
}

/// Returns the platforms in the output of `docker buildx inspect`, each once. An asterisk marks those that were set by hand.
fn platforms_of_builder(output: &str) -> Vec<&str> {
    let lines = output.lines().filter_map(|line| line.trim().strip_prefix("Platforms:"));
    let mut platforms: Vec<&str> = Vec::new();
    for platform in lines.flat_map(|line| line.split(',')) {
        let platform = platform.trim().trim_end_matches('*');
        if !platform.is_empty() && !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

/// Has cargo compile and link for a foreign platform: ring contains C, and a linker knows one processor.
pub(super) fn cross_compile(cargo: Cmd, platform: Platform) -> anyhow::Result<Cmd> {
    let gcc = format!("{}-linux-gnu-gcc", platform.processor());
    ensure!(
        setup::is_on_path(&gcc),
        "there is no {gcc}, which compiles the C in the boot binary for {}: install it (Debian: `apt-get install \
         gcc-{}-linux-gnu libc6-dev-{}-cross`), or build with --source",
        platform.name(),
        platform.processor().replace('_', "-"),
        platform.architecture(),
    );
    let target = platform.target().replace('-', "_");
    Ok(cargo
        .env(format!("CC_{target}"), gcc.clone())
        .env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase()), gcc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platforms_of_a_builder_are_those_of_all_its_nodes() {
        let output = "Name:   default\nDriver: docker\n\nNodes:\nName:      a\nPlatforms: linux/amd64, linux/386\n\
                      Name:      b\nPlatforms: linux/arm64*, linux/amd64\n";
        assert_eq!(platforms_of_builder(output), ["linux/amd64", "linux/386", "linux/arm64"]);
        assert!(platforms_of_builder("Nodes:\nName: a\nPlatforms:\n").is_empty());
    }

    #[test]
    fn the_platforms_of_an_image_are_those_of_its_index() {
        let index = r#"{"manifests": [
            {"digest": "sha256:a", "platform": {"os": "linux", "architecture": "amd64"}},
            {"digest": "sha256:b", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"digest": "sha256:c"}]}"#;
        assert_eq!(platforms_of_index(index).unwrap(), ["linux/amd64", "linux/arm64"]);
        assert!(platforms_of_index(r#"{"config": {}, "layers": []}"#).unwrap().is_empty());
        assert!(platforms_of_index("no json").is_err());
    }

    #[test]
    fn at_most_one_platform_is_this_machines_own() {
        let foreign = [Platform::Amd64, Platform::Arm64].map(|platform| foreign(Some(platform)));
        let expected = match std::env::consts::ARCH {
            "x86_64" => [None, Some(Platform::Arm64)],
            "aarch64" => [Some(Platform::Amd64), None],
            _ => [Some(Platform::Amd64), Some(Platform::Arm64)],
        };
        assert_eq!(foreign, expected);
    }
}
