//! Results of a sweep, as data: the format of `report.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::fault_point::{SweepFault, SweepPoint};
use crate::container::EndedContainer;
use testbed::ui;

/// Maximum time from a fault to the end of the boot. Directus itself gives up a lost connection within seconds.
pub(super) const BOUND: Duration = Duration::from_secs(15);

/// Results of a whole sweep.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SweepResults {
    /// Version of this format.
    pub(crate) schema: u32,
    pub(crate) image: String,
    /// No fault point failed.
    pub(crate) ok: bool,
    pub(crate) seconds: f64,
    /// Maximum time from a fault to the end of the boot.
    pub(crate) bound_seconds: u64,
    pub(crate) scenarios: Vec<ScenarioReport>,
}

/// Results of one scenario.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScenarioReport {
    pub(crate) name: &'static str,
    /// Messages of an undisturbed boot.
    pub(crate) messages: Messages,
    pub(crate) points: Vec<PointOutcome>,
}

/// Number of messages and connections of an undisturbed boot.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Messages {
    /// Messages from the boot and Directus to PostgreSQL.
    pub(crate) to_server: usize,
    /// Messages from PostgreSQL.
    pub(crate) to_client: usize,
    pub(crate) connections: usize,
}

/// Result of one fault point.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PointOutcome {
    pub(crate) kind: SweepFault,
    /// Direction of the counted messages.
    pub(crate) direction: &'static str,
    /// Number of the message, from 1.
    pub(crate) n: usize,
    /// Type of the message; `None` if the boot ended before it.
    pub(crate) hit: Option<char>,
    /// Last phase that the boot reached.
    pub(crate) phase: Option<&'static str>,
    /// Exit code; `None` if the boot did not end.
    pub(crate) exit: Option<i64>,
    /// Last line of the boot's log.
    #[serde(rename = "said")]
    pub(crate) last_line: String,
    /// Time from the fault to the end of the boot.
    pub(crate) seconds: Option<f64>,
    /// Duration of the next boot in seconds.
    #[serde(rename = "healed")]
    pub(crate) next_boot_seconds: Option<f64>,
    /// The next boot produced the same database as an undisturbed one.
    pub(crate) converged: bool,
    pub(crate) failure: Option<String>,
    /// Log of both boots if the point failed; otherwise empty.
    pub(crate) log: Vec<String>,
}

impl PointOutcome {
    /// Returns the outcome of a point that was not tried yet.
    pub(super) fn of(point: SweepPoint) -> PointOutcome {
        PointOutcome {
            kind: point.kind,
            direction: point.direction.name(),
            n: point.n,
            hit: None,
            phase: None,
            exit: None,
            last_line: String::new(),
            seconds: None,
            next_boot_seconds: None,
            converged: false,
            failure: None,
            log: Vec::new(),
        }
    }

    pub(super) fn ended(&mut self, ended: &EndedContainer) {
        self.phase = ended.last_phase().map(contract::Phase::name);
        self.exit = Some(ended.code);
        ended.last_line().clone_into(&mut self.last_line);
    }

    /// Describes the fault point: `connection cut at message 417 to-server`.
    pub(crate) fn point(&self) -> String {
        format!("{} at message {} {}", self.kind.words(), self.n, self.direction)
    }

    /// Describes the end of the boot: `exit 23 in bootstrap after 1.2 s`.
    pub(crate) fn words(&self) -> String {
        let end = match (self.exit, self.phase) {
            (Some(code), Some(phase)) => format!("exit {code} in {phase}"),
            (Some(code), None) => format!("exit {code}"),
            _ => "did not end".to_owned(),
        };
        self.seconds.map_or(end.clone(), |seconds| format!("{end} after {seconds:.1} s"))
    }
}

/// Totals over a group of fault points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SweepFigures {
    pub(crate) points: usize,
    /// Number of points whose message the boot reached.
    pub(crate) hit: usize,
    /// Number of boots that ended within the bound.
    pub(crate) bounded: usize,
    /// Number of points after which the next boot converged.
    pub(crate) converged: usize,
    /// Longest time from a fault to the end of the boot, in seconds.
    pub(crate) longest: f64,
}

impl SweepFigures {
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a PointOutcome>, bound: u64) -> SweepFigures {
        let mut figures = SweepFigures::default();
        for outcome in outcomes {
            figures.points += 1;
            figures.hit += usize::from(outcome.hit.is_some());
            let seconds = outcome.seconds.unwrap_or_default();
            figures.bounded += usize::from(outcome.exit.is_some() && seconds <= bound as f64);
            figures.converged += usize::from(outcome.converged);
            figures.longest = figures.longest.max(seconds);
        }
        figures
    }

    /// Returns the cells of a table row, in the order of [`HEADS`].
    pub(crate) fn cells(self) -> [String; 5] {
        let SweepFigures { points, hit, bounded, converged, longest } = self;
        [points.to_string(), hit.to_string(), bounded.to_string(), converged.to_string(), format!("{longest:.1} s")]
    }
}

/// Column heads of [`SweepFigures::cells`].
pub(crate) const HEADS: [&str; 5] = ["points", "faults hit", "bounded exits", "converged", "longest exit"];

fn row(name: &str, cells: [String; 5]) -> [String; 6] {
    let [a, b, c, d, e] = cells;
    [name.to_owned(), a, b, c, d, e]
}

