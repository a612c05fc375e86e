//! `plan`: what a boot of this image would do to this database.

use serde_json::{Value, json};

use super::{heading, paragraph};
use crate::boot::{Prepared, bounded, start_node, weighed_words};
use crate::database::Session;
use crate::directus::protocol::Change;
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::Plan;
use crate::reconcile::{Bootstrap, Schema, Standing};
use crate::reconcile::{Expectation, LineageRow, Position, Verdict, changes, check_destructive, lineage};
use crate::witness::{Catalog, Link};
use contract::ExitCode;

/// What a look at the schema gave.
#[derive(Default)]
struct Look {
    /// `in-place`, `older`, `skipped`, `installs` or `compared`.
    state: &'static str,
    /// Lines for people.
    lines: Vec<String>,
    /// What would change.
    changes: Vec<Change>,
    /// What would be lost, with row counts.
    losses: Vec<String>,
    /// Names the plan in `SCHEMA_ALLOW_DESTRUCTIVE`; none: nothing would be lost, or it is allowed.
    refused: Option<String>,
    /// Whether the schema was edited since its last boot.
    drift: bool,
}

/// The document, the text, and the verdict.
///
/// # Errors
/// See [`super::report`].
pub(super) async fn make(
    prepared: &Prepared,
    session: &Session,
    log: &Log,
) -> Result<(Value, String, ExitCode), BootError> {
    let files = prepared.migrations.files()?;
    let standing = Standing::read(&session.client, files).await?;
    let work = standing.work(prepared, files).map_err(|refusal| refusal.told(log))?;
    let nothing_else = work.db_init.apply.is_empty() && work.post_schema.apply.is_empty() && work.bootstrap.is_empty();
    let look = look(prepared, session, &standing, &work.bootstrap, &work.schema, log).await?;

    let (verdict, exit) = if look.refused.is_some() {
        ("refused", ExitCode::SchemaRefused)
    } else if !look.changes.is_empty() && look.drift && nothing_else {
        ("drift", ExitCode::Drift)
    } else if !look.changes.is_empty() || !nothing_else {
        ("changes", ExitCode::ChangesPending)
    } else {
        ("nothing", ExitCode::Ok)
    };
    let (image, database) = heading(prepared, session);
    let document = json!({
        "verdict": verdict,
        "exit": exit.code(),
        "image": image,
        "database": database,
        "dbInit": listed(&work.db_init),
        "bootstrap": {
            "install": work.bootstrap.install,
            "migrations": work.bootstrap.migrations,
            "admin": work.bootstrap.admin,
        },
        "schema": {
            "state": look.state,
            "drift": look.drift,
            "changes": look.changes,
            "losses": look.losses,
            "digest": look.refused,
        },
        "postSchema": listed(&work.post_schema),
    });
    let closing = match exit {
        ExitCode::Ok => "a boot would change nothing".to_owned(),
        ExitCode::Drift => {
            "the schema was edited since its last boot: save the edits in the image's snapshot, or boot to undo them"
                .to_owned()
        }
        ExitCode::SchemaRefused => format!(
            "a boot would refuse: save a newer snapshot, or allow this plan once with SCHEMA_ALLOW_DESTRUCTIVE={}",
            look.refused.as_deref().unwrap_or_default(),
        ),
        _ => "a boot would change this database".to_owned(),
    };
    let text = [
        paragraph("db-init", &lines_of(&work.db_init)),
        paragraph("bootstrap", &[bootstrap_line(&work.bootstrap)]),
        paragraph("schema", &look.lines),
        paragraph("post-schema", &lines_of(&work.post_schema)),
        format!("{closing} (exit {})", exit.code()),
    ]
    .concat();
    Ok((document, text, exit))
}

fn listed(plan: &Plan<'_>) -> Value {
    let apply: Vec<&str> = plan.apply.iter().map(|file| file.filename.as_str()).collect();
    json!({ "apply": apply, "skipped": plan.skipped, "newer": plan.newer })
}

fn lines_of(plan: &Plan<'_>) -> Vec<String> {
    let mut lines = vec![format!("{} to apply, {} applied", plan.apply.len(), plan.skipped)];
    lines.extend(plan.apply.iter().map(|file| format!("+ {}", file.filename)));
    lines.extend(plan.newer.iter().map(|name| format!("  {name} is not in this image, which is older")));
    lines
}

fn bootstrap_line(work: &Bootstrap) -> String {
    let mut parts = Vec::new();
    if work.install {
        parts.push("install Directus".to_owned());
    } else if !work.migrations.is_empty() {
        parts.push(format!("run Directus' migrations {}", work.migrations.join(", ")));
    }
    if work.admin {
        parts.push("make the administrator".to_owned());
    }
    if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") }
}

async fn look(
    prepared: &Prepared,
    session: &Session,
    standing: &Standing,
    bootstrap: &Bootstrap,
    schema: &Schema,
    log: &Log,
) -> Result<Look, BootError> {
    let quiet = |state: &'static str, line: String| Look { state, lines: vec![line], ..Look::default() };
    match schema {
        Schema::InPlace { .. } => return Ok(quiet("in-place", "no changes".to_owned())),
        Schema::Skip => return Ok(quiet("skipped", "SCHEMA_APPLY_MODE=skip: nobody looks".to_owned())),
        Schema::Older(LineageRow { image, .. }) => {
            return Ok(quiet("older", format!("this image is older than {image}, which was here: nothing to apply")));
        }
        Schema::Compare => {}
    }
    let mut node = start_node(prepared, session, log, true).await?;
    if bootstrap.install {
        let snapshot = &node.snapshot;
        let line = format!(
            "+ all of the snapshot: {} collections, {} fields, {} relations",
            snapshot.tables.len() + snapshot.folders.len(),
            snapshot.columns.len() + snapshot.aliases.len(),
            snapshot.relations.len(),
        );
        return Ok(quiet("installs", line));
    }
    let plan = bounded(prepared, session, log, node.bridge.plan()).await?.map_err(BootError::Schema)?;
    node.bridge.finish().await;
    let catalog = Catalog::read(&mut Link::Session(&session.client)).await?;
    let schema: String = session.client.query_one("select coalesce(current_schema(), 'public')", &[]).await?.get(0);
    let expectation = Expectation::new(&plan.changes, &catalog, &schema);
    let verdict = check_destructive(&plan.changes, &expectation, prepared.config.allow_destructive.as_deref());
    let (losses, refused) = match &verdict {
        Verdict::Refused { losses, digest } => (losses.as_slice(), Some(digest.clone())),
        Verdict::Allowed(losses) => (losses.as_slice(), None),
        Verdict::Harmless | Verdict::Empty => (&[][..], None),
    };
    let losses = weighed_words(session, losses).await?;
    let mut lines = vec![match changes::summary(&plan.changes).as_str() {
        "" => "no changes".to_owned(),
        summary => format!("{summary} to change"),
    }];
    lines.extend(changes::sentences(&plan.changes));
    lines.extend(losses.iter().map(|loss| format!("! {loss}")));
    for warning in &plan.warnings {
        log.warn(warning);
    }
    let newest = lineage::position(&standing.lineage, &prepared.snapshot.digest);
    Ok(Look {
        state: "compared",
        drift: matches!(newest, Position::Newest(_)) && !plan.changes.is_empty(),
        lines,
        changes: plan.changes,
        losses,
        refused,
    })
}
