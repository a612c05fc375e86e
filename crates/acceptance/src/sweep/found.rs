//! What a sweep found, as data: the form of `report.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::point::{Kind, Point};
use crate::container::Ended;
use testbed::ui;

/// Time for a boot from a fault to its end. Directus gives a lost connection up by itself within seconds.
pub(super) const BOUND: Duration = Duration::from_secs(15);

/// A whole sweep.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The form of this object.
    pub(crate) schema: u32,
    /// The image.
    pub(crate) image: String,
    /// Whether all went well.
    pub(crate) ok: bool,
    /// How long it took.
    pub(crate) seconds: f64,
    /// The bound on a boot's end after a fault.
    pub(crate) bound_seconds: u64,
    /// What was swept.
    pub(crate) scenarios: Vec<Scenario>,
}

/// One scenario's part of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Scenario {
    /// Its name.
    pub(crate) name: &'static str,
    /// How many messages an undisturbed boot sends and gets, on how many connections.
    pub(crate) messages: Messages,
    /// Every point.
    pub(crate) points: Vec<Outcome>,
}

/// An undisturbed boot's conversation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Messages {
    /// What the boot and Directus say.
    pub(crate) to_server: usize,
    /// What PostgreSQL says.
    pub(crate) to_client: usize,
    /// On how many connections.
    pub(crate) connections: usize,
}

/// What came of one point.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// What was done.
    pub(crate) kind: Kind,
    /// The direction whose messages were counted.
    pub(crate) direction: &'static str,
    /// At which of them.
    pub(crate) n: usize,
    /// The type of that message; none if the boot did not say as much.
    pub(crate) hit: Option<char>,
    /// How far the boot got.
    pub(crate) phase: Option<&'static str>,
    /// Its exit code; none if it did not end.
    pub(crate) exit: Option<i64>,
    /// Its last line.
    pub(crate) said: String,
    /// From the fault to its end.
    pub(crate) seconds: Option<f64>,
    /// How long the next boot took.
    pub(crate) healed: Option<f64>,
    /// Whether the next boot left what an undisturbed one leaves.
    pub(crate) converged: bool,
    /// What was wrong.
    pub(crate) failure: Option<String>,
    /// If something was: all that both boots said.
    pub(crate) log: Vec<String>,
}

impl Outcome {
    /// Before it was tried.
    pub(super) fn of(point: Point) -> Outcome {
        Outcome {
            kind: point.kind,
            direction: point.direction.name(),
            n: point.n,
            hit: None,
            phase: None,
            exit: None,
            said: String::new(),
            seconds: None,
            healed: None,
            converged: false,
            failure: None,
            log: Vec::new(),
        }
    }

    pub(super) fn ended(&mut self, ended: &Ended) {
        self.phase = ended.last_phase().map(contract::Phase::name);
        self.exit = Some(ended.code);
        ended.last_line().clone_into(&mut self.said);
    }

    /// The point in words.
    pub(crate) fn point(&self) -> String {
        format!("{} at message {} {}", self.kind.words(), self.n, self.direction)
    }

    /// How it ended, in words.
    pub(crate) fn words(&self) -> String {
        let end = match (self.exit, self.phase) {
            (Some(code), Some(phase)) => format!("exit {code} in {phase}"),
            (Some(code), None) => format!("exit {code}"),
            _ => "no end".to_owned(),
        };
        self.seconds.map_or(end.clone(), |seconds| format!("{end} after {seconds:.1} s"))
    }
}

/// The figures of some points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// How many.
    pub(crate) points: usize,
    /// How many faults came.
    pub(crate) hit: usize,
    /// How many boots ended within the bound.
    pub(crate) bounded: usize,
    /// How many were made good by the next one.
    pub(crate) converged: usize,
    /// The longest time from a fault to the end.
    pub(crate) longest: f64,
}

impl Figures {
    pub(crate) fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>, bound: u64) -> Figures {
        let mut figures = Figures::default();
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

    /// As cells of a table.
    pub(crate) fn cells(self) -> [String; 5] {
        let Figures { points, hit, bounded, converged, longest } = self;
        [points.to_string(), hit.to_string(), bounded.to_string(), converged.to_string(), format!("{longest:.1} s")]
    }
}

