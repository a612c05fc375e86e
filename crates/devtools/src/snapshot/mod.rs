//! `snapshot`: saves the schema of the running stack in the checkout, and shows the change.

mod file;
mod save;
mod unfinished;
mod watch;

use std::process::ExitCode;

use crate::stack::Stack;
use testbed::{schema_diff, ui};

pub(crate) use self::file::SavedSchema;
pub(crate) use self::save::{Collision, save};

/// The exit code of `snapshot --check` and `dev-reset`: the stack has another schema than the file.
pub(crate) const DIFFERENT: u8 = 2;

/// Runs `snapshot`.
pub(crate) async fn run(flags: &grammar::SnapshotFlags) -> anyhow::Result<ExitCode> {
    let stack = Stack::find(&flags.project.name).await?;
    if flags.check {
        return check(&stack, &flags.file).await;
    }
    let collision = match (flags.merge, flags.overwrite) {
        (true, _) => Collision::Merge,
        (_, true) => Collision::Overwrite,
        _ => Collision::Ask,
    };
    if flags.watch {
        watch::run(&stack, &flags.file, collision).await
    } else {
        save(&stack, &flags.file, collision).await
    }
}

/// Compares the schema of the stack with the file.
async fn check(stack: &Stack, file: &str) -> anyhow::Result<ExitCode> {
    let (old, live) = (SavedSchema::read(file)?, stack.export().await?);
    let mut changes = schema_diff::changes(&old.document, &live.document());
    if changes.is_empty() {
        ui::result(&format!("{file} is up to date"));
        return Ok(ExitCode::SUCCESS);
    }
    stack.count(&mut changes).await?;
    ui::result(&format!(
        "{file} differs from the schema of {}, which has:\n{}",
        stack.project(),
        schema_diff::list(&changes)
    ));
    Ok(ExitCode::from(DIFFERENT))
}
