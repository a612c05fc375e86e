//! Compares a database with the image and plans the remaining work, without changing anything.
//!
//! [`observed`] reads the state of a database and plans a boot's work; [`snapshot_history`] detects that a newer
//! snapshot was applied; [`owned`] compares the objects of the SQL files, [`roles`] the privileges of the server's role;
//! [`destructive`] judges Directus' plan, [`changes`] describes it, and [`waiting`] leaves parts of it to a later boot.

pub mod changes;
pub mod destructive;
pub mod observed;
pub mod owned;
pub mod roles;
pub mod snapshot_history;
pub mod waiting;

pub use destructive::{DataLoss, Expectation, Verdict, check_destructive, digest_with_witnessed};
pub use observed::{BootPlan, Bootstrap, ObservedState, Refusal, Schema, UpToDate, is_up_to_date};
pub use owned::{OwnedDrift, OwnedObjects, OwnedRecord};
pub use roles::{RoleFinding, RoleFindings, RolesReport};
pub use snapshot_history::{HistoryEntry, HistoryPosition};
pub use waiting::Waiting;
