//! The published images that ours builds on, and the stand-ins for them on machines that cannot reach a container
//! registry.
//!
//! `scripts/standin/build.sh` builds a stand-in from the package registries, with its own name and a label. Every command
//! that uses one warns about it. The real image takes precedence as soon as it is available locally.

use std::time::Duration;

use anyhow::{Context as _, bail};
use grammar::{DirectusVersion, PostgresVersion};
use sha2::{Digest as _, Sha256};

use crate::cmd::Cmd;
use crate::compose::{self, Compose};
use crate::dockerfile;
use crate::engine::{Engine, ImageInfo, Pull};
use crate::ui;
use crate::workspace;

/// Time for a registry's first answer, after which it counts as unreachable.
const REGISTRY_ANSWER: Duration = Duration::from_secs(5);
/// PgBouncer publishes no image; this one is the most used.
const POOLER: &str = "edoburu/pgbouncer:v1.23.1-p2";
/// A release with long support.
const PROXY: &str = "haproxy:2.8";
const REDIS: &str = "redis:7";
const REGISTRY: &str = "registry:2";
/// The namespace of stand-ins, which does not exist in registries.
const STAND_INS: &str = "trm-standin/";
const STAND_IN_LABEL: &str = "trm.standin";
const RECIPE_LABEL: &str = "trm.standin.sources";

/// The recipe of a stand-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    /// Upstream's Directus.
    Directus,
    /// PostgreSQL with TimescaleDB.
    Postgres,
    /// An exact version of PostgreSQL.
    ExactPostgres(PostgresVersion),
    /// PgBouncer.
    Pooler,
    /// HAProxy.
    Proxy,
    /// Redis.
    Redis,
    /// A container registry.
    Registry,
    /// A Rust toolchain.
    Rust,
}

impl BaseKind {
    fn recipe(self) -> &'static str {
        match self {
            BaseKind::Directus => "directus",
            BaseKind::Postgres => "postgres",
            BaseKind::ExactPostgres(_) => "embedded",
            BaseKind::Pooler => "pgbouncer",
            BaseKind::Proxy => "haproxy",
            BaseKind::Redis => "redis",
            BaseKind::Registry => "registry",
            BaseKind::Rust => "rust",
        }
    }
}

/// A published image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    /// The recipe of its stand-in.
    pub kind: BaseKind,
    /// The publisher's name and tag.
    pub name: String,
}

/// The local image to use: a published one or its stand-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The local name and tag.
    pub name: String,
    /// True for a stand-in.
    pub stand_in: bool,
}

impl BaseImage {
    /// The base of our image.
    pub fn directus() -> anyhow::Result<BaseImage> {
        Ok(BaseImage { kind: BaseKind::Directus, name: dockerfile::argument("DIRECTUS_IMAGE")? })
    }

    /// Another version of the base of our image: the pin's name with this tag.
    pub fn directus_version(version: DirectusVersion) -> anyhow::Result<BaseImage> {
        let pin = BaseImage::directus()?;
        let repository = pin.name.strip_suffix(&format!(":{}", pin.version()));
        let repository = repository.with_context(|| format!("the pin {} has no tag to replace", pin.name))?;
        Ok(BaseImage { name: format!("{repository}:{version}"), ..pin })
    }

    /// The toolchain that builds the binary when this machine's cargo does not.
    pub fn rust() -> anyhow::Result<BaseImage> {
        Ok(BaseImage { kind: BaseKind::Rust, name: dockerfile::argument("RUST_IMAGE")? })
    }

    /// The database of the compose file.
    pub async fn postgres() -> anyhow::Result<BaseImage> {
        let config = Compose::new(grammar::DEFAULT_PROJECT).config().await?;
        Ok(BaseImage { kind: BaseKind::Postgres, name: config.service(compose::DATABASE)?.image.clone() })
    }

    /// An exact version of PostgreSQL without extensions of other projects.
    pub fn exact_postgres(version: PostgresVersion) -> BaseImage {
        BaseImage { kind: BaseKind::ExactPostgres(version), name: format!("postgres:{}", version.number) }
    }

    /// The pooler that the boot's tests connect through.
    pub fn pooler() -> BaseImage {
        BaseImage { kind: BaseKind::Pooler, name: POOLER.to_owned() }
    }

    /// The proxy in front of the replicas of a swarm.
    pub fn proxy() -> BaseImage {
        BaseImage { kind: BaseKind::Proxy, name: PROXY.to_owned() }
    }

