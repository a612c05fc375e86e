//! `junit.xml`, for CI servers and editors.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report as Junit, TestCase, TestCaseStatus, TestSuite};

use super::text;
use crate::model::{CheckReport, CheckStatus, VerifyReport};

/// The report as JUnit XML.
pub(super) fn to_xml(report: &VerifyReport) -> anyhow::Result<String> {
    let subject = &report.subject;
    let mut suite = TestSuite::new("verify");
    suite.set_time(Duration::from_secs_f64(report.seconds));
    // Set as an attribute, because the crate's own setter needs types of another crate.
    suite.extra.insert("timestamp".into(), report.began.as_str().into());
    suite.add_properties([
        Property::new("run", &*report.run),
        Property::new("image", &*subject.image),
        Property::new("image id", &*subject.image_id),
        Property::new("version", &*subject.version),
        Property::new("base", &*subject.base),
        Property::new("base is a stand-in", subject.base_is_stand_in.to_string()),
        Property::new("database", &*subject.database),
        Property::new("database is a stand-in", subject.database_is_stand_in.to_string()),
        Property::new("engine", &*report.machine.engine),
    ]);
    suite.add_test_cases(report.checks.iter().map(case));
    let mut junit = Junit::new("cargo xtask verify");
    junit.set_time(Duration::from_secs_f64(report.seconds)).add_test_suite(suite);
    Ok(junit.to_string()?)
}

fn case(check: &CheckReport) -> TestCase {
    let reason = text::plain(check.reason.as_deref().unwrap_or_default());
    let mut status = match check.status {
        CheckStatus::Pass => TestCaseStatus::success(),
        CheckStatus::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        CheckStatus::NotRun => TestCaseStatus::skipped(),
    };
    if check.status != CheckStatus::Pass {
        status.set_message(reason.clone());
    }
    if check.status == CheckStatus::Fail {
        status.set_type("broken promise").set_description(format!("{}\n{reason}", check.promise));
    }
    let mut case = TestCase::new(check.name, status);
    case.set_classname("verify").set_time(Duration::from_secs_f64(check.seconds)).set_system_out(seen(check));
    case
}

/// The promise, the evidence and the logs, as one text.
fn seen(check: &CheckReport) -> String {
    let evidence = &check.evidence;
    let mut lines = vec![check.promise.to_owned()];
    lines.extend(evidence.figures.iter().map(|figure| format!("{}: {}", figure.name, figure.value)));
    for boot in &evidence.boots {
        let phases: Vec<String> = boot.phases.iter().map(|phase| format!("{} {} ms", phase.phase, phase.ms)).collect();
        let ready = boot.ready_ms.map(|ms| format!(", ready after {ms} ms")).unwrap_or_default();
        lines.push(format!("boot {}: {}{ready}", boot.name, phases.join(", ")));
    }
    lines.extend(evidence.lines.iter().cloned());
    for log in &check.logs {
        lines.push(format!("--- last log lines of {}", log.container));
        lines.extend(log.lines.iter().cloned());
    }
    text::plain(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_failed_check_has_its_reason_and_logs_and_a_skipped_check_its_reason() {
        let xml = to_xml(&fixture::report()).unwrap();
        assert!(xml.contains("tests=\"5\" skipped=\"1\" errors=\"0\" failures=\"1\""), "{xml}");
        assert!(xml.contains(r#"<failure message="it printed &lt;script&gt;alert("#), "{xml}");
        assert!(xml.contains("--- last log lines of directus"), "{xml}");
        assert!(xml.contains(r#"<skipped message="there is no Chromium"#), "{xml}");
        assert!(xml.contains(r#"timestamp="2026-06-01T01:01:01Z""#), "{xml}");
    }

    #[test]
    fn the_xml_is_read_back_without_loss_and_has_no_forbidden_character() {
        let xml = to_xml(&fixture::report()).unwrap();
        assert!(xml.chars().all(|char| !char.is_control() || char == '\n'), "{xml}");
        let read = Junit::deserialize_from_str(&xml).unwrap();
        let cases = &read.test_suites[0].test_cases;
        assert_eq!(cases.len(), 5);
        let failed = cases.iter().find(|case| &*case.name == "postgres-killed").unwrap();
        assert!(failed.system_out.as_ref().unwrap().contains("Zeile mit Ümlaut, 日本語 & <b>\"Anführung\"</b>"));
    }
}
