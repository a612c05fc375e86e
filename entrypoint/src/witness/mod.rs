//! The witness: compares the database before and after a transaction's work, inside that transaction, before COMMIT.
//!
//! A boot does not rely on a prediction of what a SQL file or Directus will do. Each transaction that may touch more
//! than the boot's own tables runs in this order: read the [`Catalog`], work, read it again, [`mod@compare`]. A loss
//! that was not [`Announced`] rolls the transaction back.
//!
//! Some differences may or may not be a loss: a rewritten table can be a TRUNCATE or a new column, and deleted rows can
//! belong to a savepoint that was rolled back. A second attempt settles such a suspicion: it [`mod@measure`]s the data
//! in question before and after the work.

pub mod announced;
pub mod catalog;
pub mod compare;
pub mod link;
pub mod loss;
pub mod measure;
mod moment;
pub mod name;
pub mod read;
pub mod watch;

pub use announced::{Announced, Announcement, DirectusMigrations, Permission};
pub use catalog::Catalog;
pub use compare::compare;
pub use link::{Link, LinkError};
pub use loss::Loss;
pub use measure::Measure;
pub use name::TableName;
pub use watch::{LastCatalog, Outcome, Witness};
