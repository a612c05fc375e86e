//! Paths of the checkout.

use camino::{Utf8Path, Utf8PathBuf};

/// Returns a path inside the workspace.
pub(crate) fn path(relative: &str) -> Utf8PathBuf {
    root().join(relative)
}

/// Returns the workspace's folder.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}
