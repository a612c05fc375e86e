//! `compat`: whether this image may start while servers of another image run.
//!
//! The answer comes from the ledger, the catalog and Directus' plan of the live database. It holds for an image that is
//! newer than the database, and for an older one that an operator starts again.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tokio_postgres::Client;

use super::plan::SchemaReport;
use super::{Heading, write_paragraph};
use crate::boot::DesiredState;
use crate::database::{self, ImageServers, Session};
use crate::directus::protocol::{Change, Difference, DifferenceKind, Entity};
use crate::error::BootError;
use crate::log::Log;
use crate::migrations::MigrationFile;
use crate::migrations::effects::{EffectKind, effects};
use crate::reconcile::destructive::narrows;
use crate::reconcile::{BootPlan, ObservedState, Schema, changes, waiting};
use contract::ExitCode;

/// The number of rows from which a table counts as large: a lock that lasts while all its rows are read or written is then
/// noticed by its users.
const LARGE: i64 = 100_000;

/// The answer, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompatVerdict {
    /// Old and new servers can run side by side.
    Roll,
    /// The servers of other images must be stopped before this image boots.
    StopFirst,
    /// A boot of this image would be refused, or its servers would fail.
    Refused,
}

impl CompatVerdict {
    /// The exit code of `compat`.
    #[must_use]
    pub fn exit(self) -> ExitCode {
        match self {
            CompatVerdict::Roll => ExitCode::Ok,
            CompatVerdict::StopFirst => ExitCode::STOP_FIRST,
            CompatVerdict::Refused => ExitCode::SchemaRefused,
        }
    }
}

/// One piece of work, and what it means for servers that run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CompatItem {
    /// The answer for this piece alone.
    pub verdict: CompatVerdict,
    /// The file or change.
    pub work: String,
    /// The reason, without a full stop.
    pub reason: String,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct CompatReport {
    /// The worst verdict of the items.
    pub verdict: CompatVerdict,
    /// The exit code of the verdict.
    pub exit: u8,
    /// Image and database.
    #[serde(flatten)]
    pub heading: Heading,
    /// The servers that run, by image.
    pub servers: Vec<ImageServers>,
    /// The work of a boot, in its order.
    pub items: Vec<CompatItem>,
    /// The work that waits until no server of another image runs.
    pub waiting: Vec<String>,
}

impl CompatReport {
    /// Judges the image for the database.
    ///
    /// # Errors
    /// See [`super::report`].
    pub(super) async fn make(desired: &DesiredState, session: &Session, log: &Log) -> Result<CompatReport, BootError> {
        let client = &session.client;
        let files = desired.migrations.files()?;
        let observed = ObservedState::read(client, &desired.migrations, files).await?;
        let mut judge = CompatJudge { items: Vec::new(), waiting: Vec::new(), rows: table_sizes(client).await? };
        match observed.plan(desired, files) {
            Err(refusal) => judge.add(CompatVerdict::Refused, refusal.phase, refusal.error),
            Ok(boot_plan) if boot_plan.bootstrap.install => {
                judge.add(
                    CompatVerdict::Roll,
                    "installation",
                    "the database is empty, and nothing can serve from it yet",
                );
            }
            Ok(boot_plan) => {
                judge.files(&boot_plan);
                if let Schema::Compare | Schema::Older(_) = boot_plan.schema {
                    let schema = SchemaReport::compared(desired, session, &observed, log).await?;
                    if let Schema::Older(_) = boot_plan.schema {
                        judge.older_image(&schema.changes);
                    } else {
                        judge.schema(&schema);
                    }
                }
            }
        }
        let verdict = judge.items.iter().map(|item| item.verdict).max().unwrap_or(CompatVerdict::Roll);
        Ok(CompatReport {
            verdict,
            exit: verdict.exit().code(),
            heading: Heading::new(desired, session),
            servers: database::servers(client).await?,
            items: judge.items,
            waiting: judge.waiting,
        })
    }
}

