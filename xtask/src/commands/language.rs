//! `language`: checks that comments, messages and documents are written in plain English.
//!
//! A rule finds what a word or a pattern gives away; it does not replace a reader. Each rule allows nothing, so that a
//! change needs no count of what was there before.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

use crate::workspace;

/// Folders and files that are not written by hand, or not in sentences.
const SKIPPED: [&str; 8] = [
    "target",
    ".git",
    "Cargo.lock",
    "entrypoint/fuzz/Cargo.lock",
    "snapshots",
    "docs/data-model.md",
    "crates/acceptance/models",
    "crates/acceptance/src/versions",
];

/// The file that spells out the forbidden words.
const THIS_FILE: &str = "xtask/src/commands/language.rs";

/// Words that open a relative clause where a noun phrase or a verb phrase is plainer.
const OPENERS: [&str; 7] = ["What", "Who", "Whose", "Whether", "How", "Which", "Where"];

/// Words that hide the actor.
const ACTORS: [&str; 4] = ["somebody", "nobody", "whoever", "whatever"];

/// Verbs of speech. Software does not speak.
const SPEECH: [&str; 6] = ["says", "said", "tells", "told", "wants", "believes"];

/// Phrases that are translated word by word from another language.
const IDIOMS: [&str; 12] = [
    "in vain",
    "leave away",
    "left away",
    "leaves away",
    "came of it",
    "comes of it",
    "at every turn",
    "none of ours",
    "takes it as it is",
    "nothing of it",
    "bears no",
    "beside that",
];

/// A pattern that plain English does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum LanguageRule {
    Opener,
    Actor,
    Speech,
    Idiom,
    RepeatsTheName,
    TestName,
}

impl LanguageRule {
    const ALL: [LanguageRule; 6] = [
        LanguageRule::Opener,
        LanguageRule::Actor,
        LanguageRule::Speech,
        LanguageRule::Idiom,
        LanguageRule::RepeatsTheName,
        LanguageRule::TestName,
    ];

    fn advice(self) -> &'static str {
        match self {
            LanguageRule::Opener => "open the sentence with a noun or a verb, not with a relative clause",
            LanguageRule::Actor => "name the actor: the operator, the boot, Directus, PostgreSQL",
            LanguageRule::Speech => "software does not speak: it contains, reports, prints, is passed",
            LanguageRule::Idiom => "an idiom of another language: use the plain English word",
            LanguageRule::RepeatsTheName => {
                "the comment repeats the name: delete it, or add what the reader cannot see"
            }
            LanguageRule::TestName => "name a test by a sentence, not by a relative clause",
        }
    }
}

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: LanguageRule,
    /// Counted from 1.
    line: usize,
    /// The words that were found.
    words: String,
}

impl Finding {
    fn new(rule: LanguageRule, line: usize, words: impl Into<String>) -> Finding {
        Finding { rule, line, words: words.into() }
    }
}

/// A passage of consecutive lines that belong together: one paragraph of a comment or a document.
#[derive(Debug)]
struct Passage {
    /// The line of its beginning, counted from 1.
    line: usize,
    /// The lines, without the comment's marks.
    lines: Vec<String>,
}

/// Runs `language`.
pub(crate) fn run(_flags: &grammar::LanguageFlags) -> anyhow::Result<ExitCode> {
    Ok(if check()? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints every finding and the number for each rule, and returns whether there is none.
pub(crate) fn check() -> anyhow::Result<bool> {
    let mut counts: BTreeMap<LanguageRule, usize> = BTreeMap::new();
    let mut lines = 0;
    let mut paths = files(workspace::root())?;
    paths.sort();
    for path in paths {
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&path)) else {
            continue; // A picture.
        };
        let Some(form) = TextForm::of(&path) else { continue };
        let passages = form.passages(&text);
        lines += passages.iter().map(|passage| passage.lines.len()).sum::<usize>();
        for Finding { rule, line, words } in findings(form, &text, &passages) {
            println!("{path}:{line}: `{words}`: {}", rule.advice());
            *counts.entry(rule).or_default() += 1;
        }
    }
    println!("{lines} lines of comments and documents");
    for rule in LanguageRule::ALL {
        println!("  {:<16} {}", format!("{rule:?}"), counts.get(&rule).copied().unwrap_or(0));
    }
    Ok(counts.is_empty())
}

