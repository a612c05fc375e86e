//! The revision of an image's sources.

use crate::cmd::Cmd;

/// The revision of an image's sources. It depends only on the commit, not on the time of the build: the same sources
/// give the same image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The commit, followed by `-dirty` if the checkout differs from it.
    pub name: String,
    /// The time of the commit, in RFC 3339.
    pub created: String,
}

impl Revision {
    /// Reads the checkout's revision; `unknown` without git or without a repository (a source archive).
    pub async fn read() -> Revision {
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
