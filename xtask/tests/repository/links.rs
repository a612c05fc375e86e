//! The links of the documents: every relative link leads to a file, and every anchor to a heading.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{files, read, relative, root};

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let files = files(root());
    let documents: BTreeMap<&Utf8Path, String> =
        files.iter().filter(|file| file.extension() == Some("md")).map(|file| (file.as_path(), read(file))).collect();
    let mut broken = Vec::new();
    for (file, text) in &documents {
        for link in links(text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { (*file).to_owned() } else { join(file, path) };
            let anchors = || documents.get(target.as_path()).map(|text| anchors(text)).unwrap_or_default();
            if !target.exists() || anchor.is_some_and(|anchor| !anchors().contains(anchor)) {
                broken.push(format!("{}: {link}", relative(file)));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_document_that_a_source_names_exists() {
    let mut missing = Vec::new();
    for file in files(root()) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c)));
        let documents = words.filter(|word| word.starts_with("docs/") && word.ends_with(".md"));
        missing.extend(
            documents.filter(|path| !root().join(path).exists()).map(|path| format!("{}: {path}", relative(&file))),
        );
    }
    assert!(missing.is_empty(), "these documents do not exist:\n{}", missing.join("\n"));
}

#[test]
fn links_are_found_outside_of_code_only() {
    let text = "[a](b.md) `[c](d.md)` [e](<f g.md>)\n```\n[h](i.md)\n```\n";
    assert_eq!(links(text), ["b.md", "f g.md"]);
}

#[test]
fn an_anchor_is_the_heading_in_lower_case_with_dashes() {
    let text = "# A `b` & C's d\n## 43: Schema refused\n```\n# no\n```\n## 43: Schema refused\n";
    let expected = ["a-b--cs-d", "43-schema-refused", "43-schema-refused-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
}

/// The targets of all links of a document.
fn links(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(text) {
        // Every second part is code.
        for part in line.split('`').step_by(2) {
            let targets = part.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(|target| target.trim_start_matches('<').trim_end_matches('>')));
        }
    }
    links
}

/// The anchors that a forge gives to the headings of a document.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
        let anchor = kept.replace(' ', "-");
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The lines outside of fences.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

/// The path of a link in a file.
fn join(file: &Utf8Path, link: &str) -> Utf8PathBuf {
    let mut path = file.parent().expect("a file in a folder").to_owned();
    for part in link.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}
