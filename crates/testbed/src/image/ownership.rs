//! Checks which files of an image its user can change, by owners and modes. Checks return data; the command prints it.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::engine::{FileEntry, FileKind, LayerFile};

/// The user that the image's containers run as: `node` of upstream's image.
pub const UID: u64 = 1000;
/// The group of [`UID`].
pub const GID: u64 = 1000;

/// The result of checking one promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PromiseResult {
    /// The promise, as a statement about the image.
    pub promise: String,
    /// True if the promise is kept.
    pub ok: bool,
    /// The observed value, or the first deviation and the number of others.
    pub evidence: String,
}

impl PromiseResult {
    /// Compares an observed value with the expected one.
    pub fn equal(promise: &str, expected: &str, seen: &str) -> PromiseResult {
        let ok = expected == seen;
        let evidence = if ok { seen.to_owned() } else { format!("{seen:?} instead of {expected:?}") };
        PromiseResult { promise: promise.to_owned(), ok, evidence }
    }

    /// A check that passes if there are no deviations; `otherwise` is the evidence then.
    fn none(promise: impl Into<String>, deviations: &[String], otherwise: String) -> PromiseResult {
        let evidence = match deviations {
            [] => otherwise,
            [first] => first.clone(),
            [first, rest @ ..] => format!("{first}, and {} more", rest.len()),
        };
        PromiseResult { promise: promise.into(), ok: deviations.is_empty(), evidence }
    }
}

/// A file system, by path.
#[derive(Debug)]
pub struct FileTree(BTreeMap<String, FileEntry>);

impl FileTree {
    /// Indexes the entries of an archive.
    pub fn new(entries: Vec<FileEntry>) -> FileTree {
        FileTree(entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect())
    }

    /// Returns true if any file gives rights to the user who executes it.
    pub fn raises_rights(&self) -> bool {
        self.0.values().any(raises_rights)
    }

    /// Returns the files without those that the layers added.
    pub fn without(&self, added: &[LayerFile]) -> FileTree {
        let added: HashSet<&str> = added.iter().map(|file| file.entry.path.as_str()).collect();
        let rest = self.0.iter().filter(|(path, _)| !added.contains(path.as_str()));
        FileTree(rest.map(|(path, entry)| (path.clone(), entry.clone())).collect())
    }

    /// Returns a path and everything below it.
    fn tree<'a>(&'a self, root: &'a str) -> impl Iterator<Item = &'a FileEntry> {
        self.0
            .range(root.to_owned()..)
            .map_while(move |(path, entry)| Some((path.strip_prefix(root)?, entry)))
            .filter(|(rest, _)| rest.is_empty() || rest.starts_with('/'))
            .map(|(_, entry)| entry)
    }

    /// Returns the folders that contain a path, the nearest first.
    fn ancestors<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a FileEntry> {
        let folders = std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(folder, _)| folder));
        folders.skip(1).filter_map(|folder| self.0.get(folder))
    }
}

/// Checks every promise about the image's files.
pub fn check_files(image: &FileTree, base: Option<&FileTree>) -> Vec<PromiseResult> {
    let snapshots = contract::SNAPSHOT_FILE.rsplit_once('/').map_or("", |(folder, _)| folder);
    let ours = [contract::BINARY, contract::SCRIPTS_DIR, contract::DB_INIT_DIR, snapshots, contract::EXTENSIONS_DIR];
    let mut checks: Vec<PromiseResult> = ours.iter().map(|root| owned_by_root(image, root)).collect();
    checks.extend(ours.iter().map(|root| not_replaceable(image, root)));
    checks.extend(contract::RUNTIME.writable.iter().filter_map(|folder| writable(image, folder.path)));
    checks.push(raised_rights(image, base));
    checks
}

/// Files that we add belong to root; the image's user can read but not write them.
fn owned_by_root(files: &FileTree, root: &str) -> PromiseResult {
    let promise = format!("{root} belongs to root, readable and not writable");
    let entries: Vec<&FileEntry> = files.tree(root).collect();
    if entries.is_empty() {
        return PromiseResult { promise, ok: false, evidence: "it does not exist".to_owned() };
    }
    let wrong = entries.iter().filter(|entry| (entry.uid, entry.gid) != (0, 0) || may_write(entry) || !may_read(entry));
    let deviations: Vec<String> = wrong.map(|entry| describe(entry)).collect();
    let modes = describe(entries[0]);
    let count = if entries.len() == 1 { String::new() } else { format!(", {} paths", entries.len()) };
    PromiseResult::none(promise, &deviations, format!("{modes}{count}"))
}

/// A user who may write to a folder can replace the files in it, regardless of their owner.
fn not_replaceable(files: &FileTree, root: &str) -> PromiseResult {
    let promise = format!("{root} cannot be replaced");
    let deviations: Vec<String> = files
        .ancestors(root)
        .filter(|folder| may_write(folder) && folder.mode & 0o1000 == 0)
        .map(|folder| format!("its folder is writable: {}", describe(folder)))
        .collect();
    PromiseResult::none(promise, &deviations, "no folder above it is writable".to_owned())
}

