//! Building the image, and checking its size, files and user.

pub mod inspection;
pub mod ownership;
mod parts;
mod platform;
mod progress;
pub mod rebuild;
pub mod revision;
pub mod size;
pub mod upstream;
pub mod variant;

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use grammar::{Platform, Variant};
use jiff::Timestamp;
use serde::Serialize;

use self::progress::{BuildEvent, BuildProgress, is_internal};
use self::revision::Revision;
use self::size::Sizes;
use crate::base_images::{BaseImage, Resolved};
use crate::cmd::Cmd;
use crate::engine::{Engine, ImageInfo};
use crate::registry;
use crate::setup;
use crate::ui;
use crate::workspace;

/// The way to build the boot binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildMode {
    /// By this machine's cargo, optimised for size, as for a release.
    #[default]
    Release,
    /// By this machine's cargo, in half the time.
    Quick,
    /// In a stage of the image build, as for a release.
    Source,
}

impl BuildMode {
    /// The cargo profile.
    pub fn profile(self) -> &'static str {
        match self {
            BuildMode::Release | BuildMode::Source => "image",
            BuildMode::Quick => "image-quick",
        }
    }
}

/// The options of an image build; by default, as for a release.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildOptions {
    /// The way to build the boot binary.
    pub mode: BuildMode,
    /// The base: all of upstream's image, or a part.
    pub variant: Variant,
    /// The platform, if it is not this machine's.
    pub platform: Option<Platform>,
}

/// The result of an image build, also as JSON.
#[derive(Clone, Debug, Serialize)]
pub struct BuiltImage {
    /// The name and tag.
    pub image: String,
    /// `sha256:…`.
    pub id: String,
    /// The operating system and the processor: `linux/amd64`.
    pub platform: String,
    /// The sizes of the image and its parts.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// The local name of the image that it is built on.
    pub base: String,
    /// The variant of the base.
    pub variant: &'static str,
    /// True if the base is a stand-in.
    pub stand_in: bool,
}

/// Builds the image and gives it a name and tag.
pub async fn build(engine: &Engine, tag: &str, options: BuildOptions) -> anyhow::Result<BuiltImage> {
    let base = match platform::foreign(options.platform) {
        None => BaseImage::directus()?.resolve(engine).await?,
        Some(platform) => platform::foreign_base(platform, options.variant).await?,
    };
    build_on(engine, &base, tag, options).await
}

/// Builds the image on this local base instead of the pinned one.
pub async fn build_on(
    engine: &Engine,
    base: &Resolved,
    tag: &str,
    options: BuildOptions,
) -> anyhow::Result<BuiltImage> {
    parts::check()?;
    let foreign = platform::foreign(options.platform);
    // On other systems cargo would need a cross linker, so the image build compiles the binary.
    let rust = if options.mode == BuildMode::Source || !cfg!(target_os = "linux") {
        Some(rust_image(engine, foreign).await?)
    } else {
        build_binary(options.mode, foreign, workspace::root(), &workspace::target_dir()).await?;
        None
    };
    let ca = ca_bundle();
    let mut command = build_command(tag, options.variant, base, rust.as_ref(), &Revision::read().await, ca.as_deref());
    if let Some(platform) = options.platform {
        command = command.args(["--platform", platform.name()]);
    }
    run_build(&command.arg(".")).await?;

    let image =
        engine.image(tag).await?.with_context(|| format!("the build succeeded, but there is no image {tag}"))?;
    if let Some(platform) = options.platform {
        ensure!(image.platform == platform.name(), "{tag} is an image for {}, not {}", image.platform, platform.name());
    }
    Ok(BuiltImage {
        image: tag.to_owned(),
        id: image.id,
        platform: image.platform,
        sizes: size::measure(engine, tag, &base.name).await?,
        base: base.name.clone(),
        variant: options.variant.name(),
        stand_in: base.stand_in,
    })
}

/// Returns the image of that name. One that is not local is pulled with the docker command, which knows the user's logins,
/// if its name contains the registry's host.
///
/// # Errors
/// No such image, or a failed pull.
pub async fn obtain(engine: &Engine, name: &str) -> anyhow::Result<ImageInfo> {
    if let Some(image) = engine.image(name).await? {
        return Ok(image);
    }
    ensure!(registry::host_of(name).is_some(), "there is no image {name}; `cargo xtask image --tag {name}` builds it");
    Cmd::new("docker").args(["pull", "--quiet", name]).run().await?;
    engine.image(name).await?.with_context(|| format!("{name} was pulled, but the engine does not have it"))
}

