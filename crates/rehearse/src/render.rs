//! The report as text.

use testbed::ui;

use crate::report::{
    ComparedSize, FindingWeight, PlanOutput, RehearsalReport, RehearsalVerdict, RehearsedImage, UpgradeFinding,
};
use crate::stage::seconds;

/// Renders the report: the verdict and the findings first, then the facts.
pub(crate) fn text(report: &RehearsalReport) -> String {
    let mut text = heading(report);
    text += &findings(&report.findings);
    paragraph(&mut text, "additions, which existing clients do not notice", report.notes.iter().map(line));
    paragraph(&mut text, "Directus' migrations that ran", report.migrations.iter().cloned());
    paragraph(&mut text, "changes of Directus' own tables", report.directus_tables.iter().cloned());
    plan(&mut text, "plan of the candidate on the copy", &report.plan_before);
    paragraph(&mut text, "log of the upgrade", report.upgrade_log.iter().cloned());
    if let Some(after) = &report.plan_after {
        plan(&mut text, "plan of the candidate after the upgrade", after);
    }
    if let Some(rollback) = &report.rollback {
        let title =
            if rollback.served { "rolled back: the old image serves" } else { "rolled back: the old image refuses" };
        paragraph(&mut text, title, [rollback.last_line.clone()]);
    }
    let boots = report.boots.iter().map(|time| {
        let of_boot = format!("{} of them the boot", seconds(time.boot_ms));
        [time.boot.to_owned(), time.image.clone(), seconds(time.ready_ms), of_boot]
    });
    let boots: Vec<_> = boots.collect();
    text += &format!("\ntime until it served\n{}\n", ui::columns(&boots));
    text + &closing(report)
}

fn heading(report: &RehearsalReport) -> String {
    let RehearsalReport { from, to, findings, digest, verdict, .. } = report;
    let count = match findings.len() {
        1 => "1 difference".to_owned(),
        count => format!("{count} differences"),
    };
    let verdict = match verdict {
        RehearsalVerdict::Safe => {
            "safe: nothing that works today is affected, and the old image still serves".to_owned()
        }
        RehearsalVerdict::Look => format!("look: {count} that a person must look at (digest {digest})"),
        RehearsalVerdict::Failed => "failed: the candidate cannot take over this database".to_owned(),
    };
    let rows = [
        ["from".to_owned(), image(from)],
        ["to".to_owned(), image(to)],
        ["database".to_owned(), report.database.clone()],
        ["verdict".to_owned(), verdict],
    ];
    format!("{}\n", ui::columns(&rows))
}

fn image(side: &RehearsedImage) -> String {
    let RehearsedImage { image, directus, variant, base, stand_in, substitutes, .. } = side;
    let stand_in = if *stand_in { ", a stand-in" } else { "" };
    let substitutes = substitutes.iter().map(|substitute| format!(", {substitute}")).collect::<String>();
    format!("Directus {directus}: {image} ({variant}, on {base}{stand_in}{substitutes})")
}

fn findings(findings: &[UpgradeFinding]) -> String {
    let rows: Vec<[String; 3]> = findings
        .iter()
        .map(|finding| {
            let mark = if finding.weight == FindingWeight::Fails { "✗" } else { "!" };
            [mark.to_owned(), finding.part.name().to_owned(), finding.text.clone()]
        })
        .collect();
    if rows.is_empty() { String::new() } else { format!("\n{}\n", ui::columns(&rows)) }
}

fn line(finding: &UpgradeFinding) -> String {
    format!("{}: {}", finding.part.name(), finding.text)
}

fn paragraph(text: &mut String, title: &str, lines: impl IntoIterator<Item = String>) {
    let lines: String = lines.into_iter().map(|line| format!("  {line}\n")).collect();
    if !lines.is_empty() {
        *text += &format!("\n{title}\n{lines}");
    }
}

fn plan(text: &mut String, title: &str, output: &PlanOutput) {
    paragraph(text, &format!("{title} (exit {})", output.exit), output.lines.iter().cloned());
}

fn closing(report: &RehearsalReport) -> String {
    let ComparedSize { tables, rows, rest_answers, graphql_answers } = report.compared;
    format!(
        "\ncompared {rows} rows in {tables} tables, {rest_answers} answers of REST and {graphql_answers} of GraphQL, in {:.0} s",
        report.seconds
    )
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::report::{
        BootTime, ComparedSize, PlanOutput, RehearsalReport, RehearsalVerdict, RehearsedImage, RollbackReport,
        UpgradeFindings, UpgradePart, digest,
    };

    fn report(findings: UpgradeFindings) -> RehearsalReport {
        let side = |directus: &str| RehearsedImage {
            image: format!("trm:{directus}"),
            directus: directus.to_owned(),
            license: "BUSL-1.1".to_owned(),
            variant: "slim".to_owned(),
            base: format!("directus:{directus}"),
            stand_in: directus == "12.4.1",
            substitutes: Vec::new(),
        };
        let (findings, notes) = findings.into_sorted();
        RehearsalReport {
            schema: RehearsalReport::SCHEMA,
            verdict: RehearsalVerdict::of(&findings),
            digest: digest(&findings),
            from: side("11.17.4"),
            to: side("12.4.1"),
            database: "postgres:17".to_owned(),
            findings,
            notes,
            migrations: vec!["20260217A Null Item Versions".to_owned()],
            boots: vec![BootTime { boot: "cold", image: "trm:11.17.4".to_owned(), ready_ms: 6250, boot_ms: 4100 }],
            plan_before: PlanOutput { exit: 2, lines: vec!["a boot would change this database (exit 2)".to_owned()] },
            plan_after: None,
            upgrade_log: Vec::new(),
            compared: ComparedSize { tables: 13, rows: 65, rest_answers: 25, graphql_answers: 13 },
            directus_tables: Vec::new(),
            license: None,
            rollback: Some(RollbackReport { served: false, exit: Some(45), last_line: "older".to_owned() }),
            seconds: 41.6,
        }
    }

    #[test]
    fn a_safe_upgrade_has_no_findings_but_all_facts() {
        let mut findings = UpgradeFindings::default();
        findings.note(UpgradePart::Rest, "2 endpoints are new: GET /a, GET /b");
        let text = text(&report(findings));
        for expected in [
            "  verdict   safe: nothing that works today is affected, and the old image still serves\n",
            "  to        Directus 12.4.1: trm:12.4.1 (slim, on directus:12.4.1, a stand-in)\n",
            "\nadditions, which existing clients do not notice\n  REST: 2 endpoints are new: GET /a, GET /b\n",
            "\nplan of the candidate on the copy (exit 2)\n  a boot would change this database (exit 2)\n",
            "\nrolled back: the old image refuses\n  older\n",
            "  cold  trm:11.17.4  6.2 s  4.1 s of them the boot\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(
            text.ends_with("compared 65 rows in 13 tables, 25 answers of REST and 13 of GraphQL, in 42 s"),
            "{text}"
        );
    }

    #[test]
    fn findings_come_first_with_their_number_and_digest() {
        let mut findings = UpgradeFindings::default();
        findings.look(UpgradePart::Rows, "rows of laps have changed");
        findings.look(UpgradePart::Rollback, "rolling back needs the backup");
        let report = report(findings);
        let text = text(&report);
        let verdict = format!("look: 2 differences that a person must look at (digest {})", report.digest);
        assert!(text.contains(&verdict), "{text}");
        assert!(
            text.contains("\n  !  rows      rows of laps have changed\n  !  rollback  rolling back needs the backup\n"),
            "{text}"
        );
    }
}
