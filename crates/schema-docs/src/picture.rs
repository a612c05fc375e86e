//! The picture of the diagram, drawn by Graphviz. It contains a digest of its source, so that a check needs no Graphviz.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use camino::Utf8Path;
use sha2::{Digest as _, Sha256};

/// Graphviz as a package of npm.
const GRAPHVIZ: &str = "@viz-js/viz@3.31.0";
const SCRIPT: &str = "scripts/docs/picture.mjs";

/// Returns true if a picture was drawn from this source.
pub(crate) fn is_of(picture: &str, source: &str) -> bool {
    picture.ends_with(&stamp(source))
}

/// Draws a source.
///
/// # Errors
/// Node or npm is missing, the package cannot be downloaded, or Graphviz refuses the source.
pub(crate) fn draw(root: &Utf8Path, target: &Utf8Path, source: &str) -> anyhow::Result<String> {
    let folder = target.join("graphviz");
    let package = folder.join("node_modules/@viz-js/viz/dist/viz.js");
    // npm replaces another version that it finds there.
    run(
        root,
        "npm",
        &["install", "--loglevel=error", "--no-fund", "--no-audit", "--no-save", "--prefix", folder.as_str(), GRAPHVIZ],
        "",
    )
    .with_context(|| format!("failed to install {GRAPHVIZ}, which draws the data model"))?;
    let svg = run(root, "node", &[SCRIPT, package.as_str()], source).context("failed to draw the data model")?;
    Ok(format!("{}\n{}", svg.trim_end(), stamp(source)))
}

fn stamp(source: &str) -> String {
    let digest: String = Sha256::digest(format!("{GRAPHVIZ}\n{source}")).iter().map(|b| format!("{b:02x}")).collect();
    format!("<!-- source {digest} -->\n")
}

/// Runs a program with an input and returns its output.
fn run(root: &Utf8Path, program: &str, arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| {
        format!("failed to run {program}: install Node with npm (`cargo xtask doctor` looks for it)")
    })?;
    // The programs read all of their input before they write.
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().with_context(|| format!("failed to wait for {program}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed ({}): {}", output.status, error.trim());
    written.with_context(|| format!("failed to write to {program}"))?;
    String::from_utf8(output.stdout).with_context(|| format!("{program} did not print UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::{is_of, stamp};

    #[test]
    fn a_picture_is_of_one_source() {
        let picture = format!("<svg/>\n{}", stamp("digraph {}"));
        assert!(is_of(&picture, "digraph {}"));
        assert!(!is_of(&picture, "digraph { a }"));
        assert!(!is_of("", "digraph {}"));
    }
}
