//! What the images add to their base, and how long it takes to build them again after a change. Changes are made to a
//! copy of the checkout.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use testbed::cmd::Cmd;
use testbed::image::Binary;
use testbed::image::size;
use testbed::setup;
use testbed::workspace;

use super::baseline::{self, Contender};
use super::lab::Lab;
use super::model::Figures;
use super::stats::Unit;
use grammar::Part;

use super::names;

/// A line of the boot binary that no optimiser can leave out, because it is printed.
const PRINTED: (&str, &str) = ("entrypoint/src/cli.rs", "Usage: entrypoint [COMMAND]");

/// What is changed before a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Snapshot,
    Migration,
    /// The boot binary's source; of the shell, its script.
    Program,
}

/// Measures both in turns.
pub(crate) async fn measure(lab: &Lab, figures: &mut Figures, runs: usize) -> anyhow::Result<()> {
    for who in Contender::BOTH {
        let sizes = size::measure(&lab.setting.engine, &lab.image(who), &lab.base.name).await?;
        figures.add(Part::Image, names::SIZE, who.by(), Unit::Bytes, sizes.size_bytes as f64);
        figures.add(Part::Image, names::ADDED, who.by(), Unit::Bytes, sizes.ours_bytes as f64);
        if sizes.bundle_bytes > 0 {
            figures.add(Part::Image, names::BUNDLE, who.by(), Unit::Bytes, sizes.bundle_bytes as f64);
        }
        // Once without being counted: only what a change costs is.
        build(lab, who, Binary::Quick).await?;
    }
    build(lab, Contender::Ours, Binary::Release).await?;
    for turn in 0..runs {
        for (change, what) in [
            (Change::Snapshot, names::REBUILD_SNAPSHOT),
            (Change::Migration, names::REBUILD_MIGRATION),
            (Change::Program, names::REBUILD_BINARY),
        ] {
            for who in Contender::BOTH {
                // Another one at each turn of each run, or the engine would have it in its cache.
                let mark = format!("{} {turn} {who:?}", lab.setting.run.id());
                make(lab, who, change, turn, &mark)?;
                figures.seconds(Part::Image, what, who.by(), rebuild(lab, who, Binary::Quick).await?);
                if (change, who) == (Change::Program, Contender::Ours) {
                    let seconds = rebuild(lab, who, Binary::Release).await?;
                    figures.seconds(Part::Image, names::REBUILD_RELEASE, who.by(), seconds);
                }
            }
        }
    }
    Ok(())
}

/// Changes the copy of the checkout.
fn make(lab: &Lab, who: Contender, change: Change, turn: usize, mark: &str) -> anyhow::Result<()> {
    let (printed_in, printed) = PRINTED;
    let file = match (change, who) {
        (Change::Snapshot, _) => "snapshots/schema.yaml".to_owned(),
        // A number may occur once, and both are built from the same tree.
        (Change::Migration, _) => format!("db-init/{}_small.sql", 900 + 2 * turn + who as usize),
        (Change::Program, Contender::Ours) => printed_in.to_owned(),
        (Change::Program, Contender::Shell) => "crates/bench/shell/entrypoint.sh".to_owned(),
    };
    let path = lab.tree.join(file);
    let read = || std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"));
    let new = match (change, who) {
        (Change::Migration, _) => format!("-- {mark}\nselect 1;\n"),
        (Change::Program, Contender::Ours) => {
            let old = read()?;
            ensure!(old.contains(printed), "{path} has no line `{printed}` any more: name another one that is printed");
            old.replace(printed, &format!("{printed} {mark}"))
        }
        _ => format!("{}# {mark}\n", read()?),
    };
    std::fs::write(&path, new).with_context(|| format!("failed to write {path}"))
}

fn tag(lab: &Lab, who: Contender) -> String {
    format!("{}:rebuilt-{}", lab.setting.run.id(), who as usize)
}

async fn id(lab: &Lab, who: Contender) -> anyhow::Result<String> {
    let tag = tag(lab, who);
    let image = lab.setting.engine.image(&tag).await?;
    Ok(image.with_context(|| format!("the build ended well, but there is no image {tag}"))?.id)
}

/// Seconds until there is another image.
async fn rebuild(lab: &Lab, who: Contender, binary: Binary) -> anyhow::Result<f64> {
    let before = id(lab, who).await?;
    let began = Instant::now();
    build(lab, who, binary).await?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(id(lab, who).await? != before, "the image of {who:?} did not change");
    Ok(seconds)
}

/// What a developer waits for.
async fn build(lab: &Lab, who: Contender, binary: Binary) -> anyhow::Result<()> {
    let (tag, label) = (tag(lab, who), lab.label());
    if who == Contender::Shell {
        baseline::build_command(lab.tree.as_str(), &tag, &label, &lab.base, &lab.database).read().await?;
        return Ok(());
    }
    let (target, folder) = (setup::musl_target(), workspace::target_dir().join("bench/cargo"));
    let cargo = Cmd::cargo()
        .args(["build", "--locked", "--profile", binary.profile(), "--package", "entrypoint", "--target", &target])
        .args(["--manifest-path", lab.tree.join("Cargo.toml").as_str(), "--target-dir", folder.as_str()]);
    cargo.read().await?;
    let from = folder.join(&target).join(binary.profile()).join("entrypoint");
    let to = lab.tree.join("target/prebuilt/entrypoint");
    std::fs::create_dir_all(lab.tree.join("target/prebuilt"))?;
    std::fs::copy(&from, &to).with_context(|| format!("failed to copy {from} to {to}"))?;
    let docker = Cmd::new("docker")
        .args(["buildx", "build", "--load", "--quiet", "--provenance=false", "--tag", &tag, "--label", &label])
        .args(["--build-arg", &format!("DIRECTUS_IMAGE={}", lab.base.name), "--build-arg", "BINARY=prebuilt"]);
    // Another builder than the engine's own does not see images that are only here.
    let docker = if lab.base.stand_in { docker.env("BUILDX_BUILDER", "default") } else { docker };
    docker.arg(&lab.tree).read().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PRINTED;
    use testbed::workspace;

    #[test]
    fn the_line_that_a_changed_binary_prints_is_in_its_source() {
        let source = std::fs::read_to_string(workspace::path(PRINTED.0)).unwrap();
        assert_eq!(source.matches(PRINTED.1).count(), 1);
    }
}
