//! `status`: what was done to this database, and whether anything is pending.

use serde_json::{Value, json};

use super::{heading, paragraph};
use crate::boot::Prepared;
use crate::database::{self, Session, state};
use crate::error::BootError;
use crate::reconcile::{Position, lineage};
use crate::reconcile::{Refusal, Schema, Standing, Work};
use contract::ExitCode;

/// The document, the text, and exit code 0.
///
/// # Errors
/// See [`super::report`].
pub(super) async fn make(prepared: &Prepared, session: &Session) -> Result<(Value, String, ExitCode), BootError> {
    let client = &session.client;
    let files = prepared.migrations.files()?;
    let standing = Standing::read(client, files).await?;
    let ledger = state::ledger_as_json(client).await?;
    let holder = database::holder(client).await?;
    let work = standing.work(prepared, files);

    let applied = standing.directus.as_deref().unwrap_or_default();
    let (pending, newer) = (prepared.directus.pending(applied), prepared.directus.newer(applied));
    let schema = schema(prepared, &standing, &work);
    let (to_apply, refusal) = match &work {
        Ok(Work { db_init, post_schema, .. }) => {
            let files = db_init.apply.iter().chain(&post_schema.apply);
            (files.map(|file| file.filename.clone()).collect::<Vec<_>>(), None)
        }
        Err(Refusal { phase, error }) => (Vec::new(), Some(format!("{phase}: {error}"))),
    };
    let snapshots: Vec<Value> = standing
        .lineage
        .iter()
        .map(|row| {
            json!({
                "digest": row.digest,
                "directus": row.directus,
                "appliedAt": row.applied_at,
                "image": row.image,
            })
        })
        .collect();
    let (image, database) = heading(prepared, session);
    let document = json!({
        "image": image,
        "database": database,
        "directus": { "installed": standing.directus.is_some(), "pending": pending, "newer": newer },
        "administrator": standing.administrator,
        "migrations": ledger,
        "pending": to_apply,
        "snapshots": snapshots,
        "schema": schema,
        "fingerprint": standing.fingerprint,
        "lock": holder.as_ref().map(|holder| json!({
            "pid": holder.pid, "application": holder.application, "seconds": holder.seconds,
        })),
        "refusal": refusal,
    });

    let mut migrations = vec![format!("{} applied, {} pending", rows(&ledger).len(), to_apply.len())];
    migrations.extend(rows(&ledger).iter().map(|row| {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        format!("  {} {} ({}, by {})", text("phase"), text("filename"), text("applied_at"), text("image"))
    }));
    migrations.extend(to_apply.iter().map(|name| format!("+ {name}")));
    let mut lineage = vec![format!("{schema}; {} applied so far", standing.lineage.len())];
    lineage.extend(standing.lineage.iter().map(|row| {
        format!("  {} by Directus {} ({} UTC, by {})", row.short_digest(), row.directus, row.applied_at, row.image)
    }));
    let directus = match (&standing.directus, pending.len()) {
        (None, _) => "not installed".to_owned(),
        (Some(_), 0) => "installed, all of its migrations are in".to_owned(),
        (Some(_), pending) => format!("installed, {pending} of its migrations are pending"),
    };
    let administrator = match standing.administrator {
        Some(true) => "there is one",
        Some(false) => "there is none",
        None => "not known",
    };
    let lock = holder.map_or_else(|| "free".to_owned(), |holder| format!("held by {holder}"));
    let mut text = [
        paragraph(
            "database",
            &[format!("PostgreSQL {} at {}", session.server_version, prepared.config.database.target)],
        ),
        paragraph("directus", &[directus]),
        paragraph("admin", &[administrator.to_owned()]),
        paragraph("migrations", &migrations),
        paragraph("snapshots", &lineage),
        paragraph("lock", &[lock]),
    ]
    .concat();
    if let Some(refusal) = refusal {
        text.push_str(&paragraph("refusal", &[refusal]));
    }
    Ok((document, text.trim_end().to_owned(), ExitCode::Ok))
}

fn rows(ledger: &Value) -> &[Value] {
    ledger.as_array().map_or(&[], Vec::as_slice)
}

/// Where the image's snapshot stands.
fn schema(prepared: &Prepared, standing: &Standing, work: &Result<Work<'_>, Refusal>) -> &'static str {
    match (work.as_ref().map(|work| &work.schema), lineage::position(&standing.lineage, &prepared.snapshot.digest)) {
        (Ok(Schema::InPlace { .. }), _) => "in place",
        (_, Position::Newest(_)) => "applied, and edited since",
        (_, Position::Older(_)) => "this image's is older than the newest",
        (_, Position::New) => "this image's is new",
    }
}
