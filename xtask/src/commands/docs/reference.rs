//! The pages of docs/reference.

use clap::CommandFactory as _;
use contract::failure::FAILURES;
use contract::metrics::{METRICS, REPLICA};
use contract::sqlstate::{Party, Retryability, SQLSTATES};
use contract::{
    ADVISORIES, AdvisoryAnswer, DESTROYS, DIRECTIVES, ExitCode, Form, HELP, NO_TRANSACTION, REPORT_FIELDS, REVIEWED_ON,
    REVIEWED_PIN, VARIABLES, Variable, VariableGroup,
};
use grammar::{LINT_RULES, LintRule, LintRuleKind, LintScope};

use super::Page;
use super::faults::FAULTS;
use super::markdown::{NOTICE, fenced, folded, table};
use super::samples::Samples;

/// All pages.
pub(super) fn pages(samples: &Samples) -> Vec<Page> {
    let page = [
        ("commands", commands()),
        ("variables", variables()),
        ("metrics", metrics()),
        ("exit-codes", exit_codes(samples)),
        ("failures", failures()),
        ("report", report()),
        ("directives", directives()),
        ("lint", lint()),
        ("advisories", advisories()),
    ];
    page.map(|(name, text)| Page { path: format!("docs/reference/{name}.md").into(), text: format!("{NOTICE}{text}") })
        .into()
}

fn commands() -> String {
    let mut text = format!(
        "# Commands\n\n## Of the image\n\n`docker run --rm IMAGE help` prints this text.\n\n{}\n## Of a checkout\n\n\
         Progress goes to standard error, results to standard output. With `--json` the result is one line.\n\n",
        fenced(HELP)
    );
    let cli = grammar::Xtask::command();
    let summary =
        cli.get_subcommands().map(|command| [format!("[`{0}`](#cargo-xtask-{0})", command.get_name()), about(command)]);
    text += &table(["`cargo xtask …`", "purpose"], summary);
    for command in cli.get_subcommands() {
        text += &command_section(command, "cargo xtask");
    }
    text
}

/// The section of a command, and those of its own commands. `path` is the command line before its name.
fn command_section(command: &clap::Command, path: &str) -> String {
    let path = format!("{path} {}", command.get_name());
    let mut text = format!("\n### `{path}`\n\n{}.\n", about(command));
    let options: Vec<[String; 3]> = command.get_arguments().filter_map(option).collect();
    if !options.is_empty() {
        text += &format!("\n{}", table(["option", "default", "effect"], options.into_iter()));
    }
    let examples = grammar::examples(command);
    if !examples.is_empty() {
        let lines = examples.iter().map(|(example, purpose)| format!("{example}    # {purpose}\n"));
        text += &format!("\n```sh\n{}```\n", lines.collect::<String>());
    }
    for child in command.get_subcommands() {
        text += &command_section(child, &path);
    }
    text
}

fn about(command: &clap::Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// A row for an option: its form, default and effect. `None` for `--help`.
fn option(argument: &clap::Arg) -> Option<[String; 3]> {
    if matches!(argument.get_id().as_str(), "help" | "version") {
        return None;
    }
    let takes_value = argument.get_action().takes_values();
    let value = argument.get_value_names().filter(|_| takes_value).unwrap_or_default().join(" ");
    let form = match argument.get_long() {
        Some(long) if argument.is_require_equals_set() => format!("`--{long}[={value}]`"),
        Some(long) if takes_value => format!("`--{long} {value}`"),
        Some(long) => format!("`--{long}`"),
        None if matches!(argument.get_action(), clap::ArgAction::Append) => format!("`{value}…`"),
        None => format!("`{value}`"),
    };
    let default = argument.get_default_values().first().filter(|_| takes_value);
    let default = default.map_or_else(String::new, |default| format!("`{}`", default.to_string_lossy()));
    let mut effect = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values = argument.get_possible_values();
    if takes_value && !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        effect += &format!(": {}", values.join(", "));
    }
    Some([form, default, effect])
}