    /// The Redis of the checks of other services and of the swarm.
    pub fn redis() -> BaseImage {
        BaseImage { kind: BaseKind::Redis, name: REDIS.to_owned() }
    }

    /// The registry that the workflow's steps publish to in a test, and that `setup --registry` starts.
    pub fn registry() -> BaseImage {
        BaseImage { kind: BaseKind::Registry, name: REGISTRY.to_owned() }
    }

    /// All of them, with the oldest version of the exact databases.
    pub async fn all() -> anyhow::Result<Vec<BaseImage>> {
        Ok(vec![
            BaseImage::directus()?,
            BaseImage::rust()?,
            BaseImage::postgres().await?,
            BaseImage::exact_postgres(PostgresVersion::OLDEST),
            BaseImage::pooler(),
            BaseImage::redis(),
            BaseImage::registry(),
        ])
    }

    /// Returns the name of its stand-in: the last part of its own name, or for the database, whose stand-in has other
    /// versions, a name with these.
    pub fn stand_in(&self) -> String {
        match self.kind {
            BaseKind::Postgres => grammar::DATABASE_STAND_IN.to_owned(),
            BaseKind::Directus
            | BaseKind::ExactPostgres(_)
            | BaseKind::Pooler
            | BaseKind::Proxy
            | BaseKind::Redis
            | BaseKind::Registry
            | BaseKind::Rust => {
                format!("{STAND_INS}{}", self.name.rsplit('/').next().unwrap_or(&self.name))
            }
        }
    }

    fn version(&self) -> &str {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        last.split_once(':').map_or("latest", |(_, tag)| tag)
    }

    /// Returns the local image, else its local stand-in, without network access.
    pub async fn local(&self, engine: &Engine) -> anyhow::Result<Option<Resolved>> {
        if let Some(image) = engine.image(&self.name).await? {
            return Ok(Some(Resolved { name: self.name.clone(), stand_in: is_stand_in(&image) }));
        }
        let name = self.stand_in();
        Ok(engine.image(&name).await?.map(|_| Resolved { name, stand_in: true }))
    }

    /// Returns the image to use: the local one, else the registry's. Warns of a stand-in.
    pub async fn resolve(&self, engine: &Engine) -> anyhow::Result<Resolved> {
        let resolved = match self.local(engine).await? {
            Some(resolved) => resolved,
            None => match self.pull(engine).await? {
                // A registry may serve a stand-in under the real name, which its label reveals.
                Pull::Done => {
                    self.local(engine).await?.with_context(|| format!("{} was pulled and is not here", self.name))?
                }
                Pull::Refused(reason) => {
                    bail!("the registry refused {}: {reason}; if it asks for a login, `docker login` first", self.name)
                }
                Pull::Unreachable(reason) => bail!(
                    "there is no local image {}, and its registry cannot be reached ({reason}): \
                     `cargo xtask setup --yes` builds a stand-in",
                    self.name
                ),
            },
        };
        if resolved.stand_in {
            let (name, publishers) = (&resolved.name, &self.name);
            ui::warning(&if name == publishers {
                format!("{name} is a stand-in by its label")
            } else {
                format!("{name} is a stand-in for {publishers}, built on this machine")
            });
        }
        Ok(resolved)
    }

    /// Pulls it and shows the progress.
    pub async fn pull(&self, engine: &Engine) -> anyhow::Result<Pull> {
        let spinner = ui::Spinner::start();
        spinner.restart(&format!("asking the registry for {}", self.name));
        engine.pull(&self.name, REGISTRY_ANSWER, |status| spinner.update(&format!("{}: {status}", self.name))).await
    }

    /// Returns true if its stand-in exists and was built from the current recipes.
    pub async fn has_current_stand_in(&self, engine: &Engine) -> anyhow::Result<bool> {
        let Some(image) = engine.image(&self.stand_in()).await? else { return Ok(false) };
        Ok(image.labels.get(RECIPE_LABEL) == Some(&recipe_digest()?))
    }

