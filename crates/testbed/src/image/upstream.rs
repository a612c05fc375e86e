//! Whether an image's Directus is upstream's: every path of the image is upstream's, unchanged, or one that we add.

use std::collections::{BTreeMap, HashSet};

use crate::engine::{FileContent, FileKind};

/// Folders of upstream's that we give to root, so that nobody can put another thing in the place of what lies in them.
const PROTECTED: [&str; 2] = [contract::WORK_DIR, contract::EXTENSIONS_DIR];

/// Where every container has something mounted: of what an image has there nothing is ever seen.
const MOUNTED: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

/// How an image's paths and upstream's compare.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Upstream's paths that the image has, unchanged.
    pub same: usize,
    /// Upstream's paths that it does not have.
    pub left_out: usize,
    /// Upstream's paths that it has in another form, each with the difference.
    pub changed: Vec<String>,
    /// Paths that neither upstream has nor one of our layers brings.
    pub unknown: Vec<String>,
}

/// Compares. `added` are the paths of the files in our layers: what is in them is for other checks to judge, but none
/// of them may take the place of one of upstream's.
pub fn compare(image: &[FileContent], upstream: &[FileContent], added: &HashSet<&str>) -> Comparison {
    let is_seen = |file: &&FileContent| !MOUNTED.iter().any(|mounted| file.entry.path.starts_with(mounted));
    let upstream: BTreeMap<&str, &FileContent> =
        upstream.iter().filter(is_seen).map(|file| (file.entry.path.as_str(), file)).collect();
    let mut comparison = Comparison::default();
    for ours in image.iter().filter(is_seen) {
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

fn difference(ours: &FileContent, theirs: &FileContent) -> Option<String> {
    let (a, b) = (&ours.entry, &theirs.entry);
    if a.kind != b.kind {
        Some(format!("{:?} instead of {:?}", a.kind, b.kind))
    } else if ours.content != theirs.content {
        Some("another content".to_owned())
    } else if PROTECTED.contains(&a.path.as_str()) {
        None
    } else if (a.uid, a.gid) != (b.uid, b.gid) {
        Some(format!("belongs to {}:{} instead of {}:{}", a.uid, a.gid, b.uid, b.gid))
    } else if a.mode != b.mode {
        Some(format!("mode {:04o} instead of {:04o}", a.mode, b.mode))
    } else {
        (a.capabilities != b.capabilities).then(|| "other capabilities".to_owned())
    }
}

/// A new folder is nobody's by itself: it is there for the files in it, or empty.
fn is_folder_of(path: &str, kind: FileKind, added: &HashSet<&str>) -> bool {
    let holds = |file: &&str| file.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    kind == FileKind::Folder && (contract::WRITABLE_DIRS.contains(&path) || added.iter().any(holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::FileEntry;

    fn file(path: &str, content: &str) -> FileContent {
        let kind = if content == "folder" { FileKind::Folder } else { FileKind::File };
        let entry = FileEntry { path: path.to_owned(), kind, uid: 0, gid: 0, mode: 0o755, capabilities: false };
        FileContent { entry, content: content.to_owned() }
    }

    #[test]
    fn a_part_of_upstream_with_files_of_ours_beside_it_is_upstreams() {
        let upstream = [file("/a", "folder"), file("/a/b", "1"), file("/a/c", "2"), file("/dev/null", "")];
        let image =
            [file("/a", "folder"), file("/a/b", "1"), file("/d", "folder"), file("/d/e", "3"), file("/dev/x", "")];
        let comparison = compare(&image, &upstream, &HashSet::from(["/d/e"]));
        assert_eq!(comparison, Comparison { same: 2, left_out: 1, ..Comparison::default() });
    }

    #[test]
    fn a_file_of_upstreams_that_we_replace_is_changed_and_one_of_nobody_is_unknown() {
        let upstream = [file("/a", "1"), file("/b", "2"), file("/c", "3")];
        let mut image = [file("/a", "x"), file("/b", "2"), file("/c", "3"), file("/d", "4"), file("/e", "folder")];
        image[1].entry.mode = 0o777;
        image[2].entry.uid = 1000;
        let comparison = compare(&image, &upstream, &HashSet::from(["/a"]));
        let changed = ["/a: another content", "/b: mode 0777 instead of 0755", "/c: belongs to 1000:0 instead of 0:0"];
        assert_eq!(comparison.changed, changed);
        assert_eq!(comparison.unknown, ["/d", "/e"]);
        assert_eq!(comparison.left_out, 0);
    }

    #[test]
    fn only_the_folders_that_are_protected_may_have_another_owner() {
        let upstream = [file("/directus", "folder"), file("/directus/dist", "folder")];
        let mut image = upstream.clone();
        image.iter_mut().for_each(|file| file.entry.uid = 1000);
        let comparison = compare(&image, &upstream, &HashSet::new());
        assert_eq!(comparison.changed, ["/directus/dist: belongs to 1000:0 instead of 0:0"]);
    }
}
