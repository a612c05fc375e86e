//! Decides which files to apply: a pure function over the files of the image and the ledger of the database.

use std::collections::{BTreeMap, HashSet};

use super::{Acceptance, InvalidMigrations, LedgerRow, MigrationFile};

/// The plan of a boot for the files of one phase.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// The files to apply, in order.
    pub apply: Vec<&'a MigrationFile>,
    /// The number of files that were applied before and are unchanged.
    pub skipped: usize,
    /// The applied file whose edit `MIGRATION_ACCEPT` accepts.
    pub accepted: Vec<Accepted<'a>>,
    /// The files in the ledger that are newer than all files of this image: a newer image has run on this database.
    pub newer: Vec<String>,
}

impl Plan<'_> {
    /// The result of carrying out the plan but for the last files, which wait: `1 applied, 3 skipped`.
    #[must_use]
    pub fn summary(&self, waiting: usize) -> String {
        let done = format!("{} applied, {} skipped", self.apply.len() - waiting, self.not_applied());
        if waiting == 0 { done } else { format!("{done}, {waiting} waiting") }
    }

    /// The number of files that were applied before.
    #[must_use]
    pub fn not_applied(&self) -> usize {
        self.skipped + self.accepted.len()
    }
}

/// An applied file whose edit was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted<'a> {
    /// The file as it is now.
    pub file: &'a MigrationFile,
    /// Its checksum when it was applied.
    pub applied: String,
}

/// Compares the files with the ledger. `files` must be in the order of [`super::MigrationSet::read`].
///
/// # Errors
/// Every contradiction: an applied file that was edited or is missing, or a new one numbered before an applied one.
pub fn plan<'a>(
    files: &'a [MigrationFile],
    ledger: &[LedgerRow],
    acceptance: Option<&Acceptance>,
) -> Result<Plan<'a>, InvalidMigrations> {
    let applied: BTreeMap<&str, &str> =
        ledger.iter().map(|row| (row.filename.as_str(), row.checksum.as_str())).collect();
    let mut problems = Vec::new();
    let mut plan = Plan::default();
    let last_applied = files.iter().rfind(|file| applied.contains_key(file.filename.as_str()));
    for file in files {
        match applied.get(file.filename.as_str()) {
            Some(checksum) if *checksum == file.checksum => plan.skipped += 1,
            Some(checksum) if acceptance.is_some_and(|acceptance| acceptance.covers(file)) => {
                plan.accepted.push(Accepted { file, applied: (*checksum).to_owned() });
            }
            Some(checksum) => problems.push(edited(file, checksum, acceptance)),
            None => {
                if let Some(last) = last_applied.filter(|last| last.number > file.number) {
                    problems.push(format!(
                        "{} is new, but {} is applied already: give it a higher number",
                        file.filename, last.filename
                    ));
                }
                plan.apply.push(file);
            }
        }
    }
    let last_number = files.last().map_or(0, |file| file.number);
    let present: HashSet<&str> = files.iter().map(|file| file.filename.as_str()).collect();
    for filename in applied.keys().filter(|name| !present.contains(**name)) {
        let number = filename.split('_').next().and_then(|digits| digits.parse::<u64>().ok());
        if number.is_some_and(|number| number > last_number) {
            plan.newer.push((*filename).to_owned());
        } else {
            problems.push(format!("{filename} was applied, but is not in this image: restore it"));
        }
    }
    // A newer image has run, and this one has files that the newer one lacks: two branches.
    if !plan.newer.is_empty() && !plan.apply.is_empty() {
        problems.push(format!(
            "the ledger has {}, which this image lacks, while the image adds {}: the two come from different branches, \
             merge them",
            plan.newer.join(", "),
            plan.apply.iter().map(|file| file.filename.as_str()).collect::<Vec<_>>().join(", "),
        ));
    }
    if problems.is_empty() { Ok(plan) } else { Err(InvalidMigrations(problems)) }
}

fn edited(file: &MigrationFile, applied: &str, acceptance: Option<&Acceptance>) -> String {
    let MigrationFile { filename, checksum, .. } = file;
    let (applied, present) = (short(applied), short(checksum));
    let refused = match acceptance.filter(|acceptance| acceptance.filename == *filename) {
        Some(Acceptance { checksum, .. }) => format!(", and MIGRATION_ACCEPT accepts only {}", short(checksum)),
        None => String::new(),
    };
    format!(
        "{filename} was edited after it was applied (checksum {applied} in the ledger, {present} in the image{refused}): \
         restore it and put the change into a new file, or accept it with MIGRATION_ACCEPT={filename}:{present}"
    )
}

