//! Ablation: the image against variants without one of the optimisations of its start.

use anyhow::Context as _;

use acceptance::container::BootSpec;
use acceptance::database::Database;
use testbed::cmd::Cmd;

use super::baseline::Contender;
use super::lab::Harness;
use super::model::{Figures, Subject};
use grammar::Part;

use super::{gate, names};

/// The optimisation that a variant of the image lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    None,
    /// Runs on the full upstream image.
    Slim,
    /// Node compiles every module that it imports.
    Compiled,
    /// Directus' modules are unbundled, and therefore not compiled either.
    Bundled,
    /// A warm boot has no fingerprint of the schema, so Directus has to plan.
    Fingerprint,
}

impl Step {
    const ALL: [Step; 5] = [Step::None, Step::Slim, Step::Compiled, Step::Bundled, Step::Fingerprint];

    fn subject(self) -> Subject {
        match self {
            Step::None => Subject::Ours,
            Step::Slim => Subject::OnUpstream,
            Step::Compiled => Subject::Uncompiled,
            Step::Bundled => Subject::Unbundled,
            Step::Fingerprint => Subject::Planning,
        }
    }

    /// Returns the name of the Dockerfile of the variant, if it needs another image.
    fn dockerfile(self) -> Option<&'static str> {
        match self {
            Step::Slim => Some("full"),
            Step::Bundled => Some("unbundled"),
            Step::None | Step::Compiled | Step::Fingerprint => None,
        }
    }
}

/// Measures all variants in turns: on an empty database, then again on the same.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for step in Step::ALL {
        if let Some(dockerfile) = step.dockerfile() {
            build(harness, dockerfile).await?;
        }
    }
    for _ in 0..runs {
        for step in Step::ALL {
            let database = if step == Step::Fingerprint {
                harness.booted(Contender::Ours).await?
            } else {
                harness.empty().await?
            };
            if step == Step::Fingerprint {
                database.execute("update boot.snapshots set fingerprint = null").await?;
            } else {
                let (ready, serving) = gate::start(harness, Contender::Ours, variant(harness, step, &database)).await?;
                figures.seconds(Part::Steps, names::COLD_GATE, step.subject(), ready);
                figures.seconds(Part::Steps, names::COLD_SERVE, step.subject(), serving);
            }
            let (ready, serving) = gate::start(harness, Contender::Ours, variant(harness, step, &database)).await?;
            figures.seconds(Part::Steps, names::WARM_GATE, step.subject(), ready);
            figures.seconds(Part::Steps, names::WARM_SERVE, step.subject(), serving);
            harness.drop_database(&database).await?;
        }
    }
    Ok(())
}

/// Returns a container of the variant without a step.
fn variant(harness: &Harness, step: Step, database: &Database) -> BootSpec {
    let spec = harness.container(Contender::Ours, database);
    let spec = match step.dockerfile() {
        Some(dockerfile) => spec.with(|spec| spec.image = tag(harness, dockerfile)),
        None => spec,
    };
    if step == Step::Compiled { spec.variable("NODE_DISABLE_COMPILE_CACHE", "1") } else { spec }
}

fn tag(harness: &Harness, dockerfile: &str) -> String {
    format!("{}:{dockerfile}", harness.setting.session.id())
}

async fn build(harness: &Harness, dockerfile: &str) -> anyhow::Result<()> {
    let folder = harness.tree.join("crates/bench/steps");
    let docker = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", &tag(harness, dockerfile)])
        .args(["--label", &harness.label(), "--file", folder.join(format!("{dockerfile}.Dockerfile")).as_str()])
        .args(["--build-arg", &format!("IMAGE={}", harness.image(Contender::Ours))])
        .args(["--build-arg", &format!("DIRECTUS_IMAGE={}", harness.base.name)])
        // Only the engine's own builder can use local images, such as ours.
        .env("BUILDX_BUILDER", "default");
    docker
        .arg(&folder)
        .read()
        .await
        .with_context(|| format!("failed to build crates/bench/steps/{dockerfile}.Dockerfile"))?;
    Ok(())
}