async fn rust_image(engine: &Engine, foreign: Option<Platform>) -> anyhow::Result<Resolved> {
    let image = BaseImage::rust()?;
    if foreign.is_some() {
        return Ok(Resolved { name: image.name, stand_in: false });
    }
    // Not a step of the setup: the image is large, and only --source needs it.
    if image.local(engine).await?.is_none() {
        setup::obtain(&image).await?;
    }
    image.resolve(engine).await
}

/// Builds the static binary of a checkout with this machine's cargo, for this machine's or a foreign platform, and copies
/// it to where the Dockerfile expects it.
async fn build_binary(
    mode: BuildMode,
    foreign: Option<Platform>,
    checkout: &Utf8Path,
    target_dir: &Utf8Path,
) -> anyhow::Result<()> {
    let (target, cargo) = match foreign {
        None => (setup::musl_target(), Cmd::cargo()),
        Some(platform) => (platform.target(), platform::cross_compile(Cmd::cargo(), platform)?),
    };
    // The list of crates, for scanners of the image: `dev-reset` does without it, and without its tool.
    let cargo = if mode == BuildMode::Release { cargo.arg("auditable") } else { cargo };
    let profile = mode.profile();
    cargo
        .args(["build", "--locked", "--profile", profile, "--package", "entrypoint", "--target", &target])
        .args(["--manifest-path", checkout.join("Cargo.toml").as_str(), "--target-dir", target_dir.as_str()])
        .args(["--config", &remap(&target, &source_folders())])
        .run()
        .await
        .context("the boot binary cannot be built; `cargo xtask setup` reports tools that are missing")?;
    let from = target_dir.join(&target).join(profile).join("entrypoint");
    let to = checkout.join("target/prebuilt/entrypoint");
    let binary = std::fs::read(&from).with_context(|| format!("failed to read {from}"))?;
    // An identical file is kept, so that its time is that of the last change.
    if std::fs::read(&to).is_ok_and(|present| present == binary) {
        return Ok(());
    }
    let folder = to.parent().context("the path of the binary has no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
    std::fs::copy(&from, &to).with_context(|| format!("failed to copy {from} to {to}"))?;
    Ok(())
}

/// The folders with the sources of cargo's packages. Their names depend on the registry's URL, so on a mirror.
fn source_folders() -> Vec<Utf8PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home = home.and_then(|home| Utf8PathBuf::from_path_buf(home).ok());
    let folders = home.and_then(|home| home.join("registry/src").read_dir_utf8().ok());
    folders.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.into_path())).collect()
}

/// Returns a setting of cargo by which paths in panic messages depend neither on the user who builds nor on the registry.
fn remap(target: &str, source_folders: &[Utf8PathBuf]) -> String {
    let flags: Vec<String> =
        source_folders.iter().map(|folder| format!("--remap-path-prefix={folder}=/crates")).collect();
    format!("target.{target}.rustflags={}", serde_json::Value::from(flags))
}

/// Returns the build command without its context. The binary is this machine's unless there is a Rust image to build it in.
fn build_command(
    tag: &str,
    variant: Variant,
    base: &Resolved,
    rust: Option<&Resolved>,
    revision: &Revision,
    ca: Option<&str>,
) -> Cmd {
    let mut cmd = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--progress=rawjson", "--provenance=false", "--tag", tag])
        .arg("--build-arg")
        .arg(format!("DIRECTUS_IMAGE={}", base.name))
        .arg("--build-arg")
        .arg(format!("VARIANT={}", variant.name()));
    let mut local_images = base.stand_in;
    match rust {
        None => cmd = cmd.args(["--build-arg", "BINARY=prebuilt"]),
        Some(rust) => {
            local_images |= rust.stand_in;
            cmd = cmd.args(["--build-arg", "BINARY=source", "--build-arg"]).arg(format!("RUST_IMAGE={}", rust.name));
            // A proxy in front of the registries may have its own certificate authority.
            if let Some(ca) = ca {
                cmd = cmd.arg("--secret").arg(format!("id=ca,src={ca}"));
            }
        }
    }
    for (name, value) in
        [("VERSION", env!("CARGO_PKG_VERSION")), ("REVISION", &revision.name), ("CREATED", &revision.created)]
    {
        cmd = cmd.arg("--build-arg").arg(format!("{name}={value}"));
    }
    // BuildKit since 0.11 gives the image and its history this time instead of the current one.
    if let Ok(time) = revision.created.parse::<Timestamp>() {
        cmd = cmd.arg("--build-arg").arg(format!("SOURCE_DATE_EPOCH={}", time.as_second()));
    }
    // Only the engine's own builder sees local images.
    if local_images { cmd.env("BUILDX_BUILDER", "default") } else { cmd }
}

