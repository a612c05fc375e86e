//! `migration list`: the SQL files with their directives, and which of them a database has.

use std::process::ExitCode;

use anyhow::Context as _;
use entrypoint::migrations::{Directives, MigrationSet};
use serde::Serialize;
use testbed::compose::{self, Compose};
use testbed::ui;

use crate::checkout;
use crate::database::{self, AppliedFile};
use crate::lint::LintFile;

/// A file, or a row of the ledger without one.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct ListedFile {
    path: String,
    phase: &'static str,
    directives: Vec<String>,
    /// `None` without a database.
    state: Option<LedgerState>,
    /// The time and the image, for a file that the database has.
    applied: Option<String>,
}

/// The state of a file in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum LedgerState {
    Applied,
    Pending,
    /// Applied with another text.
    Edited,
    /// Applied, and not in the checkout.
    Missing,
}

impl LedgerState {
    fn word(self) -> &'static str {
        match self {
            LedgerState::Applied => "applied",
            LedgerState::Pending => "pending",
            LedgerState::Edited => "EDITED after it was applied",
            LedgerState::Missing => "MISSING in this checkout",
        }
    }
}

/// Runs `migration list`.
///
/// # Errors
/// Fails if the files or the given database cannot be read.
pub async fn run(flags: &grammar::ListMigrationsFlags) -> anyhow::Result<ExitCode> {
    let files = MigrationSet::read(checkout::root().as_std_path()).context("the files are not fit to ship")?;
    let url = match &flags.database {
        Some(url) => Some(url.clone()),
        None => stack_url(&flags.project).await,
    };
    let ledger = match &url {
        Some(url) => Some(database::ledger(&database::connect(url).await?).await?),
        None => None,
    };
    let listed = list(&LintFile::of(&files), ledger.as_deref());
    if flags.json {
        ui::json_result(&listed)?;
    } else {
        ui::result(&render(&listed));
        if ledger.is_none() {
            ui::status(
                "Note",
                "no database was read: give one with --database, or start the stack with `cargo xtask dev-reset`",
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the address of a running development stack's database; `None` if there is no engine or no such stack.
async fn stack_url(project: &str) -> Option<String> {
    let stack = Compose::new(project);
    // `127.0.0.1:5432`
    let port = stack.cmd(["port", compose::DATABASE, "5432"]).read().await.ok().filter(|port| !port.is_empty())?;
    let config = stack.config().await.ok()?;
    let service = config.service(compose::DATABASE).ok()?;
    let [user, password, database] =
        ["POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"].map(|name| service.variable(name));
    Some(format!("postgres://{}:{}@{port}/{}", encoded(user?), encoded(password?), encoded(database?)))
}

/// Encodes a part of a URL.
fn encoded(text: &str) -> String {
    let byte =
        |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

fn list(files: &[LintFile], ledger: Option<&[AppliedFile]>) -> Vec<ListedFile> {
    let mut listed = Vec::new();
    for LintFile { path, phase, file } in files {
        let row = ledger.unwrap_or_default().iter().find(|row| row.phase == *phase && row.filename == file.filename);
        let state = ledger.map(|_| match row {
            None => LedgerState::Pending,
            Some(row) if row.checksum == file.checksum => LedgerState::Applied,
            Some(_) => LedgerState::Edited,
        });
        listed.push(ListedFile {
            path: path.clone(),
            phase: phase.name(),
            directives: directives(&file.directives),
            state,
            applied: row.map(applied),
        });
    }
    let has_file =
        |row: &AppliedFile| files.iter().any(|file| file.phase == row.phase && file.file.filename == row.filename);
    for row in ledger.unwrap_or_default().iter().filter(|row| !has_file(row)) {
        listed.push(ListedFile {
            path: format!("{}/{}", checkout::folder(row.phase), row.filename),
            phase: row.phase.name(),
            directives: Vec::new(),
            state: Some(LedgerState::Missing),
            applied: Some(applied(row)),
        });
    }
    listed
}

fn applied(row: &AppliedFile) -> String {
    let image = match row.image.split_once('@') {
        Some((version, revision)) => format!("{version}@{}", revision.get(..7).unwrap_or(revision)),
        None => row.image.clone(),
    };
    format!("{} UTC by {image}", row.at)
}

/// Returns the directives as they are written in the file.
fn directives(directives: &Directives) -> Vec<String> {
    let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(", "));
    let flag = |is_set: bool| is_set.then(String::new);
    let values = [
        ("no-transaction", flag(directives.no_transaction)),
        ("statement-timeout", directives.statement_timeout.map(|limit| format!("{} ms", limit.as_millis()))),
        ("owns-table", list(directives.owned_tables.clone())),
        ("breaks-older-images", flag(directives.breaks_older_images)),
        ("destroys", list(directives.destroys.iter().map(ToString::to_string).collect())),
        ("requires-extension", list(directives.required_extensions.iter().map(ToString::to_string).collect())),
    ];
    let written = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    written.map(|(name, value)| if value.is_empty() { name.to_owned() } else { format!("{name}: {value}") }).collect()
}

fn render(listed: &[ListedFile]) -> String {
    let rows: Vec<[String; 4]> = listed
        .iter()
        .map(|file| {
            let state = file.state.map(LedgerState::word).unwrap_or_default();
            let applied = file.applied.as_deref().map(|applied| format!(" {applied}")).unwrap_or_default();
            [file.phase.to_owned(), file.path.clone(), format!("{state}{applied}"), file.directives.join("; ")]
        })
        .collect();
    ui::columns(&rows)
}

#[cfg(test)]
mod tests {
    use contract::Phase;
    use entrypoint::migrations::MigrationFile;

    use super::*;

    fn file(name: &str, sql: &str) -> LintFile {
        let file = MigrationFile::parse(name, sql.as_bytes()).expect("a good file");
        LintFile { path: format!("db-init/{name}"), phase: Phase::DbInit, file }
    }

    fn row(file: &LintFile, checksum: &str) -> AppliedFile {
        let at = "2026-11-26 10:59:47".to_owned();
        AppliedFile {
            phase: file.phase,
            filename: file.file.filename.clone(),
            checksum: checksum.to_owned(),
            at,
            image: "1.0".to_owned(),
        }
    }

    #[test]
    fn each_file_has_its_state_in_the_ledger() {
        let files = [
            file("001_a.sql", "select 1"),
            file("002_b.sql", "-- owns-table: b\nselect 2"),
            file("003_c.sql", "select 3"),
        ];
        let gone = file("000_z.sql", "select 0");
        let ledger = [row(&files[0], &files[0].file.checksum), row(&files[1], "other"), row(&gone, "x")];
        let states: Vec<_> = list(&files, Some(&ledger)).into_iter().map(|file| (file.path, file.state)).collect();
        let expected = [
            ("db-init/001_a.sql", LedgerState::Applied),
            ("db-init/002_b.sql", LedgerState::Edited),
            ("db-init/003_c.sql", LedgerState::Pending),
            ("db-init/000_z.sql", LedgerState::Missing),
        ];
        assert_eq!(states, expected.map(|(path, state)| (path.to_owned(), Some(state))));
        let plain = list(&files, None);
        assert!(plain.len() == 3 && plain.iter().all(|file| file.state.is_none()));
        assert_eq!(plain[1].directives, ["owns-table: b"]);
    }

    #[test]
    fn every_directive_is_listed() {
        let text = "-- statement-timeout: 2s\n-- owns-table: a, b\n-- breaks-older-images\n-- destroys: table c, rows of d\n\
                    -- requires-extension: postgis\nselect 1";
        let with_transaction = directives(&file("001_a.sql", text).file.directives);
        let without = directives(&file("001_a.sql", "-- no-transaction\nvacuum").file.directives);
        let listed = [with_transaction, without].concat();
        assert_eq!(
            listed,
            [
                "statement-timeout: 2000 ms",
                "owns-table: a, b",
                "breaks-older-images",
                "destroys: table c, rows of d",
                "requires-extension: postgis",
                "no-transaction"
            ]
        );
        assert_eq!(listed.len(), contract::DIRECTIVES.len());
    }

    #[test]
    fn a_password_with_special_characters_is_encoded() {
        assert_eq!(encoded("a@b:/ß"), "a%40b%3A%2F%C3%9F");
    }
}
