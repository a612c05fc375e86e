//! The images of a roll, built from the image under test: the same programs with other SQL files and another snapshot.

use anyhow::Context as _;
use testbed::cmd::Cmd;

use super::second_engine;
use crate::sample::Sample;
use crate::test_context::TestContext;

/// Images with one name and several tags, which are removed with the run.
#[derive(Clone, Debug)]
pub(crate) struct SwarmImages {
    repository: String,
}

impl SwarmImages {
    /// Builds an image for each tag and data model.
    pub(crate) async fn build(test: &TestContext, models: &[(&str, &Sample)]) -> anyhow::Result<SwarmImages> {
        let repository = format!("trm-swarm/{}", test.name());
        for (tag, model) in models {
            let folder = second_engine::folder().join(test.name()).join(format!("image-{tag}"));
            // Of an earlier run, with other files.
            if folder.is_dir() {
                std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {folder}"))?;
            }
            std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {folder}"))?;
            let dockerfile = model.dockerfile(&test.suite.subject.image, &folder)?;
            let path = folder.join("Dockerfile");
            std::fs::write(&path, format!("{dockerfile}ENV BOOT_IMAGE={tag}\n"))
                .with_context(|| format!("failed to write {path}"))?;
            let mut cmd = Cmd::new("docker").args(["buildx", "build", "--load", "--quiet", "--provenance=false"]);
            for (name, value) in test.suite.session.labels() {
                cmd = cmd.arg("--label").arg(format!("{name}={value}"));
            }
            // Only the engine's own builder can use local images.
            let cmd = cmd.env("BUILDX_BUILDER", "default").args(["--tag", &format!("{repository}:{tag}")]);
            cmd.arg(&folder).read().await?;
        }
        Ok(SwarmImages { repository })
    }

    /// Their common name.
    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }
}
