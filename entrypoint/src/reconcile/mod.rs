//! Compares a database with the image and decides what is left to do, without effects.
//!
//! [`standing`] reads where a database stands and says what a boot has to do; [`lineage`] whether it has seen a newer
//! snapshot; [`destructive`] judges Directus' plan, and [`changes`] puts it into words.

pub mod changes;
pub mod destructive;
pub mod lineage;
pub mod standing;

pub use destructive::{DataLoss, Expectation, Verdict, check_destructive, digest_with_witnessed};
pub use lineage::{LineageRow, Position};
pub use standing::{Bootstrap, Current, Refusal, Schema, Standing, Work, is_current};
