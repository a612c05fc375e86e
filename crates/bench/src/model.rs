//! What a run of the benchmark found, as data; [`super::table`], [`super::document`] and [`super::chart`] show it.

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use super::bars::{self, Verdict};
use super::stats::{Sample, Unit};
use grammar::Part;

/// A whole run. The JSON result is exactly this; fields are only ever added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Where the figures are from, but for those of [`Report::earlier`].
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// How often each was measured at least.
    pub(crate) runs: usize,
    /// Everything that was measured, in the order in which it was.
    pub(crate) figures: Vec<Figure>,
    /// What was promised of it.
    pub(crate) bars: Vec<Verdict>,
    /// Where the parts are from that this run did not measure itself; see [`Report::onto`].
    #[serde(default)]
    pub(crate) earlier: Vec<Earlier>,
}

/// A run that parts of a report are from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Earlier {
    /// The parts.
    pub(crate) parts: Vec<Part>,
    /// The run.
    #[serde(flatten)]
    pub(crate) origin: Origin,
}

/// When, what and where a run measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// When it began, in RFC 3339, UTC.
    pub(crate) began: String,
    /// What was measured.
    pub(crate) subject: Subject,
    /// Where.
    pub(crate) machine: Machine,
}

impl Report {
    /// An earlier run's, to measure parts of it again, as often.
    ///
    /// # Errors
    ///
    /// If it is no report, or measured less often or more often than `runs` times.
    pub(crate) fn parse(json: &str, runs: usize) -> anyhow::Result<Report> {
        let report: Report = serde_json::from_str(json).context("it is no report of `bench --json`")?;
        let other = report.runs;
        ensure!(runs == other, "it measured {other} times, and this run is to {runs} times: say --runs {other}");
        Ok(report)
    }

    /// The parts that this run measured itself.
    pub(crate) fn own_parts(&self) -> Vec<Part> {
        let is_earlier = |part: &Part| self.earlier.iter().any(|run| run.parts.contains(part));
        let is_own = |part: &Part| self.figures.iter().any(|figure| figure.part == *part) && !is_earlier(part);
        Part::ALL.into_iter().filter(is_own).collect()
    }

    /// This run's parts in the place of an earlier run's, and the others as they were there: a part holds all that its
    /// figures are compared with.
    pub(crate) fn onto(self, base: Report) -> Report {
        let mine = self.own_parts();
        let parts = base.own_parts();
        let mut earlier = base.earlier;
        earlier.push(Earlier { parts, origin: base.origin });
        for run in &mut earlier {
            run.parts.retain(|part| !mine.contains(part));
        }
        earlier.retain(|run| !run.parts.is_empty());
        let mut figures = base.figures;
        figures.retain(|figure| !mine.contains(&figure.part));
        figures.extend(self.figures);
        figures.sort_by_key(|figure| figure.part);
        Report { bars: bars::judge(&figures), figures, earlier, ..self }
    }
}

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subject {
    /// Our image's name.
    pub(crate) image: String,
    /// `sha256:…` of its configuration.
    pub(crate) image_id: String,
    /// The version and revision of its labels.
    pub(crate) version: String,
    /// `sha256:…` of the baseline's configuration.
    pub(crate) shell_id: String,
    /// What both are built on.
    pub(crate) base: String,
    /// `sha256:…` of its configuration.
    pub(crate) base_id: String,
    /// Whether that is a stand-in.
    pub(crate) base_is_stand_in: bool,
    /// The database's image.
    pub(crate) database: String,
    /// `sha256:…` of its configuration.
    pub(crate) database_id: String,
    /// Whether that is a stand-in.
    pub(crate) database_is_stand_in: bool,
    /// The version that the server says.
    pub(crate) postgres: String,
}

/// Where it was measured; nothing that names the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Processors.
    pub(crate) cores: usize,
    /// What they call themselves, where the system tells.
    pub(crate) processor: Option<String>,
    /// Bytes of memory that containers share.
    pub(crate) memory_bytes: u64,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// The engine's version.
    pub(crate) engine: String,
    /// How busy it was before the first measurement: processes that ran or wanted to, over a minute.
    pub(crate) load_before: Option<f64>,
}

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// The image.
    Ours,
    /// The pipeline that it replaces.
    Shell,
    /// The image on all of upstream's.
    OnUpstream,
    /// The image without its compile cache.
    Uncompiled,
    /// The image with Directus' modules as upstream has them.
    Unbundled,
    /// The image on a database whose fingerprint is not known.
    Planning,
    /// `psql` alone, with a process for each file or question.
    Psql,
    /// One `psql` for everything.
    OnePsql,
    /// An authenticated connection and nothing else: the least that anybody can do.
    Connect,
}

