//! `docs`: the README's tables, generated from the code that they describe.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::CommandFactory as _;
use contract::{ExitCode as BootExit, VARIABLES, VariableGroup};

use crate::workspace;

const FILE: &str = "README.md";
const END: &str = "<!-- end -->";

/// Runs `docs`.
pub(crate) fn run(flags: &grammar::Docs) -> anyhow::Result<ExitCode> {
    if flags.check {
        check()?;
        println!("{FILE} is up to date");
        return Ok(ExitCode::SUCCESS);
    }
    let (old, new) = generate()?;
    if old == new {
        println!("{FILE} is up to date");
    } else {
        let path = workspace::path(FILE);
        std::fs::write(&path, new).with_context(|| format!("failed to write {path}"))?;
        println!("{FILE} is written");
    }
    Ok(ExitCode::SUCCESS)
}

/// Fails when a generated table is not up to date.
pub(crate) fn check() -> anyhow::Result<()> {
    let (old, new) = generate()?;
    if old != new {
        bail!("the tables of {FILE} are not up to date; `cargo xtask docs` writes them");
    }
    Ok(())
}

/// The README as it is and as it should be.
fn generate() -> anyhow::Result<(String, String)> {
    let path = workspace::path(FILE);
    let old = std::fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))?;
    let mut new = old.clone();
    for (name, table) in [("variables", variables()), ("exit codes", exit_codes()), ("commands", commands())] {
        new = replace(&new, name, &table).with_context(|| format!("failed to generate the {name} of {FILE}"))?;
    }
    Ok((old, new))
}

/// Puts a text between its markers.
fn replace(text: &str, name: &str, content: &str) -> anyhow::Result<String> {
    let begin = format!("<!-- generated: {name} -->");
    let (before, rest) = text.split_once(&begin).with_context(|| format!("there is no `{begin}`"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("there is no `{END}` after `{begin}`"))?;
    Ok(format!("{before}{begin}\n\n{content}\n{END}{after}"))
}

fn variables() -> String {
    let rows = VARIABLES.iter().map(|variable| {
        let group = match variable.group {
            VariableGroup::Directus => "Directus",
            VariableGroup::Boot => "boot",
        };
        let default = match variable.default {
            "required" => "**required**".to_owned(),
            "–" => "–".to_owned(),
            value => format!("`{value}`"),
        };
        let secret = if variable.secret { " Secret: never shown." } else { "" };
        [format!("`{}`", variable.name), group.to_owned(), default, format!("{}{secret}", variable.description)]
    });
    table(["variable", "read by", "default", "what it does"], rows)
}

fn exit_codes() -> String {
    let rows = BootExit::ALL
        .into_iter()
        .map(|exit| [exit.code().to_string(), exit.meaning().to_owned(), exit.remedy().to_owned()]);
    table(["code", "meaning", "what to do"], rows)
}

fn commands() -> String {
    let cli = grammar::Xtask::command();
    let rows = cli.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let flags =
            command.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"));
        let flags: Vec<String> =
            flags.filter_map(|argument| argument.get_long()).map(|flag| format!("`--{flag}`")).collect();
        [format!("`cargo xtask {}`", command.get_name()), about, flags.join(" ")]
    });
    table(["command", "what it does", "options"], rows)
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.map(str::to_owned)) + &line(&[const { "---" }; N].map(str::to_owned));
    for row in rows {
        text += &line(&row.map(|cell| cell.replace('|', r"\|")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{commands, exit_codes, replace, table, variables};

    #[test]
    fn what_stands_between_the_markers_is_replaced_and_nothing_else() {
        let text = "a\n<!-- generated: x -->\nold\n<!-- end -->\nb\n<!-- generated: y --><!-- end -->\n";
        let new = replace(text, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- generated: x -->\n\nnew\n\n<!-- end -->\nb\n<!-- generated: y --><!-- end -->\n");
        assert_eq!(replace(&new, "x", "new\n").unwrap(), new);
    }

    #[test]
    fn a_missing_marker_is_named() {
        let error = replace("a", "x", "new").unwrap_err();
        assert_eq!(error.to_string(), "there is no `<!-- generated: x -->`");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        assert_eq!(table(["a"], [["b|c".to_owned()]].into_iter()), "| a |\n| --- |\n| b\\|c |\n");
    }

    #[test]
    fn every_table_has_what_it_is_about() {
        assert!(variables().contains("| `DB_HOST` | Directus | **required** |"));
        assert!(exit_codes().contains("| 10 | Variables are missing or wrong"));
        assert!(commands().contains("| `cargo xtask dev-reset` | "));
    }
}
