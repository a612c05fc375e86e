//! The history of the snapshots that were applied to a database, and an image's position in it.

/// One applied snapshot; the newest row of a history is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageRow {
    /// SHA-256 of the snapshot file.
    pub digest: String,
    /// The version of Directus that applied it.
    pub directus: String,
    /// The schema's fingerprint after the last boot that verified it; `None` if that boot failed before recording one.
    pub fingerprint: Option<String>,
    /// UTC, to the second, in PostgreSQL's format.
    pub applied_at: String,
    /// The image that applied it.
    pub image: String,
}

impl LineageRow {
    /// The first digits of the digest, enough to distinguish two snapshots by eye.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }
}

/// The position of a snapshot in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position<'a> {
    /// It was never applied.
    New,
    /// It was applied last.
    Newest(&'a LineageRow),
    /// Others were applied after it; this is the newest.
    Older(&'a LineageRow),
}

/// Finds a digest in a history.
#[must_use]
pub fn position<'a>(lineage: &'a [LineageRow], digest: &str) -> Position<'a> {
    match lineage.last() {
        Some(last) if last.digest == digest => Position::Newest(last),
        Some(last) if lineage.iter().any(|row| row.digest == digest) => Position::Older(last),
        _ => Position::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(digest: &str) -> LineageRow {
        LineageRow {
            digest: digest.to_owned(),
            directus: "11".to_owned(),
            fingerprint: None,
            applied_at: "2026-01-01 00:00:00".to_owned(),
            image: "1@a".to_owned(),
        }
    }

    #[test]
    fn snapshot_is_new_newest_or_older() {
        let lineage = [row("a"), row("b")];
        assert_eq!(position(&[], "a"), Position::New);
        assert_eq!(position(&lineage, "c"), Position::New);
        assert_eq!(position(&lineage, "b"), Position::Newest(&lineage[1]));
        assert_eq!(position(&lineage, "a"), Position::Older(&lineage[1]));
    }

    #[test]
    fn reapplied_snapshot_is_the_newest_again() {
        let lineage = [row("a"), row("b"), row("a")];
        assert!(matches!(position(&lineage, "a"), Position::Newest(_)));
        assert!(matches!(position(&lineage, "b"), Position::Older(_)));
    }
}
