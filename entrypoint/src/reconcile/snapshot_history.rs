//! The history of the snapshots that were applied to a database, and an image's position in it.

use std::fmt;

use serde::Serialize;

/// One applied snapshot; the newest row of a history is the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// SHA-256 of the snapshot file.
    pub digest: String,
    /// The version of Directus that applied it.
    pub directus: String,
    /// The schema's fingerprint after the last boot that verified it; `None` if that boot failed before recording one.
    #[serde(skip)]
    pub fingerprint: Option<String>,
    /// The PostgreSQL schema of its tables; `None` if an older boot applied it.
    #[serde(skip)]
    pub schema: Option<String>,
    /// UTC, to the second, in PostgreSQL's format.
    pub applied_at: String,
    /// The image that applied it.
    pub image: String,
}

impl HistoryEntry {
    /// The first digits of the digest, enough to distinguish two snapshots by eye.
    #[must_use]
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }
}

impl fmt::Display for HistoryEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HistoryEntry { directus, applied_at, image, .. } = self;
        write!(f, "{} by Directus {directus} ({applied_at} UTC, by {image})", self.short_digest())
    }
}

/// The position of a snapshot in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryPosition<'a> {
    /// It was never applied.
    New,
    /// It was applied last.
    Newest(&'a HistoryEntry),
    /// Others were applied after it; this is the newest.
    Older(&'a HistoryEntry),
}

/// Finds a digest in a history.
#[must_use]
pub fn position<'a>(history: &'a [HistoryEntry], digest: &str) -> HistoryPosition<'a> {
    match history.last() {
        Some(last) if last.digest == digest => HistoryPosition::Newest(last),
        Some(last) if history.iter().any(|row| row.digest == digest) => HistoryPosition::Older(last),
        _ => HistoryPosition::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(digest: &str) -> HistoryEntry {
        HistoryEntry {
            digest: digest.to_owned(),
            directus: "11".to_owned(),
            schema: None,
            fingerprint: None,
            applied_at: "2026-01-01 00:00:00".to_owned(),
            image: "1@a".to_owned(),
        }
    }

    #[test]
    fn snapshot_is_new_newest_or_older() {
        let history = [row("a"), row("b")];
        assert_eq!(position(&[], "a"), HistoryPosition::New);
        assert_eq!(position(&history, "c"), HistoryPosition::New);
        assert_eq!(position(&history, "b"), HistoryPosition::Newest(&history[1]));
        assert_eq!(position(&history, "a"), HistoryPosition::Older(&history[1]));
    }

    #[test]
    fn reapplied_snapshot_is_the_newest_again() {
        let history = [row("a"), row("b"), row("a")];
        assert!(matches!(position(&history, "a"), HistoryPosition::Newest(_)));
        assert!(matches!(position(&history, "b"), HistoryPosition::Older(_)));
    }
}
