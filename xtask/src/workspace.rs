//! The checkout: where it lies, and which version of it this is.

use std::path::PathBuf;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

use crate::cmd::Cmd;

/// The workspace's folder.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the workspace")
}

/// A path inside the workspace.
pub(crate) fn path(relative: &str) -> Utf8PathBuf {
    root().join(relative)
}

/// This very program. cargo may have built it anew since it was started; Linux then says so behind its name, and the
/// newer one lies in its place.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("failed to find this program")?;
    Ok(match program.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => PathBuf::from(path),
        None => program,
    })
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Utf8PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| path("target"), |folder| path(&folder))
}

/// Which version of the sources an image is built from. It depends on the commit alone, not on the time of the build:
/// the same sources give the same image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// The commit, with `-dirty` after it when the checkout differs from it.
    pub(crate) name: String,
    /// When it was committed, in RFC 3339.
    pub(crate) created: String,
}

impl Revision {
    /// The checkout's, or `unknown` where there is no git or no repository (a source archive).
    pub(crate) async fn read() -> Revision {
        let (log, status) = tokio::join!(
            Cmd::new("git").args(["log", "-1", "--format=%H %cI"]).read(),
            Cmd::new("git").args(["status", "--porcelain"]).read()
        );
        Revision::from_git(log.ok().as_deref(), status.ok().as_deref())
    }

    fn from_git(log: Option<&str>, status: Option<&str>) -> Revision {
        let Some((commit, created)) = log.and_then(|log| log.split_once(' ')) else {
            return Revision { name: "unknown".to_owned(), created: "unknown".to_owned() };
        };
        let dirty = if status == Some("") { "" } else { "-dirty" };
        Revision { name: format!("{commit}{dirty}"), created: created.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::Revision;

    #[test]
    fn a_checkout_that_differs_from_its_commit_is_dirty() {
        let log = Some("abc 2026-06-06T10:00:00+02:00");
        let clean = Revision::from_git(log, Some(""));
        assert_eq!(clean, Revision { name: "abc".to_owned(), created: "2026-06-06T10:00:00+02:00".to_owned() });
        assert_eq!(Revision::from_git(log, Some(" M Cargo.toml")).name, "abc-dirty");
    }

    #[test]
    fn sources_without_git_have_an_unknown_revision() {
        assert_eq!(Revision::from_git(None, None).name, "unknown");
    }
}
