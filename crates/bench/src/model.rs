//! Results of a benchmark, as data; [`super::table`] and [`super::document`] render them.

use serde::{Deserialize, Serialize};

use super::metrics;
use super::stats::{Measurements, Unit};
use grammar::BenchPart;

/// Results of a run, in the format of the JSON result. Fields may be added, but not renamed or removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BenchReport {
    /// The origin of the figures.
    #[serde(flatten)]
    pub(crate) origin: Origin,
    /// Number of turns; fast commands are measured several times per turn.
    pub(crate) runs: usize,
    /// All figures, in the order of their first measurement.
    pub(crate) figures: Vec<Figure>,
    #[serde(rename = "bars")]
    pub(crate) verdicts: Vec<ThresholdVerdict>,
}

/// Time, images and machine of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Start of the run, in RFC 3339, UTC.
    pub(crate) began: String,
    #[serde(rename = "subject")]
    pub(crate) images: Images,
    pub(crate) machine: BenchMachine,
}

/// The verdict on one threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ThresholdVerdict {
    /// The threshold in words, with its limit.
    pub(crate) promise: String,
    /// The measured value, with its unit.
    pub(crate) measured: String,
    pub(crate) met: bool,
}

/// The measured images and their base images. Every `…_id` is the `sha256:…` of the image's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Images {
    /// Name of our image.
    pub(crate) image: String,
    pub(crate) image_id: String,
    /// Version and revision from the image's labels.
    pub(crate) version: String,
    /// `None` if no part measures the shell pipeline.
    pub(crate) shell_id: Option<String>,
    /// Base image of both images.
    pub(crate) base: String,
    pub(crate) base_id: String,
    pub(crate) base_is_stand_in: bool,
    /// Image of the database server.
    pub(crate) database: String,
    pub(crate) database_id: String,
    pub(crate) database_is_stand_in: bool,
    /// The server's `server_version`.
    pub(crate) postgres: String,
}

/// The machine of a run; contains nothing that identifies it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BenchMachine {
    /// Number of processors.
    pub(crate) cores: usize,
    /// Model of the processors, if the system reports it.
    pub(crate) processor: Option<String>,
    /// Memory for containers.
    pub(crate) memory_bytes: u64,
    /// Version of the kernel.
    pub(crate) kernel: String,
    /// Version of the engine.
    pub(crate) engine: String,
    /// Load average over one minute before the first measurement.
    pub(crate) load_before: Option<f64>,
}

/// The subject of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Subject {
    Ours,
    /// The shell pipeline that our image replaces.
    Shell,
    /// The image that was given with `--against`.
    Against,
    /// Our image on the full upstream image.
    OnUpstream,
    /// Our image without its compile cache.
    Uncompiled,
    /// Our image with Directus' unbundled modules.
    Unbundled,
    /// Our image on a database without a fingerprint.
    Planning,
    /// `psql` alone, with one process per file or query.
    Psql,
    /// One `psql` process for everything.
    OnePsql,
    /// An authenticated connection and nothing else: the lower bound.
    Connect,
}

impl Subject {
    /// Returns the column head.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Subject::Ours => "trm-directus",
            Subject::Shell => "shell",
            Subject::Against => "the other image",
            Subject::OnUpstream => "on the full upstream image",
            Subject::Uncompiled => "without compile cache",
            Subject::Unbundled => "without bundle",
            Subject::Planning => "without fingerprint",
            Subject::Psql => "plain psql",
            Subject::OnePsql => "one psql session",
            Subject::Connect => "bare connect",
        }
    }
}

/// All measurements of one metric of one subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) part: BenchPart,
    /// Name of the metric, one of [`super::metrics`].
    pub(crate) what: String,
    #[serde(rename = "by")]
    pub(crate) subject: Subject,
    pub(crate) unit: Unit,
    pub(crate) sample: Measurements,
}

/// Collects figures during a run.
#[derive(Debug, Default)]
pub(crate) struct Figures(pub(crate) Vec<Figure>);

impl Figures {
    /// Adds a measurement to the figure of its metric and subject.
    pub(crate) fn add(&mut self, part: BenchPart, what: &str, subject: Subject, unit: Unit, value: f64) {
        if let Some(figure) = self.0.iter_mut().find(|figure| figure.is(part, what, subject)) {
            figure.sample.push(value);
        } else {
            let sample = Measurements::from_iter([value]);
            self.0.push(Figure { part, what: what.to_owned(), subject, unit, sample });
        }
    }

    /// Adds a duration.
    pub(crate) fn seconds(&mut self, part: BenchPart, what: &str, subject: Subject, seconds: f64) {
        self.add(part, what, subject, Unit::Seconds, seconds);
    }
}

impl Figure {
    fn is(&self, part: BenchPart, what: &str, subject: Subject) -> bool {
        self.part == part && self.what == what && self.subject == subject
    }
}

pub(crate) fn find<'a>(figures: &'a [Figure], part: BenchPart, what: &str, subject: Subject) -> Option<&'a Figure> {
    figures.iter().find(|figure| figure.is(part, what, subject))
}

pub(crate) fn median(figures: &[Figure], part: BenchPart, what: &str, subject: Subject) -> Option<f64> {
    find(figures, part, what, subject).map(|figure| figure.sample.median())
}

/// Returns the median of a metric with the largest generated data model over that with the smallest.
pub(crate) fn growth_of(figures: &[Figure], what: &str) -> Option<f64> {
    let [smallest, .., largest] = metrics::MODEL_SIZES;
    let [base, value] = [smallest, largest]
        .map(|tables| median(figures, BenchPart::Growth, &metrics::with_tables(what, tables), Subject::Ours));
    Some(value? / base?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_of_the_same_metric_and_subject_form_one_figure() {
        let mut figures = Figures::default();
        figures.seconds(BenchPart::Startup, "cold", Subject::Ours, 1.0);
        figures.seconds(BenchPart::Startup, "cold", Subject::Shell, 9.0);
        figures.seconds(BenchPart::Startup, "cold", Subject::Ours, 3.0);
        assert_eq!(figures.0.len(), 2);
        assert_eq!(median(&figures.0, BenchPart::Startup, "cold", Subject::Ours), Some(2.0));
        assert_eq!(median(&figures.0, BenchPart::Memory, "cold", Subject::Ours), None);
    }
}
