//! `docs`: the reference and the files in deploy/, which are generated from the code that they describe, and the sample
//! logs in all pages, which are recorded from real boots. The page of the data model comes from a program of its own, because it parses YAML.

mod deployment;
mod faults;
mod markdown;
mod record;
mod reference;
mod samples;
mod scenarios;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};

use self::samples::Samples;
use crate::tool::Tool;
use crate::{foreground, workspace};

/// Files and folders whose pages may include samples.
const PAGES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "docs"];

/// A page as it should be.
struct Page {
    /// Relative to the workspace.
    path: Utf8PathBuf,
    text: String,
}

/// Runs `docs`.
pub(crate) fn run(flags: &grammar::DocsFlags) -> anyhow::Result<ExitCode> {
    if let Some(part) = flags.record {
        record::record_samples(&flags.image, part, flags.check)?;
    }
    if flags.check {
        if !check()? {
            return Ok(ExitCode::FAILURE);
        }
        println!("the documentation is up to date");
        return Ok(ExitCode::SUCCESS);
    }
    for page in stale_pages()? {
        let path = workspace::root().join(&page.path);
        std::fs::write(&path, page.text).with_context(|| format!("failed to write {path}"))?;
        println!("{} is written", page.path);
    }
    Ok(if data_model(&["docs"])? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Fails, or returns false, if a generated text is not up to date.
pub(crate) fn check() -> anyhow::Result<bool> {
    let stale: Vec<String> = stale_pages()?.into_iter().map(|page| page.path.into_string()).collect();
    if !stale.is_empty() {
        bail!("{} not up to date; `cargo xtask docs` writes them", stale.join(", "));
    }
    data_model(&["docs", "--check"])
}

/// Writes or checks the page of the data model.
fn data_model(arguments: &[&str]) -> anyhow::Result<bool> {
    foreground::succeeds(child::cargo(), Tool::SchemaDocs.cargo_arguments(arguments.iter().map(Into::into)))
}

/// The pages that differ from their sources.
fn stale_pages() -> anyhow::Result<Vec<Page>> {
    let samples = Samples::read()?;
    let mut pages = reference::pages(&samples);
    pages.extend(deployment::files()?);
    for path in PAGES {
        include_samples(Utf8Path::new(path), &samples, &mut pages)?;
    }
    pages.retain(|page| std::fs::read_to_string(workspace::root().join(&page.path)).ok().as_ref() != Some(&page.text));
    Ok(pages)
}

/// Adds the pages below a path that include samples.
fn include_samples(path: &Utf8Path, samples: &Samples, pages: &mut Vec<Page>) -> anyhow::Result<()> {
    let absolute = workspace::root().join(path);
    if absolute.is_dir() {
        for entry in absolute.read_dir_utf8().with_context(|| format!("failed to read {path}"))? {
            let entry = entry.with_context(|| format!("failed to read {path}"))?;
            include_samples(&path.join(entry.file_name()), samples, pages)?;
        }
    } else if path.extension() == Some("md") && !pages.iter().any(|page| page.path == path) {
        let text = std::fs::read_to_string(&absolute).with_context(|| format!("failed to read {path}"))?;
        let text = samples.include(&text).with_context(|| format!("failed to include samples in {path}"))?;
        pages.push(Page { path: path.to_owned(), text });
    }
    Ok(())
}
