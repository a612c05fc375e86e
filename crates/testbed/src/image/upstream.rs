//! Comparison of an image with upstream's: every path is either upstream's, unchanged, or one that we add.

use std::collections::{BTreeMap, HashSet};

use crate::engine::{FileContent, FileKind};

/// Folders of upstream that we give to root, so that the image's user cannot replace the files in them.
const PROTECTED: [&str; 2] = [contract::WORK_DIR, contract::EXTENSIONS_DIR];

/// Mount points of every container, which hide the image's own files there.
const MOUNTED: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

/// The result of comparing an image's paths with upstream's.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Number of upstream's paths that the image has unchanged.
    pub same: usize,
    /// Number of upstream's paths that the image does not have.
    pub left_out: usize,
    /// Upstream's paths that differ in the image, each with the difference.
    pub changed: Vec<String>,
    /// Paths that neither upstream nor our layers contain.
    pub unknown: Vec<String>,
}

/// Compares an image with upstream's. `added` are the paths of the files in our layers: other checks judge their content,
/// but they must not replace a file of upstream.
pub fn compare(image: &[FileContent], upstream: &[FileContent], added: &HashSet<&str>) -> Comparison {
    let upstream: BTreeMap<&str, &FileContent> =
        visible(upstream).map(|file| (file.entry.path.as_str(), file)).collect();
    let mut comparison = Comparison::default();
    for ours in visible(image) {
        let path = ours.entry.path.as_str();
        match upstream.get(path) {
            Some(theirs) => match difference(ours, theirs) {
                None => comparison.same += 1,
                Some(difference) => comparison.changed.push(format!("{path}: {difference}")),
            },
            None if added.contains(path) || is_folder_of(path, ours.entry.kind, added) => {}
            None => comparison.unknown.push(path.to_owned()),
        }
    }
    comparison.left_out = upstream.len() - comparison.same - comparison.changed.len();
    comparison
}

/// Describes each path that differs between two builds of an image, their times included.
pub fn differences(image: &[FileContent], rebuilt: &[FileContent]) -> Vec<String> {
    let mut rest: BTreeMap<&str, &FileContent> =
        comparable(rebuilt).map(|file| (file.entry.path.as_str(), file)).collect();
    let mut found = Vec::new();
    for ours in comparable(image) {
        let path = ours.entry.path.as_str();
        let Some(theirs) = rest.remove(path) else {
            found.push(format!("{path}: missing in the second build"));
            continue;
        };
        let (first, second) = (ours.entry.modified, theirs.entry.modified);
        let time = || (first != second).then(|| format!("changed at {first} instead of {second}"));
        found.extend(difference(ours, theirs).or_else(time).map(|difference| format!("{path}: {difference}")));
    }
    found.extend(rest.keys().map(|path| format!("{path}: only in the second build")));
    found
}

/// The files that come from the image's layers, without those that the engine adds to each container.
fn comparable(files: &[FileContent]) -> impl Iterator<Item = &FileContent> {
    const OF_THE_ENGINE: [&str; 9] = [
        "/.dockerenv",
        "/dev",
        "/etc",
        "/etc/hostname",
        "/etc/hosts",
        "/etc/mtab",
        "/etc/resolv.conf",
        "/proc",
        "/sys",
    ];
    visible(files).filter(|file| !OF_THE_ENGINE.contains(&file.entry.path.as_str()))
}

/// The files that a container of the image can see.
fn visible(files: &[FileContent]) -> impl Iterator<Item = &FileContent> {
    files.iter().filter(|file| !MOUNTED.iter().any(|mounted| file.entry.path.starts_with(mounted)))
}

