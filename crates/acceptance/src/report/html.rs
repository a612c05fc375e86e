//! `report.html`: a self-contained page for a screen and a phone.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Pictures, boots, check, rolls, schedule, text};
use crate::model::{CheckReport, CheckStatus, VerifyReport};
use testbed::ui;

const STYLE: &str = include_str!("style.css");

/// The page of a report.
pub(super) fn page(report: &VerifyReport, pictures: &Pictures) -> String {
    let verdict = text::verdict(report);
    let body = html! {
        (header(report, &verdict))
        main {
            (group(report, CheckStatus::Fail, "Failed"))
            (group(report, CheckStatus::NotRun, "Not run"))
            @if let Some(section) = rolls::section(report) { (section) }
            @if let Some(section) = boots::section(report) { (section) }
            (screenshots(report, pictures))
            (group(report, CheckStatus::Pass, "Passed"))
            @if let Some(section) = schedule::section(report) { (section) }
        }
        footer { p { "Run " code { (report.run) } ", version " (report.schema) " of " code { "report.json" } "." } }
    };
    document(&format!("{verdict}: {}", report.subject.image), &body)
}

/// A self-contained page in the style of the report.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

fn header(report: &VerifyReport, verdict: &str) -> Markup {
    let (subject, machine, counts) = (&report.subject, &report.machine, report.summary);
    let sign = if report.ok { text::sign(CheckStatus::Pass) } else { text::sign(CheckStatus::Fail) };
    html! {
        header.(if report.ok { "pass" } else { "fail" }) {
            p.what { "Acceptance of " strong { (subject.image) } }
            h1 { span aria-hidden="true" { (sign) " " } (verdict) }
            p.when {
                time datetime=(report.began) { (report.began.replace('T', " ").replace('Z', " UTC")) }
                " · " (text::seconds(report.seconds))
            }
            p.when {
                (text::short_version(&subject.version)) " · " (ui::size(subject.size_bytes))
                " · engine " (machine.engine) " · "
                (machine.cores) " processors"
            }
        }
        @if let Some(note) = text::stand_ins(report) {
            p.note role="note" { strong { "Stand-ins. " } (text::capital(&note)) }
        }
        ul.counts aria-label="Checks by verdict" {
            @for (status, count) in
                [(CheckStatus::Pass, counts.pass), (CheckStatus::Fail, counts.fail), (CheckStatus::NotRun, counts.not_run)] {
                li { strong { (count) } " " (check::badge(status)) }
            }
        }
        details.facts {
            summary { "Image and machine" }
            dl {
                (fact("Version", &subject.version))
                (fact("Size", &ui::size(subject.size_bytes)))
                (fact("Image id", &subject.image_id))
                (fact("Digest", subject.image_digest.as_deref().unwrap_or("none: never in a registry")))
                (fact("Base", &stand_in(&subject.base, subject.base_is_stand_in)))
                (fact("Database", &stand_in(&subject.database, subject.database_is_stand_in)))
                (fact("Engine", &machine.engine))
                (fact("Processors", &format!("{}, {} checks at once", machine.cores, machine.jobs)))
            }
        }
    }
}

fn stand_in(name: &str, is_one: bool) -> String {
    if is_one { format!("{name} (stand-in)") } else { name.to_owned() }
}

fn fact(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The checks with one status, in the order of the acceptance list.
fn group(report: &VerifyReport, status: CheckStatus, title: &str) -> Markup {
    let checks: Vec<&CheckReport> = report.checks.iter().filter(|check| check.status == status).collect();
    let id = title.to_lowercase().replace(' ', "-");
    html! {
        @if !checks.is_empty() {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) " " span.quiet { (checks.len()) } }
                @for check in checks { (check::details(check)) }
            }
        }
    }
}

fn screenshots(report: &VerifyReport, pictures: &Pictures) -> Markup {
    let named: Vec<_> = report.checks.iter().flat_map(|check| &check.evidence.pictures).collect();
    html! {
        @if !named.is_empty() {
            section aria-labelledby="screenshots" {
                h2 #screenshots { "Screenshots" }
                @for picture in named {
                    figure #(format!("picture-{}", picture.file)) {
                        figcaption { (picture.name) }
                        @match pictures.get(&picture.file) {
                            Some(uri) => img src=(uri) alt=(picture.name) loading="lazy";,
                            None => p.quiet { "The file " code { (picture.file) } " was not found." },
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn fixture_page() -> String {
        let picture = ("admin.png".to_owned(), "data:image/png;base64,AAAA".to_owned());
        page(&fixture::report(), &Pictures::from([picture]))
    }

    #[test]
    fn the_page_names_the_image_the_machine_and_the_stand_ins() {
        let page = fixture_page();
        for shown in ["1 of 5 checks failed", "trm-directus:dev", "713.2 MB", "sha256:0123", "engine 28.5.1", "UTC"] {
            assert!(page.contains(shown), "no {shown}");
        }
        assert!(page.contains("<strong>Stand-ins. </strong>The base image trm-standin/directus:11.17.4 and"));
    }

    #[test]
    fn failures_come_first_and_every_check_is_there_once() {
        let page = fixture_page();
        let checks: Vec<&str> =
            page.split("id=\"check-").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect();
        assert_eq!(checks, ["postgres-killed", "admin-ui", "image", "fresh-boot", "warm-boot"]);
    }

    #[test]
    fn no_text_of_a_report_becomes_markup() {
        let page = fixture_page();
        for markup in ["<script", "<b>", "<i>"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(page.contains("the message of bootstrap, &lt;i&gt;verbatim&lt;/i&gt;"));
    }

    #[test]
    fn a_picture_is_in_the_page_or_reported_as_missing() {
        let page = fixture_page();
        assert!(page.contains("<img src=\"data:image/png;base64,AAAA\" alt=\"The data model\""));
        assert!(page.contains("<code>missing.png</code> was not found"));
    }

    #[test]
    fn a_report_without_checks_is_rendered() {
        let mut report = fixture::report();
        report.checks.clear();
        report.summary = crate::model::Summary::of(&report.checks);
        assert!(page(&report, &Pictures::new()).contains("All 0 checks passed"));
    }
}
