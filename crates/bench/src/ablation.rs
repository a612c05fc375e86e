//! Ablation: the image against variants without one of the optimisations of its start.

use anyhow::Context as _;

use acceptance::container::BootSpec;
use acceptance::database::TestDatabase;
use testbed::cmd::Cmd;

use super::baseline::Contender;
use super::harness::Harness;
use super::model::{Figures, Subject};
use grammar::BenchPart;

use super::{metrics, startup};

/// The optimisation that a variant of the image lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Optimisation {
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

impl Optimisation {
    const ALL: [Optimisation; 5] = [
        Optimisation::None,
        Optimisation::Slim,
        Optimisation::Compiled,
        Optimisation::Bundled,
        Optimisation::Fingerprint,
    ];

    fn subject(self) -> Subject {
        match self {
            Optimisation::None => Subject::Ours,
            Optimisation::Slim => Subject::OnUpstream,
            Optimisation::Compiled => Subject::Uncompiled,
            Optimisation::Bundled => Subject::Unbundled,
            Optimisation::Fingerprint => Subject::Planning,
        }
    }

    /// Returns the name of the Dockerfile of the variant, if it needs another image.
    fn dockerfile(self) -> Option<&'static str> {
        match self {
            Optimisation::Slim => Some("full"),
            Optimisation::Bundled => Some("unbundled"),
            Optimisation::None | Optimisation::Compiled | Optimisation::Fingerprint => None,
        }
    }
}

/// Measures all variants in turns: on an empty database, then again on the same.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for optimisation in Optimisation::ALL {
        if let Some(dockerfile) = optimisation.dockerfile() {
            build(harness, dockerfile).await?;
        }
    }
    for _ in 0..runs {
        for optimisation in Optimisation::ALL {
            let database = if optimisation == Optimisation::Fingerprint {
                harness.booted(Contender::Ours).await?
            } else {
                harness.empty().await?
            };
            if optimisation == Optimisation::Fingerprint {
                database.execute("update boot.snapshots set fingerprint = null").await?;
            } else {
                let (ready, serving) =
                    startup::start(harness, Contender::Ours, variant(harness, optimisation, &database)).await?;
                figures.seconds(BenchPart::Ablation, metrics::COLD_START, optimisation.subject(), ready);
                figures.seconds(BenchPart::Ablation, metrics::COLD_SERVE, optimisation.subject(), serving);
            }
            let (ready, serving) =
                startup::start(harness, Contender::Ours, variant(harness, optimisation, &database)).await?;
            figures.seconds(BenchPart::Ablation, metrics::WARM_START, optimisation.subject(), ready);
            figures.seconds(BenchPart::Ablation, metrics::WARM_SERVE, optimisation.subject(), serving);
            harness.drop_database(&database).await?;
        }
    }
    Ok(())
}

/// Returns a container of the variant without an optimisation.
fn variant(harness: &Harness, optimisation: Optimisation, database: &TestDatabase) -> BootSpec {
    let spec = harness.container(Contender::Ours, database);
    let spec = match optimisation.dockerfile() {
        Some(dockerfile) => spec.with(|spec| spec.image = tag(harness, dockerfile)),
        None => spec,
    };
    if optimisation == Optimisation::Compiled { spec.variable("NODE_DISABLE_COMPILE_CACHE", "1") } else { spec }
}

fn tag(harness: &Harness, dockerfile: &str) -> String {
    format!("{}:{dockerfile}", harness.suite.session.id())
}

async fn build(harness: &Harness, dockerfile: &str) -> anyhow::Result<()> {
    let folder = harness.tree.join("crates/bench/ablation");
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
        .with_context(|| format!("failed to build crates/bench/ablation/{dockerfile}.Dockerfile"))?;
    Ok(())
}
