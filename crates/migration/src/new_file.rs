//! `migration new`: creates the next SQL file from a template.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use contract::{DIRECTIVES, Phase};
use entrypoint::migrations::MigrationSet;
use testbed::{ui, workspace};

use crate::checkout;

/// The words in the error of a template whose assertion was not written.
pub(crate) const UNFINISHED: &str = "asserts nothing yet";

/// Runs `migration new`.
///
/// # Errors
/// Fails if the name has another form, or the present files cannot be read.
pub fn run(flags: &grammar::NewMigrationFlags) -> anyhow::Result<ExitCode> {
    check_name(&flags.name)?;
    let phase = if flags.post { Phase::PostSchema } else { Phase::DbInit };
    let files = MigrationSet::read(checkout::root().as_std_path()).context("the present files are not fit to ship")?;
    let number = files.of(phase).last().map_or(1, |last| last.number + 1);
    let folder = checkout::folder(phase);
    std::fs::create_dir_all(workspace::path(&folder)).with_context(|| format!("failed to create {folder}"))?;
    let filename = format!("{number:03}_{}.sql", flags.name);
    let path = format!("{folder}/{filename}");
    let mut file =
        std::fs::File::create_new(workspace::path(&path)).with_context(|| format!("failed to create {path}"))?;
    file.write_all(template(&filename, phase).as_bytes()).with_context(|| format!("failed to write {path}"))?;
    ui::result(&format!("{path} is written\nnext: complete it, then run `cargo xtask migration lint`"));
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_good = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if name.split('_').all(is_good) {
        return Ok(());
    }
    let lower = name.trim_end_matches(".sql").to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let example = if words.is_empty() { "lap_times".to_owned() } else { words.join("_") };
    bail!(
        "`{name}` is not the name of a migration: give lower-case words joined by _, without number and ending, such as {example}"
    )
}

/// Returns a file that the boot accepts and that fails until its assertion is written.
pub(crate) fn template(filename: &str, phase: Phase) -> String {
    let width = DIRECTIVES.iter().map(|directive| form(directive).len()).max().unwrap_or_default();
    let directives: String = DIRECTIVES
        .iter()
        .map(|directive| {
            let first = directive.meaning.split_inclusive(['.', ':']).next().unwrap_or_default().trim_end_matches(':');
            format!("     {:<width$}  {first}\n", form(directive))
        })
        .collect();
    let (example, reason) = match phase {
        Phase::PostSchema => (
            "DO $migration$\nBEGIN\n    IF NOT EXISTS (\n        SELECT FROM pg_catalog.pg_constraint\n         WHERE conrelid = \
             'public.collection'::regclass AND conname = 'collection_rule'\n    ) THEN\n        ALTER TABLE public.collection ADD \
             CONSTRAINT collection_rule CHECK (…) NOT VALID;\n    END IF;\nEND\n$migration$;",
            "constraints of collections that the snapshot cannot hold",
        ),
        _ => (
            "CREATE TABLE IF NOT EXISTS public.… (\n    …\n);",
            "tables, extensions and data that Directus does not know",
        ),
    };
    format!(
        "-- Purpose of this file, in a sentence.\n\n/*\n   Complete the file and delete this comment. Rules: db-init/README.md\n\n   \
         Directives, each in a line of its own above this comment (docs/reference/directives.md):\n{directives}\n   For {reason}, \
         such as:\n\n{}\n*/\n\n-- The result of this file. IF NOT EXISTS compares names only: an object of another shape would \
         pass without this block.\nDO $assert$\nBEGIN\n    RAISE EXCEPTION '{filename} {UNFINISHED}: query the catalog and \
         raise an error for each difference';\nEND\n$assert$;\n",
        example.lines().map(|line| format!("     {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    )
}

fn form(directive: &contract::Directive) -> String {
    let value = directive.example.map_or_else(String::new, |example| format!(": {example}"));
    format!("-- {}{value}", directive.name)
}

#[cfg(test)]
mod tests {
    use entrypoint::migrations::{Directives, MigrationFile};

    use super::*;

    #[test]
    fn the_template_is_a_file_without_directives_that_the_boot_accepts() {
        for phase in checkout::PHASES {
            let text = template("004_laps.sql", phase);
            let file = MigrationFile::parse("004_laps.sql", text.as_bytes()).expect("a good file");
            assert_eq!((file.directives, file.statements.len()), (Directives::default(), 1), "{text}");
            for directive in DIRECTIVES {
                assert!(text.contains(&format!("     -- {}", directive.name)), "{text}");
            }
        }
    }

    #[test]
    fn a_name_is_lower_case_words_and_another_one_is_corrected_in_the_error() {
        for name in ["laps", "lap_times", "laps_2026"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for (name, example) in [
            ("Lap Times", "such as lap_times"),
            ("lap-times", "such as lap_times"),
            ("lap__times", "such as lap_times"),
            ("laps.sql", "such as laps"),
            ("../laps", "such as laps"),
            ("ß", "such as lap_times"),
            ("", "such as lap_times"),
        ] {
            let error = check_name(name).expect_err(name).to_string();
            assert!(error.ends_with(example), "{error}");
        }
    }
}
