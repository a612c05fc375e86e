//! Detects changes by other transactions between two readings of the catalog.

use super::link::{Link, LinkError};

/// The time of a reading, in numbers of transactions. PostgreSQL gives one to each that changes something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// The number that the next transaction gets; `None` if another one is open.
    next: Option<u64>,
    /// The number of the transaction that read; `None` if it has changed nothing yet.
    transaction: Option<u64>,
}

impl Moment {
    /// Reads it, before the transaction's work.
    pub(super) async fn read(link: &mut Link<'_>) -> Result<Moment, LinkError> {
        let snapshot = link.text("select pg_catalog.pg_current_snapshot()::text").await?;
        Ok(Moment { next: next_transaction(&snapshot), transaction: None })
    }

    /// Notes the number of the transaction that read; `None` if it has changed nothing.
    pub(super) fn belongs_to(&mut self, number: Option<&str>) {
        self.transaction = number.and_then(|number| number.parse().ok());
    }

    /// Returns true if no transaction has changed anything since the earlier one but that one itself.
    pub(super) fn follows(self, earlier: &Moment) -> bool {
        let own = earlier.transaction.map(|own| (Some(own), Some(own + 1)));
        self.next.is_some() && (self.next == earlier.next || own == Some((earlier.next, self.next)))
    }
}

/// The next number of a snapshot like `746:746:`, which names the oldest open transaction, the next one, and the open
/// ones between; `None` if there are any.
fn next_transaction(snapshot: &str) -> Option<u64> {
    let (oldest, rest) = snapshot.split_once(':')?;
    let (next, open) = rest.split_once(':')?;
    (oldest == next && open.is_empty()).then(|| next.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_transaction_may_lie_between_two_moments() {
        let moment = |next, transaction| Moment { next, transaction };
        let earlier = moment(Some(10), Some(10));
        assert!(moment(Some(11), None).follows(&earlier));
        // Another one came between, was open then, or is open now.
        assert!(!moment(Some(12), None).follows(&earlier));
        assert!(!moment(Some(11), None).follows(&moment(None, Some(10))));
        assert!(!moment(None, None).follows(&earlier));
        // The number 10 belonged to another one.
        assert!(!moment(Some(11), None).follows(&moment(Some(10), None)));
        assert!(moment(Some(10), None).follows(&moment(Some(10), None)));
    }

    #[test]
    fn a_snapshot_with_open_transactions_has_no_next_number() {
        assert_eq!(next_transaction("746:746:"), Some(746));
        assert_eq!(next_transaction("746:748:746"), None);
        assert_eq!(next_transaction("746:748:"), None);
    }
}