/// The first 12 digits of a checksum, which are enough to distinguish two of them.
pub(super) fn short(checksum: &str) -> &str {
    checksum.get(..12).unwrap_or(checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> MigrationFile {
        MigrationFile::parse(name, format!("select '{name}'").as_bytes()).expect("a good file")
    }

    fn row(file: &MigrationFile) -> LedgerRow {
        LedgerRow::of(file, "test")
    }

    fn files() -> Vec<MigrationFile> {
        ["001_a.sql", "002_b.sql", "003_c.sql"].map(file).into()
    }

    fn problems(files: &[MigrationFile], ledger: &[LedgerRow]) -> String {
        plan(files, ledger, None).expect_err("a contradiction").to_string()
    }

    #[test]
    fn with_an_empty_ledger_all_files_are_applied_in_order() {
        let files = files();
        let plan = plan(&files, &[], None).expect("no contradiction");
        assert_eq!(plan.apply, files.iter().collect::<Vec<_>>());
        assert_eq!(plan.skipped, 0);
    }

    #[test]
    fn a_complete_ledger_leaves_nothing_to_do() {
        let files = files();
        let ledger: Vec<_> = files.iter().map(row).collect();
        assert_eq!(plan(&files, &ledger, None), Ok(Plan { skipped: 3, ..Plan::default() }));
    }

    #[test]
    fn only_new_files_are_applied() {
        let files = files();
        let plan = plan(&files, &[row(&files[0])], None).expect("no contradiction");
        assert_eq!(plan.apply, [&files[1], &files[2]]);
        assert_eq!(plan.skipped, 1);
    }

    #[test]
    fn an_edited_file_is_refused_with_both_checksums() {
        let files = files();
        let edited = LedgerRow { checksum: "f".repeat(64), ..row(&files[1]) };
        let text = problems(&files, &[row(&files[0]), edited]);
        assert!(text.starts_with("002_b.sql was edited"), "{text}");
        assert!(text.contains("ffffffffffff") && text.contains(&files[1].checksum[..12]), "{text}");
    }

    #[test]
    fn an_edited_file_is_accepted_only_by_its_new_checksum() {
        let files = files();
        let edited = LedgerRow { checksum: "f".repeat(64), ..row(&files[1]) };
        let ledger = [row(&files[0]), edited.clone(), row(&files[2])];
        let text = problems(&files, &ledger);
        let (_, value) = text.split_once("MIGRATION_ACCEPT=").expect("the remedy");
        let acceptance = Acceptance::parse(value).expect("the remedy can be copied verbatim");
        let plan = plan(&files, &ledger, Some(&acceptance)).expect("the file is accepted");
        assert_eq!(plan.accepted, [Accepted { file: &files[1], applied: edited.checksum.clone() }]);
        assert_eq!((plan.skipped, plan.apply.len()), (2, 0));

        let other = Acceptance::parse(&format!("002_b.sql:{}", "e".repeat(12))).expect("well formed");
        let text = super::plan(&files, &ledger, Some(&other)).expect_err("another checksum").to_string();
        assert!(text.contains("MIGRATION_ACCEPT accepts only eeeeeeeeeeee"), "{text}");
        let both = [edited, LedgerRow { checksum: "f".repeat(64), ..row(&files[2]) }, row(&files[0])];
        let text = super::plan(&files, &both, Some(&acceptance)).expect_err("the other is not accepted").to_string();
        assert!(text.starts_with("003_c.sql was edited") && !text.contains("002_b.sql"), "{text}");
    }

    #[test]
    fn ten_thousand_files_are_planned_within_two_seconds() {
        let files: Vec<_> = (0..10_000).map(|number| file(&format!("{number:05}_a.sql"))).collect();
        let ledger: Vec<_> = files.iter().map(row).collect();
        let began = std::time::Instant::now();
        assert_eq!(plan(&files, &ledger, None).expect("no contradiction").skipped, 10_000);
        assert!(problems(&files[..9_000], &ledger[1_000..]).contains("00999_a.sql is new"));
        assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
    }

    #[test]
    fn a_file_missing_from_the_middle_is_refused() {
        let mut files = files();
        let ledger: Vec<_> = files.iter().map(row).collect();
        files.remove(1);
        assert_eq!(problems(&files, &ledger), "002_b.sql was applied, but is not in this image: restore it");
    }

    #[test]
    fn a_renamed_file_is_refused_as_missing_and_as_late() {
        let mut files = files();
        let ledger: Vec<_> = files.iter().map(row).collect();
        files[1] = file("002_renamed.sql");
        let text = problems(&files, &ledger);
        assert!(text.contains("002_renamed.sql is new") && text.contains("002_b.sql was applied"), "{text}");
    }

    #[test]
    fn a_file_numbered_before_an_applied_one_is_refused() {
        let files = files();
        let text = problems(&files, &[row(&files[0]), row(&files[2])]);
        assert_eq!(text, "002_b.sql is new, but 003_c.sql is applied already: give it a higher number");
    }

    #[test]
    fn an_older_image_applies_nothing_and_lists_the_newer_files() {
        let files = files();
        let mut ledger: Vec<_> = files.iter().map(row).collect();
        ledger.push(row(&file("004_d.sql")));
        let plan = plan(&files, &ledger, None).expect("a rollback is not an error");
        assert!(plan.apply.is_empty());
        assert_eq!(plan.newer, ["004_d.sql"]);
    }

    #[test]
    fn two_branches_in_one_database_are_refused() {
        let files = files();
        let ledger = [row(&files[0]), row(&files[1]), row(&file("004_d.sql"))];
        assert!(problems(&files, &ledger).contains("different branches"));
    }

    mod properties {
        use proptest::prelude::*;

        use super::*;

        /// The history of a file in a database.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Seen {
            Never,
            Applied,
            Edited,
        }

        fn seen() -> impl Strategy<Value = Seen> {
            prop_oneof![Just(Seen::Never), Just(Seen::Applied), Just(Seen::Applied), Just(Seen::Edited)]
        }

        fn numbered(count: usize) -> Vec<MigrationFile> {
            (1..=count).map(|number| file(&format!("{number:03}_f.sql"))).collect()
        }

        fn ledger_of(files: &[MigrationFile], history: &[Seen]) -> Vec<LedgerRow> {
            let rows = files.iter().zip(history).filter_map(|(file, seen)| match seen {
                Seen::Never => None,
                Seen::Applied => Some(row(file)),
                Seen::Edited => Some(LedgerRow { checksum: "e".repeat(64), ..row(file) }),
            });
            rows.collect()
        }

        proptest! {
            #[test]
            fn the_plan_is_either_the_remaining_files_or_a_refusal(history in prop::collection::vec(seen(), 0..12)) {
                let files = numbered(history.len());
                let ledger = ledger_of(&files, &history);
                let applied = history.iter().rposition(|seen| *seen != Seen::Never);
                let late = history.iter().position(|seen| *seen == Seen::Never);
                let is_prefix = applied.is_none_or(|last| late.is_none_or(|first| first > last));
                let is_good = is_prefix && !history.contains(&Seen::Edited);
                match plan(&files, &ledger, None) {
                    Ok(plan) => {
                        prop_assert!(is_good);
                        let rest: Vec<&MigrationFile> = files.iter().skip(ledger.len()).collect();
                        prop_assert_eq!(&plan.apply, &rest);
                        prop_assert_eq!(plan.skipped, ledger.len());
                        // The plan leaves no work, and the order of the ledger's rows does not matter.
                        let mut done: Vec<LedgerRow> = ledger.into_iter().chain(rest.into_iter().map(row)).collect();
                        done.reverse();
                        prop_assert_eq!(super::plan(&files, &done, None), Ok(Plan { skipped: files.len(), ..Plan::default() }));
                    }
                    Err(InvalidMigrations(problems)) => {
                        prop_assert!(!is_good);
                        let edited = history.iter().filter(|seen| **seen == Seen::Edited).count();
                        prop_assert_eq!(problems.iter().filter(|problem| problem.contains("was edited")).count(), edited);
                    }
                }
            }

            #[test]
            fn an_older_image_never_applies_anything(present in 0_usize..8, newer in 1_usize..5) {
                let all = numbered(present + newer);
                let ledger: Vec<LedgerRow> = all.iter().map(row).collect();
                let plan = plan(&all[..present], &ledger, None).expect("a rollback is not an error");
                prop_assert!(plan.apply.is_empty());
                prop_assert_eq!(plan.newer.len(), newer);
            }

            #[test]
            fn an_acceptance_covers_one_file_and_no_other_contradiction(
                history in prop::collection::vec(seen(), 1..8),
                chosen in any::<prop::sample::Index>(),
            ) {
                let files = numbered(history.len());
                let ledger = ledger_of(&files, &history);
                let chosen = chosen.index(files.len());
                let text = format!("{}:{}", files[chosen].filename, files[chosen].checksum);
                let acceptance = Acceptance::parse(&text).expect("well formed");
                let is_refused = plan(&files, &ledger, Some(&acceptance)).is_err();
                let mut unedited = history;
                if unedited[chosen] == Seen::Edited {
                    unedited[chosen] = Seen::Applied;
                }
                prop_assert_eq!(is_refused, plan(&files, &ledger_of(&files, &unedited), None).is_err());
            }
        }
    }
}
