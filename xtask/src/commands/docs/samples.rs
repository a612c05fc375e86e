//! The recorded logs of docs/samples and the outputs of docs/samples/guide, and their places in pages.

use std::collections::BTreeMap;

use anyhow::Context as _;
use contract::ExitCode;

use super::markdown::{fenced, folded};
use crate::workspace;

/// Folder of the recorded logs, one file each.
pub(super) const FOLDER: &str = "docs/samples";
/// Folder of the outputs of the guide's commands, below [`FOLDER`]. A test of devtools records them.
const GUIDE: &str = "guide";

const BEGIN: &str = "<!-- sample: ";
const END: &str = "<!-- end -->";

/// Recorded texts by name.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Logs of boots, such as `31-migration-failed`: the exit code, and the circumstances.
    logs: BTreeMap<String, String>,
    /// Outputs of commands, such as `guide/snapshot`.
    outputs: BTreeMap<String, String>,
}

impl Samples {
    /// Reads all samples.
    pub(super) fn read() -> anyhow::Result<Samples> {
        let outputs = read_folder(&format!("{FOLDER}/{GUIDE}"), "txt")?;
        Ok(Samples {
            logs: read_folder(FOLDER, "log")?,
            outputs: outputs.into_iter().map(|(name, text)| (format!("{GUIDE}/{name}"), text)).collect(),
        })
    }

    /// The samples of a failure. Successes have pages of their own.
    pub(super) fn of_exit(&self, exit: ExitCode) -> impl Iterator<Item = &str> {
        let prefix = format!("{}-", exit.code());
        let samples = self.logs.iter().filter(move |(name, _)| exit != ExitCode::Ok && name.starts_with(&prefix));
        samples.map(|(_, text)| text.as_str())
    }

    /// Puts the samples between their marks.
    pub(super) fn include(&self, text: &str) -> anyhow::Result<String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(BEGIN) {
            let (name, after) = after.split_once(" -->").context("a mark without an end")?;
            let (_, after) = after.split_once(END).with_context(|| format!("`{END}` is missing after {name}"))?;
            let sample = self.logs.get(name).or_else(|| self.outputs.get(name)).with_context(|| missing(name))?;
            result += &format!("{before}{BEGIN}{name} -->\n{}{END}", fenced(&folded(sample)));
            rest = after;
        }
        Ok(result + rest)
    }
}

/// The message about a sample that does not exist.
fn missing(name: &str) -> String {
    let (file, recording) = if name.starts_with(GUIDE) {
        (format!("{name}.txt"), "RECORD=1 cargo xtask test -p devtools --test first_day -- --ignored")
    } else {
        (format!("{name}.log"), "cargo xtask docs --record")
    };
    format!("{FOLDER}/{file} does not exist: `{recording}` writes it")
}

/// Reads the files of a folder that have an extension, by their names without it.
fn read_folder(folder: &str, extension: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for entry in workspace::path(folder).read_dir_utf8().with_context(|| format!("failed to read {folder}"))? {
        let path = entry.with_context(|| format!("failed to read {folder}"))?.into_path();
        if let (Some(name), true) = (path.file_stem(), path.extension() == Some(extension)) {
            let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
            texts.insert(name.to_owned(), text);
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contract::{Event, ExitCode, LogLine, PREFIX, Phase};

    use super::Samples;
    use crate::commands::docs::faults::FAULTS;
    use crate::commands::docs::scenarios::SCENARIOS;

    /// More than this is not read at three in the morning.
    const LONGEST_LINE: usize = 600;

    #[test]
    fn only_the_text_between_the_marks_is_replaced() {
        let samples = Samples { logs: [("x".to_owned(), "new\n".to_owned())].into(), ..Samples::default() };
        let text = samples.include("a\n<!-- sample: x -->\nold\n<!-- end -->\nb\n").unwrap();
        assert_eq!(text, "a\n<!-- sample: x -->\n```text\nnew\n```\n<!-- end -->\nb\n");
        assert_eq!(samples.include(&text).unwrap(), text);
    }

    #[test]
    fn a_sample_that_does_not_exist_is_named() {
        let error = Samples::default().include("<!-- sample: y --><!-- end -->").unwrap_err();
        assert_eq!(error.to_string(), "docs/samples/y.log does not exist: `cargo xtask docs --record` writes it");
    }

    #[test]
    fn lines_of_the_boot_have_the_form_of_today_and_the_exit_code_of_their_sample() {
        let samples = Samples::read().unwrap();
        for (name, text) in &samples.logs {
            let code: u8 = name.split('-').next().unwrap().parse().unwrap();
            for line in text.lines().filter(|line| line.starts_with(PREFIX) && line.contains("/8 ")) {
                assert!(LogLine::parse(line).is_some(), "{name}: {line}");
            }
            let last = text.lines().filter_map(LogLine::parse).next_back();
            if let Some(Event::Failed(found)) = last.map(|line| line.event) {
                assert_eq!(found, code, "{name}");
            }
        }
    }

    #[test]
    fn a_complete_boot_has_every_phase_in_order() {
        let samples = Samples::read().unwrap();
        for name in ["0-cold-boot", "0-warm-boot"] {
            let lines = samples.logs[name].lines().filter_map(LogLine::parse);
            let done = lines.filter(|line| matches!(line.event, Event::Done(_))).map(|line| line.phase);
            assert_eq!(done.collect::<Vec<_>>(), Phase::ALL, "{name}");
        }
    }

    #[test]
    fn every_sample_has_a_scenario_and_every_scenario_a_sample() {
        let samples = Samples::read().unwrap();
        let scenarios: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        assert_eq!(samples.logs.keys().map(String::as_str).collect::<BTreeSet<_>>(), scenarios);
    }

    #[test]
    fn every_failure_is_a_fault_of_the_table() {
        // Codes below 10 are results of `plan`, 50 and 64 no boots, and 130 and 143 no faults.
        let is_fault = |name: &&str| {
            let code: u32 = name.split('-').next().unwrap().parse().unwrap();
            code == 1 || (10..50).contains(&code) || (126..128).contains(&code)
        };
        let scenarios: BTreeSet<&str> = SCENARIOS.iter().map(|scenario| scenario.name).filter(is_fault).collect();
        assert_eq!(FAULTS.iter().map(|fault| fault.sample).collect::<BTreeSet<_>>(), scenarios);
        assert!(FAULTS.len() >= 30);
    }

    #[test]
    fn the_last_line_names_the_cause_and_then_the_remedy() {
        let samples = Samples::read().unwrap();
        for fault in FAULTS {
            let last = samples.logs[fault.sample].lines().last().unwrap();
            let found = last.split_once(fault.cause).is_some_and(|(_, rest)| rest.contains(fault.remedy));
            assert!(found, "{}: `{}`, then `{}` in: {last}", fault.sample, fault.cause, fault.remedy);
            assert!(last.len() < LONGEST_LINE, "{}: {} characters", fault.sample, last.len());
            assert!(!last.contains("cargo"), "{}: {last}", fault.sample);
        }
    }

    #[test]
    fn every_exit_code_has_a_sample() {
        let samples = Samples::read().unwrap();
        for exit in ExitCode::ALL.into_iter().filter(|exit| *exit != ExitCode::Ok) {
            assert!(samples.of_exit(exit).next().is_some(), "no sample of exit code {}", exit.code());
        }
    }
}
