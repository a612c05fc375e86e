//! What is promised of the figures, and whether it holds: a pure function.

use super::model::{By, Figure, Verdict, median};
use super::stats::{Unit, show_ratio};
use grammar::Part;

use super::names;

/// Judges every promise whose figures are there.
pub(crate) fn judge(figures: &[Figure]) -> Vec<Verdict> {
    let median = |part, what: &str, by| median(figures, part, what, by);
    let ratio = |part, what: &str| Some(median(part, what, By::Ours)? / median(part, what, By::Shell)?);
    let bare = median(Part::Process, names::CONNECT, By::Connect);
    let at = |migrations: usize| median(Part::Ledger, &names::ledger(migrations), By::Ours);
    let lengths = || [10, 100, 1_000, 10_000].into_iter().filter_map(at);

    let warm = median(Part::Process, names::WARM_BOOT, By::Ours);
    let flat = lengths().reduce(f64::max).zip(lengths().reduce(f64::min)).map(over);
    let as_ratio = |promise: &str, ratio: Option<f64>, limit: f64| {
        ratio.map(|ratio| (format!("{promise} {}", show_ratio(limit)), show_ratio(ratio), ratio <= limit))
    };
    let faster = |promise: &str, ratio: Option<f64>| {
        ratio.map(|ratio| {
            // A boot may be over before the engine has noted that the container runs.
            let shown = if ratio > 0.0 { show_ratio(1.0 / ratio) } else { "too fast to tell".to_owned() };
            (format!("{promise} at least 100×"), shown, ratio <= 0.01)
        })
    };
    let below = |promise: &str, unit: Unit, value: Option<f64>, limit: f64| {
        value.map(|value| (format!("{promise} under {}", unit.show(limit)), unit.show(value), value < limit))
    };
    let on = |by| median(Part::Steps, names::COLD_SERVE, by);
    let slim = on(By::Ours).zip(on(By::OnUpstream)).map(over);
    let rebuild = |what| median(Part::Image, what, By::Ours);
    let verdicts = [
        as_ratio("warm gate over a bare authenticated connect, processes: at most", warm.zip(bare).map(over), 3.0),
        faster("warm gate faster than the shell's, processes:", ratio(Part::Process, names::WARM_BOOT)),
        faster("warm gate faster than the shell's, containers:", ratio(Part::Gate, names::WARM_GATE)),
        as_ratio("warm gate from 10 to 10,000 applied migrations, the slowest over the fastest: at most", flat, 2.0),
        as_ratio("cold gate over the shell's: at most", ratio(Part::Gate, names::COLD_GATE), 0.45),
        as_ratio("slim's cold start to first answer over that on all of upstream's: at most", slim, 1.05),
        as_ratio("start to first answer, cold, over the shell's: at most", ratio(Part::Gate, names::COLD_SERVE), 0.5),
        as_ratio("start to first answer, warm, over the shell's: at most", ratio(Part::Gate, names::WARM_SERVE), 0.25),
        below(
            "added to the base, but for Directus bundled:",
            Unit::Bytes,
            median(Part::Image, names::ADDED, By::Ours),
            3e6,
        ),
        below(
            "the witness in a cold boot, this model:",
            Unit::Seconds,
            median(Part::Witness, names::WITNESS, By::Ours),
            0.1,
        ),
        below(
            "the witness in a cold boot, 500 tables and 10,000 partitions more:",
            Unit::Seconds,
            median(Part::Witness, names::WITNESS_LARGE, By::Ours),
            0.5,
        ),
        below("the whole image:", Unit::Bytes, median(Part::Image, names::SIZE, By::Ours), 350e6),
        below("rebuild after a changed snapshot:", Unit::Seconds, rebuild(names::REBUILD_SNAPSHOT), 2.0),
        below("rebuild after a changed boot binary:", Unit::Seconds, rebuild(names::REBUILD_BINARY), 15.0),
        below("xtask without anything to do:", Unit::Seconds, median(Part::Xtask, names::CARGO_XTASK, By::Ours), 0.15),
    ];
    let verdict = |(promise, measured, met)| Verdict { promise, measured, met };
    verdicts.into_iter().flatten().map(verdict).collect()
}

fn over((value, floor): (f64, f64)) -> f64 {
    value / floor
}

#[cfg(test)]
mod tests {
    use super::super::model::Figures;
    use super::*;

    #[test]
    fn a_promise_is_judged_by_medians_and_only_when_both_sides_were_measured() {
        let mut figures = Figures::default();
        figures.seconds(Part::Process, names::WARM_BOOT, By::Ours, 0.010);
        assert_eq!(judge(&figures.0), []);
        figures.seconds(Part::Process, names::CONNECT, By::Connect, 0.004);
        figures.seconds(Part::Process, names::WARM_BOOT, By::Shell, 0.9);
        let verdicts = judge(&figures.0);
        assert_eq!(verdicts.iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false]);
        assert_eq!(verdicts[0].measured, "2.50×");
        assert_eq!(verdicts[1].measured, "90×");
    }

    #[test]
    fn the_slowest_ledger_decides_whether_the_warm_gate_is_flat() {
        let mut figures = Figures::default();
        for (migrations, seconds) in [(10, 0.02), (100, 0.01), (1_000, 0.03), (10_000, 0.02)] {
            figures.seconds(Part::Ledger, &names::ledger(migrations), By::Ours, seconds);
        }
        let verdicts = judge(&figures.0);
        assert_eq!((verdicts[0].measured.as_str(), verdicts[0].met), ("3×", false));
    }

    #[test]
    fn a_boot_that_was_over_before_the_engine_noted_its_start_is_faster_than_anything() {
        let mut figures = Figures::default();
        figures.seconds(Part::Gate, names::WARM_GATE, By::Ours, 0.0);
        figures.seconds(Part::Gate, names::WARM_GATE, By::Shell, 7.0);
        let verdicts = judge(&figures.0);
        assert_eq!((verdicts[0].measured.as_str(), verdicts[0].met), ("too fast to tell", true));
    }

    #[test]
    fn a_limit_that_is_reached_exactly_is_kept_by_a_ratio_and_not_by_a_duration() {
        let mut figures = Figures::default();
        figures.seconds(Part::Gate, names::COLD_SERVE, By::Ours, 1.0);
        figures.seconds(Part::Gate, names::COLD_SERVE, By::Shell, 2.0);
        figures.seconds(Part::Image, names::REBUILD_SNAPSHOT, By::Ours, 2.0);
        assert_eq!(judge(&figures.0).iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false]);
    }
}
