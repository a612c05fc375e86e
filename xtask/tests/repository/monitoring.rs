//! The files of deploy/ for monitoring: they use metrics and fields that a boot writes, and promtool accepts the queries.

use std::collections::BTreeSet;
use std::process::Command;

use camino::Utf8PathBuf;
use contract::metrics::{METRICS, REPLICA};
use contract::{Event, Level, LogLine, LogOrigin, Phase};
use serde_json::Value;

use crate::{read, root};

const RULES: &str = "deploy/prometheus/rules.yaml";
const RULES_TEST: &str = "deploy/prometheus/rules.test.yaml";
const DASHBOARD: &str = "deploy/grafana/dashboard.json";
const COLLECTOR: &str = "deploy/opentelemetry/collector.yaml";
const LOG: &str = "docs/samples/0-json.log";
const SAMPLE: &str = "docs/samples/0-metrics.log";

#[test]
fn rules_and_dashboard_use_the_metrics_and_labels_of_a_boot() {
    let labels: BTreeSet<&str> =
        METRICS.iter().flat_map(|metric| metric.labels).copied().chain([REPLICA, "job", "instance"]).collect();
    for path in [RULES, RULES_TEST, DASHBOARD] {
        let text = read(&root().join(path));
        let names: BTreeSet<&str> = words(&text).filter(|word| word.starts_with("directus_boot")).collect();
        assert!(names.len() > 3, "only {names:?} in {path}");
        for name in names {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{path}: a boot writes no {name}");
        }
        for list in text.split("by (").skip(1).chain(text.split("without (").skip(1)) {
            let list = list.split(')').next().unwrap_or_default();
            let unknown = list.split(", ").find(|label| !labels.contains(label));
            assert_eq!(unknown, None, "{path}: `{list}` has a label that no metric has");
        }
    }
}

#[test]
fn every_metric_is_on_the_dashboard() {
    let text = read(&root().join(DASHBOARD));
    for metric in METRICS {
        assert!(words(&text).any(|word| word == metric.name), "{} is on no panel", metric.name);
    }
}

#[test]
fn panels_have_their_own_places() {
    let mut taken = BTreeSet::new();
    for panel in panels() {
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{} is too wide", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    promtool(&["check", "rules", RULES]);
    promtool(&["test", "rules", RULES_TEST]);
}

#[test]
fn promtool_parses_the_queries_of_the_dashboard() {
    let rules: Vec<Value> = panels()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets").clone())
        .map(|target| target["expr"].as_str().expect("a query").replace("$__rate_interval", "5m"))
        .enumerate()
        .map(|(number, query)| serde_json::json!({ "record": format!("panel_{number}"), "expr": query }))
        .collect();
    assert!(rules.len() > 10, "only {} queries", rules.len());
    let folder = std::env::temp_dir().join(format!("trm-dashboard-{}", std::process::id()));
    let file = Utf8PathBuf::from_path_buf(folder.with_extension("json")).expect("a UTF-8 path");
    // JSON is YAML.
    let group = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    std::fs::write(&file, group.to_string()).expect("the temporary folder is writable");
    promtool(&["check", "rules", file.as_str()]);
    std::fs::remove_file(&file).expect("written above");
}

#[test]
fn promtool_accepts_the_metrics_of_a_real_boot() {
    let path = root().join(SAMPLE);
    succeed(tool().args(["check", "metrics"]).stdin(std::fs::File::open(&path).expect("a recorded sample")));
    // A first boot installs Directus and creates the schema, in all phases.
    let text = read(&path);
    let value = |name: &str| text.lines().find(|line| line.starts_with(&format!("{name}{{")))?.rsplit_once(' ');
    for name in ["directus_boot_system_migrations", "directus_boot_schema_changes", "directus_boot_sql_files"] {
        assert!(value(name).is_some_and(|(_, number)| number != "0"), "{name} is 0 in {SAMPLE}");
    }
    assert_eq!(text.matches("\ndirectus_boot_phase_duration_seconds{").count(), Phase::ALL.len(), "in {SAMPLE}");
}

#[test]
fn lines_of_a_real_log_have_the_fields_that_the_collector_reads() {
    let log = read(&root().join(LOG));
    let failed = LogLine { level: Level::Error, phase: Phase::Lock, event: Event::Failed(22), message: String::new() };
    let failed = failed.to_json(1, &LogOrigin::default());
    let lines: Vec<Value> =
        log.lines().chain([failed.as_str()]).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &lines {
        assert!(line["time"].is_u64() && line["msg"].is_string() && line["hostname"].is_string(), "{line}");
        // The levels of pino, which the collector maps to severities.
        assert!(matches!(line["level"].as_u64(), Some(10 | 20 | 30 | 40 | 50 | 60)), "{line}");
        assert_eq!(line["name"].is_string(), line["image"].is_string(), "{line}");
    }
    assert!(lines.iter().any(|line| line["name"].is_null()), "there is no line of Directus in {LOG}");
    let collector = read(&root().join(COLLECTOR));
    let read: BTreeSet<&str> = collector.split("attributes.").skip(1).filter_map(|rest| words(rest).next()).collect();
    assert!(read.len() > 5, "only {read:?} in {COLLECTOR}");
    for field in read {
        assert!(lines.iter().any(|line| !line[field].is_null()), "no line has the field `{field}` of {COLLECTOR}");
    }
}

fn panels() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&read(&root().join(DASHBOARD))).expect("JSON");
    dashboard["panels"].as_array().expect("panels").clone()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn promtool(arguments: &[&str]) {
    succeed(tool().args(arguments));
}

/// promtool from the PATH or from the place where a setup puts it.
fn tool() -> Command {
    let unpacked = root().join("target/tools/promtool");
    let mut command = if unpacked.exists() { Command::new(unpacked) } else { Command::new("promtool") };
    command.current_dir(root());
    command
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("promtool does not run ({error}): `cargo xtask setup --yes` gets it, or install Prometheus")
    });
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&text));
}
