//! Thresholds that the image promises to keep, and their verdicts: a pure function of the figures.

use super::metrics;
use super::model::{Figure, Subject, ThresholdVerdict, growth_of, median};
use super::stats::{Unit, show_ratio};
use grammar::BenchPart;

/// A figure: part, name and subject.
type Key = (BenchPart, &'static str, Subject);

struct Threshold {
    promise: &'static str,
    metric: Metric,
    limit: f64,
}

/// A value that is derived from medians.
enum Metric {
    /// The first figure over the second, at most the limit.
    Ratio(Key, Key),
    /// The shell's duration over ours, at least the limit.
    Speedup(BenchPart, &'static str),
    /// The slowest warm boot over the fastest, across all lengths of the ledger; at most the limit.
    LedgerGrowth,
    /// A figure with the largest generated data model over that with the smallest, at most the limit.
    ModelGrowth(&'static str),
    /// A single figure, below the limit.
    Value(Key, Unit),
}

const fn threshold(promise: &'static str, metric: Metric, limit: f64) -> Threshold {
    Threshold { promise, metric, limit }
}

const fn ours(part: BenchPart, what: &'static str) -> Key {
    (part, what, Subject::Ours)
}

const fn over_shell(part: BenchPart, what: &'static str) -> Metric {
    Metric::Ratio(ours(part, what), (part, what, Subject::Shell))
}

/// The largest generated data model over the smallest: a figure that grows by more grows faster than the model.
const LINEAR: f64 = (metrics::MODEL_SIZES[3] / metrics::MODEL_SIZES[0]) as f64;

const THRESHOLDS: &[Threshold] = &[
    threshold(
        "warm boot over a bare authenticated connection, as processes",
        Metric::Ratio(
            ours(BenchPart::Process, metrics::WARM_BOOT),
            (BenchPart::Process, metrics::CONNECT, Subject::Connect),
        ),
        3.0,
    ),
    threshold(
        "warm boot faster than the shell's, as processes",
        Metric::Speedup(BenchPart::Process, metrics::WARM_BOOT),
        100.0,
    ),
    threshold(
        "warm boot faster than the shell's, as containers",
        Metric::Speedup(BenchPart::Startup, metrics::WARM_START),
        100.0,
    ),
    threshold("warm boot with 10 to 10,000 more migrations, the slowest over the fastest", Metric::LedgerGrowth, 2.0),
    threshold("cold start to exec over the shell's", over_shell(BenchPart::Startup, metrics::COLD_START), 0.45),
    threshold(
        "cold start to the first answer over that on the full upstream image",
        Metric::Ratio(
            ours(BenchPart::Ablation, metrics::COLD_SERVE),
            (BenchPart::Ablation, metrics::COLD_SERVE, Subject::OnUpstream),
        ),
        1.05,
    ),
    threshold(
        "cold start to the first answer over the shell's",
        over_shell(BenchPart::Startup, metrics::COLD_SERVE),
        0.5,
    ),
    threshold(
        "warm start to the first answer over the shell's",
        over_shell(BenchPart::Startup, metrics::WARM_SERVE),
        0.25,
    ),
    threshold(
        "added to the base, except for the bundle of Directus",
        Metric::Value(ours(BenchPart::Image, metrics::ADDED), Unit::Bytes),
        3e6,
    ),
    threshold(
        "the witness in a cold boot, this model",
        Metric::Value(ours(BenchPart::Witness, metrics::WITNESS), Unit::Seconds),
        0.1,
    ),
    threshold(
        "the witness in a cold boot, with 500 more tables and 10,000 more partitions",
        Metric::Value(ours(BenchPart::Witness, metrics::WITNESS_LARGE), Unit::Seconds),
        0.5,
    ),
    threshold("cold boot, 500 tables over 10", Metric::ModelGrowth(metrics::COLD_BOOT), LINEAR),
    threshold("warm boot, 500 tables over 10", Metric::ModelGrowth(metrics::WARM_MODEL_BOOT), 2.0),
    threshold("plan without changes, 500 tables over 10", Metric::ModelGrowth(metrics::PLAN), LINEAR),
    threshold("boot after an upgrade, 500 tables over 10", Metric::ModelGrowth(metrics::UPGRADE_BOOT), LINEAR),
    threshold("the whole image", Metric::Value(ours(BenchPart::Image, metrics::SIZE), Unit::Bytes), 350e6),
    threshold(
        "rebuild after a change of the snapshot",
        Metric::Value(ours(BenchPart::Image, metrics::REBUILD_SNAPSHOT), Unit::Seconds),
        2.0,
    ),
    threshold(
        "rebuild after a change of the boot binary",
        Metric::Value(ours(BenchPart::Image, metrics::REBUILD_BINARY), Unit::Seconds),
        15.0,
    ),
    threshold("xtask without work", Metric::Value(ours(BenchPart::Xtask, metrics::CARGO_XTASK), Unit::Seconds), 0.15),
];

/// Evaluates every threshold whose figures were measured.
pub(crate) fn evaluate(figures: &[Figure]) -> Vec<ThresholdVerdict> {
    THRESHOLDS.iter().filter_map(|threshold| threshold.evaluate(figures)).collect()
}

impl Threshold {
    /// Returns `None` if a figure is missing.
    fn evaluate(&self, figures: &[Figure]) -> Option<ThresholdVerdict> {
        let limit = self.limit;
        let (limit, measured, met) = match self.metric {
            Metric::Ratio(value, base) => at_most(value_of(figures, value)? / value_of(figures, base)?, limit),
            Metric::LedgerGrowth => {
                let lengths = [10, 100, 1_000, 10_000].map(metrics::ledger);
                let medians = lengths.iter().filter_map(|what| median(figures, BenchPart::Ledger, what, Subject::Ours));
                let medians: Vec<f64> = medians.collect();
                let slowest = medians.iter().copied().reduce(f64::max)?;
                at_most(slowest / medians.into_iter().reduce(f64::min)?, limit)
            }
            Metric::ModelGrowth(what) => at_most(growth_of(figures, what)?, limit),
            Metric::Speedup(part, what) => {
                let ours = value_of(figures, ours(part, what))?;
                let ratio = ours / value_of(figures, (part, what, Subject::Shell))?;
                // A boot may end before the engine records the start of its container.
                let measured = if ratio > 0.0 { show_ratio(1.0 / ratio) } else { "too fast to measure".to_owned() };
                (format!("at least {}", show_ratio(limit)), measured, ratio <= 1.0 / limit)
            }
            Metric::Value(key, unit) => {
                let value = value_of(figures, key)?;
                (format!("under {}", unit.show(limit)), unit.show(value), value < limit)
            }
        };
        Some(ThresholdVerdict { promise: format!("{}: {limit}", self.promise), measured, met })
    }
}

fn value_of(figures: &[Figure], (part, what, subject): Key) -> Option<f64> {
    median(figures, part, what, subject)
}

fn at_most(ratio: f64, limit: f64) -> (String, String, bool) {
    (format!("at most {}", show_ratio(limit)), show_ratio(ratio), ratio <= limit)
}

#[cfg(test)]
mod tests {
    use super::super::model::Figures;
    use super::*;

    #[test]
    fn a_threshold_compares_medians_and_needs_both_sides() {
        let mut figures = Figures::default();
        figures.seconds(BenchPart::Process, metrics::WARM_BOOT, Subject::Ours, 0.010);
        assert_eq!(evaluate(&figures.0), []);
        figures.seconds(BenchPart::Process, metrics::CONNECT, Subject::Connect, 0.004);
        figures.seconds(BenchPart::Process, metrics::WARM_BOOT, Subject::Shell, 0.9);
        let verdicts = evaluate(&figures.0);
        assert_eq!(verdicts.iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false]);
        assert_eq!(verdicts[0].measured, "2.50×");
        assert_eq!(verdicts[1].measured, "90×");
    }

    #[test]
    fn ledger_growth_is_the_slowest_length_over_the_fastest() {
        let mut figures = Figures::default();
        for (migrations, seconds) in [(10, 0.02), (100, 0.01), (1_000, 0.03), (10_000, 0.02)] {
            figures.seconds(BenchPart::Ledger, &metrics::ledger(migrations), Subject::Ours, seconds);
        }
        let verdicts = evaluate(&figures.0);
        assert_eq!((verdicts[0].measured.as_str(), verdicts[0].met), ("3×", false));
    }

    #[test]
    fn a_figure_may_grow_as_much_as_the_data_model_and_the_warm_boot_less() {
        let mut figures = Figures::default();
        for what in [metrics::COLD_BOOT, metrics::WARM_MODEL_BOOT] {
            for (tables, seconds) in [(10, 0.1), (100, 9.0), (500, 5.0)] {
                figures.seconds(BenchPart::Growth, &metrics::with_tables(what, tables), Subject::Ours, seconds);
            }
        }
        let verdicts = evaluate(&figures.0);
        assert_eq!(verdicts.iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false]);
        assert_eq!(verdicts[0].promise, "cold boot, 500 tables over 10: at most 50×");
    }

    #[test]
    fn a_boot_that_ends_before_its_recorded_start_meets_every_speedup() {
        let mut figures = Figures::default();
        figures.seconds(BenchPart::Startup, metrics::WARM_START, Subject::Ours, 0.0);
        figures.seconds(BenchPart::Startup, metrics::WARM_START, Subject::Shell, 7.0);
        let verdicts = evaluate(&figures.0);
        assert_eq!((verdicts[0].measured.as_str(), verdicts[0].met), ("too fast to measure", true));
    }

    #[test]
    fn a_ratio_may_equal_its_limit_but_a_duration_may_not() {
        let mut figures = Figures::default();
        figures.seconds(BenchPart::Startup, metrics::COLD_SERVE, Subject::Ours, 1.0);
        figures.seconds(BenchPart::Startup, metrics::COLD_SERVE, Subject::Shell, 2.0);
        figures.seconds(BenchPart::Image, metrics::REBUILD_SNAPSHOT, Subject::Ours, 2.0);
        assert_eq!(evaluate(&figures.0).iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false]);
    }
}
