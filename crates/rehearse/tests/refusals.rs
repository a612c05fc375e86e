//! Command lines that are refused before anything is built or booted.

mod common;

use common::rehearse;

#[test]
fn versions_that_must_not_be_booted_are_refused_by_name() {
    for (version, reason) in [
        ("12.0.2", "Directus 12.0.2 is refused: 12.0 adds `directus_collections.status`"),
        ("12.3.1", "rehearse 12.4.0 or later"),
        ("11.9.2", "before 11.10, Directus drops every table that the snapshot lacks"),
    ] {
        let refused = rehearse(&["--to", version]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    }
}

#[test]
fn a_downgrade_is_refused() {
    let refused = rehearse(&["--from", "12.4.1", "--to", "11.17.4"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("Directus 11.17.4 is older than 12.4.1"), "{}", refused.stderr);
}

#[test]
fn an_inexact_version_is_refused() {
    let refused = rehearse(&["--to", "latest"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("`latest` is not an exact version of Directus"), "{}", refused.stderr);
}