/// Collects the items.
struct CompatJudge {
    items: Vec<CompatItem>,
    waiting: Vec<String>,
    /// The estimated number of rows of each table, by its name.
    rows: BTreeMap<String, i64>,
}

impl CompatJudge {
    fn add(&mut self, verdict: CompatVerdict, work: impl fmt::Display, reason: impl fmt::Display) {
        self.items.push(CompatItem { verdict, work: work.to_string(), reason: reason.to_string() });
    }

    fn large(&self, table: &str) -> Option<i64> {
        self.rows.get(table).copied().filter(|rows| *rows >= LARGE)
    }

    /// The SQL files, and Directus' migrations between them.
    fn files(&mut self, boot_plan: &BootPlan<'_>) {
        for (work, reason) in boot_plan.cannot_wait() {
            self.add(CompatVerdict::StopFirst, work, reason);
        }
        let post_schema = &boot_plan.post_schema.apply;
        let (now, later) = waiting::files(post_schema).unwrap_or((post_schema, &[]));
        for file in boot_plan.db_init.apply.iter().chain(now) {
            self.file(file);
        }
        self.waiting.extend(waiting::in_words(later));
    }

    fn file(&mut self, file: &MigrationFile) {
        let before = self.items.len();
        for effect in effects(&file.sql) {
            // No server uses a table that the file itself creates.
            if !self.rows.contains_key(&effect.table) {
                continue;
            }
            let reason = effect.words;
            match (effect.kind, self.large(&effect.table)) {
                (EffectKind::Breaks, _) if !file.is_contract() => {
                    let reason = format!("{reason}: give it the directive `-- breaks-older-images`, in post-schema");
                    self.add(CompatVerdict::StopFirst, &file.filename, reason);
                }
                (EffectKind::Locks, Some(rows)) => {
                    let reason = format!("{reason}, about {rows} rows, under a lock");
                    self.add(CompatVerdict::StopFirst, &file.filename, reason);
                }
                _ => {}
            }
        }
        if self.items.len() == before && !file.is_contract() {
            self.add(CompatVerdict::Roll, &file.filename, "only adds, as far as its words show; the boot compares");
        }
    }

    /// Directus' plan of a newer image.
    fn schema(&mut self, schema: &SchemaReport) {
        if let Some(digest) = &schema.digest {
            let reason = format!("is not allowed: SCHEMA_ALLOW_DESTRUCTIVE={digest} allows it");
            for loss in &schema.losses {
                self.add(CompatVerdict::Refused, loss, &reason);
            }
            return;
        }
        let all = &schema.changes;
        let waiting = match &schema.waiting {
            Ok(waiting) => waiting.as_slice(),
            Err(change) => {
                let reason = "adds, and needs a change that would have to wait";
                self.add(CompatVerdict::StopFirst, change.name(), reason);
                &[]
            }
        };
        for (change, words) in all.iter().zip(changes::sentences(all)) {
            if waiting.contains(change) {
                self.waiting.push(words);
                continue;
            }
            match self.objection(change, all) {
                Some(reason) => self.add(CompatVerdict::StopFirst, words, reason),
                None => self.add(CompatVerdict::Roll, words, "only adds, or changes what the app shows"),
            }
        }
    }