impl SweepResults {
    /// Current version of the format.
    pub(crate) const SCHEMA: u32 = 1;

    pub(crate) fn new(image: &str, took: std::time::Duration, scenarios: Vec<ScenarioReport>) -> SweepResults {
        let mut report = SweepResults {
            schema: SweepResults::SCHEMA,
            image: image.to_owned(),
            ok: false,
            seconds: ui::json_seconds(took),
            bound_seconds: BOUND.as_secs(),
            scenarios,
        };
        let failures = report.failures().count();
        report.ok = failures == 0;
        report
    }

    /// Returns the failed points, each with the name of its scenario.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, &PointOutcome)> {
        self.scenarios
            .iter()
            .flat_map(|scenario| scenario.points.iter().map(|outcome| (scenario.name, outcome)))
            .filter(|(_, outcome)| outcome.failure.is_some())
    }

    /// Groups the points of all scenarios by `key` and returns the totals of each group.
    pub(crate) fn by(&self, key: impl Fn(&PointOutcome) -> String) -> Vec<(String, SweepFigures)> {
        let mut groups: BTreeMap<String, Vec<&PointOutcome>> = BTreeMap::new();
        for outcome in self.scenarios.iter().flat_map(|scenario| &scenario.points) {
            groups.entry(key(outcome)).or_default().push(outcome);
        }
        groups.into_iter().map(|(name, all)| (name, SweepFigures::of(all, self.bound_seconds))).collect()
    }

    pub(crate) fn total(&self) -> SweepFigures {
        SweepFigures::of(self.scenarios.iter().flat_map(|scenario| &scenario.points), self.bound_seconds)
    }

    /// Returns the verdict in one line.
    pub(crate) fn verdict(&self) -> String {
        let SweepFigures { points, bounded, converged, longest, .. } = self.total();
        let failures = self.failures().count();
        if failures > 0 {
            return format!("{failures} of {points} fault points failed");
        }
        format!(
            "{points} fault points: {bounded} bounded exits, {converged} converged; the longest exit took {longest:.1} s"
        )
    }

    /// Returns the report as text: the verdict, the totals, then the failures.
    pub(crate) fn render(&self) -> String {
        let mut rows = vec![row("", HEADS.map(str::to_owned))];
        for scenario in &self.scenarios {
            rows.push(row(scenario.name, SweepFigures::of(&scenario.points, self.bound_seconds).cells()));
        }
        let by_kind = self.by(|outcome| outcome.kind.words().to_owned());
        let by_phase = self.by(|outcome| format!("in {}", outcome.phase.unwrap_or("no phase")));
        rows.extend(by_kind.into_iter().chain(by_phase).map(|(name, figures)| row(&name, figures.cells())));
        let mut text = format!("{}\n{}", self.verdict(), ui::columns(&rows));
        for (scenario, outcome) in self.failures() {
            let reason = outcome.failure.as_deref().unwrap_or_default();
            text += &format!("\n{scenario}: {} ({}): {reason}", outcome.point(), outcome.words());
        }
        text
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use pg_fault_proxy::Direction;

    use super::*;

    /// Returns a sweep with one good and one failed point.
    pub(crate) fn report() -> SweepResults {
        let good = PointOutcome {
            hit: Some('Q'),
            phase: Some("bootstrap"),
            exit: Some(23),
            last_line: "[entrypoint] 5/8 bootstrap failed: the connection to PostgreSQL was lost: gone (exit 23)"
                .to_owned(),
            seconds: Some(1.25),
            next_boot_seconds: Some(6.5),
            converged: true,
            ..PointOutcome::of(SweepPoint { kind: SweepFault::Cut, direction: Direction::ToServer, n: 417 })
        };
        let bad = PointOutcome {
            hit: Some('D'),
            exit: Some(0),
            phase: Some("schema"),
            seconds: Some(16.0),
            converged: false,
            failure: Some("it ended with 0, but the database is incomplete: fields `<1>`, not `<2>`".to_owned()),
            log: vec!["[entrypoint] 6/8 schema: \u{1b}[31mno changes\u{1b}[0m (1 ms)".to_owned()],
            ..PointOutcome::of(SweepPoint { kind: SweepFault::NodeKilled, direction: Direction::ToClient, n: 88 })
        };
        let messages = Messages { to_server: 900, to_client: 2100, connections: 3 };
        SweepResults {
            schema: SweepResults::SCHEMA,
            image: "trm-directus:dev".to_owned(),
            ok: false,
            seconds: 75.0,
            bound_seconds: 15,
            scenarios: vec![ScenarioReport { name: "cold", messages, points: vec![good, bad] }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_count_bounded_exits_and_converged_points() {
        let total = fixture::report().total();
        assert_eq!(total, SweepFigures { points: 2, hit: 2, bounded: 1, converged: 1, longest: 16.0 });
    }

    #[test]
    fn the_text_starts_with_the_verdict_and_ends_with_the_failures() {
        let text = fixture::report().render();
        assert!(text.starts_with("1 of 2 fault points failed\n"), "{text}");
        let last = "cold: Node killed at message 88 to-client (exit 0 in schema after 16.0 s): it ended with 0, but";
        assert!(text.lines().last().unwrap().starts_with(last), "{text}");
    }
}
