//! One file for each command.

pub mod search;
pub mod sweep;
pub mod verify;
