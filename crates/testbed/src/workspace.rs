//! Paths of the checkout.

use camino::{Utf8Path, Utf8PathBuf};

/// Returns the workspace's folder.
pub fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is a folder in `crates`")
}

/// Returns a path inside the workspace.
pub fn path(relative: &str) -> Utf8PathBuf {
    root().join(relative)
}

/// Returns the folder of cargo's output.
pub fn target_dir() -> Utf8PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| path("target"), |folder| path(&folder))
}
