//! One attempt at a transaction's work under observation.

use super::announced::{Announced, Permission};
use super::catalog::Catalog;
use super::compare::compare;
use super::link::{Link, LinkError};
use super::loss::{Loss, TableName, count};
use super::measure::Measure;

/// How often a suspicion may lead to another attempt; each attempt can only raise suspicions that the one before did
/// not, and there are few kinds of them.
pub const MAX_ATTEMPTS: usize = 4;

/// The observation of one transaction, begun before its work.
#[derive(Debug)]
pub struct Witness {
    before: Catalog,
    measures: Vec<Measure>,
}

/// The result of an observation.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was lost but what was announced: commit.
    Kept {
        /// The announced losses that happened.
        announced: Vec<Loss>,
        /// Rows that the work updated, by table.
        updated: Vec<(TableName, u64)>,
    },
    /// These may be losses: roll back, and try again with them measured.
    Suspected(Vec<Loss>),
    /// These were lost without announcement, with the rows or values where they were measured: roll back.
    Lost(Vec<(Loss, Option<u64>)>),
}

impl Witness {
    /// Reads the catalog, and measures earlier suspicions. To be called right after BEGIN.
    ///
    /// # Errors
    /// The connection's; 55P03 if a table that has to be measured is locked by another session.
    pub async fn begin(link: &mut Link<'_>, suspicions: &[Loss]) -> Result<Witness, LinkError> {
        require_statistics(link).await?;
        let before = Catalog::read(link).await?;
        let mut measures = Vec::with_capacity(suspicions.len());
        for (number, suspicion) in suspicions.iter().enumerate() {
            measures.push(Measure::take(link, &before, suspicion, number).await?);
        }
        Ok(Witness { before, measures })
    }

    /// The catalog before the work.
    #[must_use]
    pub fn before(&self) -> &Catalog {
        &self.before
    }

    /// Compares, in the same transaction, before COMMIT.
    ///
    /// # Errors
    /// The connection's.
    pub async fn end(&self, link: &mut Link<'_>, announced: &(impl Announced + ?Sized)) -> Result<Outcome, LinkError> {
        let after = Catalog::read(link).await?;
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
        Ok(match (suspected.is_empty(), lost.is_empty()) {
            (false, _) => Outcome::Suspected(suspected),
            (true, false) => Outcome::Lost(lost),
            (true, true) => Outcome::Kept { announced: expected, updated: updated(&self.before, &after) },
        })
    }

    /// Deleted rows and a rewritten table are the same question.
    fn measure_of(&self, loss: &Loss) -> Option<&Measure> {
        let subject = loss.to_string();
        self.measures.iter().find(|measure| measure.loss().to_string() == subject)
    }
}

/// Adds suspicions that are not there yet.
pub fn add_suspicions(all: &mut Vec<Loss>, new: Vec<Loss>) {
    for loss in new {
        if !all.iter().any(|known| known.to_string() == loss.to_string()) {
            all.push(loss);
        }
    }
}

/// A loss with its amount, for messages: `table laps (12 rows)`.
#[must_use]
pub fn with_amount(loss: &Loss, amount: Option<u64>) -> String {
    amount.map_or_else(|| loss.to_string(), |number| format!("{loss} ({})", count(number, loss.unit())))
}

/// Without row statistics, deleted rows would go unnoticed. Only a superuser can switch them off.
async fn require_statistics(link: &mut Link<'_>) -> Result<(), LinkError> {
    let on = "select (current_setting('track_counts') = 'on')::int";
    if link.number(on).await? == 0 {
        link.rows("set local track_counts = on").await?;
    }
    Ok(())
}

fn updated(before: &Catalog, after: &Catalog) -> Vec<(TableName, u64)> {
    let rows = |(oid, relation): (&u32, &super::catalog::Relation)| {
        let number = after.relations.get(oid)?.updated.saturating_sub(relation.updated);
        (number > 0).then(|| (relation.name.clone(), number))
    };
    before.relations.iter().filter_map(rows).collect()
}