fn ca_bundle() -> Option<String> {
    let variable = std::env::var("SSL_CERT_FILE").ok();
    let candidates = variable.into_iter().chain(["/etc/ssl/certs/ca-certificates.crt".to_owned()]);
    candidates.into_iter().find(|path| std::path::Path::new(path).is_file())
}

async fn run_build(command: &Cmd) -> anyhow::Result<()> {
    let mut progress = BuildProgress::default();
    let spinner = ui::Spinner::start();
    let mut running = String::new();
    let mut last_text = String::new();
    let status = command
        .stderr_lines(|line| {
            for event in progress.line(line) {
                match event {
                    BuildEvent::Started(step) => {
                        running = step;
                        spinner.restart(&running);
                    }
                    BuildEvent::Output(line) => spinner.update(&format!("{running}: {line}")),
                    BuildEvent::Done(step, _) | BuildEvent::Cached(step) if is_internal(&step) => {}
                    BuildEvent::Done(step, took) => {
                        spinner
                            .line(|| ui::status("Built", &format!("{} ({})", ui::shorten(&step), ui::seconds(took))));
                    }
                    BuildEvent::Cached(step) => spinner.line(|| ui::status("Cached", &ui::shorten(&step))),
                    BuildEvent::Failed(step, output) => spinner.line(|| {
                        let output: String = output.iter().map(|line| format!("    {line}\n")).collect();
                        ui::error(&format!("{step}\n{}", output.trim_end()));
                    }),
                    BuildEvent::Text(text) => last_text = text,
                }
            }
        })
        .await?;
    drop(spinner);
    command.check(status, &last_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(stand_in: bool) -> Resolved {
        Resolved { name: "base:1".to_owned(), stand_in }
    }

    fn revision() -> Revision {
        Revision { name: "abc".to_owned(), created: "2026".to_owned() }
    }

    #[test]
    fn a_prebuilt_binary_needs_neither_rust_image_nor_certificates() {
        let command = build_command("a:b", Variant::Full, &base(false), None, &revision(), Some("/ca.pem"));
        let text = command.to_string();
        let expected = "docker buildx build --load --progress=rawjson --provenance=false --tag a:b \
                        --build-arg DIRECTUS_IMAGE=base:1 --build-arg VARIANT=full \
                        --build-arg BINARY=prebuilt --build-arg VERSION=";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("--build-arg REVISION=abc --build-arg CREATED=2026"), "{text}");
    }

    #[test]
    fn the_folders_of_packages_are_replaced_in_the_binary() {
        let expected = r#"target.a-b.rustflags=["--remap-path-prefix=/home/x y/src/i-1=/crates"]"#;
        assert_eq!(remap("a-b", &["/home/x y/src/i-1".into()]), expected);
    }

    #[test]
    fn the_time_of_the_commit_is_the_time_of_the_image() {
        let revision = Revision { created: "2026-06-06T10:00:00+02:00".to_owned(), ..revision() };
        let command = build_command("a:b", Variant::Slim, &base(false), None, &revision, None).to_string();
        assert!(command.ends_with("--build-arg SOURCE_DATE_EPOCH=1780732800"), "{command}");
    }

    #[test]
    fn a_build_from_source_gets_the_certificates_as_a_secret() {
        let rust = Resolved { name: "rust:1".to_owned(), stand_in: false };
        let command = build_command("a:b", Variant::Slim, &base(false), Some(&rust), &revision(), Some("/ca.pem"));
        let text = command.to_string();
        let expected = "--build-arg BINARY=source --build-arg RUST_IMAGE=rust:1 --secret id=ca,src=/ca.pem";
        assert!(text.contains(expected), "{text}");
    }
}
