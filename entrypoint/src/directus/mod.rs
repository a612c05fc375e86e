//! Phases 5 and 6: the boot decides, and Directus carries out.
//!
//! One Node process, the [`bridge`], runs Directus' own code and exchanges JSON lines with the boot ([`protocol`]). Its
//! reports are verified in the database itself ([`installation`]), because Directus' own commands have failed with exit
//! code 0.

pub mod bridge;
pub mod fingerprint;
pub mod installation;
pub mod protocol;
pub mod release;
pub mod snapshot;

pub use bridge::{Bridge, BridgeError};
pub use fingerprint::fingerprint;
pub use protocol::Admin;
pub use release::{NoDirectus, Release};
pub use snapshot::{InvalidSnapshot, Snapshot, SnapshotFile};
