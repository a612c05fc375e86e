//! The files that databases have already: those of the newest release, and those of the branch whose images are deployed.

use std::collections::BTreeMap;

use anyhow::Context as _;
use camino::Utf8Path;
use contract::{DB_INIT_DIR, SNAPSHOT_FILE};
use testbed::cmd::Cmd;

use super::collections::Collections;

/// The branches whose images are deployed; the first one that exists counts.
const BRANCHES: [&str; 2] = ["refs/remotes/origin/main", "refs/heads/main"];
/// Tags of releases.
const RELEASES: &str = "v[0-9]*";

/// The state of a shipped file in the checkout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShippedState {
    /// As it was shipped.
    Unchanged,
    /// With another text.
    Edited,
    /// No longer there.
    Removed,
}

/// The files and collections that were shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shipped {
    /// The revisions, for messages: `v1.2.0`, `main at 1a2b3c4`.
    pub revisions: Vec<String>,
    /// The SQL files by their path in the workspace.
    pub files: BTreeMap<String, ShippedState>,
    /// The collections of the newest revision.
    pub collections: Collections,
}

/// The files of a revision or of the checkout, with the digests of their content.
type Digests = BTreeMap<String, String>;

impl Shipped {
    /// Asks git in a folder. `None` if this is not a checkout of git, or if it knows neither a release nor the branch.
    ///
    /// # Errors
    /// Fails if the revision that was asked for does not exist.
    pub async fn read(root: &Utf8Path, revision: Option<&str>) -> anyhow::Result<Option<Shipped>> {
        let git = Git(root);
        let inside = git.cmd(&["rev-parse", "--is-inside-work-tree"]).capture().await;
        if revision.is_none() && !inside.is_ok_and(|output| output.status.success()) {
            return Ok(None);
        }
        let revisions = match revision {
            Some(name) => vec![(
                name.to_owned(),
                git.commit(name).await.with_context(|| format!("--shipped {name} is not a revision"))?,
            )],
            None => git.default_revisions().await?,
        };
        let Some((_, newest)) = revisions.last() else { return Ok(None) };
        let path = contract::in_tree(SNAPSHOT_FILE);
        let snapshot = git.cmd(&["show", &format!("{newest}:./{path}")]).capture().await?;
        // A revision from before the first snapshot has no collections.
        let collections = match snapshot.status.success() {
            true => {
                Collections::parse(&snapshot.stdout).with_context(|| format!("failed to read {path} of {newest}"))?
            }
            false => Collections::default(),
        };
        let mut digests = Vec::new();
        for (_, commit) in &revisions {
            digests.push(git.tree(commit).await?);
        }
        let files = compare(&digests, &git.checkout(&digests).await?);
        Ok(Some(Shipped { revisions: revisions.into_iter().map(|(name, _)| name).collect(), files, collections }))
    }
}

/// Returns true for a file that no image has shipped yet.
#[must_use]
pub fn is_new(path: &str, shipped: Option<&Shipped>) -> bool {
    shipped.is_none_or(|shipped| !shipped.files.contains_key(path))
}

/// Git in a folder.
struct Git<'a>(&'a Utf8Path);

