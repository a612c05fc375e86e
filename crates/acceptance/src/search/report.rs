//! Results of a search, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::case::SearchCase;
use testbed::ui;

/// One case and its result; failed cases are minimised.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CaseResult {
    #[serde(skip)]
    pub(super) index: usize,
    pub(crate) name: String,
    /// Exit code of the first boot; `None` if PostgreSQL rejects the case's edits of the database.
    pub(super) code: Option<i64>,
    pub(super) message: String,
    pub(super) boots: usize,
    pub(crate) failure: Option<String>,
    pub(super) case: SearchCase,
    pub(super) log: Vec<String>,
}

/// Results of a whole search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SearchReport {
    schema: u32,
    seed: u64,
    seconds: f64,
    pub(crate) ok: bool,
    /// Total number of boots.
    pub(crate) boots: usize,
    /// Number of cases by exit code of the first boot; `-` for cases that PostgreSQL rejects.
    pub(crate) codes: BTreeMap<String, usize>,
    pub(crate) cases: Vec<CaseResult>,
}

impl SearchReport {
    pub(super) fn new(seed: u64, took: Duration, cases: Vec<CaseResult>) -> SearchReport {
        let mut codes = BTreeMap::new();
        for case in &cases {
            *codes.entry(case.code.map_or_else(|| "-".to_owned(), |code| code.to_string())).or_default() += 1;
        }
        let ok = cases.iter().all(|case| case.failure.is_none());
        let boots = cases.iter().map(|case| case.boots).sum();
        SearchReport { schema: 1, seed, seconds: ui::json_seconds(took), ok, boots, codes, cases }
    }

    /// Returns the failed cases.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| case.failure.is_some())
    }

    /// Returns one line: `200 cases, 431 boots in 240 s, 2 failures (exit 0: 120, exit 43: 61)`.
    pub(crate) fn summary(&self) -> String {
        let codes: Vec<String> = self.codes.iter().map(|(code, count)| format!("exit {code}: {count}")).collect();
        let (cases, failures) = (self.cases.len(), self.failures().count());
        format!(
            "{cases} cases, {} boots in {:.0} s, {failures} failures ({})",
            self.boots,
            self.seconds,
            codes.join(", ")
        )
    }

    /// Returns the failures with their cases and the summary; for a single case also its log.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for case in self.failures() {
            let failure = case.failure.as_deref().unwrap_or_default();
            text.push_str(&format!("{}: {failure}\n{}\n\n", case.name, case.case));
        }
        if let [only] = self.cases.as_slice() {
            text.push_str(&format!("{}\n{}\n", only.case, only.log.join("\n")));
        }
        text + &self.summary()
    }
}
