//! Texts and numbers that all forms of the report share.

use crate::model::{CheckStatus, VerifyReport};

/// Strips terminal colours and all control characters except line breaks and tabs.
pub(super) fn plain(text: &str) -> String {
    let chars = console::strip_ansi_codes(text);
    chars.chars().filter(|char| !char.is_control() || matches!(char, '\n' | '\t')).collect()
}

/// The status in words.
pub(super) fn word(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "passed",
        CheckStatus::Fail => "failed",
        CheckStatus::NotRun => "not run",
    }
}

/// The status as a sign, for readers who do not see colours.
pub(super) fn sign(status: CheckStatus) -> &'static str {
    match status {
        CheckStatus::Pass => "✓",
        CheckStatus::Fail => "✗",
        CheckStatus::NotRun => "–",
    }
}

/// The verdict in one line.
pub(super) fn verdict(report: &VerifyReport) -> String {
    let summary = report.summary;
    match (summary.fail, summary.not_run) {
        (0, 0) => format!("All {} checks passed", summary.pass),
        (0, not_run) => format!("{} checks passed, {not_run} not run", summary.pass),
        (fail, _) => format!("{fail} of {} checks failed", report.checks.len()),
    }
}

/// The checks that the run waited for and their durations, in one line; `None` if all took less than 0.1 s.
pub(crate) fn waited_for(report: &VerifyReport) -> Option<String> {
    let checks = report.critical_path.iter().filter_map(|name| report.checks.iter().find(|check| check.name == *name));
    let long = checks.filter(|check| check.seconds >= 0.1);
    let path: Vec<String> = long.map(|check| format!("{} ({})", check.name, seconds(check.seconds))).collect();
    (!path.is_empty()).then(|| format!("the run waited for: {}", path.join(", ")))
}

/// A note about stand-ins, if there were any: the verdict does not hold for upstream's images then.
pub(super) fn stand_ins(report: &VerifyReport) -> Option<String> {
    let subject = &report.subject;
    let base = subject.base_is_stand_in.then(|| format!("the base image {}", subject.base));
    let database = subject.database_is_stand_in.then(|| format!("the database {}", subject.database));
    let named: Vec<String> = [base, database].into_iter().flatten().collect();
    let (is, it) = if named.len() == 1 { ("is a stand-in", "it") } else { ("are stand-ins", "them") };
    (!named.is_empty()).then(|| {
        format!(
            "{} {is}, built from package registries because no container registry answered. \
             The verdict holds for {it} and not for upstream's images.",
            named.join(" and ")
        )
    })
}

/// The image's version with a shortened commit.
pub(super) fn short_version(version: &str) -> String {
    let Some((number, commit)) = version.split_once('@') else { return version.to_owned() };
    let (commit, dirty) = commit.strip_suffix("-dirty").map_or((commit, ""), |commit| (commit, "-dirty"));
    format!("{number}@{}{dirty}", commit.chars().take(12).collect::<String>())
}

/// The first line of a text, without terminal colours.
pub(super) fn first_line(text: &str) -> String {
    plain(text).lines().next().unwrap_or_default().to_owned()
}

/// A duration for people: `12.3 s`, `1 min 05 s`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        60.0.. => format!("{:.0} min {:02.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
        _ => format!("{seconds:.1} s"),
    }
}

/// Capitalises the first letter.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn colours_and_control_characters_are_stripped_and_letters_of_any_script_are_kept() {
        assert_eq!(plain("\u{1b}[31mgrün\u{1b}[0m\u{0}\r\n\t日本"), "grün\n\t日本");
    }

    #[test]
    fn a_verdict_counts_checks_that_were_not_run() {
        let mut report = fixture::report();
        assert_eq!(verdict(&report), "1 of 5 checks failed");
        report.summary.fail = 0;
        assert_eq!(verdict(&report), "3 checks passed, 1 not run");
        report.summary.not_run = 0;
        assert_eq!(verdict(&report), "All 3 checks passed");
    }

    #[test]
    fn the_checks_that_the_run_waited_for_are_one_line() {
        let mut report = fixture::report();
        let line = "the run waited for: fresh-boot (14.2 s), postgres-killed (48.3 s)";
        assert_eq!(waited_for(&report).as_deref(), Some(line));
        report.critical_path.clear();
        assert_eq!(waited_for(&report), None);
    }

    #[test]
    fn stand_ins_are_named_and_without_them_there_is_no_note() {
        let mut report = fixture::report();
        let both = stand_ins(&report).unwrap();
        assert!(both.starts_with("the base image trm-standin/directus:11.17.4 and the database "), "{both}");
        report.subject.base_is_stand_in = false;
        assert!(stand_ins(&report).unwrap().contains(" is a stand-in, "));
        report.subject.database_is_stand_in = false;
        assert_eq!(stand_ins(&report), None);
    }

    #[test]
    fn a_commit_is_shortened_and_keeps_its_dirty_mark() {
        assert_eq!(short_version("0.1.0@0123456789abcdef-dirty"), "0.1.0@0123456789ab-dirty");
        assert_eq!([short_version("0.1.0@unknown"), short_version("1")], ["0.1.0@unknown", "1"]);
    }

    #[test]
    fn long_times_have_minutes() {
        assert_eq!([0.04, 59.94, 60.0, 191.9].map(seconds), ["0.0 s", "59.9 s", "1 min 00 s", "3 min 11 s"]);
    }
}
