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
#[cfg(feature = "boot")]
pub mod catalog;
#[cfg(feature = "boot")]
pub mod compare;
#[cfg(feature = "boot")]
pub mod link;
pub mod loss;
#[cfg(feature = "boot")]
pub mod measure;
#[cfg(feature = "boot")]
mod moment;
pub mod name;
#[cfg(feature = "boot")]
pub mod read;
#[cfg(feature = "boot")]
pub mod watch;

pub use announced::{Announced, Announcement, DirectusMigrations, OfFile, Permission};
#[cfg(feature = "boot")]
pub use catalog::Catalog;
#[cfg(feature = "boot")]
pub use compare::compare;
#[cfg(feature = "boot")]
pub use link::{Link, LinkError};
pub use loss::Loss;
#[cfg(feature = "boot")]
pub use measure::Measure;
pub use name::TableName;
#[cfg(feature = "boot")]
pub use watch::{LastCatalog, Outcome, Witness};
