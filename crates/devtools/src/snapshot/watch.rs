//! `snapshot --watch`: writes the file whenever the schema of the stack has changed and rests.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::file::SavedSchema;
use super::save::{Collision, save, write};
use super::unfinished::unfinished;
use crate::stack::{self, Stack};
use testbed::api::Api;
use testbed::{schema_export, signals, ui};

/// Time between two exports. Two that are equal mean that nothing is being saved: the requests of one edit follow each
/// other at once. An export costs the server a tenth of a second.
const POLL: Duration = Duration::from_secs(2);

/// Runs `snapshot --watch`, until a signal.
pub(super) async fn run(stack: &Stack, file: &str, collision: Collision) -> anyhow::Result<ExitCode> {
    let code = save(stack, file, collision).await?;
    if code != ExitCode::SUCCESS {
        return Ok(code);
    }
    let mut watch = Watch::start(stack, file).await?;
    ui::status("Watching", &format!("the schema of {}; Ctrl-C ends it", stack.project()));
    let mut signal = std::pin::pin!(signals::termination());
    loop {
        tokio::select! {
            biased;
            signal = &mut signal => {
                signal.context("failed to listen for signals")?;
                let times = if watch.writes == 1 { "once".to_owned() } else { format!("{} times", watch.writes) };
                ui::status("Ended", &format!("{file} was written {times}"));
                return Ok(ExitCode::SUCCESS);
            }
            step = watch.step() => step?,
        }
    }
}

struct Watch<'a> {
    stack: &'a Stack,
    file: &'a str,
    /// `None` while the server does not answer.
    api: Option<Api>,
    /// The last export.
    seen: String,
    /// The last export that is in the file, or that is not to be written.
    handled: String,
    /// The text of the file after the last write.
    written: SavedSchema,
    writes: usize,
}

impl<'a> Watch<'a> {
    async fn start(stack: &'a Stack, file: &'a str) -> anyhow::Result<Self> {
        let api = stack.log_in().await.context("--watch needs the server of the stack")?;
        let seen = schema_export::by_server(&api).await?;
        let written = SavedSchema::read(file)?;
        let (export, _) = schema_export::ordered(&seen)?;
        ensure!(
            export.to_string() == written.text,
            "{file} and the stack differ, so --watch would undo changes of the file: bring both together with `cargo xtask \
             dev-reset --keep-data`"
        );
        Ok(Watch { stack, file, api: Some(api), handled: seen.clone(), seen, written, writes: 0 })
    }

    /// Waits, exports, and writes the file if the export has changed and rests.
    async fn step(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(POLL).await;
        let Some(export) = self.export().await? else { return Ok(()) };
        let rests = export == self.seen;
        self.seen = export;
        if !rests || self.seen == self.handled {
            return Ok(());
        }
        self.handled.clone_from(&self.seen);
        let (export, orphans) = schema_export::ordered(&self.seen)?;
        let problems = &unfinished(&export.document()) - &unfinished(&self.written.document);
        if !problems.is_empty() {
            let problems = BTreeSet::into_iter(problems).collect::<Vec<_>>().join(", ");
            ui::status("Waiting", &format!("for the end of an edit: {problems}"));
            return Ok(());
        }
        let file = self.file;
        let now = SavedSchema::read(file)?;
        if now.text != self.written.text {
            bail!(
                "{file} was changed by another program, so it is not written any more: start `cargo xtask snapshot \
                 --watch` again"
            );
        }
        stack::warn_of_orphans(&orphans);
        if export.to_string() != now.text {
            write(self.stack, file, &now, &export).await?;
            self.stack.record_saved(&export.to_string())?;
            self.writes += 1;
            self.written = SavedSchema::read(file)?;
        }
        Ok(())
    }

    /// Exports the schema; `None` while the server does not answer.
    async fn export(&mut self) -> anyhow::Result<Option<String>> {
        let answer = match &self.api {
            Some(api) => schema_export::by_server(api).await,
            None => Err(anyhow::Error::msg("logged out")),
        };
        if let Ok(export) = answer {
            return Ok(Some(export));
        }
        // The login has expired, or the server was restarted.
        let was_in = self.api.take().is_some();
        match self.stack.log_in().await {
            Ok(api) => self.api = Some(api),
            Err(error) => {
                let project = self.stack.project();
                ensure!(self.stack.is_running().await, "the stack {project} has ended or was replaced");
                if was_in {
                    ui::status("Waiting", &format!("for the server of {project}: {error:#}"));
                }
            }
        }
        Ok(None)
    }
}