/// The files below a folder, relative to the workspace.
fn files(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir_utf8().with_context(|| format!("failed to read {folder}"))? {
        let path = entry.with_context(|| format!("failed to read {folder}"))?.into_path();
        let relative = path.strip_prefix(workspace::root()).expect("a path below the workspace");
        // Databases have the checksums of these files: an edited comment would be refused like an edited statement.
        let is_applied = relative.starts_with("db-init") && relative.extension() == Some("sql");
        if is_applied || SKIPPED.contains(&relative.as_str()) || relative == THIS_FILE {
            continue;
        }
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(relative.to_owned());
        }
    }
    Ok(files)
}

/// The form of a file's sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextForm {
    /// Comments behind one of these marks, the longest first.
    Comments(&'static [&'static str]),
    /// Paragraphs, outside of fenced blocks.
    Markdown,
}

impl TextForm {
    /// None for a file without sentences of ours.
    fn of(path: &Utf8Path) -> Option<TextForm> {
        const SLASHES: TextForm = TextForm::Comments(&["///", "//!", "//", "/**", "*/", "*"]);
        const HASHES: TextForm = TextForm::Comments(&["#"]);
        match path.extension() {
            Some("rs" | "mjs" | "cjs" | "js") => Some(SLASHES),
            Some("sh" | "yml" | "yaml" | "toml") => Some(HASHES),
            Some("sql") => Some(TextForm::Comments(&["--"])),
            Some("md") => Some(TextForm::Markdown),
            _ if matches!(path.file_name(), Some("Dockerfile" | "run")) => Some(HASHES),
            _ => None,
        }
    }

    fn passages(self, text: &str) -> Vec<Passage> {
        let mut passages: Vec<Passage> = Vec::new();
        let mut open = false;
        let mut fenced = false;
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            fenced ^= self == TextForm::Markdown && trimmed.starts_with("```");
            let content = match self {
                TextForm::Markdown if fenced => None,
                TextForm::Markdown => Some(trimmed),
                TextForm::Comments(marks) => marks.iter().find_map(|mark| trimmed.strip_prefix(mark)).map(str::trim),
            };
            // A heading, an item and a row of a table each begin a sentence.
            let item = content.map(|content| content.trim_start_matches(['-', '*', '|', '#', '>', ' ']));
            let begins = content.is_some_and(|content| item != Some(content));
            match item {
                None | Some("") => open = false,
                Some(item) if open && !begins => {
                    passages.last_mut().expect("an open one").lines.push(item.to_owned());
                }
                Some(item) => {
                    passages.push(Passage { line: index + 1, lines: vec![item.to_owned()] });
                    open = true;
                }
            }
        }
        passages
    }
}

fn findings(form: TextForm, text: &str, passages: &[Passage]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for passage in passages {
        findings.extend(openers(passage));
        for (line, content) in (passage.line..).zip(&passage.lines) {
            findings.extend(words(content, &SPEECH).map(|word| Finding::new(LanguageRule::Speech, line, word)));
            let idioms = IDIOMS.iter().filter(|idiom| content.contains(**idiom));
            findings.extend(idioms.map(|idiom| Finding::new(LanguageRule::Idiom, line, *idiom)));
        }
        if let [line] = passage.lines.as_slice()
            && form != TextForm::Markdown
            && repeats_the_name(line)
        {
            findings.push(Finding::new(LanguageRule::RepeatsTheName, passage.line, line));
        }
    }
    for (line, content) in (1..).zip(text.lines()) {
        // Messages too, not only comments.
        findings.extend(words(content, &ACTORS).map(|word| Finding::new(LanguageRule::Actor, line, word)));
    }
    findings.extend(test_names(text));
    findings
}

/// Sentences that open with a relative clause. A question may.
fn openers(passage: &Passage) -> Vec<Finding> {
    let lines = (passage.line..).zip(&passage.lines);
    let all: Vec<(usize, &str)> =
        lines.flat_map(|(line, content)| content.split(' ').map(move |word| (line, word))).collect();
    let mut findings = Vec::new();
    let mut begins = true;
    for (index, (line, word)) in all.iter().enumerate() {
        let rest = &all[index..];
        let is_instruction = *word == "How" && rest.get(1).is_some_and(|(_, next)| *next == "to");
        if begins && !is_instruction && OPENERS.contains(word) {
            let last = rest.iter().find(|(_, word)| word.ends_with(['.', '?', ':']));
            if !last.is_some_and(|(_, last)| last.ends_with('?')) {
                let shown: Vec<&str> = rest.iter().take(4).map(|(_, word)| *word).collect();
                findings.push(Finding::new(LanguageRule::Opener, *line, shown.join(" ")));
            }
        }
        begins = word.ends_with(['.', '?', '!']) || *word == "|" || word.ends_with(".**");
    }
    findings
}