fn difference(ours: &FileContent, theirs: &FileContent) -> Option<String> {
    let (a, b) = (&ours.entry, &theirs.entry);
    if a.kind != b.kind {
        Some(format!("{:?} instead of {:?}", a.kind, b.kind))
    } else if ours.content != theirs.content {
        Some("different content".to_owned())
    } else if PROTECTED.contains(&a.path.as_str()) {
        None
    } else if (a.uid, a.gid) != (b.uid, b.gid) {
        Some(format!("belongs to {}:{} instead of {}:{}", a.uid, a.gid, b.uid, b.gid))
    } else if a.mode != b.mode {
        Some(format!("mode {:04o} instead of {:04o}", a.mode, b.mode))
    } else {
        (a.capabilities != b.capabilities).then(|| "different capabilities".to_owned())
    }
}

/// Returns true for a folder that is writable by contract or contains an added file.
fn is_folder_of(path: &str, kind: FileKind, added: &HashSet<&str>) -> bool {
    let mut below = added.iter().filter_map(|file| file.strip_prefix(path));
    let is_writable = contract::RUNTIME.writable.iter().any(|folder| folder.path == path);
    kind == FileKind::Folder && (is_writable || below.any(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::FileEntry;

    fn file(path: &str, content: &str) -> FileContent {
        let kind = if content == "folder" { FileKind::Folder } else { FileKind::File };
        let (path, mode) = (path.to_owned(), 0o755);
        let entry = FileEntry { path, kind, uid: 0, gid: 0, mode, capabilities: false, modified: 0 };
        FileContent { entry, content: content.to_owned() }
    }

    #[test]
    fn a_part_of_upstream_with_added_files_has_no_changed_or_unknown_paths() {
        let upstream = [file("/a", "folder"), file("/a/b", "1"), file("/a/c", "2"), file("/dev/null", "")];
        let image =
            [file("/a", "folder"), file("/a/b", "1"), file("/d", "folder"), file("/d/e", "3"), file("/dev/x", "")];
        let comparison = compare(&image, &upstream, &HashSet::from(["/d/e"]));
        assert_eq!(comparison, Comparison { same: 2, left_out: 1, ..Comparison::default() });
    }

    #[test]
    fn a_replaced_file_of_upstream_is_changed_and_one_from_no_layer_is_unknown() {
        let upstream = [file("/a", "1"), file("/b", "2"), file("/c", "3")];
        let mut image = [file("/a", "x"), file("/b", "2"), file("/c", "3"), file("/d", "4"), file("/e", "folder")];
        image[1].entry.mode = 0o777;
        image[2].entry.uid = 1000;
        let comparison = compare(&image, &upstream, &HashSet::from(["/a"]));
        let changed =
            ["/a: different content", "/b: mode 0777 instead of 0755", "/c: belongs to 1000:0 instead of 0:0"];
        assert_eq!(comparison.changed, changed);
        assert_eq!(comparison.unknown, ["/d", "/e"]);
        assert_eq!(comparison.left_out, 0);
    }

    #[test]
    fn two_builds_may_differ_in_nothing_but_the_files_of_the_engine() {
        let first = [file("/a", "1"), file("/b", "2"), file("/c", "3"), file("/etc", "folder")];
        let mut second = [file("/a", "1"), file("/b", "2"), file("/d", "3"), file("/etc", "folder")];
        second[1].entry.modified = 7;
        second[3].entry.modified = 7;
        let expected =
            ["/b: changed at 0 instead of 7", "/c: missing in the second build", "/d: only in the second build"];
        assert_eq!(differences(&first, &second), expected);
        assert_eq!(differences(&first, &first), Vec::<String>::new());
    }

    #[test]
    fn only_protected_folders_may_have_a_different_owner() {
        let upstream = [file("/directus", "folder"), file("/directus/dist", "folder")];
        let mut image = upstream.clone();
        image.iter_mut().for_each(|file| file.entry.uid = 1000);
        let comparison = compare(&image, &upstream, &HashSet::new());
        assert_eq!(comparison.changed, ["/directus/dist: belongs to 1000:0 instead of 0:0"]);
    }
}
