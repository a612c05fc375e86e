//! The result of a rehearsal as data: findings, which decide the verdict, and the facts around them.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The whole result, also as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RehearsalReport {
    /// The version of this form.
    pub(crate) schema: u32,
    pub(crate) verdict: RehearsalVerdict,
    /// Of the findings: `--write --accept DIGEST` accepts these, and no others.
    pub(crate) digest: String,
    pub(crate) from: RehearsedImage,
    pub(crate) to: RehearsedImage,
    /// The database server.
    pub(crate) database: String,
    /// Differences that a person must look at, and reasons that forbid the upgrade.
    pub(crate) findings: Vec<UpgradeFinding>,
    /// Additions, which existing clients do not notice.
    pub(crate) notes: Vec<UpgradeFinding>,
    /// Directus' migrations that the candidate applied: `20260217A Null Item Versions`.
    pub(crate) migrations: Vec<String>,
    pub(crate) boots: Vec<BootTime>,
    /// `plan` of the candidate on the copy, before its first boot and after it.
    pub(crate) plan_before: PlanOutput,
    pub(crate) plan_after: Option<PlanOutput>,
    /// The boot's own lines of the upgrade, with every loss that the witness saw.
    pub(crate) upgrade_log: Vec<String>,
    /// Number of tables and rows that were compared.
    pub(crate) compared: ComparedSize,
    /// Changes of Directus' own tables, which are its migrations' business.
    pub(crate) directus_tables: Vec<String>,
    pub(crate) license: Option<LicenseReport>,
    pub(crate) rollback: Option<RollbackReport>,
    pub(crate) seconds: f64,
}

impl RehearsalReport {
    pub(crate) const SCHEMA: u32 = 1;
}

/// One side of the upgrade.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RehearsedImage {
    pub(crate) image: String,
    /// The version of Directus in it.
    pub(crate) directus: String,
    /// The name of Directus' license, as its package states it.
    pub(crate) license: String,
    /// `slim` or `full`.
    pub(crate) variant: String,
    pub(crate) base: String,
    /// True if the base is a stand-in.
    pub(crate) stand_in: bool,
    /// Packages of the stand-in in another version than upstream's.
    pub(crate) substitutes: Vec<String>,
}

/// The part of an upgrade that a finding is about, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum UpgradePart {
    Build,
    Boot,
    Plan,
    Rows,
    Schema,
    Snapshot,
    Rest,
    #[serde(rename = "graphql")]
    GraphQl,
    Role,
    License,
    Rollback,
}

impl UpgradePart {
    pub(crate) fn name(self) -> &'static str {
        match self {
            UpgradePart::Build => "build",
            UpgradePart::Boot => "boot",
            UpgradePart::Plan => "plan",
            UpgradePart::Rows => "rows",
            UpgradePart::Schema => "schema",
            UpgradePart::Snapshot => "snapshot",
            UpgradePart::Rest => "REST",
            UpgradePart::GraphQl => "GraphQL",
            UpgradePart::Role => "role",
            UpgradePart::License => "license",
            UpgradePart::Rollback => "rollback",
        }
    }
}

/// The weight of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingWeight {
    /// The upgrade does not work.
    Fails,
    /// A person must look at it.
    Look,
    /// Nothing that works today is affected.
    Note,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UpgradeFinding {
    pub(crate) part: UpgradePart,
    pub(crate) weight: FindingWeight,
    pub(crate) text: String,
}

/// The answer to the question whether to upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RehearsalVerdict {
    /// Nothing that works today is affected, and it can be rolled back.
    Safe,
    /// There are differences that a person must look at.
    Look,
    /// The candidate cannot take over this database.
    Failed,
}

impl RehearsalVerdict {
    pub(crate) fn of(findings: &[UpgradeFinding]) -> RehearsalVerdict {
        match findings.iter().map(|finding| finding.weight).min() {
            Some(FindingWeight::Fails) => RehearsalVerdict::Failed,
            Some(FindingWeight::Look) => RehearsalVerdict::Look,
            Some(FindingWeight::Note) | None => RehearsalVerdict::Safe,
        }
    }

    pub(crate) fn exit(self) -> ExitCode {
        match self {
            RehearsalVerdict::Safe => ExitCode::SUCCESS,
            RehearsalVerdict::Failed => ExitCode::FAILURE,
            RehearsalVerdict::Look => ExitCode::from(2),
        }
    }
}