/// The words of a line that are in a list, in any case.
fn words<'a>(line: &'a str, list: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .filter(|word| list.iter().any(|listed| word.eq_ignore_ascii_case(listed)))
}

/// "Its name.", "The port.": nothing that the declaration below does not show.
fn repeats_the_name(line: &str) -> bool {
    let mut words = line.trim_end_matches('.').split(' ');
    let possessive = words.next().is_some_and(|word| matches!(word, "Its" | "Their" | "His"));
    possessive && words.next().is_some() && words.next().is_none() && line.ends_with('.')
}

/// Tests that are named by a relative clause.
fn test_names(text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut test = false;
    for (line, content) in (1..).zip(text.lines()) {
        let trimmed = content.trim();
        if trimmed.starts_with("#[test]") || trimmed.starts_with("#[tokio::test") {
            test = true;
        } else if let Some(name) = trimmed.trim_start_matches("async ").strip_prefix("fn ").filter(|_| test) {
            test = false;
            let name = name.split('(').next().unwrap_or(name);
            let first = name.split('_').next().unwrap_or_default();
            if OPENERS.iter().any(|opener| opener.eq_ignore_ascii_case(first)) {
                findings.push(Finding::new(LanguageRule::TestName, line, name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{LanguageRule, TextForm, findings};

    const RUST: TextForm = TextForm::Comments(&["///", "//!", "//"]);

    fn rules(form: TextForm, text: &str) -> Vec<(LanguageRule, usize)> {
        findings(form, text, &form.passages(text)).into_iter().map(|finding| (finding.rule, finding.line)).collect()
    }

    #[test]
    fn sentences_that_open_with_a_relative_clause_are_found() {
        assert_eq!(rules(RUST, "/// What a check needs.\nfn a() {}\n"), [(LanguageRule::Opener, 1)]);
        assert_eq!(rules(RUST, "// It waits. Whether it\n// serves is another thing.\n"), [(LanguageRule::Opener, 1)]);
        assert_eq!(rules(TextForm::Markdown, "| a | What it does |\n"), [(LanguageRule::Opener, 1)]);
        assert_eq!(rules(TextForm::Markdown, "- How it boots: fast.\n"), [(LanguageRule::Opener, 1)]);
        assert_eq!(rules(RUST, "/// Knows how it boots and\n/// Where is a name.\n"), []);
    }

    #[test]
    fn questions_and_fenced_blocks_are_left_alone() {
        assert_eq!(rules(TextForm::Markdown, "## Which image\n is it?\n"), []);
        assert_eq!(rules(TextForm::Markdown, "## How to add a check\n"), []);
        assert_eq!(rules(TextForm::Markdown, "```\nWhat a log contains\n```\n"), []);
        assert_eq!(rules(RUST, "let what = \"What is this\";\n"), []);
    }

    #[test]
    fn hidden_actors_are_found_in_messages_too() {
        assert_eq!(rules(RUST, "bail!(\"nobody answers\")\n"), [(LanguageRule::Actor, 1)]);
        assert_eq!(rules(RUST, "// Somebody answers\n"), [(LanguageRule::Actor, 1)]);
    }

    #[test]
    fn speech_and_idioms_are_found_in_comments_only() {
        assert_eq!(
            rules(RUST, "// The log says so, in vain.\n"),
            [(LanguageRule::Speech, 1), (LanguageRule::Idiom, 1)]
        );
        assert_eq!(rules(RUST, "let said = 1;\n"), []);
    }

    #[test]
    fn comments_and_test_names_that_add_nothing_are_found() {
        assert_eq!(rules(RUST, "/// Its name.\nname: String,\n"), [(LanguageRule::RepeatsTheName, 1)]);
        assert_eq!(rules(RUST, "/// Its name, in lower case.\nname: String,\n"), []);
        assert_eq!(rules(RUST, "#[test]\nfn what_is_old_is_kept() {}\n"), [(LanguageRule::TestName, 2)]);
        assert_eq!(rules(RUST, "#[test]\nfn old_files_are_kept() {}\n"), []);
    }
}