fn variables() -> String {
    format!(
        "# Variables\n\n## Of Directus\n\nThe boot reads these as Directus does. Each may also be given as `<NAME>_FILE`, the path \
         of a file that holds the value without a line break at its end. All other variables of Directus work as Directus documents \
         them.\n\n{}\n## Of the boot\n\n{}",
        variables_of(VariableGroup::Directus),
        variables_of(VariableGroup::Boot)
    )
}

fn variables_of(group: VariableGroup) -> String {
    let variables = VARIABLES.iter().filter(|variable| variable.group == group);
    table(["variable", "default", "meaning"], variables.map(variable))
}

fn variable(variable: &Variable) -> [String; 3] {
    let default = match variable.default {
        "required" => "**required**".to_owned(),
        "–" => "–".to_owned(),
        value => format!("`{value}`"),
    };
    let secret = if variable.secret { " Secret: never shown." } else { "" };
    [format!("`{}`", variable.name), default, format!("{}{secret}", variable.description)]
}

fn metrics() -> String {
    let rows = METRICS.iter().map(|metric| {
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        [format!("`{}`", metric.name), metric.kind.name().to_owned(), labels, metric.help.to_owned()]
    });
    format!(
        "# Metrics\n\nThe boot writes these into the file of [`BOOT_METRICS_FILE`](variables.md#of-the-boot), as Prometheus text: \
         [the file of a first boot](../samples/0-metrics.log). [Operating](../operate.md#metrics) has the setup.\n\n\
         Each metric also has the label `{REPLICA}`, the name of the file without its extension. The first two are about the boot \
         that began last, and all others about the boot that ended last: they stay while the next one runs.\n\n{}",
        table(["metric", "kind", "labels", "meaning"], rows)
    )
}

fn exit_codes(samples: &Samples) -> String {
    let mut text = "# Exit codes\n\nThe last line of a failed boot names the phase, the cause and the remedy, and ends with the exit \
                    code. The numbers are stable: monitoring and CI may match on them. A boot that was interrupted at any moment is \
                    repeated: SQL files, Directus' installation and migrations, and the schema are each all or nothing. So after a crash \
                    there is nothing to do: the restart policy starts the boot again.\n\nThe logs are recorded from real boots \
                    ([samples](../samples/README.md)); they contain only the lines of the phase that ended, and long lines are folded.\n\n"
        .to_owned();
    let rows = ExitCode::ALL.into_iter().map(|exit| {
        [format!("[{}](#{})", exit.code(), anchor(exit)), exit.meaning().to_owned(), exit.remedy().to_owned()]
    });
    text += &table(["code", "meaning", "remedy"], rows);
    for exit in ExitCode::ALL {
        text += &format!("\n## {}: {}\n\n{}\n", exit.code(), title(exit), exit.meaning());
        for sample in samples.of_exit(exit) {
            text += &format!("\n{}", fenced(&folded(sample)));
        }
        text += &format!("\n**Remedy:** {}\n", exit.remedy());
        if !exit.explanation().is_empty() {
            text += &format!("\n{}\n", exit.explanation());
        }
    }
    text
}

/// The name of a code in words: `Database unreachable`.
fn title(exit: ExitCode) -> String {
    let mut title = String::new();
    for letter in format!("{exit:?}").chars() {
        if letter.is_uppercase() && !title.is_empty() {
            title.push(' ');
            title.extend(letter.to_lowercase());
        } else {
            title.push(letter);
        }
    }
    title
}

fn anchor(exit: ExitCode) -> String {
    format!("{}-{}", exit.code(), title(exit).to_lowercase().replace(' ', "-"))
}

