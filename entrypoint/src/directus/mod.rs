//! Phases 5 and 6: Directus does, the boot decides.
//!
//! One Node process, the [`bridge`], runs Directus' own code and speaks JSON lines ([`protocol`]) with us. What it
//! reports as done is checked in the database itself ([`inventory`]): Directus' own commands have been seen to fail and
//! exit 0.

pub mod bridge;
pub mod fingerprint;
pub mod inventory;
pub mod protocol;
pub mod release;
pub mod snapshot;

pub use bridge::{Bridge, BridgeError};
pub use fingerprint::fingerprint;
pub use protocol::Admin;
pub use release::{NoDirectus, Release};
pub use snapshot::{InvalidSnapshot, Snapshot, SnapshotFile};
