//! Generates random legal edits, such as those of a user of the admin app, a tool that trims snapshots, or the author
//! of a SQL file.

mod snapshot;
mod sql;
mod values;

use super::case::SearchCase;
use super::model::Model;
use super::rng::Rng;
use grammar::{EditKind, ValueEnum as _};

/// Maximum number of edits in a case.
const MOST: usize = 4;

/// Returns the case with a number; always the same for the same seed.
pub(super) fn random_case(model: &Model, seed: u64, number: u64, only: Option<EditKind>) -> SearchCase {
    let mut rng = Rng::new(seed, number);
    // Half of the cases have one edit: their failures are the easiest to understand.
    let count = if rng.chance(50) { 1 } else { 2 + rng.below(MOST - 1) };
    let mut edits = Vec::new();
    for _ in 0..count {
        // SQL files fail in more ways than any other kind of edit.
        let kind =
            only.unwrap_or_else(|| if rng.chance(30) { EditKind::Sql } else { *rng.pick(EditKind::value_variants()) });
        edits.extend(match kind {
            EditKind::Sql => sql::edit(&mut rng),
            other => snapshot::edit(&mut rng, model, other),
        });
    }
    SearchCase { name: format!("seed {seed}, case {number}"), edits }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::case::SearchEdit;
    use super::*;

    #[test]
    fn generation_is_deterministic() {
        let model = Model::new().expect("the model");
        for number in 0..50 {
            assert_eq!(random_case(&model, 1, number, None), random_case(&model, 1, number, None));
        }
        assert_ne!(random_case(&model, 1, 1, None).edits, random_case(&model, 2, 1, None).edits);
    }

    #[test]
    fn every_case_can_be_applied_and_every_kind_of_edit_appears() {
        let model = Model::new().expect("the model");
        let mut seen = BTreeSet::new();
        for number in 0..400 {
            let case = random_case(&model, 1, number, None);
            assert!(!case.edits.is_empty() && case.edits.len() <= 2 * MOST, "{case}");
            case.snapshot(&model.snapshot).expect("a legal case");
            for edit in &case.edits {
                seen.insert(serde_json::to_value(edit).expect("plain data")["edit"].as_str().unwrap_or("").to_owned());
            }
        }
        let all =
            ["add", "envelope", "live", "remove", "remove-collection", "remove-field", "remove-list", "set", "sql"];
        assert_eq!(seen, all.map(str::to_owned).into());
        for &kind in EditKind::value_variants() {
            let mut edits = (0..40).flat_map(|number| random_case(&model, 3, number, Some(kind)).edits);
            let is_sql = kind == EditKind::Sql;
            assert!(edits.all(|edit| matches!(edit, SearchEdit::Sql { .. }) == is_sql), "{}", kind.name());
        }
    }

    #[test]
    fn every_kind_of_sql_statement_is_generated() {
        let mut rng = Rng::new(1, 1);
        let texts: Vec<String> = (0..3000).flat_map(|_| sql::edit(&mut rng)).map(|edit| format!("{edit:?}")).collect();
        for words in
            ["truncate", "drop table", "drop column", "exception when", "no-transaction", "rename", "destroys:"]
        {
            assert!(texts.iter().any(|text| text.contains(words)), "{words}");
        }
    }
}
