//! What each step towards a fast start brings: the image beside itself with one of them undone.

use anyhow::Context as _;

use acceptance::container::BootSpec;
use testbed::cmd::Cmd;

use super::baseline::Contender;
use super::lab::Lab;
use super::model::{By, Figures};
use grammar::Part;

use super::{gate, names};

/// The image as it is, or with one step undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// As it ships.
    None,
    /// On all of upstream's image.
    Slim,
    /// Node compiles all that it imports.
    Compiled,
    /// Directus' modules as upstream has them; those were not compiled either.
    Bundled,
    /// A warm boot does not know what the schema looked like, and lets Directus plan.
    Fingerprint,
}

impl Step {
    const ALL: [Step; 5] = [Step::None, Step::Slim, Step::Compiled, Step::Bundled, Step::Fingerprint];

    fn by(self) -> By {
        match self {
            Step::None => By::Ours,
            Step::Slim => By::OnUpstream,
            Step::Compiled => By::Uncompiled,
            Step::Bundled => By::Unbundled,
            Step::Fingerprint => By::Planning,
        }
    }

    /// What builds the image in which it is undone.
    fn dockerfile(self) -> Option<&'static str> {
        match self {
            Step::Slim => Some("full"),
            Step::Bundled => Some("unbundled"),
            Step::None | Step::Compiled | Step::Fingerprint => None,
        }
    }
}

/// Measures all in turns: on an empty database, then again on the same.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for step in Step::ALL {
        if let Some(dockerfile) = step.dockerfile() {
            build(lab, dockerfile).await?;
        }
    }
    for _ in 0..runs {
        for step in Step::ALL {
            let database =
                if step == Step::Fingerprint { lab.booted(Contender::Ours).await? } else { lab.empty().await? };
            let spec = || undone(lab, step, lab.container(Contender::Ours, &database));
            if step == Step::Fingerprint {
                database.execute("update boot.snapshots set fingerprint = null").await?;
            } else {
                let (ready, serving) = gate::start(lab, Contender::Ours, spec()).await?;
                figures.seconds(Part::Steps, names::COLD_GATE, step.by(), ready);
                figures.seconds(Part::Steps, names::COLD_SERVE, step.by(), serving);
            }
            let (ready, serving) = gate::start(lab, Contender::Ours, spec()).await?;
            figures.seconds(Part::Steps, names::WARM_GATE, step.by(), ready);
            figures.seconds(Part::Steps, names::WARM_SERVE, step.by(), serving);
            lab.drop_database(&database).await?;
        }
    }
    Ok(())
}

fn undone(lab: &Lab, step: Step, spec: BootSpec) -> BootSpec {
    let spec = match step.dockerfile() {
        Some(dockerfile) => spec.with(|spec| spec.image = tag(lab, dockerfile)),
        None => spec,
    };
    // Node's own switch.
    if step == Step::Compiled { spec.variable("NODE_DISABLE_COMPILE_CACHE", "1") } else { spec }
}

fn tag(lab: &Lab, dockerfile: &str) -> String {
    format!("{}:{dockerfile}", lab.setting.run.id())
}

async fn build(lab: &Lab, dockerfile: &str) -> anyhow::Result<()> {
    let folder = lab.tree.join("crates/bench/steps");
    let docker = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", &tag(lab, dockerfile)])
        .args(["--label", &lab.label(), "--file", folder.join(format!("{dockerfile}.Dockerfile")).as_str()])
        .args(["--build-arg", &format!("IMAGE={}", lab.image(Contender::Ours))])
        .args(["--build-arg", &format!("DIRECTUS_IMAGE={}", lab.base.name)])
        // Another builder than the engine's own does not see images that are only here, as the one is that is measured.
        .env("BUILDX_BUILDER", "default");
    docker
        .arg(&folder)
        .read()
        .await
        .with_context(|| format!("failed to build crates/bench/steps/{dockerfile}.Dockerfile"))?;
    Ok(())
}
