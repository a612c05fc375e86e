//! Judges who can change what in an image, from the owners and modes of its files. Checks return data; the command
//! shows them.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::engine::{FileEntry, FileKind, LayerFile};

/// The user that the image's containers run as: `node` of upstream's image.
pub const UID: u64 = 1000;
/// Their group.
pub const GID: u64 = 1000;

/// One promise, and whether it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The promise.
    pub promise: String,
    /// Whether it is kept.
    pub ok: bool,
    /// What was seen.
    pub evidence: String,
}

impl Check {
    /// A check of something seen against what it must be.
    pub fn equal(promise: &str, expected: &str, seen: &str) -> Check {
        let ok = expected == seen;
        let evidence = if ok { seen.to_owned() } else { format!("{seen:?} instead of {expected:?}") };
        Check { promise: promise.to_owned(), ok, evidence }
    }

    /// A check that is kept when nothing was found to break it.
    fn none(promise: impl Into<String>, deviations: &[String], otherwise: String) -> Check {
        let evidence = match deviations {
            [] => otherwise,
            [first] => first.clone(),
            [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
        };
        Check { promise: promise.into(), ok: deviations.is_empty(), evidence }
    }
}

/// A file system, by path.
#[derive(Debug)]
pub struct Files(BTreeMap<String, FileEntry>);

impl Files {
    /// Takes the entries of an archive.
    pub fn new(entries: Vec<FileEntry>) -> Files {
        Files(entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect())
    }

    /// Whether anything in it gives its executor rights that they do not have.
    pub fn raises_rights(&self) -> bool {
        self.0.values().any(raises_rights)
    }

    /// What is as it was before these files were added.
    pub fn without(&self, added: &[LayerFile]) -> Files {
        let added: HashSet<&str> = added.iter().map(|file| file.entry.path.as_str()).collect();
        let rest = self.0.iter().filter(|(path, _)| !added.contains(path.as_str()));
        Files(rest.map(|(path, entry)| (path.clone(), entry.clone())).collect())
    }

    /// Everything at a path and below it.
    fn tree<'a>(&'a self, root: &'a str) -> impl Iterator<Item = &'a FileEntry> {
        let below =
            move |path: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.0
            .range(root.to_owned()..)
            .map(|(_, entry)| entry)
            .take_while(move |entry| entry.path.starts_with(root))
            .filter(move |entry| below(&entry.path))
    }

