//! Phase 6: Directus brings the schema to the snapshot, in one observed transaction.
//!
//! Inside the transaction, before COMMIT: the plan is judged, the data that it will destroy is moved into the attic,
//! Directus applies the plan, a second plan must be empty, everything in the snapshot must exist, and the witness
//! compares. So every exit code other than 0 leaves the database as it was.

use super::locked::{Boot, with_amounts};
use super::node::Node;
use crate::attic::{self, Stash};
use crate::config::SchemaMode;
use crate::database::{Session, state};
use crate::directus::protocol::{Change, SchemaPlan};
use crate::directus::{Bridge, BridgeError, Snapshot, fingerprint, installation};
use crate::error::BootError;
use crate::listing::Listing;
use crate::reconcile::Schema;
use crate::reconcile::{DataLoss, Expectation, Verdict, changes, check_destructive, digest_with_witnessed, waiting};
use crate::witness::measure::{count_affected_rows, data_first};
use crate::witness::watch::{MAX_ATTEMPTS, add_suspicions};
use crate::witness::{Link, Loss, Outcome, Witness};
use contract::Phase;

/// The limit of rounds of applying a plan and planning again; Directus needs a second round for some fields (directus
/// 20439).
const MAX_ROUNDS: usize = 5;

/// The result of phase 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaOutcome {
    /// The database matches the snapshot.
    InSync {
        /// The schema's fingerprint.
        fingerprint: String,
    },
    /// The database matches the snapshot except for these changes, which wait for the end of servers of other images.
    Expanded {
        /// Each change in words.
        waiting: Vec<String>,
    },
    /// Nothing was applied, for a reason that the log contains.
    NotApplied,
}

/// Findings of earlier attempts.
#[derive(Default)]
struct Doubts {
    /// Possible losses, to be measured.
    suspicions: Vec<Loss>,
    /// Unannounced losses that the operator's digest allows, to be kept in the attic.
    witnessed: Vec<Loss>,
}

/// The result of one attempt at the transaction.
enum ApplyAttempt {
    /// Committed, or there was nothing to do.
    InSync { plan: SchemaPlan, waiting: Vec<Change>, warnings: Vec<String>, destroyed: Vec<String> },
    /// `SCHEMA_APPLY_MODE=plan`: rolled back before anything was applied.
    Planned(SchemaPlan),
    /// Rolled back before anything was applied: the plan is destructive.
    Refused { losses: Vec<DataLoss>, digest: String },
    /// Rolled back: Directus did not do what it reported.
    Diverged(String),
    /// Rolled back, to measure these first.
    Suspected(Vec<Loss>),
    /// Rolled back, to keep these unannounced losses in the attic; the operator's digest allows them.
    Witnessed(Vec<Loss>),
    /// Rolled back because of these unannounced losses, which this digest would allow.
    Lost { losses: Vec<(Loss, Option<u64>)>, digest: String },
}

