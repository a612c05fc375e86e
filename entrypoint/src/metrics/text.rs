//! Prometheus' text format.

use std::time::Duration;

use contract::Phase;
use contract::metrics::{
    BOOTS, BootMetric, DURATION, END, EXIT_CODE, INFO, LAST_SUCCESS, LOCK_RETRIES, PHASE_DURATION, REPLICA, RUNNING,
    SCHEMA_CHANGES, SQL_FILES, START, SYSTEM_MIGRATIONS, WAIT, WAITING_CHANGES,
};

use super::tally::{Awaited, Tally};

/// The state of a boot. Points in time are durations since the epoch.
pub(super) struct BootState<'a> {
    /// The value of the label `replica`.
    pub(super) replica: &'a str,
    /// `version@revision`.
    pub(super) image: &'a str,
    pub(super) start: Duration,
    /// `None` while it runs.
    pub(super) end: Option<BootEnd<'a>>,
    /// The file before this boot; empty if there was none.
    pub(super) earlier: &'a str,
}

/// The end of a boot.
pub(super) struct BootEnd<'a> {
    pub(super) exit: u8,
    pub(super) phase: Phase,
    pub(super) time: Duration,
    pub(super) took: Duration,
    pub(super) tally: &'a Tally,
}

/// The content of the file.
pub(super) fn render(state: &BootState<'_>) -> String {
    let replica = format!("{REPLICA}=\"{}\"}} ", escaped(state.replica));
    let mut text = MetricsText { text: String::with_capacity(6144), replica };
    text.single(&RUNNING, if state.end.is_none() { "1" } else { "0" });
    text.single(&START, &decimal(state.start));
    match &state.end {
        Some(end) => text.boot_that_ended(state, end),
        // The figures of the boot before this one remain, so that an alert about a failure outlives a restart loop.
        None => text.append(&[ended(state.earlier)]),
    }
    text.text
}

/// The part of a file that is about the boot that ended.
fn ended(text: &str) -> &str {
    let begin = format!("# HELP {} ", INFO.name);
    text.find(&begin).map_or("", |at| &text[at..])
}

struct MetricsText {
    text: String,
    /// The end of each sample before its value.
    replica: String,
}

impl MetricsText {
    fn boot_that_ended(&mut self, state: &BootState<'_>, end: &BootEnd<'_>) {
        let BootEnd { exit, phase, time, took, tally } = end;
        let (version, revision) = state.image.split_once('@').unwrap_or((state.image, ""));
        let (directus, snapshot) = tally.contents.get().map_or(("", ""), |(directus, snapshot)| (directus, snapshot));
        self.head(&INFO);
        self.sample(&INFO, &[version, revision, directus, snapshot], "1");
        let (time, exit) = (decimal(*time), whole(usize::from(*exit)));
        self.single(&END, &time);
        let earlier_success = samples(state.earlier, LAST_SUCCESS.name).next().map(|(_, value)| value);
        if let Some(success) = if exit == "0" { Some(time.as_str()) } else { earlier_success } {
            self.single(&LAST_SUCCESS, success);
        }
        self.head(&EXIT_CODE);
        self.sample(&EXIT_CODE, &[phase.name()], &exit);
        self.single(&DURATION, &decimal(*took));
        self.head(&PHASE_DURATION);
        for phase in Phase::ALL {
            if let Some(took) = tally.duration(phase) {
                self.sample(&PHASE_DURATION, &[phase.name()], &decimal(took));
            }
        }
        self.head(&WAIT);
        for awaited in Awaited::ALL {
            self.sample(&WAIT, &[awaited.name()], &decimal(tally.waited_for(awaited)));
        }
        self.head(&SQL_FILES);
        for phase in [Phase::DbInit, Phase::PostSchema] {
            let (applied, skipped) = tally.files(phase);
            self.sample(&SQL_FILES, &[phase.name(), "applied"], &whole(applied));
            self.sample(&SQL_FILES, &[phase.name(), "skipped"], &whole(skipped));
        }
        self.single(&SYSTEM_MIGRATIONS, &whole(tally.system_migrations.get()));
        self.single(&SCHEMA_CHANGES, &whole(tally.schema_changes.get()));
        self.single(&LOCK_RETRIES, &whole(tally.lock_retries.get()));
        self.single(&WAITING_CHANGES, &whole(tally.waiting_changes.get()));
        self.boots(state.earlier, &exit);
    }

    /// The boots of the file before, and this one.
    fn boots(&mut self, earlier: &str, exit: &str) {
        self.head(&BOOTS);
        let mut is_counted = false;
        for (labels, number) in samples(earlier, BOOTS.name) {
            let code = labels.strip_prefix("{exit_code=\"").and_then(|rest| rest.split('"').next());
            let (Some(code), Ok(number)) = (code, number.parse::<usize>()) else { continue };
            is_counted |= code == exit;
            self.sample(&BOOTS, &[code], &whole(number + usize::from(code == exit)));
        }
        if !is_counted {
            self.sample(&BOOTS, &[exit], "1");
        }
    }

    fn single(&mut self, metric: &BootMetric, value: &str) {
        self.head(metric);
        self.sample(metric, &[], value);
    }