impl By {
    /// The head of its column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            By::Ours => "trm-directus",
            By::Shell => "shell",
            By::OnUpstream => "on all of upstream's",
            By::Uncompiled => "without compile cache",
            By::Unbundled => "without bundle",
            By::Planning => "without fingerprint",
            By::Psql => "plain psql",
            By::OnePsql => "one psql session",
            By::Connect => "bare connect",
        }
    }
}

/// Measurements of one thing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// In which part of the benchmark.
    pub(crate) part: Part,
    /// What was measured.
    pub(crate) what: String,
    /// Of whom.
    pub(crate) by: By,
    /// In which unit.
    pub(crate) unit: Unit,
    /// How often which value.
    pub(crate) sample: Sample,
}

/// Figures as they come in.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Figure>);

impl Figures {
    /// Adds a measurement to those of the same thing.
    pub(crate) fn add(&mut self, part: Part, what: &str, by: By, unit: Unit, value: f64) {
        let same = |figure: &&mut Figure| figure.part == part && figure.what == what && figure.by == by;
        if let Some(figure) = self.0.iter_mut().find(same) {
            figure.sample.push(value);
        } else {
            let sample = Sample::from_iter([value]);
            self.0.push(Figure { part, what: what.to_owned(), by, unit, sample });
        }
    }

    /// Adds a duration.
    pub(crate) fn seconds(&mut self, part: Part, what: &str, by: By, seconds: f64) {
        self.add(part, what, by, Unit::Seconds, seconds);
    }
}

/// The figure about that.
pub(crate) fn find<'a>(figures: &'a [Figure], part: Part, what: &str, by: By) -> Option<&'a Figure> {
    figures.iter().find(|figure| figure.part == part && figure.what == what && figure.by == by)
}

/// The middle of it.
pub(crate) fn median(figures: &[Figure], part: Part, what: &str, by: By) -> Option<f64> {
    find(figures, part, what, by).map(|figure| figure.sample.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of these parts, with this figure in each.
    fn report(began: &str, parts: &[Part], seconds: f64) -> Report {
        let mut figures = Figures::default();
        for part in parts {
            figures.seconds(*part, "boot", By::Ours, seconds);
        }
        let mut report = Report { figures: figures.0, ..super::super::document::tests::report() };
        report.origin.began = began.to_owned();
        report
    }

    #[test]
    fn a_part_that_is_measured_again_takes_the_place_of_the_earlier_one() {
        let first = report("first", &[Part::Gate, Part::Memory, Part::Xtask], 1.0);
        let first = Report::parse(&serde_json::to_string(&first).unwrap(), 3).unwrap();
        let second = report("second", &[Part::Memory], 2.0).onto(first);
        let third = report("third", &[Part::Gate], 3.0).onto(second);
        let seconds = |part| median(&third.figures, part, "boot", By::Ours).unwrap();
        assert_eq!([Part::Gate, Part::Memory, Part::Xtask].map(seconds), [3.0, 2.0, 1.0]);
        assert_eq!((third.origin.began.as_str(), third.own_parts()), ("third", vec![Part::Gate]));
        let earlier: Vec<_> =
            third.earlier.iter().map(|run| (run.origin.began.as_str(), run.parts.as_slice())).collect();
        assert_eq!(earlier, [("first", [Part::Xtask].as_slice()), ("second", &[Part::Memory])]);
        let ordered: Vec<Part> = third.figures.iter().map(|figure| figure.part).collect();
        assert_eq!(ordered, [Part::Gate, Part::Memory, Part::Xtask]);
    }

    #[test]
    fn runs_of_different_numbers_do_not_come_together() {
        let text = serde_json::to_string(&report("first", &[Part::Gate], 1.0)).unwrap();
        let error = Report::parse(&text, 7).unwrap_err();
        assert_eq!(error.to_string(), "it measured 3 times, and this run is to 7 times: say --runs 3");
        assert_eq!(Report::parse("{}", 7).unwrap_err().to_string(), "it is no report of `bench --json`");
    }

    #[test]
    fn measurements_of_the_same_thing_come_together() {
        let mut figures = Figures::default();
        figures.seconds(Part::Gate, "cold", By::Ours, 1.0);
        figures.seconds(Part::Gate, "cold", By::Shell, 9.0);
        figures.seconds(Part::Gate, "cold", By::Ours, 3.0);
        assert_eq!(figures.0.len(), 2);
        assert_eq!(median(&figures.0, Part::Gate, "cold", By::Ours), Some(2.0));
        assert_eq!(median(&figures.0, Part::Memory, "cold", By::Ours), None);
    }
}
