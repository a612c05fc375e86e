//! Versions of Directus that are never booted, and the reasons.

use anyhow::{bail, ensure};
use grammar::DirectusVersion;

/// A range of versions, both ends included, and the reason to refuse it as a clause.
struct RefusedRange {
    first: [u32; 3],
    last: [u32; 3],
    reason: &'static str,
}

/// The ranges. Sources: Directus' issue 27877 and pull request 27880, first released in 12.4.0; and runs of `schema apply`
/// with 11.4.1 and 11.6.1, which dropped tables (docs/decisions/0001-pin-directus.md).
const REFUSED: &[RefusedRange] = &[
    RefusedRange {
        first: [0, 0, 0],
        last: [11, 9, u32::MAX],
        reason: "before 11.10, Directus drops every table that the snapshot lacks, with its rows",
    },
    RefusedRange {
        first: [12, 0, 0],
        last: [12, 3, u32::MAX],
        reason: "12.0 adds `directus_collections.status`, and until 12.4 Directus takes its absence from an older snapshot \
                 for the deletion of every collection; rehearse 12.4.0 or later",
    },
];

/// Refuses versions that must not be booted on this database, by name.
pub(crate) fn ensure_supported(version: DirectusVersion) -> anyhow::Result<()> {
    let refused = REFUSED.iter().find(|range| (range.first..=range.last).contains(&version.numbers));
    match refused {
        Some(range) => bail!("Directus {version} is refused: {}", range.reason),
        None => Ok(()),
    }
}

/// Refuses a way back: Directus' migrations have none.
pub(crate) fn ensure_forward(from: DirectusVersion, to: DirectusVersion) -> anyhow::Result<()> {
    ensure!(
        to >= from,
        "Directus {to} is older than {from}, and Directus' migrations have no way back: choose a newer version, or an older \
         start with --from"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use grammar::DirectusVersion;

    use super::{ensure_forward, ensure_supported};

    fn version(text: &str) -> DirectusVersion {
        text.parse().unwrap()
    }

    #[test]
    fn versions_that_read_an_older_snapshot_as_a_deletion_are_refused_by_name() {
        for text in ["12.0.0", "12.0.2", "12.3.1"] {
            let error = ensure_supported(version(text)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Directus {text} is refused: 12.0 adds ")), "{error}");
            assert!(error.ends_with("rehearse 12.4.0 or later"), "{error}");
        }
    }

    #[test]
    fn versions_that_drop_tables_are_refused() {
        for text in ["10.13.4", "11.9.2"] {
            assert!(ensure_supported(version(text)).unwrap_err().to_string().contains("drops every table"), "{text}");
        }
    }

    #[test]
    fn other_versions_are_accepted() {
        for text in ["11.10.0", "11.16.1", "11.17.4", "12.4.0", "12.4.1", "13.0.0"] {
            ensure_supported(version(text)).unwrap();
        }
    }

    #[test]
    fn there_is_no_way_back() {
        ensure_forward(version("11.17.4"), version("11.17.4")).unwrap();
        let error = ensure_forward(version("12.4.1"), version("11.17.4")).unwrap_err().to_string();
        assert!(error.starts_with("Directus 11.17.4 is older than 12.4.1"), "{error}");
    }
}
