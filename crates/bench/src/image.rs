//! Sizes of the images, and durations of their rebuilds after a change in a copy of the checkout.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use testbed::cmd::Cmd;
use testbed::image::BuildMode;
use testbed::image::size;
use testbed::setup;
use testbed::workspace;

use super::baseline::{self, Contender};
use super::harness::Harness;
use super::model::Figures;
use super::stats::Unit;
use grammar::BenchPart;

use super::metrics;

/// A file and a text in it that the boot binary prints, so that optimisation cannot remove it.
const PRINTED: (&str, &str) = ("crates/contract/src/help.rs", "Usage: entrypoint [COMMAND]");

/// A change before a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SourceChange {
    Snapshot,
    Migration,
    /// The source of the boot binary, or the script of the shell.
    Program,
}

/// Measures both in turns.
pub(crate) async fn measure(harness: &Harness, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for who in Contender::BOTH {
        let sizes = size::measure(&harness.suite.engine, &harness.image(who), &harness.base.name).await?;
        figures.add(BenchPart::Image, metrics::SIZE, who.subject(), Unit::Bytes, sizes.size_bytes as f64);
        figures.add(BenchPart::Image, metrics::ADDED, who.subject(), Unit::Bytes, sizes.ours_bytes as f64);
        if sizes.bundle_bytes > 0 {
            figures.add(BenchPart::Image, metrics::BUNDLE, who.subject(), Unit::Bytes, sizes.bundle_bytes as f64);
        }
        // Not recorded: only the rebuilds are.
        build(harness, who, BuildMode::Quick).await?;
    }
    build(harness, Contender::Ours, BuildMode::Release).await?;
    for turn in 0..runs {
        for (change, what) in [
            (SourceChange::Snapshot, metrics::REBUILD_SNAPSHOT),
            (SourceChange::Migration, metrics::REBUILD_MIGRATION),
            (SourceChange::Program, metrics::REBUILD_BINARY),
        ] {
            for who in Contender::BOTH {
                // Unique, because the engine would otherwise use its cache.
                let mark = format!("{} {turn} {who:?}", harness.suite.session.id());
                apply(harness, who, change, turn, &mark)?;
                figures.seconds(BenchPart::Image, what, who.subject(), rebuild(harness, who, BuildMode::Quick).await?);
                if (change, who) == (SourceChange::Program, Contender::Ours) {
                    let seconds = rebuild(harness, who, BuildMode::Release).await?;
                    figures.seconds(BenchPart::Image, metrics::REBUILD_RELEASE, who.subject(), seconds);
                }
            }
        }
    }
    Ok(())
}

/// Applies a change to the copy of the checkout.
fn apply(harness: &Harness, who: Contender, change: SourceChange, turn: usize, mark: &str) -> anyhow::Result<()> {
    let (printed_in, printed) = PRINTED;
    let file = match (change, who) {
        (SourceChange::Snapshot, _) => "snapshots/schema.yaml".to_owned(),
        // Numbers must be unique, and both images are built from the same tree.
        (SourceChange::Migration, _) => format!("db-init/{}_small.sql", 900 + 2 * turn + who as usize),
        (SourceChange::Program, Contender::Ours) => printed_in.to_owned(),
        (SourceChange::Program, Contender::Shell) => "crates/bench/shell/entrypoint.sh".to_owned(),
    };
    let path = harness.tree.join(file);
    let new = if change == SourceChange::Migration {
        format!("-- {mark}\nselect 1;\n")
    } else {
        let old = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
        match (change, who) {
            (SourceChange::Program, Contender::Ours) => {
                ensure!(old.contains(printed), "{path} does not contain `{printed}`: update PRINTED");
                old.replace(printed, &format!("{printed} {mark}"))
            }
            _ => format!("{old}# {mark}\n"),
        }
    };
    std::fs::write(&path, new).with_context(|| format!("failed to write {path}"))
}

fn tag(harness: &Harness, who: Contender) -> String {
    format!("{}:rebuilt-{}", harness.suite.session.id(), who as usize)
}

async fn id(harness: &Harness, who: Contender) -> anyhow::Result<String> {
    let tag = tag(harness, who);
    let image = harness.suite.engine.image(&tag).await?;
    Ok(image.with_context(|| format!("the build succeeded, but the image {tag} does not exist"))?.id)
}

/// Builds a changed image, and returns the seconds that it took.
async fn rebuild(harness: &Harness, who: Contender, mode: BuildMode) -> anyhow::Result<f64> {
    let before = id(harness, who).await?;
    let began = Instant::now();
    build(harness, who, mode).await?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(id(harness, who).await? != before, "the image of {who:?} did not change");
    Ok(seconds)
}

/// Builds an image as a developer does: cargo for our image, then `docker buildx build`.
async fn build(harness: &Harness, who: Contender, mode: BuildMode) -> anyhow::Result<()> {
    let (tag, label) = (tag(harness, who), harness.label());
    if who == Contender::Shell {
        baseline::build_command(harness.tree.as_str(), &tag, &label, &harness.base, &harness.database).read().await?;
        return Ok(());
    }
    let (target, folder) = (setup::musl_target(), workspace::target_dir().join("bench/cargo"));
    let cargo = Cmd::cargo()
        .args(["build", "--locked", "--profile", mode.profile(), "--package", "entrypoint", "--target", &target])
        .args(["--manifest-path", harness.tree.join("Cargo.toml").as_str(), "--target-dir", folder.as_str()]);
    cargo.read().await?;
    let from = folder.join(&target).join(mode.profile()).join("entrypoint");
    let to = harness.tree.join("target/prebuilt/entrypoint");
    std::fs::create_dir_all(harness.tree.join("target/prebuilt"))?;
    std::fs::copy(&from, &to).with_context(|| format!("failed to copy {from} to {to}"))?;
    let docker = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", &tag, "--label", &label])
        .args(["--build-arg", &format!("DIRECTUS_IMAGE={}", harness.base.name), "--build-arg", "BINARY=prebuilt"]);
    // Only the engine's own builder can use local images.
    let docker = if harness.base.stand_in { docker.env("BUILDX_BUILDER", "default") } else { docker };
    docker.arg(&harness.tree).read().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PRINTED;
    use testbed::workspace;

    #[test]
    fn the_source_of_the_boot_binary_contains_the_printed_text_once() {
        let source = std::fs::read_to_string(workspace::path(PRINTED.0)).unwrap();
        assert_eq!(source.matches(PRINTED.1).count(), 1);
    }
}
