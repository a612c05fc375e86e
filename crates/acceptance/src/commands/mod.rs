//! The commands, one file each.

pub mod search;
pub mod sweep;
pub mod verify;
