//! The question of `dev-reset` before it discards a schema that is not saved in the checkout.

use std::process::ExitCode;

use crate::snapshot::{self, Collision, DIFFERENT, SavedSchema};
use crate::stack::Stack;
use testbed::compose::Compose;
use testbed::engine::Engine;
use testbed::schema_diff::{self, SchemaChange};
use testbed::{snapshot_text, ui};

/// Compares the schema of the old stack with the checkout's snapshot, and asks if something would be lost. Returns an exit
/// code if the old stack must stay.
pub(crate) async fn confirm(engine: &Engine, flags: &grammar::DevResetFlags) -> anyhow::Result<Option<ExitCode>> {
    let project = &flags.project.name;
    if flags.discard_schema || !Compose::new(project).exists(engine).await? {
        return Ok(None);
    }
    let saved = SavedSchema::read(file())?;
    match unsaved(project, &saved).await {
        Ok((_, changes)) if changes.is_empty() => Ok(None),
        Ok((stack, changes)) => ask(&stack, &changes).await,
        // The boot of the next stack compares, and refuses to delete.
        Err(_) if flags.keep_data => Ok(None),
        Err(error) => ask_without_comparison(project, &error).await,
    }
}

/// Lists the changes of the stack's schema since it was booted that the checkout's snapshot does not contain.
async fn unsaved(project: &str, saved: &SavedSchema) -> anyhow::Result<(Stack, Vec<SchemaChange>)> {
    let stack = Stack::find(project).await?;
    ui::status("Comparing", &format!("the schema of {project} with {}", file()));
    let began = snapshot_text::document(&stack.image_snapshot().await?)?;
    let live = stack.export().await?.document();
    let mut changes = schema_diff::changes_missing_in(&began, &live, &saved.document);
    stack.count(&mut changes).await?;
    Ok((stack, changes))
}

async fn ask(stack: &Stack, changes: &[SchemaChange]) -> anyhow::Result<Option<ExitCode>> {
    let (project, file) = (stack.project(), file());
    ui::warning(&format!(
        "the schema of {project} has changes that are not in {file}:\n{}",
        schema_diff::list(changes)
    ));
    match ui::choose("keep them?", ["export them", "discard them", "cancel"]).await? {
        Some("export them") => {
            let code = snapshot::save(stack, file, Collision::Ask).await?;
            Ok((code != ExitCode::SUCCESS).then_some(code))
        }
        Some("discard them") => Ok(None),
        _ => {
            ui::error(&format!(
                "the stack was kept: save the changes with `cargo xtask snapshot --project {project}`, or discard them with \
                 --discard-schema"
            ));
            Ok(Some(ExitCode::from(DIFFERENT)))
        }
    }
}

/// A stack that cannot boot is a reason to reset it, so only an operator at a terminal is asked.
async fn ask_without_comparison(project: &str, error: &anyhow::Error) -> anyhow::Result<Option<ExitCode>> {
    ui::warning(&format!("the schema of {project} cannot be compared with {}: {error:#}", file()));
    if ui::choose("remove its database?", ["remove it", "cancel"]).await? == Some("cancel") {
        ui::error("the stack was kept");
        return Ok(Some(ExitCode::from(DIFFERENT)));
    }
    Ok(None)
}

fn file() -> &'static str {
    contract::in_tree(contract::SNAPSHOT_FILE)
}
