//! The sample logs of the documents are those of today's code: every sentence of the boot in them is in its sources.

use contract::LogLine;

use crate::{files, read, root};

/// Folders with the sentences of the boot.
const SOURCES: [&str; 4] = ["entrypoint/src", "scripts/image", "crates/contract/src", "db-init"];

/// Sentences of PostgreSQL, of the YAML parser and of an SQL file.
const FOREIGN: [&str; 11] = [
    "The extension must first be installed",
    "bad indentation of a mapping entry",
    "Could not open extension control file",
    "canceling statement due to lock timeout",
    "canceling statement due to statement timeout",
    "collections are frozen",
    "is not permitted to log in",
    "password authentication failed",
    "syntax error at or near",
    "terminating connection due to",
    "violates foreign key constraint",
];

#[test]
fn every_sentence_of_a_sample_is_in_the_sources() {
    let source = SOURCES.iter().flat_map(|folder| texts(folder)).collect::<Vec<_>>().concat();
    let source = normalized(&source);
    let mut stale = Vec::new();
    for text in texts("docs/samples") {
        for message in text.lines().filter_map(LogLine::parse).map(|line| line.message) {
            let unknown = clauses(&message).find(|clause| !is_in(&source, clause));
            stale.extend(unknown.map(|clause| format!("`{clause}` of `{message}`")));
        }
    }
    assert!(stale.is_empty(), "not in the sources any more, `cargo xtask docs --record`:\n{}", stale.join("\n"));
}

#[test]
fn a_sentence_that_changed_is_found() {
    let source = normalized("fail(\"the file was rolled back: correct it \\\n    and build a new image\")");
    assert!(is_in(&source, "correct it and build a new image"));
    assert!(!is_in(&source, "correct the file and make another image"));
}

/// The parts of a message that the boot itself words. An excerpt of a file has a bar after the line's number.
fn clauses(message: &str) -> impl Iterator<Item = &str> {
    let message = if message.contains(" | ") { "" } else { message };
    let clauses = message.split([';', ':', '(']).map(|clause| clause.trim_matches([' ', ')']));
    clauses.filter(|clause| !FOREIGN.iter().any(|foreign| clause.contains(foreign)))
}

/// Returns true if at least half of the runs of three words are in the sources. Values between words break a run; fewer
/// than four runs prove nothing.
fn is_in(source: &str, clause: &str) -> bool {
    let words: Vec<&str> = clause.split_whitespace().collect();
    let is_value = |word: &&str| word.contains(|c: char| c.is_ascii_digit() || "\"'`=@_./".contains(c));
    let runs: Vec<String> = words.windows(3).filter(|run| !run.iter().any(is_value)).map(|run| run.join(" ")).collect();
    let known = runs.iter().filter(|run| source.contains(run.as_str())).count();
    runs.len() < 4 || known * 2 >= runs.len()
}

/// The words of a source, with strings that are broken over lines in one piece.
fn normalized(source: &str) -> String {
    source.replace("\\\n", " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The texts of the files below a folder of the repository.
fn texts(folder: &str) -> Vec<String> {
    files(&root().join(folder)).iter().map(|file| read(file)).collect()
}