    /// The folders that a path lies in, the nearest first.
    fn ancestors<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a FileEntry> {
        let up = |path: &'a str| path.rsplit_once('/').map(|(folder, _)| folder).filter(|folder| !folder.is_empty());
        std::iter::successors(up(path), move |folder| up(folder)).filter_map(|folder| self.0.get(folder))
    }
}

/// Everything that is promised about the image's files.
pub fn judge(image: &Files, base: Option<&Files>) -> Vec<Check> {
    let snapshots = contract::SNAPSHOT_FILE.rsplit_once('/').map_or("", |(folder, _)| folder);
    let ours = [contract::BINARY, contract::SCRIPTS_DIR, contract::DB_INIT_DIR, snapshots, contract::EXTENSIONS_DIR];
    let mut checks: Vec<Check> = ours.iter().map(|root| owned_by_root(image, root)).collect();
    checks.extend(ours.iter().map(|root| not_replaceable(image, root)));
    checks.extend(contract::WRITABLE_DIRS.iter().filter_map(|folder| writable(image, folder)));
    checks.push(raised_rights(image, base));
    checks
}

/// What we add belongs to root, and the image's user can read it and cannot write it.
fn owned_by_root(files: &Files, root: &str) -> Check {
    let promise = format!("{root} belongs to root, readable and not writable");
    let entries: Vec<&FileEntry> = files.tree(root).collect();
    if entries.is_empty() {
        return Check { promise, ok: false, evidence: "it is not there".to_owned() };
    }
    let wrong = |entry: &&&FileEntry| entry.uid != 0 || entry.gid != 0 || may_write(entry) || !may_read(entry);
    let deviations: Vec<String> = entries.iter().filter(wrong).map(|entry| describe(entry)).collect();
    let modes = describe(entries[0]);
    let count = if entries.len() == 1 { String::new() } else { format!(", {} paths", entries.len()) };
    Check::none(promise, &deviations, format!("{modes}{count}"))
}

/// Whoever may write a folder may put another thing in the place of what lies in it, whoever owns that.
fn not_replaceable(files: &Files, root: &str) -> Check {
    let promise = format!("{root} cannot be replaced");
    let deviations: Vec<String> = files
        .ancestors(root)
        .filter(|folder| may_write(folder) && folder.mode & 0o1000 == 0)
        .map(|folder| format!("its folder is writable: {}", describe(folder)))
        .collect();
    Check::none(promise, &deviations, "no folder above it is writable".to_owned())
}

/// What Directus writes to is its own, so that a fresh volume mounted there is too. A folder that the image does not
/// have is no deviation: it comes with its mount.
fn writable(files: &Files, folder: &str) -> Option<Check> {
    let entry = files.0.get(folder)?;
    let ok = entry.kind == FileKind::Folder && may_write(entry);
    Some(Check { promise: format!("{folder} is writable"), ok, evidence: describe(entry) })
}

/// Nothing gives its executor rights, but for what the base image had already.
fn raised_rights(image: &Files, base: Option<&Files>) -> Check {
    let known = |entry: &FileEntry| base.is_some_and(|base| base.0.get(&entry.path).is_some_and(raises_rights));
    let (of_base, added): (Vec<&FileEntry>, Vec<&FileEntry>) =
        image.0.values().filter(|entry| raises_rights(entry)).partition(|entry| known(entry));
    let deviations: Vec<String> = added.into_iter().map(describe).collect();
    let otherwise = format!("none of ours, {} of the base image", of_base.len());
    Check::none("nothing setuid, setgid or with capabilities is added", &deviations, otherwise)
}

fn raises_rights(entry: &FileEntry) -> bool {
    entry.kind == FileKind::File && (entry.mode & 0o6000 != 0 || entry.capabilities)
}

fn may_write(entry: &FileEntry) -> bool {
    entry.kind != FileKind::Link && may(entry, 0o2)
}

fn may_read(entry: &FileEntry) -> bool {
    entry.kind == FileKind::Link || may(entry, 0o4)
}

/// The kernel's rule: the owner's bits for the owner, else the group's for the group, else the others'. An owner who
/// lacks a bit can give it to themselves, so it counts as there.
fn may(entry: &FileEntry, bit: u32) -> bool {
    if entry.uid == UID {
        true
    } else if entry.gid == GID {
        entry.mode & (bit << 3) != 0
    } else {
        entry.mode & bit != 0
    }
}

fn describe(entry: &FileEntry) -> String {
    let capabilities = if entry.capabilities { " with capabilities" } else { "" };
    format!("{} {}:{} {:04o}{capabilities}", entry.path, entry.uid, entry.gid, entry.mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: FileKind, owner: u64, mode: u32) -> FileEntry {
        FileEntry { path: path.to_owned(), kind, uid: owner, gid: owner, mode, capabilities: false }
    }

    fn image() -> Vec<FileEntry> {
        use FileKind::{File, Folder};
        vec![
            entry("/directus", Folder, 0, 0o755),
            entry("/directus/db-init", Folder, 0, 0o555),
            entry("/directus/db-init/001_a.sql", File, 0, 0o555),
            entry("/directus/db-initial", Folder, 1000, 0o777),
            entry("/directus/extensions", Folder, 0, 0o555),
            entry("/directus/scripts", Folder, 0, 0o555),
            entry("/directus/snapshots", Folder, 0, 0o555),
            entry("/directus/uploads", Folder, 1000, 0o755),
            entry("/tmp", Folder, 0, 0o1777),
            entry("/usr", Folder, 0, 0o755),
            entry("/usr/local", Folder, 0, 0o755),
            entry("/usr/local/bin", Folder, 0, 0o755),
            entry("/usr/local/bin/entrypoint", File, 0, 0o555),
        ]
    }

    fn deviations(entries: Vec<FileEntry>, base: Option<Vec<FileEntry>>) -> Vec<String> {
        let checks = judge(&Files::new(entries), base.map(Files::new).as_ref());
        checks
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| format!("{}: {}", check.promise, check.evidence))
            .collect()
    }