/// Directus owns the folders that it writes to, and so does it own a fresh volume that is mounted there. A folder that
/// the image does not have is not a deviation: the mount creates it.
fn writable(files: &FileTree, folder: &str) -> Option<PromiseResult> {
    let entry = files.0.get(folder)?;
    let ok = entry.kind == FileKind::Folder && may_write(entry);
    Some(PromiseResult { promise: format!("{folder} is writable"), ok, evidence: describe(entry) })
}

/// No file gives rights to the user who executes it, except those of the base image.
fn raised_rights(image: &FileTree, base: Option<&FileTree>) -> PromiseResult {
    let (of_base, added): (Vec<&FileEntry>, Vec<&FileEntry>) = image
        .0
        .values()
        .filter(|entry| raises_rights(entry))
        .partition(|entry| base.is_some_and(|base| base.0.get(&entry.path).is_some_and(raises_rights)));
    let deviations: Vec<String> = added.into_iter().map(describe).collect();
    let otherwise = format!("0 added, {} in the base image", of_base.len());
    PromiseResult::none("nothing setuid, setgid or with capabilities is added", &deviations, otherwise)
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

/// The kernel's rule: the owner's bits for the owner, else the group's for the group, else the others'. An owner can set
/// a missing bit, so it counts as set.
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
        FileEntry { path: path.to_owned(), kind, uid: owner, gid: owner, mode, capabilities: false, modified: 0 }
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
        let checks = check_files(&FileTree::new(entries), base.map(FileTree::new).as_ref());
        checks
            .into_iter()
            .filter(|check| !check.ok)
            .map(|check| format!("{}: {}", check.promise, check.evidence))
            .collect()
    }

    fn changed(path: &str, change: impl Fn(&mut FileEntry)) -> Vec<FileEntry> {
        let mut entries = image();
        change(entries.iter_mut().find(|entry| entry.path == path).unwrap());
        entries
    }

    fn setuid(path: &str) -> FileEntry {
        entry(path, FileKind::File, 0, 0o4755)
    }

    fn with_setuid(paths: &[&str]) -> Vec<FileEntry> {
        image().into_iter().chain(paths.iter().map(|path| setuid(path))).collect()
    }

    #[test]
    fn an_image_as_promised_has_no_deviations() {
        assert_eq!(deviations(image(), None), [""; 0]);
    }

    #[test]
    fn a_writable_file_of_ours_is_a_deviation() {
        let entries = changed("/directus/db-init/001_a.sql", |entry| entry.mode = 0o666);
        let expected =
            "/directus/db-init belongs to root, readable and not writable: /directus/db-init/001_a.sql 0:0 0666";
        assert_eq!(deviations(entries, None), [expected]);
    }

    #[test]
    fn a_file_that_the_user_owns_is_a_deviation_even_when_it_is_read_only() {
        let entries = changed("/usr/local/bin/entrypoint", |entry| entry.uid = UID);
        assert_eq!(deviations(entries, None).len(), 1);
    }

    #[test]
    fn a_file_that_the_user_cannot_read_is_a_deviation() {
        assert_eq!(deviations(changed("/directus/snapshots", |entry| entry.mode = 0o700), None).len(), 1);
    }

    #[test]
    fn a_file_in_a_writable_folder_can_be_replaced() {
        let entries = changed("/usr/local/bin", |entry| entry.mode = 0o777);
        let expected = "/usr/local/bin/entrypoint cannot be replaced: its folder is writable: /usr/local/bin 0:0 0777";
        assert_eq!(deviations(entries, None), [expected]);
        // Sticky: a user can replace only their own files.
        assert_eq!(deviations(changed("/usr/local/bin", |entry| entry.mode = 0o1777), None), [""; 0]);
    }

    #[test]
    fn a_missing_file_is_a_deviation() {
        let entries = image().into_iter().filter(|entry| entry.path != "/usr/local/bin/entrypoint").collect();
        assert!(deviations(entries, None)[0].ends_with("it does not exist"));
    }

    #[test]
    fn an_upload_folder_that_belongs_to_root_is_a_deviation() {
        assert_eq!(deviations(changed("/directus/uploads", |entry| (entry.uid, entry.gid) = (0, 0)), None).len(), 1);
    }

    #[test]
    fn a_setuid_file_of_the_base_that_a_layer_adds_again_is_a_deviation() {
        let files = FileTree::new(with_setuid(&["/usr/bin/su"]));
        let su = LayerFile { entry: setuid("/usr/bin/su"), content: Vec::new() };
        assert!(raised_rights(&files, Some(&files.without(&[]))).ok);
        assert!(!raised_rights(&files, Some(&files.without(&[su]))).ok);
    }

    #[test]
    fn a_setuid_file_is_a_deviation_unless_the_base_has_it() {
        let base = vec![setuid("/usr/bin/su")];
        assert_eq!(deviations(with_setuid(&["/usr/bin/su"]), Some(base.clone())), [""; 0]);
        let found = deviations(with_setuid(&["/usr/bin/su", "/usr/bin/zz"]), Some(base));
        assert_eq!(found, ["nothing setuid, setgid or with capabilities is added: /usr/bin/zz 0:0 4755"]);
    }
}
