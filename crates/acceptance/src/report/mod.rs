//! The forms of a report: each module turns the report into text, and this one writes the files.

mod annotations;
mod boots;
mod check;
#[cfg(test)]
pub(super) mod fixture;
mod html;
mod junit;
mod rolls;
mod schedule;
mod text;
mod timeline;

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::Engine as _;
use camino::Utf8Path;

pub(crate) use self::annotations::announce;
pub(crate) use self::html::document;
pub(crate) use self::text::waited_for;
use super::model::VerifyReport;

/// `data:` URIs of pictures, by the name of their file.
type Pictures = BTreeMap<String, String>;

/// Writes every form of the report into a folder.
pub(crate) fn write(report: &VerifyReport, folder: &Utf8Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("failed to create {folder}"))?;
    for (name, content) in [
        ("report.json", format!("{}\n", serde_json::to_string_pretty(report)?)),
        ("junit.xml", junit::to_xml(report)?),
        ("report.html", html::page(report, &pictures(report, folder))),
    ] {
        let path = folder.join(name);
        std::fs::write(&path, content).with_context(|| format!("failed to write {path}"))?;
    }
    Ok(())
}

/// The pictures whose files exist; the page names the missing ones.
fn pictures(report: &VerifyReport, folder: &Utf8Path) -> Pictures {
    let named = report.checks.iter().flat_map(|check| &check.evidence.pictures);
    named
        .filter_map(|picture| {
            let bytes = std::fs::read(folder.join(&picture.file)).ok()?;
            let base64 = base64::engine::general_purpose::STANDARD.encode(bytes);
            Some((picture.file.clone(), format!("data:image/png;base64,{base64}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use camino::Utf8PathBuf;

    use super::{fixture, write};
    use testbed::workspace;

    /// The folder of the fixture's report, whose page can be opened in a browser.
    fn folder() -> Utf8PathBuf {
        workspace::target_dir().join("verify-fixture")
    }

    #[test]
    fn every_form_is_written_and_the_page_is_self_contained() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(folder().join("admin.png"), fixture::PNG).unwrap();
        write(&fixture::report(), &folder()).unwrap();
        for name in ["report.json", "junit.xml", "report.html"] {
            assert!(folder().join(name).is_file(), "{name} is missing");
        }
        let page = std::fs::read_to_string(folder().join("report.html")).unwrap();
        assert!(page.contains("src=\"data:image/png;base64,iVBOR"));
        assert!(!page.contains("<link") && !page.contains("<script") && !page.contains("src=\"http"));
    }

    #[test]
    fn the_reference_has_each_field_of_the_json_and_no_other() {
        let report = serde_json::to_value(fixture::report()).unwrap();
        let mut fields = Vec::new();
        collect("", &report, &mut fields);
        let fields: BTreeSet<&str> = fields.iter().map(String::as_str).collect();
        let documented: BTreeSet<&str> = contract::REPORT_FIELDS.iter().map(|field| field.path).collect();
        assert_eq!(fields, documented);
    }

    fn collect(path: &str, value: &serde_json::Value, fields: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    fields.push(path.clone());
                    collect(&path, value, fields);
                }
            }
            serde_json::Value::Array(array) => {
                for value in array {
                    collect(&format!("{path}[]"), value, fields);
                }
            }
            _ => {}
        }
    }
}