impl Boot<'_> {
    /// Phase 6.
    pub(super) async fn schema(
        self,
        session: &Session,
        work: &Schema,
        node: &mut Option<Node>,
    ) -> Result<SchemaOutcome, BootError> {
        let Boot { desired, log, .. } = self;
        log.begin(Phase::Schema);
        match work {
            Schema::Skip => {
                log.warn("SCHEMA_APPLY_MODE=skip: the database is not compared with the snapshot");
                log.done("skipped");
                Ok(SchemaOutcome::NotApplied)
            }
            Schema::Older(newest) => {
                log.warn(format!(
                    "this image is older than the database, which {} brought to snapshot {} on {} UTC",
                    newest.image,
                    newest.short_digest(),
                    newest.applied_at,
                ));
                log.done("older image, nothing applied");
                Ok(SchemaOutcome::NotApplied)
            }
            // The SQL files of phase 4 may have changed the schema.
            Schema::InPlace { stamp } => {
                let fingerprint = fingerprint(&session.client).await?;
                if desired.stamp(&fingerprint) == *stamp {
                    log.done("no changes");
                    Ok(SchemaOutcome::InSync { fingerprint })
                } else {
                    self.compare_and_apply(session, node).await
                }
            }
            Schema::Compare => self.compare_and_apply(session, node).await,
        }
    }

    async fn compare_and_apply(self, session: &Session, node: &mut Option<Node>) -> Result<SchemaOutcome, BootError> {
        let Boot { desired, log, .. } = self;
        let Node { bridge, snapshot } = self.ensure_node(session, node).await?;
        let mut doubts = Doubts::default();
        let mut attempts = 0;
        let (mut plan, waiting, warnings, destroyed) = loop {
            attempts += 1;
            let attempt = self.with_lock_retry("the schema", bridge, BootError::Schema, async |bridge| {
                self.attempt_apply(bridge, snapshot, &doubts).await
            });
            match self.bounded(session, attempt).await?? {
                ApplyAttempt::InSync { plan, waiting, warnings, destroyed } => {
                    break (plan, waiting, warnings, destroyed);
                }
                ApplyAttempt::Planned(plan) => {
                    for sentence in changes::sentences(&plan.changes) {
                        log.note(sentence);
                    }
                    log.warn("SCHEMA_APPLY_MODE=plan: nothing was applied, the database differs from the snapshot");
                    log.done(format!("not applied: {}", changes::summary(&plan.changes)));
                    return Ok(SchemaOutcome::NotApplied);
                }
                ApplyAttempt::Refused { losses, digest } => {
                    let losses = with_affected_rows(session, &losses).await?;
                    return Err(BootError::Refused { losses: Listing::new(losses), digest });
                }
                ApplyAttempt::Diverged(reason) => return Err(BootError::Diverged(reason)),
                ApplyAttempt::Suspected(new) if attempts < MAX_ATTEMPTS => add_suspicions(&mut doubts.suspicions, new),
                ApplyAttempt::Witnessed(losses) if attempts < MAX_ATTEMPTS => doubts.witnessed = losses,
                ApplyAttempt::Suspected(new) | ApplyAttempt::Witnessed(new) => {
                    let losses: Vec<_> = new.into_iter().map(|loss| (loss, None)).collect();
                    return Err(BootError::DirectusDestroyed(with_amounts(session, &losses).await?));
                }
                ApplyAttempt::Lost { losses, digest } => {
                    let losses = with_amounts(session, &losses).await?;
                    return Err(BootError::Unannounced { losses, digest });
                }
            }
        };
        if plan.directus != snapshot.directus {
            log.warn(format!("the snapshot was saved by Directus {}, this is {}", snapshot.directus, plan.directus));
        }
        for warning in plan.warnings.iter().chain(&warnings).chain(&destroyed) {
            log.warn(warning);
        }
        let (client, file) = (&session.client, &desired.snapshot);
        state::record_snapshot(client, &file.digest, &plan.directus, &desired.config.image).await?;
        plan.changes.retain(|change| !waiting.contains(change));
        log.tally().schema_changes.set(plan.changes.len());
        let done = match changes::summary(&plan.changes).as_str() {
            "" => "no changes".to_owned(),
            summary => format!("applied {summary}"),
        };
        if waiting.is_empty() {
            log.done(done);
            return Ok(SchemaOutcome::InSync { fingerprint: fingerprint(client).await? });
        }
        log.done(format!("{done}; waiting: {}", changes::summary(&waiting)));
        Ok(SchemaOutcome::Expanded { waiting: changes::sentences(&waiting) })
    }

    /// The work of one transaction; commits only if the result is [`ApplyAttempt::InSync`].
    async fn attempt_apply(
        self,
        bridge: &mut Bridge,
        snapshot: &Snapshot,
        doubts: &Doubts,
    ) -> Result<ApplyAttempt, BootError> {
        let attempt = self.apply_in_transaction(bridge, snapshot, doubts).await?;
        match attempt {
            ApplyAttempt::InSync { plan, waiting, mut warnings, destroyed } => {
                self.lock.verify(&mut Link::Directus(bridge)).await?;
                warnings.extend(bridge.commit().await.map_err(BootError::Schema)?);
                Ok(ApplyAttempt::InSync { plan, waiting, warnings, destroyed })
            }
            other => {
                bridge.rollback().await.map_err(BootError::Schema)?;
                Ok(other)
            }
        }
    }

    async fn apply_in_transaction(
        self,
        bridge: &mut Bridge,
        snapshot: &Snapshot,
        doubts: &Doubts,
    ) -> Result<ApplyAttempt, BootError> {
        let config = &self.desired.config;
        let witness = Witness::begin(&mut Link::Directus(bridge), self.last, &doubts.suspicions).await?;
        let plan = bridge.plan().await.map_err(BootError::Schema)?;
        let schema = current_schema(bridge).await?;
        let expectation = Expectation::new(&plan.changes, witness.before(), &schema);
        let verdict = check_destructive(&plan.changes, &expectation, config.allow_destructive.as_deref());
        if config.schema_mode == SchemaMode::Plan && verdict != Verdict::Empty {
            return Ok(ApplyAttempt::Planned(plan));
        }
        let mut warnings = Vec::new();
        let mut data: Vec<&Loss> = doubts.witnessed.iter().collect();
        let mut waiting = Vec::new();
        match &verdict {
            Verdict::Refused { losses, digest } => {
                return Ok(ApplyAttempt::Refused { losses: losses.clone(), digest: digest.clone() });
            }
            Verdict::Allowed(_) if self.waits(&plan.changes, &expectation, &mut waiting) => {}
            Verdict::Allowed(losses) => {
                warnings
                    .extend(losses.iter().map(|loss| format!("allowed by SCHEMA_ALLOW_DESTRUCTIVE: {}", loss.words)));
                data.extend(losses.iter().filter_map(|loss| loss.data.as_ref()));
            }
            Verdict::Harmless | Verdict::Empty => {}
        }
        let stashes = Stash::of_plan(&mut Link::Directus(bridge), witness.before(), &data, &config.image).await?;
        // True of an empty plan, too.
        let rounds = if waiting.len() == plan.changes.len() {
            Rounds::default()
        } else {
            apply_until_empty(bridge, &plan.changes, &waiting).await.map_err(BootError::Schema)?
        };
        let mut link = Link::Directus(bridge);
        let now = plan.changes.iter().filter(|change| !waiting.contains(change));
        let all: Vec<Change> = now.chain(&rounds.later).cloned().collect();
        let expectation = Expectation::new(&all, witness.before(), &schema);
        let announced = match witness.end(&mut link, &expectation).await? {
            Outcome::Suspected(losses) => return Ok(ApplyAttempt::Suspected(losses)),
            Outcome::Lost { losses, announced } => {
                let witnessed: Vec<Loss> = losses.iter().map(|(loss, _)| loss.clone()).collect();
                let digest = digest_with_witnessed(&plan.changes, &expectation, &witnessed);
                if config.allow_destructive.as_deref() != Some(digest.as_str()) {
                    return Ok(ApplyAttempt::Lost { losses, digest });
                }
                if witnessed != doubts.witnessed {
                    return Ok(ApplyAttempt::Witnessed(witnessed));
                }
                announced.into_iter().chain(witnessed).collect()
            }
            Outcome::PartialProgress { announced, .. } => announced,
        };
        // Reported after the losses, which are more informative than differences.
        if !rounds.rest.is_empty() {
            let rest = changes::names(&rounds.rest).join(", ");
            return Ok(ApplyAttempt::Diverged(format!("a new plan still has {rest}")));
        }
        let missing = installation::missing_from(&mut link, snapshot).await?;
        if !missing.is_empty() {
            return Ok(ApplyAttempt::Diverged(format!("the database has no {}", missing.join(", no "))));
        }
        let mut destroyed = Vec::new();
        if !stashes.is_empty() {
            self.last.forget();
            destroyed = attic::reconcile_ledger(&mut link, stashes, &announced).await?;
            if let Some(reason) = attic::dangling(&mut link).await? {
                return Ok(ApplyAttempt::Diverged(reason));
            }
        }
        Ok(ApplyAttempt::InSync { plan, waiting, warnings, destroyed })
    }

    /// Returns true if the deletions of an allowed plan wait, and puts them into `waiting`.
    fn waits(self, all: &[Change], expectation: &Expectation<'_>, waiting: &mut Vec<Change>) -> bool {
        if self.others.is_empty() {
            return false;
        }
        match waiting::changes(all, expectation) {
            Ok(changes) => waiting.extend(changes.into_iter().cloned()),
            Err(change) => self.warn_of_breaking(&change.name(), "adds, and needs a change that would have to wait"),
        }
        !waiting.is_empty()
    }
}

