//! The files that were shipped, in a real git repository.

use std::collections::BTreeMap;
use std::process::Command;

use migration::lint::shipped::{Shipped, ShippedState};

/// A repository with `main` and a release, removed on drop.
struct Repository(tempfile::TempDir);

impl Repository {
    fn create() -> Repository {
        let repository = Repository(tempfile::tempdir().expect("a temporary folder"));
        repository.git(&["init", "--quiet", "--initial-branch", "main"]);
        repository
    }

    fn folder(&self) -> &camino::Utf8Path {
        self.0.path().try_into().expect("a path in UTF-8")
    }

    fn git(&self, arguments: &[&str]) {
        let author = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "core.autocrlf=false"];
        let status = Command::new("git").arg("-C").arg(self.folder()).args(author).args(arguments).status();
        assert!(status.expect("git is installed").success(), "git {arguments:?}");
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    fn commit(&self, path: &str, text: &str) {
        self.write(path, text);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", path]);
    }

    async fn shipped(&self, revision: Option<&str>) -> Option<Shipped> {
        Shipped::read(self.folder(), revision).await.expect("git answers")
    }
}

fn states(shipped: &Shipped) -> BTreeMap<&str, ShippedState> {
    shipped.files.iter().map(|(path, state)| (path.as_str(), *state)).collect()
}

#[tokio::test]
async fn files_of_the_release_and_of_main_were_shipped() {
    use ShippedState::{Edited, Removed, Unchanged};
    let repository = Repository::create();
    repository.commit("db-init/001_a.sql", "select 1;\n");
    repository.git(&["tag", "v1.0"]);
    repository.git(&["tag", "not-a-release"]);
    repository.commit("db-init/post-schema/001_b.sql", "select 2;\n");
    repository.commit("db-init/002_c.sql", "select 3;\n");
    repository.git(&["switch", "--quiet", "--create", "work"]);
    repository.commit("db-init/003_d.sql", "select 4;\n");
    repository.write("db-init/001_a.sql", "select 5;\n");
    std::fs::remove_file(repository.folder().join("db-init/002_c.sql")).expect("it is there");

    let shipped = repository.shipped(None).await.expect("a release");
    let expected =
        [("db-init/001_a.sql", Edited), ("db-init/002_c.sql", Removed), ("db-init/post-schema/001_b.sql", Unchanged)];
    assert_eq!(states(&shipped), BTreeMap::from(expected));
    assert_eq!(shipped.revisions[0], "v1.0");
    assert!(shipped.revisions.len() == 2 && shipped.revisions[1].starts_with("main at "), "{:?}", shipped.revisions);

    let release = repository.shipped(Some("v1.0")).await.expect("a release");
    assert_eq!(states(&release), BTreeMap::from([("db-init/001_a.sql", Edited)]));
    let error = Shipped::read(repository.folder(), Some("v2.0")).await.unwrap_err().to_string();
    assert_eq!(error, "--shipped v2.0 is not a revision");
}

#[tokio::test]
async fn on_main_the_last_commit_is_not_shipped_until_there_is_another_change() {
    let repository = Repository::create();
    repository.commit("db-init/001_a.sql", "select 1;\n");
    assert_eq!(repository.shipped(None).await, None, "the first commit");
    repository.commit("db-init/002_b.sql", "select 2;\n");
    let shipped = repository.shipped(None).await.expect("a commit before");
    assert_eq!(states(&shipped), BTreeMap::from([("db-init/001_a.sql", ShippedState::Unchanged)]));
    repository.write("db-init/002_b.sql", "select 3;\n");
    let shipped = repository.shipped(None).await.expect("a commit");
    assert_eq!(states(&shipped)["db-init/002_b.sql"], ShippedState::Edited);
}

#[tokio::test]
async fn collections_are_those_of_the_shipped_snapshot() {
    let repository = Repository::create();
    let path = contract::in_tree(contract::SNAPSHOT_FILE);
    repository.commit(
        path,
        "collections: [{collection: laps, schema: {name: laps}}]\nfields: [{collection: laps, field: id}]\n",
    );
    repository.git(&["tag", "v1"]);
    repository.commit(path, "not a snapshot");
    let shipped = repository.shipped(Some("v1")).await.expect("a release");
    assert_ne!(shipped.collections, Default::default());
    let error = format!("{:#}", Shipped::read(repository.folder(), Some("HEAD")).await.unwrap_err());
    assert!(error.starts_with(&format!("failed to read {path} of ")), "{error}");
}

#[tokio::test]
async fn without_git_nothing_is_known() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path().try_into().expect("a path in UTF-8");
    assert_eq!(Shipped::read(folder, None).await.expect("no error"), None);
}
