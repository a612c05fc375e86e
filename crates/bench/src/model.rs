//! The results of a benchmark, as data; [`super::table`] and [`super::document`] show it.

use serde::{Deserialize, Serialize};

use super::stats::{Sample, Unit};
use grammar::Part;

/// A whole run. The JSON result is exactly this; fields are only ever added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The origin of the figures.
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// How often each was measured at least.
    pub(crate) runs: usize,
    /// Everything that was measured, in the order in which it was.
    pub(crate) figures: Vec<Figure>,
    /// What was promised of it.
    pub(crate) bars: Vec<Verdict>,
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

/// The verdict on one promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The promise.
    pub(crate) promise: String,
    /// The measurement, with its unit.
    pub(crate) measured: String,
    /// True if it holds.
    pub(crate) met: bool,
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
