//! The two images of a rehearsal: built on a version of Directus, or existing.

use std::rc::Rc;

use anyhow::{Context as _, bail, ensure};
use grammar::{DirectusVersion, RehearseFlags, Variant};
use serde::Deserialize;
use serde_json::Value;
use testbed::base_images::BaseImage;
use testbed::engine::{ContainerSpec, Engine};
use testbed::image::{self, BuildMode, BuildOptions};
use testbed::session::EngineSession;
use testbed::{base_images, dockerfile, setup, ui, workspace};

use crate::report::{RehearsedImage, UpgradeFindings, UpgradePart};
use crate::supported::{ensure_forward, ensure_supported};

/// Files of the slim image's build, which are tried on a base before the build.
const PRUNE: [&str; 2] = ["scripts/slim/prune.mjs", "scripts/slim/prune.tsv"];
/// Prints the facts about an image that its packages contain, as one line of JSON.
const FACTS: &str = "
    const read = (path) => require('node:fs').readFileSync(path, 'utf8');
    const { version, substitutes } = JSON.parse(read('/directus/package.json'));
    const api = '/directus/node_modules/@directus/api/';
    const { license = 'unknown' } = JSON.parse(read(api + 'package.json'));
    const [, file] = /^SEE LICENSE IN (.+)$/.exec(license) ?? [];
    const title = file && /^# (.+)$/m.exec(read(api + file))?.[1];
    console.log(JSON.stringify({ version, substitutes: substitutes ?? {}, license: title ?? license }));";

/// The image to start from, or the candidate.
#[derive(Clone, Debug)]
enum WantedImage {
    Version(DirectusVersion),
    Existing(String),
}

/// The pair of images that the command line names.
#[derive(Clone, Debug)]
pub(crate) struct WantedImages {
    from: WantedImage,
    to: WantedImage,
}

impl WantedImages {
    /// Reads the command line, and refuses versions that must not be rehearsed before anything is built.
    pub(crate) fn of(flags: &RehearseFlags) -> anyhow::Result<WantedImages> {
        let from = match &flags.from {
            None => WantedImage::Version(pin()?),
            // A name that looks like a version is one.
            Some(text) => text.parse().map_or_else(|_| WantedImage::Existing(text.clone()), WantedImage::Version),
        };
        let to = match (&flags.to, &flags.image) {
            (Some(version), _) => WantedImage::Version(*version),
            (None, Some(image)) => WantedImage::Existing(image.clone()),
            (None, None) => bail!("there is no candidate: pass --to VERSION or --image IMAGE"),
        };
        for wanted in [&from, &to] {
            if let WantedImage::Version(version) = wanted {
                ensure_supported(*version)?;
            }
        }
        if let (WantedImage::Version(from), WantedImage::Version(to)) = (&from, &to) {
            ensure_forward(*from, *to)?;
        }
        Ok(WantedImages { from, to })
    }

    /// Obtains both images, and refuses pairs that must not be rehearsed.
    pub(crate) async fn obtain(
        self,
        engine: &Engine,
        session: &Rc<EngineSession>,
        findings: &mut UpgradeFindings,
    ) -> anyhow::Result<(RehearsedImage, RehearsedImage)> {
        // Before a build, which takes minutes.
        for wanted in [&self.from, &self.to] {
            if let WantedImage::Existing(name) = wanted {
                describe(engine, session, name).await?;
            }
        }
        // The build of the start is no part of the upgrade.
        let from = self.from.obtain(engine, session, &mut UpgradeFindings::default()).await?;
        let to = self.to.obtain(engine, session, findings).await?;
        let version_of = |side: &RehearsedImage| {
            let version = side.directus.parse().map_err(anyhow::Error::msg);
            version.and_then(|version| ensure_supported(version).map(|()| version)).with_context(|| side.image.clone())
        };
        ensure_forward(version_of(&from)?, version_of(&to)?)?;
        Ok((from, to))
    }
}

/// The version of Directus that the Dockerfile pins.
pub(crate) fn pin() -> anyhow::Result<DirectusVersion> {
    let image = dockerfile::argument("DIRECTUS_IMAGE")?;
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    tag.parse().map_err(anyhow::Error::msg).with_context(|| format!("the Dockerfile pins {image}"))
}