    /// Returns the command that builds its stand-in.
    pub fn stand_in_command(&self) -> anyhow::Result<Cmd> {
        let cmd = Cmd::new("scripts/standin/build.sh").arg(self.kind.recipe()).args(["--tag", &self.stand_in()]);
        let cmd = match self.kind {
            BaseKind::Directus => cmd.args(["--version", self.version()]),
            BaseKind::ExactPostgres(version) => cmd.args(["--version", version.package]),
            BaseKind::Postgres
            | BaseKind::Pooler
            | BaseKind::Proxy
            | BaseKind::Redis
            | BaseKind::Registry
            | BaseKind::Rust => cmd,
        };
        Ok(cmd.args(["--for", &self.name]).arg("--label").arg(format!("{RECIPE_LABEL}={}", recipe_digest()?)))
    }
}

/// Returns true for a stand-in, by its label: `docker tag` can give it the name of the real image.
pub fn is_stand_in(image: &ImageInfo) -> bool {
    image.labels.get(STAND_IN_LABEL).is_some_and(|value| value == "true")
}

/// Returns true for the name of a stand-in that is perhaps not local.
pub fn is_name_of_stand_in(name: &str) -> bool {
    name.starts_with(STAND_INS)
}

/// Returns a digest of all recipes; when it changes, stand-ins are rebuilt (from cached steps).
fn recipe_digest() -> anyhow::Result<String> {
    let mut files = Vec::new();
    let folder = workspace::path("scripts/standin");
    list_files(&folder, &mut files).with_context(|| format!("failed to read {folder}"))?;
    files.sort();
    let mut hash = Sha256::new();
    for path in files {
        let content = std::fs::read(&path).with_context(|| format!("failed to read {path}"))?;
        let name = path.strip_prefix(&folder).unwrap_or(&path);
        // The lengths make the boundaries between parts unambiguous.
        hash.update(format!("{} {name} {} ", name.as_str().len(), content.len()));
        hash.update(content);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn list_files(folder: &camino::Utf8Path, files: &mut Vec<camino::Utf8PathBuf>) -> std::io::Result<()> {
    for entry in folder.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_files(entry.path(), files)?;
        } else {
            files.push(entry.into_path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use grammar::PostgresVersion;

    use super::{BaseImage, BaseKind, recipe_digest};

    fn image(name: &str) -> BaseImage {
        BaseImage { kind: BaseKind::Directus, name: name.to_owned() }
    }

    #[test]
    fn a_stand_in_has_its_own_name_with_the_version_of_its_image() {
        assert_eq!(image("directus/directus:11.17.4").stand_in(), "trm-standin/directus:11.17.4");
        assert_eq!(image("host:5000/directus/directus:11").stand_in(), "trm-standin/directus:11");
        assert_eq!(image("rust:1-alpine").stand_in(), "trm-standin/rust:1-alpine");
    }

    #[test]
    fn another_version_has_the_name_of_the_pin_with_its_own_tag() {
        let version = "12.4.1".parse().unwrap();
        assert_eq!(BaseImage::directus_version(version).unwrap().name, "directus/directus:12.4.1");
    }

    #[test]
    fn the_stand_in_of_a_database_has_its_own_versions_in_its_name() {
        for name in ["timescale/timescaledb-ha:pg16.6-ts2.17.2-all", "postgres:14"] {
            let database = BaseImage { kind: BaseKind::Postgres, name: name.to_owned() };
            assert_eq!(database.stand_in(), grammar::DATABASE_STAND_IN);
        }
    }

    #[test]
    fn the_command_passes_version_and_image_to_the_recipe() {
        let command = image("directus/directus:11.17.4").stand_in_command().unwrap().to_string();
        let expected = "scripts/standin/build.sh directus --tag trm-standin/directus:11.17.4 --version 11.17.4 \
                        --for directus/directus:11.17.4 --label trm.standin.sources=";
        assert!(command.starts_with(expected), "{command}");
    }

    #[test]
    fn the_stand_in_of_an_exact_version_is_built_from_its_package() {
        let image = BaseImage::exact_postgres(PostgresVersion { number: "16.6", package: "16.6.0-beta.15" });
        let command = image.stand_in_command().unwrap().to_string();
        let expected = "scripts/standin/build.sh embedded --tag trm-standin/postgres:16.6 --version 16.6.0-beta.15 \
                        --for postgres:16.6 --label";
        assert!(command.starts_with(expected), "{command}");
    }

    #[test]
    fn the_digest_of_the_recipes_is_stable() {
        assert_eq!(recipe_digest().unwrap(), recipe_digest().unwrap());
        assert_eq!(recipe_digest().unwrap().len(), 16);
    }
}