impl Git<'_> {
    /// Returns the newest release before this commit, and the commit of the branch on which the current one builds.
    async fn default_revisions(&self) -> anyhow::Result<Vec<(String, String)>> {
        let mut revisions = Vec::new();
        let tags = self.cmd(&["tag", "--merged", "HEAD", "--list", RELEASES, "--sort=-version:refname"]).read().await?;
        if let Some(tag) = tags.lines().next() {
            revisions.push((tag.to_owned(), self.commit(tag).await?));
        }
        let branches = self.cmd(&["for-each-ref", "--format=%(refname)", BRANCHES[0], BRANCHES[1]]).read().await?;
        if let Some(branch) = BRANCHES.into_iter().find(|branch| branches.lines().any(|line| line == *branch)) {
            let short = branch.trim_start_matches("refs/remotes/").trim_start_matches("refs/heads/");
            if let Some(base) = self.base(branch).await? {
                revisions.push((format!("{short} at {}", &base[..base.len().min(7)]), base));
            }
        }
        Ok(revisions)
    }

    /// Returns the newest commit of the branch that this checkout builds on. On the branch itself, after a commit, that is the
    /// commit before: an image of this one may not exist yet. `None` without such a commit.
    async fn base(&self, branch: &str) -> anyhow::Result<Option<String>> {
        let base = self.cmd(&["merge-base", "HEAD", branch]).capture().await?;
        if !base.status.success() {
            return Ok(None);
        }
        let is_head = self.commit("HEAD").await? == base.stdout;
        let changes = self.cmd(&["status", "--porcelain", "--", contract::in_tree(DB_INIT_DIR)]).read().await?;
        if !is_head || !changes.is_empty() {
            return Ok(Some(base.stdout));
        }
        let parent = self.cmd(&["rev-parse", "--verify", "--quiet", "HEAD^"]).capture().await?;
        Ok(parent.status.success().then_some(parent.stdout))
    }

    async fn commit(&self, name: &str) -> anyhow::Result<String> {
        self.cmd(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]).read().await
    }

    /// Returns the SQL files of a revision.
    async fn tree(&self, commit: &str) -> anyhow::Result<Digests> {
        let listing =
            self.cmd(&["ls-tree", "-r", commit, "--", &format!("{}/", contract::in_tree(DB_INIT_DIR))]).read().await?;
        // `100644 blob 1a2b3c…\tdb-init/001_a.sql`
        let files = listing.lines().filter_map(|line| {
            let (head, path) = line.split_once('\t')?;
            Some((path.to_owned(), head.rsplit(' ').next()?.to_owned()))
        });
        Ok(files.filter(|(path, _)| path.ends_with(".sql")).collect())
    }

    /// Returns the files of the revisions that the checkout has, as git would store them.
    async fn checkout(&self, revisions: &[Digests]) -> anyhow::Result<Digests> {
        let mut paths: Vec<&String> = revisions.iter().flat_map(Digests::keys).collect();
        paths.sort();
        paths.dedup();
        paths.retain(|path| self.0.join(path).is_file());
        if paths.is_empty() {
            return Ok(Digests::new());
        }
        let digests = self.cmd(&["hash-object", "--"]).args(&paths).read().await?;
        Ok(paths.into_iter().cloned().zip(digests.lines().map(str::to_owned)).collect())
    }

    fn cmd(&self, arguments: &[&str]) -> Cmd {
        Cmd::new("git").args(["-C", self.0.as_str()]).args(arguments)
    }
}

/// Compares the checkout with the oldest revision that has each file.
fn compare(revisions: &[Digests], now: &Digests) -> BTreeMap<String, ShippedState> {
    let mut states = BTreeMap::new();
    for (path, digest) in revisions.iter().flatten() {
        let state = match now.get(path) {
            None => ShippedState::Removed,
            Some(present) if present == digest => ShippedState::Unchanged,
            Some(_) => ShippedState::Edited,
        };
        states.entry(path.clone()).or_insert(state);
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(files: &[(&str, &str)]) -> Digests {
        files.iter().map(|(path, digest)| ((*path).to_owned(), (*digest).to_owned())).collect()
    }

    #[test]
    fn a_file_is_compared_with_the_release_and_otherwise_with_the_branch() {
        let release = digests(&[("1.sql", "a"), ("2.sql", "b")]);
        let branch = digests(&[("1.sql", "changed"), ("2.sql", "b"), ("3.sql", "c"), ("4.sql", "d")]);
        let now = digests(&[("1.sql", "changed"), ("2.sql", "b"), ("3.sql", "x"), ("5.sql", "e")]);
        let states = compare(&[release, branch], &now);
        let states: Vec<_> = states.iter().map(|(path, state)| (path.as_str(), *state)).collect();
        use ShippedState::{Edited, Removed, Unchanged};
        assert_eq!(states, [("1.sql", Edited), ("2.sql", Unchanged), ("3.sql", Edited), ("4.sql", Removed)]);
    }
}