    fn change(path: &str, change: impl Fn(&mut FileEntry)) -> Vec<FileEntry> {
        let mut entries = image();
        change(entries.iter_mut().find(|entry| entry.path == path).unwrap());
        entries
    }

    #[test]
    fn an_image_as_promised_has_no_deviations() {
        assert_eq!(deviations(image(), None), [""; 0]);
    }

    #[test]
    fn a_writable_file_of_ours_is_a_deviation() {
        let entries = change("/directus/db-init/001_a.sql", |entry| entry.mode = 0o666);
        let expected =
            "/directus/db-init belongs to root, readable and not writable: /directus/db-init/001_a.sql 0:0 0666";
        assert_eq!(deviations(entries, None), [expected]);
    }

    #[test]
    fn a_file_that_the_user_owns_is_a_deviation_even_when_it_is_read_only() {
        let entries = change("/usr/local/bin/entrypoint", |entry| entry.uid = UID);
        assert_eq!(deviations(entries, None).len(), 1);
    }

    #[test]
    fn a_file_that_the_user_cannot_read_is_a_deviation() {
        assert_eq!(deviations(change("/directus/snapshots", |entry| entry.mode = 0o700), None).len(), 1);
    }

    #[test]
    fn what_lies_in_a_writable_folder_can_be_replaced() {
        let entries = change("/usr/local/bin", |entry| entry.mode = 0o777);
        let expected = "/usr/local/bin/entrypoint cannot be replaced: its folder is writable: /usr/local/bin 0:0 0777";
        assert_eq!(deviations(entries, None), [expected]);
        // Sticky: only what is one's own can be replaced.
        assert_eq!(deviations(change("/usr/local/bin", |entry| entry.mode = 0o1777), None), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_a_deviation() {
        let entries = image().into_iter().filter(|entry| entry.path != "/usr/local/bin/entrypoint").collect();
        assert!(deviations(entries, None)[0].ends_with("it is not there"));
    }

    #[test]
    fn an_upload_folder_of_roots_is_a_deviation() {
        assert_eq!(deviations(change("/directus/uploads", |entry| (entry.uid, entry.gid) = (0, 0)), None).len(), 1);
    }

    #[test]
    fn a_setuid_file_of_the_base_that_is_added_again_is_ours() {
        let su = entry("/usr/bin/su", FileKind::File, 0, 0o4755);
        let files = || Files::new(image().into_iter().chain([su.clone()]).collect());
        let raised = |added: &[LayerFile]| judge(&files(), Some(&files().without(added))).pop().unwrap().ok;
        assert!(raised(&[]));
        assert!(!raised(&[LayerFile { entry: su.clone(), content: Vec::new() }]));
    }

    #[test]
    fn setuid_of_the_base_is_no_deviation_but_ours_is() {
        let setuid = |path: &str| entry(path, FileKind::File, 0, 0o4755);
        let with =
            |paths: &[&str]| image().into_iter().chain(paths.iter().map(|path| setuid(path))).collect::<Vec<_>>();
        assert_eq!(deviations(with(&["/usr/bin/su"]), Some(vec![setuid("/usr/bin/su")])), [""; 0]);
        let found = deviations(with(&["/usr/bin/su", "/usr/bin/zz"]), Some(vec![setuid("/usr/bin/su")]));
        assert_eq!(found, ["nothing setuid, setgid or with capabilities is added: /usr/bin/zz 0:0 4755"]);
    }
}