/// Returns a digest of findings. Texts of findings contain no times and no random values.
pub(crate) fn digest(findings: &[UpgradeFinding]) -> String {
    let mut hash = Sha256::new();
    for UpgradeFinding { part, text, .. } in findings {
        hash.update(format!("{}: {text}\n", part.name()));
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Collects findings and notes.
#[derive(Debug, Default)]
pub(crate) struct UpgradeFindings(Vec<UpgradeFinding>);

impl UpgradeFindings {
    pub(crate) fn fails(&mut self, part: UpgradePart, text: impl Into<String>) {
        self.push(part, FindingWeight::Fails, text);
    }

    pub(crate) fn look(&mut self, part: UpgradePart, text: impl Into<String>) {
        self.push(part, FindingWeight::Look, text);
    }

    pub(crate) fn note(&mut self, part: UpgradePart, text: impl Into<String>) {
        self.push(part, FindingWeight::Note, text);
    }

    fn push(&mut self, part: UpgradePart, weight: FindingWeight, text: impl Into<String>) {
        self.0.push(UpgradeFinding { part, weight, text: text.into() });
    }

    /// Returns the findings, the worst first and otherwise in the order of their parts, and the notes.
    pub(crate) fn into_sorted(mut self) -> (Vec<UpgradeFinding>, Vec<UpgradeFinding>) {
        self.0.sort_by_key(|finding| (finding.weight, finding.part));
        self.0.into_iter().partition(|finding| finding.weight != FindingWeight::Note)
    }

    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|UpgradeFinding { part, weight, text }| format!("{weight:?} {}: {text}", part.name()))
            .collect()
    }
}

/// The time of a boot until it served.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BootTime {
    /// `cold`, `warm`, `upgrade` or `rollback`.
    pub(crate) boot: &'static str,
    pub(crate) image: String,
    /// From the container's start until the server answered.
    pub(crate) ready_ms: u64,
    /// Of them, the phases of the boot.
    pub(crate) boot_ms: u64,
}

/// The output of the image's `plan`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PlanOutput {
    pub(crate) exit: i64,
    pub(crate) lines: Vec<String>,
}

/// The extent of the comparison.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct ComparedSize {
    pub(crate) tables: usize,
    pub(crate) rows: i64,
    pub(crate) rest_answers: usize,
    pub(crate) graphql_answers: usize,
}

/// The answer of a server that enforces a license.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LicenseReport {
    /// Name of the license in effect.
    pub(crate) name: String,
    /// `active`, `grace` or `locked`.
    pub(crate) status: String,
    /// Usage and limit of everything that is counted; no limit if it is negative.
    pub(crate) limits: Vec<LicenseLimit>,
    /// Features that this license does not include.
    pub(crate) excluded: Vec<String>,
}

/// A limit of a license.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LicenseLimit {
    pub(crate) what: String,
    pub(crate) used: i64,
    pub(crate) limit: i64,
}

impl fmt::Display for LicenseLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.what, self.used, self.limit)
    }
}

/// The old image on the new database.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RollbackReport {
    /// True if it served.
    pub(crate) served: bool,
    /// The exit code, if it ended.
    pub(crate) exit: Option<i64>,
    /// The last line of its boot.
    pub(crate) last_line: String,
}

#[cfg(test)]
mod tests {
    use super::{RehearsalVerdict, UpgradeFindings, UpgradePart, digest};

    #[test]
    fn the_worst_finding_decides() {
        let mut findings = UpgradeFindings::default();
        findings.note(UpgradePart::Rest, "a new endpoint");
        assert_eq!(RehearsalVerdict::of(&findings.0), RehearsalVerdict::Safe);
        findings.look(UpgradePart::Rows, "laps had 3 rows and has 2");
        assert_eq!(RehearsalVerdict::of(&findings.0), RehearsalVerdict::Look);
        findings.fails(UpgradePart::Boot, "exit 43");
        assert_eq!(RehearsalVerdict::of(&findings.0), RehearsalVerdict::Failed);
    }

    #[test]
    fn findings_are_sorted_and_notes_are_apart() {
        let mut findings = UpgradeFindings::default();
        findings.look(UpgradePart::Rest, "c");
        findings.note(UpgradePart::Build, "n");
        findings.look(UpgradePart::Build, "b");
        findings.fails(UpgradePart::Rollback, "a");
        let (found, notes) = findings.into_sorted();
        let text = |findings: &[super::UpgradeFinding]| {
            findings.iter().map(|finding| finding.text.clone()).collect::<String>()
        };
        assert_eq!((text(&found), text(&notes)), ("abc".to_owned(), "n".to_owned()));
    }

    #[test]
    fn a_digest_stands_for_exactly_these_findings() {
        let of = |texts: &[&str]| {
            let mut findings = UpgradeFindings::default();
            texts.iter().for_each(|text| findings.look(UpgradePart::Rest, *text));
            digest(&findings.0)
        };
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["a"]));
        assert_eq!(of(&[]).len(), 12);
    }
}