/// The result of repeated rounds of applying and planning.
#[derive(Default)]
pub(super) struct Rounds {
    /// Changes of the plans after the first one, which were also applied.
    pub(super) later: Vec<Change>,
    /// Changes that remain after the last round.
    pub(super) rest: Vec<Change>,
}

/// Applies all but the waiting changes, until the next plan has no others, is the same as the one before it, or deletes
/// something.
pub(super) async fn apply_until_empty(
    bridge: &mut Bridge,
    first: &[Change],
    waiting: &[Change],
) -> Result<Rounds, BridgeError> {
    let indices = |plan: &[Change]| (0..plan.len()).filter(|index| waiting.contains(&plan[*index])).collect();
    let mut rounds = Rounds { later: Vec::new(), rest: first.to_vec() };
    let mut skip = indices(first);
    for _ in 0..MAX_ROUNDS {
        bridge.apply(skip).await?;
        let mut next = bridge.plan().await?.changes;
        skip = indices(&next);
        next.retain(|change| !waiting.contains(change));
        let is_stuck = next == rounds.rest;
        rounds.rest = next;
        let deletes = rounds.rest.iter().any(Change::is_deletion);
        if rounds.rest.is_empty() || is_stuck || deletes {
            break;
        }
        rounds.later.extend(rounds.rest.iter().cloned());
    }
    Ok(rounds)
}

/// The PostgreSQL schema in which Directus creates its tables.
pub(super) async fn current_schema(bridge: &mut Bridge) -> Result<String, BootError> {
    let rows = Link::Directus(bridge).rows("select current_schema()").await?;
    Ok(rows.into_iter().flatten().flatten().next().unwrap_or_else(|| "public".to_owned()))
}

/// Expected losses in words, each with its number of rows or values: `delete collection laps (12 rows)`. Those with data
/// come first.
pub(crate) async fn with_affected_rows(session: &Session, losses: &[DataLoss]) -> Result<Vec<String>, BootError> {
    let mut counted = Vec::with_capacity(losses.len());
    for DataLoss { words, data } in losses {
        let amount = match data {
            Some(loss) => count_affected_rows(&mut Link::Session(&session.client), loss).await?,
            None => None,
        };
        counted.push((words, amount));
    }
    Ok(data_first(counted).map(|(_, sentence)| sentence).collect())
}
