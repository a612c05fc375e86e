//! Compares a database with the image and plans the remaining work, without changing anything.
//!
//! [`standing`] reads the state of a database and plans a boot's work; [`lineage`] detects that a newer snapshot was
//! applied; [`destructive`] judges Directus' plan, and [`changes`] describes it.

pub mod changes;
pub mod destructive;
pub mod lineage;
pub mod standing;

pub use destructive::{DataLoss, Expectation, Verdict, check_destructive, digest_with_witnessed};
pub use lineage::{LineageRow, Position};
pub use standing::{Bootstrap, Current, Refusal, Schema, Standing, Work, is_current};
