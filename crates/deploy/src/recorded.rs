//! Answers of a real swarm, for tests: one manager on Docker 20.10, recorded over the engine's API.

use serde::Deserialize;
use testbed::engine::{SwarmService, SwarmTask};

/// The services and tasks of one moment.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordedMoment {
    pub(crate) services: Vec<SwarmService>,
    pub(crate) tasks: Vec<SwarmTask>,
}

/// Reads the recording of this name.
pub(crate) fn moment(name: &str) -> RecordedMoment {
    let path = format!("{}/tests/recorded/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{path}: {error}"))
}
