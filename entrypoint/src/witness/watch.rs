//! One attempt at a transaction's work under observation.

use std::cell::RefCell;

use super::announced::{Announced, Permission};
use super::catalog::Catalog;
use super::compare::compare;
use super::link::{Link, LinkError};
use super::loss::Loss;
use super::measure::Measure;
use super::name::TableName;

/// The limit of attempts at a transaction. Suspicions lead to another attempt, which can only raise new ones, and there
/// are few kinds of them.
pub const MAX_ATTEMPTS: usize = 4;

/// The catalog after the boot's last transaction, so that the next one reads only the changes since then.
#[derive(Debug, Default)]
pub struct LastCatalog(RefCell<Option<Catalog>>);

impl LastCatalog {
    /// Forgets the catalog, because the transaction continues after its observation.
    pub fn forget(&self) {
        self.0.take();
    }
}

/// The observation of one transaction, begun before its work.
#[derive(Debug)]
pub struct Witness<'a> {
    last: &'a LastCatalog,
    before: Catalog,
    measures: Vec<Measure>,
}

/// The result of an observation.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Only announced losses happened: commit.
    PartialProgress {
        /// Announced losses that happened.
        announced: Vec<Loss>,
        /// Rows that the work updated, by table.
        updated: Vec<(TableName, u64)>,
    },
    /// Possible losses: roll back, and try again with these measured.
    Suspected(Vec<Loss>),
    /// Unannounced losses: roll back.
    Lost {
        /// The unannounced losses, with the number of rows or values if it was measured.
        losses: Vec<(Loss, Option<u64>)>,
        /// Announced losses that happened.
        announced: Vec<Loss>,
    },
}

impl<'a> Witness<'a> {
    /// Reads the changes of the catalog since the boot's last transaction, and measures earlier suspicions. Call it
    /// right after BEGIN.
    ///
    /// # Errors
    /// Fails if a query does, or with 55P03 if another session has locked a table that has to be measured.
    pub async fn begin(
        link: &mut Link<'_>,
        last: &'a LastCatalog,
        suspicions: &[Loss],
    ) -> Result<Witness<'a>, LinkError> {
        require_statistics(link).await?;
        let before = match last.0.take() {
            Some(known) => known.before_work(link).await?,
            None => Catalog::read(link).await?,
        };
        let mut measures = Vec::with_capacity(suspicions.len());
        for (number, suspicion) in suspicions.iter().enumerate() {
            measures.push(Measure::take(link, &before, suspicion, number).await?);
        }
        Ok(Witness { last, before, measures })
    }

    /// The catalog before the work.
    #[must_use]
    pub fn before(&self) -> &Catalog {
        &self.before
    }

    /// Compares the catalog with the one before the work, in the same transaction, before COMMIT.
    ///
    /// # Errors
    /// Fails if a query does.
    pub async fn end(&self, link: &mut Link<'_>, announced: &(impl Announced + ?Sized)) -> Result<Outcome, LinkError> {
        // Deferred triggers would run at COMMIT, after this comparison: run them now.
        link.rows("set constraints all immediate").await?;
        let after = self.before.after_work(link).await?;
        let (mut expected, mut suspected, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for loss in compare(&self.before, &after) {
            match announced.permission(&loss) {
                Permission::Announced => expected.push(loss),
                Permission::Ignored => {}
                Permission::Refused => lost.push((loss, None)),
                Permission::Measured => match self.measure_of(&loss) {
                    None => suspected.push(loss),
                    Some(measure) => match measure.lost(link, &self.before, &after).await? {
                        0 => {}
                        number => lost.push((loss, Some(number))),
                    },
                },
            }
        }
        lost.dedup_by_key(|(loss, _)| loss.to_string());
        if lost.is_empty() && suspected.is_empty() {
            let updated = updated(&self.before, &after);
            self.last.0.replace(Some(after));
            return Ok(Outcome::PartialProgress { announced: expected, updated });
        }
        Ok(if suspected.is_empty() {
            Outcome::Lost { losses: lost, announced: expected }
        } else {
            Outcome::Suspected(suspected)
        })
    }

    fn measure_of(&self, loss: &Loss) -> Option<&Measure> {
        self.measures.iter().find(|measure| is_same_question(measure.loss(), loss))
    }
}

/// Adds the suspicions that `all` does not contain yet.
pub fn add_suspicions(all: &mut Vec<Loss>, new: Vec<Loss>) {
    for loss in new {
        if !all.iter().any(|known| is_same_question(known, &loss)) {
            all.push(loss);
        }
    }
}

/// Returns true if one measure answers both; they may differ in the number of deleted rows.
fn is_same_question(one: &Loss, other: &Loss) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other) && one.to_string() == other.to_string()
}

/// Switches row statistics on, without which deleted rows would go unnoticed. Only a superuser can switch them off.
async fn require_statistics(link: &mut Link<'_>) -> Result<(), LinkError> {
    if !has_statistics(link).await? {
        link.rows("set local track_counts = on").await?;
    }
    Ok(())
}

/// Returns true if PostgreSQL counts the rows of this session.
///
/// # Errors
/// Fails if a query does.
pub async fn has_statistics(link: &mut Link<'_>) -> Result<bool, LinkError> {
    Ok(link.number("select (current_setting('track_counts') = 'on')::int").await? == 1)
}

fn updated(before: &Catalog, after: &Catalog) -> Vec<(TableName, u64)> {
    let mut updated = Vec::new();
    for (oid, now) in &after.written {
        let earlier = before.written.get(oid).copied().unwrap_or_default();
        let number = now.updated.saturating_sub(earlier.updated);
        updated.extend(before.table_name(*oid).filter(|_| number > 0).map(|name| (name.clone(), number)));
    }
    updated
}
