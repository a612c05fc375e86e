//! Shows what a run found: one file a form.

use anyhow::Context as _;
use camino::Utf8Path;

use super::model::Report;

/// Writes all forms into a folder.
pub(crate) fn write(report: &Report, folder: &Utf8Path) -> anyhow::Result<()> {
    let file = |name: &str, content: String| {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))
    };
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
    file("report.json", format!("{}\n", serde_json::to_string_pretty(report)?))
}
