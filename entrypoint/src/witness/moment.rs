//! Detects changes by other transactions between two readings of the catalog.

use super::link::{Link, LinkError};

/// The time of a reading, in transaction numbers. PostgreSQL assigns one to each transaction that changes something.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    /// The number of the next transaction; `None` if another transaction is open.
    next: Option<u64>,
    /// The number of the reading transaction; `None` if it has changed nothing yet.
    transaction: Option<u64>,
}

impl Moment {
    /// Reads the moment, before the transaction's work.
    pub(super) async fn read(link: &mut Link<'_>) -> Result<Moment, LinkError> {
        let snapshot = link.text("select pg_catalog.pg_current_snapshot()::text").await?;
        Ok(Moment { next: next_transaction(&snapshot), transaction: None })
    }

    /// Records the number of the reading transaction; `None` if it has changed nothing.
    pub(super) fn belongs_to(&mut self, number: Option<&str>) {
        self.transaction = number.and_then(|number| number.parse().ok());
    }

    /// Returns true if nothing has changed since `earlier`, except by the transaction that read it.
    pub(super) fn follows(self, earlier: &Moment) -> bool {
        let own = earlier.transaction.map(|own| (Some(own), Some(own + 1)));
        self.next.is_some() && (self.next == earlier.next || own == Some((earlier.next, self.next)))
    }
}

/// The next number in a snapshot like `746:746:`, which lists the oldest open transaction, the next one, and the open
/// ones in between; `None` if a transaction is open.
fn next_transaction(snapshot: &str) -> Option<u64> {
    let (oldest, rest) = snapshot.split_once(':')?;
    let (next, open) = rest.split_once(':')?;
    (oldest == next && open.is_empty()).then(|| next.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(next: Option<u64>, transaction: Option<u64>) -> Moment {
        Moment { next, transaction }
    }

    #[test]
    fn only_the_reading_transaction_may_come_between_two_moments() {
        let earlier = moment(Some(10), Some(10));
        assert!(moment(Some(11), None).follows(&earlier));
        // Another transaction came in between, was open then, or is open now.
        assert!(!moment(Some(12), None).follows(&earlier));
        assert!(!moment(Some(11), None).follows(&moment(None, Some(10))));
        assert!(!moment(None, None).follows(&earlier));
        // The number 10 belonged to another transaction.
        assert!(!moment(Some(11), None).follows(&moment(Some(10), None)));
        assert!(moment(Some(10), None).follows(&moment(Some(10), None)));
    }

    #[test]
    fn snapshot_with_open_transactions_has_no_next_number() {
        assert_eq!(next_transaction("746:746:"), Some(746));
        assert_eq!(next_transaction("746:748:746"), None);
        assert_eq!(next_transaction("746:748:"), None);
    }
}
