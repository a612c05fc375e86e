//! Cases that failed in the past; the search tries them before the random ones.

use anyhow::Context as _;

use super::case::SearchCase;

const CASES: &[&str] = &[
    include_str!("cases/cast-and-declared-column.json"),
    include_str!("cases/cast-of-a-key.json"),
    include_str!("cases/cast-of-an-heir.json"),
    include_str!("cases/cut-and-back.json"),
    include_str!("cases/dropped-partition.json"),
    include_str!("cases/index-of-a-cast.json"),
    include_str!("cases/inherited-cascade.json"),
    include_str!("cases/no-transaction-delete.json"),
    include_str!("cases/partitioned-cast.json"),
    include_str!("cases/replica-role.json"),
    include_str!("cases/silent-triggers.json"),
    include_str!("cases/statistics-off.json"),
    include_str!("cases/swap-with-sequence.json"),
    include_str!("cases/truncated-heir.json"),
];

/// Parses all fixed cases.
pub(super) fn cases() -> anyhow::Result<Vec<SearchCase>> {
    CASES.iter().map(|text| serde_json::from_str(text).context("failed to parse a fixed case")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::model::Model;

    #[test]
    fn every_fixed_case_can_be_applied_and_has_its_own_name() {
        let model = Model::new().expect("the model");
        let all = cases().expect("valid cases");
        for (index, case) in all.iter().enumerate() {
            case.snapshot(&model.snapshot).expect("a legal case");
            assert!(all[..index].iter().all(|other| other.name != case.name), "{} exists twice", case.name);
        }
    }
}