/// The heads of [`Figures::cells`].
pub(crate) const HEADS: [&str; 5] = ["points", "faults that came", "bounded exits", "converged", "longest exit"];

impl Report {
    /// The form that is written today.
    pub(crate) const SCHEMA: u32 = 1;

    /// Puts it together.
    pub(crate) fn new(image: &str, took: std::time::Duration, scenarios: Vec<Scenario>) -> Report {
        let mut report = Report {
            schema: Report::SCHEMA,
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

    /// Every point that was not as it should be, with its scenario.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&'static str, &Outcome)> {
        let of = |scenario: &'_ Scenario| scenario.name;
        self.scenarios
            .iter()
            .flat_map(move |scenario| scenario.points.iter().map(move |outcome| (of(scenario), outcome)))
            .filter(|(_, outcome)| outcome.failure.is_some())
    }

    /// The figures of each scenario by what `key` says of a point.
    pub(crate) fn by(&self, key: impl Fn(&Outcome) -> String) -> Vec<(String, Figures)> {
        let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in self.scenarios.iter().flat_map(|scenario| &scenario.points) {
            groups.entry(key(outcome)).or_default().push(outcome);
        }
        groups.into_iter().map(|(name, all)| (name, Figures::of(all, self.bound_seconds))).collect()
    }

    /// All in one.
    pub(crate) fn total(&self) -> Figures {
        Figures::of(self.scenarios.iter().flat_map(|scenario| &scenario.points), self.bound_seconds)
    }

    /// The verdict in one line.
    pub(crate) fn verdict(&self) -> String {
        let Figures { points, bounded, converged, longest, .. } = self.total();
        let failures = self.failures().count();
        if failures > 0 {
            return format!("{failures} of {points} faults were not made good");
        }
        format!("{points} faults: {bounded} bounded exits, {converged} made good; the longest exit took {longest:.1} s")
    }

    /// The report as text.
    pub(crate) fn render(&self) -> String {
        let row = |name: &str, cells: [String; 5]| {
            let [a, b, c, d, e] = cells;
            [name.to_owned(), a, b, c, d, e]
        };
        let mut rows = vec![row("", HEADS.map(str::to_owned))];
        for scenario in &self.scenarios {
            rows.push(row(scenario.name, Figures::of(&scenario.points, self.bound_seconds).cells()));
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

    /// A sweep with one point that went well and one that did not.
    pub(crate) fn report() -> Report {
        let good = Outcome {
            hit: Some('Q'),
            phase: Some("bootstrap"),
            exit: Some(23),
            said: "[entrypoint] 5/8 bootstrap failed: the connection to PostgreSQL was lost: gone (exit 23)".to_owned(),
            seconds: Some(1.25),
            healed: Some(6.5),
            converged: true,
            ..Outcome::of(Point { kind: Kind::Cut, direction: Direction::ToServer, n: 417 })
        };
        let bad = Outcome {
            hit: Some('D'),
            exit: Some(0),
            phase: Some("schema"),
            seconds: Some(16.0),
            converged: false,
            failure: Some("it exited 0, but the database is not done: fields `<1>` instead of `<2>`".to_owned()),
            log: vec!["[entrypoint] 6/8 schema: \u{1b}[31mno changes\u{1b}[0m (1 ms)".to_owned()],
            ..Outcome::of(Point { kind: Kind::NodeKilled, direction: Direction::ToClient, n: 88 })
        };
        let messages = Messages { to_server: 900, to_client: 2100, connections: 3 };
        Report {
            schema: Report::SCHEMA,
            image: "trm-directus:dev".to_owned(),
            ok: false,
            seconds: 75.0,
            bound_seconds: 15,
            scenarios: vec![Scenario { name: "cold", messages, points: vec![good, bad] }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_count_what_was_bounded_and_what_was_made_good() {
        let total = fixture::report().total();
        assert_eq!(total, Figures { points: 2, hit: 2, bounded: 1, converged: 1, longest: 16.0 });
    }

    #[test]
    fn the_text_says_first_how_it_went_and_last_what_did_not() {
        let text = fixture::report().render();
        assert!(text.starts_with("1 of 2 faults were not made good\n"), "{text}");
        let last = "cold: Node killed at message 88 to-client (exit 0 in schema after 16.0 s): it exited 0, but";
        assert!(text.lines().last().unwrap().starts_with(last), "{text}");
    }
}