    /// The reason why servers of the older image would fail or wait after a change that does not wait.
    fn objection(&self, change: &Change, all: &[Change]) -> Option<String> {
        let table = change.collection.as_str();
        // No server uses a table that the plan creates.
        let is_new = all.iter().any(|other| {
            other.entity == Entity::Collection && other.collection == table && other.is_whole(DifferenceKind::New)
        });
        if is_new {
            return None;
        }
        let column = change.diff.iter().find(|part| part.path.is_empty()).map(|part| &part.rhs);
        let has = |name: &str| {
            column.is_some_and(|column| column[name] == true)
                || change.diff.iter().any(|edit| edit.dotted() == format!("schema.{name}") && edit.rhs == true)
        };
        let is_required = column.is_some_and(|column| {
            column["is_nullable"] == false && column["default_value"].is_null() && column["has_auto_increment"] != true
        });
        if is_required {
            return Some("demands a value that servers of the older image do not give".to_owned());
        }
        let work = match change.entity {
            Entity::Relation if change.is_whole(DifferenceKind::New) => "builds a foreign key",
            _ if has("is_unique") || has("is_indexed") || has("is_primary_key") => "builds an index",
            _ => return None,
        };
        let rows = self.large(table)?;
        Some(format!("{work} on {table}, about {rows} rows, under a lock"))
    }

    /// Directus' plan of an older image, which a boot would not apply: what that image names must still be there.
    fn older_image(&mut self, all: &[Change]) {
        for (change, words) in all.iter().zip(changes::sentences(all)) {
            let reason = if change.is_whole(DifferenceKind::New) {
                "is gone, and this image reads it"
            } else if change.diff.iter().any(is_narrower) {
                "is narrower than this image expects"
            } else {
                continue;
            };
            self.add(CompatVerdict::Refused, words.trim_start_matches(['+', '~', ' ']), reason);
        }
        if self.items.is_empty() {
            self.add(
                CompatVerdict::Roll,
                "older image",
                "a boot applies nothing, and all that this image reads is there",
            );
        }
    }
}

/// Returns true if the database is narrower than the snapshot.
fn is_narrower(edit: &Difference) -> bool {
    narrows(&Difference { lhs: edit.rhs.clone(), rhs: edit.lhs.clone(), ..edit.clone() })
}

/// The estimated number of rows of each table and view that is not PostgreSQL's or the boot's own; partitions and chunks
/// count for their parent.
async fn table_sizes(client: &Client) -> Result<BTreeMap<String, i64>, tokio_postgres::Error> {
    let rows = client
        .query(
            "with recursive tree (root, oid) as (
                 select oid, oid from pg_catalog.pg_class
                 where relkind in ('r', 'p', 'v', 'm') and not relispartition
                   and relnamespace not in (select oid from pg_catalog.pg_namespace
                       where nspname in ('pg_catalog', 'information_schema', 'pg_toast', 'boot', 'attic'))
                 union all select root, inhrelid from tree join pg_catalog.pg_inherits on inhparent = tree.oid)
             select c.relname::text, max(size) from (
                 select root, sum(greatest(reltuples, 0))::bigint as size
                 from tree join pg_catalog.pg_class part on part.oid = tree.oid group by root) sizes
             join pg_catalog.pg_class c on c.oid = root group by 1",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

impl fmt::Display for CompatReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers: Vec<String> = self.servers.iter().map(ToString::to_string).collect();
        let none = ["none seen".to_owned()];
        write_paragraph(f, "servers", if servers.is_empty() { &none } else { &servers })?;
        for (verdict, name) in [
            (CompatVerdict::Roll, "roll"),
            (CompatVerdict::StopFirst, "stop first"),
            (CompatVerdict::Refused, "refused"),
        ] {
            let items = self.items.iter().filter(|item| item.verdict == verdict);
            write_paragraph(f, name, &items.map(|item| format!("{}: {}", item.work, item.reason)).collect::<Vec<_>>())?;
        }
        write_paragraph(f, "waits", &self.waiting)?;
        f.write_str(match self.verdict {
            CompatVerdict::Roll if self.waiting.is_empty() => "this image may start while servers of other images run",
            CompatVerdict::Roll => {
                "this image may start while servers of other images run; when they have ended, `contract` does what waits"
            }
            CompatVerdict::StopFirst => "stop the servers of other images before this image boots",
            CompatVerdict::Refused => "do not start this image on this database",
        })?;
        write!(f, " (exit {})", self.exit)
    }
}