impl WantedImage {
    async fn obtain(
        self,
        engine: &Engine,
        session: &Rc<EngineSession>,
        findings: &mut UpgradeFindings,
    ) -> anyhow::Result<RehearsedImage> {
        let image = match self {
            WantedImage::Existing(image) => image,
            WantedImage::Version(version) => build(engine, session, version, findings).await?,
        };
        describe(engine, session, &image).await
    }
}

/// Builds the image of this checkout on a version of Directus, and returns its name.
async fn build(
    engine: &Engine,
    session: &Rc<EngineSession>,
    version: DirectusVersion,
    findings: &mut UpgradeFindings,
) -> anyhow::Result<String> {
    let base = BaseImage::directus_version(version)?;
    if base.local(engine).await?.is_none() {
        let obtained = setup::obtain(&base).await;
        obtained.with_context(|| {
            format!("Directus {version} cannot be obtained (`npm view directus versions` lists the published ones)")
        })?;
    }
    let base = base.resolve(engine).await?;
    let stale = stale_rows(engine, session, &base.name).await?;
    let variant = if stale.is_empty() { Variant::Slim } else { Variant::Full };
    if !stale.is_empty() {
        let rows = stale.join(", ");
        findings.look(
            UpgradePart::Build,
            format!(
                "the slim image does not build: scripts/slim/prune.tsv has rows that match nothing in Directus {version}: \
                 {rows}; correct them (rehearsed with all of the base instead)"
            ),
        );
    }
    let tag = format!("trm-directus:rehearse-{version}");
    ui::status("Building", &format!("{tag} on {}", base.name));
    let options = BuildOptions { mode: BuildMode::Quick, variant, platform: None };
    let built = image::build_on(engine, &base, &tag, options).await;
    built.with_context(|| format!("the image of this checkout does not build on Directus {version}"))?;
    Ok(tag)
}

/// The rows of the slim image's list that match nothing in a base.
async fn stale_rows(engine: &Engine, session: &Rc<EngineSession>, base: &str) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for path in PRUNE {
        let content = std::fs::read(workspace::path(path)).with_context(|| format!("failed to read {path}"))?;
        files.push((format!("/prune/{}", path.rsplit('/').next().unwrap_or(path)), content));
    }
    let spec = ContainerSpec {
        image: base.to_owned(),
        entrypoint: Some(vec!["node".to_owned()]),
        command: Some(["/prune/prune.mjs", "/prune/prune.tsv", "/", "check"].map(str::to_owned).to_vec()),
        user: Some("0:0".to_owned()),
        files,
        ..ContainerSpec::default()
    };
    let (code, output) = engine.run_to_end(session, spec).await?;
    ensure!(code == 0, "scripts/slim/prune.mjs cannot read {base} (exit {code}): {output}");
    Ok(output.lines().map(str::to_owned).collect())
}

#[derive(Deserialize)]
struct ImageFacts {
    version: String,
    substitutes: serde_json::Map<String, Value>,
    license: String,
}

/// Reads the facts about an image.
async fn describe(engine: &Engine, session: &Rc<EngineSession>, name: &str) -> anyhow::Result<RehearsedImage> {
    let info = image::obtain(engine, name).await?;
    let spec = ContainerSpec {
        image: name.to_owned(),
        command: Some(["node", "-e", FACTS].map(str::to_owned).to_vec()),
        ..ContainerSpec::default()
    };
    let ended = engine.run_to_end(session, spec).await;
    let (code, output) = ended.with_context(|| format!("{name} is not an image of Directus"))?;
    let facts = serde_json::from_str::<ImageFacts>(output.trim());
    let facts = facts.with_context(|| format!("{name} is not an image of Directus (exit {code}): {output}"))?;
    let label = |key: &str| info.labels.get(key).cloned().unwrap_or_default();
    let base = label("org.opencontainers.image.base.name");
    let base_info = if base.is_empty() { None } else { engine.image(&base).await? };
    let substitutes = facts.substitutes.iter();
    Ok(RehearsedImage {
        image: name.to_owned(),
        directus: facts.version,
        license: facts.license,
        variant: label("trm.variant"),
        stand_in: base_info.as_ref().map_or(base_images::is_name_of_stand_in(&base), base_images::is_stand_in),
        base,
        substitutes: substitutes
            .map(|(package, text)| format!("{package} {}", text.as_str().unwrap_or_default()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::pin;

    #[test]
    fn the_pin_is_an_exact_version() {
        assert!(pin().unwrap().numbers[0] >= 11);
    }
}
