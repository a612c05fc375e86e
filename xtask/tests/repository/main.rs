//! Rules of the repository's own files: sources, documents and workflows.

mod layers;
mod links;
mod monitoring;
mod names;
mod runtime;
mod samples;
mod workflows;

use camino::{Utf8Path, Utf8PathBuf};

/// Folders without documents or sources of ours.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

/// The files below a folder, in the order of their paths. A path to a file is that file.
fn files(path: &Utf8Path) -> Vec<Utf8PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let entries = path.read_dir_utf8().unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut entries: Vec<Utf8PathBuf> = entries.map(|entry| entry.expect("an entry").into_path()).collect();
    entries.retain(|entry| !entry.file_name().is_some_and(|name| SKIPPED.contains(&name)));
    entries.sort();
    entries.iter().flat_map(|entry| files(entry)).collect()
}

/// The Rust sources below a folder.
fn sources(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    files(folder).into_iter().filter(|file| file.extension() == Some("rs")).collect()
}

fn relative(file: &Utf8Path) -> &Utf8Path {
    file.strip_prefix(root()).unwrap_or(file)
}

fn read(path: &Utf8Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}