    fn head(&mut self, BootMetric { name, kind, help, .. }: &BootMetric) {
        self.append(&["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind.name(), "\n"]);
    }

    fn sample(&mut self, metric: &BootMetric, labels: &[&str], value: &str) {
        self.append(&[metric.name, "{"]);
        for (name, value) in metric.labels.iter().zip(labels) {
            self.append(&[name, "=\"", &escaped(value), "\","]);
        }
        self.text.push_str(&self.replica);
        self.append(&[value, "\n"]);
    }

    fn append(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
    }
}

/// The samples of a metric in a file: labels and value.
fn samples<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.lines()
        .filter_map(move |line| line.strip_prefix(name)?.rsplit_once(' '))
        .filter(|(labels, _)| labels.starts_with('{'))
}

fn whole(number: usize) -> String {
    number.to_string()
}

/// Seconds with microseconds. Formatting a float would add its code to the binary.
fn decimal(duration: Duration) -> String {
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\\' | '"' => escaped.extend(['\\', character]),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use contract::metrics::METRICS;

    use super::*;

    fn tally() -> Tally {
        let tally = Tally::default();
        tally.end_phase(Phase::Config, Duration::from_micros(1_250));
        tally.end_phase(Phase::DbInit, Duration::from_secs(75));
        tally.count_applied(Phase::DbInit);
        tally.count_applied(Phase::DbInit);
        tally.set_skipped(Phase::DbInit, 3);
        tally.schema_changes.set(118);
        tally.lock_retries.set(2);
        tally.waiting_changes.set(4);
        tally.contents.set(("11.17.4".to_owned(), "5c7f72076e7a".to_owned())).expect("not set before");
        tally
    }

    fn after(earlier: &str, exit: u8, phase: Phase, time: u64) -> String {
        let tally = tally();
        let end =
            BootEnd { exit, phase, time: Duration::from_secs(time), took: Duration::from_millis(2_260), tally: &tally };
        let start = Duration::from_secs(time - 3);
        render(&BootState { replica: "web-1", image: "0.1.0@4f2c", start, end: Some(end), earlier })
    }

    fn during(earlier: &str, time: u64) -> String {
        render(&BootState {
            replica: "web-1",
            image: "0.1.0@4f2c",
            start: Duration::from_secs(time),
            end: None,
            earlier,
        })
    }

    #[test]
    fn successful_boot() {
        insta::assert_snapshot!(after("", 0, Phase::Exec, 1_764_184_800));
    }

    #[test]
    fn each_metric_has_its_help_and_its_type_once_and_in_the_order_of_the_contract() {
        let text = after("", 0, Phase::Exec, 1_764_184_800);
        let helps = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
        let expected: Vec<String> = METRICS.iter().map(|metric| format!("{} {}", metric.name, metric.help)).collect();
        assert_eq!(helps.collect::<Vec<_>>(), expected);
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE ")).count(), METRICS.len());
    }

    #[test]
    fn failure_keeps_the_time_of_the_last_success_and_counts_by_exit_code() {
        let first = after("", 0, Phase::Exec, 1_000);
        let second = after(&first, 43, Phase::Schema, 2_000);
        let third = after(&second, 43, Phase::Schema, 3_000);
        for line in [
            "directus_boot_exit_code{phase=\"schema\",replica=\"web-1\"} 43",
            "directus_boot_last_success_timestamp_seconds{replica=\"web-1\"} 1000.000000",
            "directus_boot_end_timestamp_seconds{replica=\"web-1\"} 3000.000000",
            "directus_boots_total{exit_code=\"0\",replica=\"web-1\"} 1",
            "directus_boots_total{exit_code=\"43\",replica=\"web-1\"} 2",
        ] {
            assert!(third.lines().any(|other| other == line), "{line} is not in:\n{third}");
        }
        assert!(!after("", 43, Phase::Schema, 2_000).contains(LAST_SUCCESS.name));
    }

    #[test]
    fn figures_of_the_boot_before_remain_while_the_next_one_runs() {
        let failed = after("", 20, Phase::Database, 1_000);
        let running = during(&failed, 1_010);
        assert!(running.contains("\ndirectus_boot_running{replica=\"web-1\"} 1\n"), "{running}");
        assert!(running.contains("_start_timestamp_seconds{replica=\"web-1\"} 1010.000000\n"), "{running}");
        assert_eq!(ended(&running), ended(&failed));
        // A boot that was killed is not counted, and the one after it continues.
        assert!(
            after(&running, 20, Phase::Database, 1_020)
                .contains("directus_boots_total{exit_code=\"20\",replica=\"web-1\"} 2")
        );
    }

    #[test]
    fn foreign_or_damaged_file_is_replaced() {
        for earlier in [
            "not metrics",
            "directus_boots_total{exit_code=\"0\"} many\n",
            "directus_boots_total 7",
            "directus_boots_total{",
        ] {
            assert_eq!(after(earlier, 0, Phase::Exec, 1_000), after("", 0, Phase::Exec, 1_000));
            assert_eq!(during(earlier, 1_000), during("", 1_000));
        }
    }

    #[test]
    fn values_of_labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