fn failures() -> String {
    let faults = FAULTS.iter().map(|fault| {
        let log = format!("[{0}](../samples/{0}.log)", fault.sample);
        [fault.fault.to_owned(), fault.cause.to_owned(), fault.remedy.to_owned(), log]
    });
    let catalog = FAILURES.iter().map(|(_, failure)| {
        let code = failure.exit.code().to_string();
        [code, failure.cause.to_owned(), failure.state.words().to_owned(), failure.remedy.replace("{}", "…")]
    });
    let codes = SQLSTATES.iter().map(|state| {
        let connecting = match state.connecting {
            Retryability::Transient => "waits",
            Retryability::Final => "ends",
        };
        let fault = match state.fault {
            Party::Statement => "file or snapshot",
            Party::Data => "rows",
            Party::Role => "role",
            Party::Server => "server",
        };
        [format!("`{}`", state.code), connecting.to_owned(), fault.to_owned(), state.remedy.to_owned()]
    });
    format!(
        "# Failures\n\nThe last line of a failed boot is *what failed: why; the state of the database: the remedy*. Long lists \
         have a line for each item before it.\n\n## Faults and their logs\n\nEach fault was made on purpose, and the log \
         recorded from a real boot. A test holds that the last line names the cause, and after it the remedy.\n\n{}\n## \
         Catalog\n\nEvery failure of a boot, with its exit code. A remedy that is empty here is that of the SQLSTATE, or the line \
         has one for each of its parts.\n\n{}\n## Errors of PostgreSQL\n\nFive characters are one code, two are its class; a class \
         that is not listed is the fault of the file or the snapshot. While it connects, the boot waits or ends. In a statement, \
         faults of the role and of the server end with exit code 21, the others with the code of their phase.\n\n{}",
        table(["fault", "cause in the log", "remedy in the log", "log"], faults),
        table(["code", "cause", "state of the database", "remedy"], catalog),
        table(["SQLSTATE", "connecting", "fault of", "remedy"], codes)
    )
}

fn report() -> String {
    let rows = REPORT_FIELDS
        .iter()
        .map(|field| [format!("`{}`", field.path), field.kind.to_owned(), field.meaning.to_owned()]);
    format!(
        "# The form of `report.json`\n\n`cargo xtask verify` writes `target/verify/report.json`. Fields are only ever added; if the \
         meaning of a field changes, `schema` goes up. `[]` stands for each element of a list. Times are decimal numbers with \
         milliseconds.\n\n{}\nThe checks that did not pass, with their reasons:\n\n```sh\njq -r '.checks[] | select(.status != \"pass\") \
         | \"\\(.name): \\(.reason)\"' target/verify/report.json\n```\n",
        table(["field", "type", "meaning"], rows)
    )
}

fn directives() -> String {
    let rows = DIRECTIVES.iter().map(|directive| {
        let value = directive.example.map_or_else(String::new, |example| format!(": {example}"));
        [format!("`-- {}{value}`", directive.name), directive.meaning.to_owned()]
    });
    format!(
        "# Directives of SQL files\n\nA directive is a comment line before the first statement of a file in `db-init/`, alone in its \
         line. A comment that is nearly a directive is a slip and is refused (exit code 30). [Changing the \
         schema](../change-the-schema.md) has the use of each.\n\n{}\n## Items of `-- destroys:`\n\nItems are separated by commas. A \
         name may have a schema (`table timing.laps`) and is quoted as in SQL where it needs quotes.\n\n{}\n## Statements without a \
         transaction\n\nThe boot cannot roll such a file back, so it refuses every other statement before any file runs \
         (exit code 30).\n\n{}",
        table(["directive", "meaning"], rows),
        forms(&DESTROYS),
        forms(&NO_TRANSACTION)
    )
}

fn lint() -> String {
    let (mut own, mut used, mut off) = (Vec::new(), Vec::new(), Vec::new());
    for LintRule { name, kind } in LINT_RULES {
        let name = format!("`{name}`");
        match *kind {
            LintRuleKind::Own { finds, silenceable } => {
                let silence = if silenceable { "" } else { " Cannot be silenced." };
                own.push([name, format!("{finds}{silence}")]);
            }
            LintRuleKind::Squawk { scope, remedy } => {
                let scope = match scope {
                    LintScope::All => "all",
                    LintScope::ShippedTables => "tables in use",
                    LintScope::Locks => "locks of tables in use",
                };
                used.push([name, scope.to_owned(), remedy.to_owned()]);
            }
            LintRuleKind::Off { reason } => off.push([name, reason.to_owned()]),
        }
    }
    format!(
        "# Rules of the lint\n\n`cargo xtask migration lint` checks the SQL files that no image has shipped yet; [changing the \
         schema](../change-the-schema.md#checking-a-new-file) has its use.\n\n## Of this project\n\n{}\n## Of squawk\n\n\
         [Squawk](https://squawkhq.com/docs/rules) describes each of its rules. Statements inside `DO` blocks are checked too. A table \
         is *in use* unless the same release creates it, by an SQL file or by the snapshot: no server reads or writes it yet. \
         With a database, a lock counts if the file really takes it on a table with rows.\n\n{}\n## Of squawk, switched off\n\n{}",
        table(["rule", "finds"], own.into_iter()),
        table(["rule", "statements", "remedy"], used.into_iter()),
        table(["rule", "reason"], off.into_iter())
    )
}

fn advisories() -> String {
    let mut text = format!(
        "# Known advisories\n\nAdvisories of Directus {REVIEWED_PIN} that it does not fix, each verified in its code. Last review: \
         {REVIEWED_ON}. The gate fails while a critical one has no answer, and a new pin needs a new review.\n\n"
    );
    let rows = ADVISORIES.iter().map(|advisory| {
        let answer = match advisory.answer {
            AdvisoryAnswer::Refused { variables, value, .. } => format!(
                "Refused with exit code 10: `{value}` in {}. `BOOT_ACCEPT_ADVISORY={}` accepts it.",
                variables.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and "),
                advisory.id
            ),
            AdvisoryAnswer::Documented => "Documented here.".to_owned(),
            AdvisoryAnswer::Open => "None yet.".to_owned(),
        };
        [
            advisory.id.to_owned(),
            advisory.severity.name().to_owned(),
            advisory.fixed_in.to_owned(),
            advisory.defect.to_owned(),
            advisory.advice.to_owned(),
            answer,
        ]
    });
    text += &table(["advisory", "severity", "fixed in", "defect", "advice", "answer of the image"], rows);
    text
}

fn forms(forms: &[Form]) -> String {
    table(["example", "meaning"], forms.iter().map(|form| [format!("`{}`", form.example), form.meaning.to_owned()]))
}

#[cfg(test)]
mod tests {
    use contract::ExitCode;

    use super::{advisories, commands, directives, exit_codes, failures, lint, report, title, variables};
    use crate::commands::docs::samples::Samples;

    #[test]
    fn every_page_has_its_data() {
        assert!(variables().contains("| `DB_HOST` | **required** |"));
        assert!(exit_codes(&Samples::default()).contains("| [10](#10-config) | Variables are missing or wrong"));
        assert!(commands().contains("### `cargo xtask dev-reset`"));
        assert!(commands().contains("| `--tag NAME:TAG` | `trm-directus:dev` |"));
        assert!(failures().contains("| `23505` | ends | rows | remove the duplicate rows"));
        assert!(report().contains("| `subject.image_id` | string |"));
        assert!(advisories().contains("| CVE-2026-126539 | critical | 12 |"));
        assert!(directives().contains("| `-- owns-table: laps, pits` |"));
        assert!(commands().contains("### `cargo xtask migration new`"));
        for section in lint().split("\n## ").skip(1) {
            assert!(section.matches("\n| `").count() > 5, "{section}");
        }
    }

    #[test]
    fn a_title_is_the_name_in_words() {
        assert_eq!(title(ExitCode::DatabaseUnreachable), "Database unreachable");
    }
}
