//! The form of a set of demo data: two JSON files, one of items and settings, one of positions.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A set of demo data.
#[derive(Clone, Debug)]
pub struct DemoData {
    pub(super) content: SeedContent,
    pub(super) positions: Positions,
}

impl DemoData {
    /// Reads the demo data of this repository.
    pub fn own() -> anyhow::Result<DemoData> {
        Ok(DemoData {
            content: serde_json::from_str(include_str!("rally-albania-2026/data.json"))
                .context("data.json is not a set of demo data")?,
            positions: serde_json::from_str(include_str!("rally-albania-2026/positions.json"))
                .context("positions.json is not a set of positions")?,
        })
    }

    /// Returns the title for messages.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.content.title
    }

    /// Returns the names of the collections with items.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        self.content.collections.iter().map(|part| part.collection.as_str())
    }

    /// Returns the e-mail addresses and passwords of the users that can log in.
    #[must_use]
    pub fn logins(&self) -> Vec<(&str, &str)> {
        let users = self.content.collections.iter().filter(|part| part.collection == "directus_users");
        let users = users.flat_map(|part| part.items.values());
        users.filter_map(|user| Some((user.get("email")?.as_str()?, user.get("password")?.as_str()?))).collect()
    }
}

/// Items, settings and presets of Directus.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeedContent {
    /// Keys of items are derived from this name: a change makes all items new ones.
    pub(super) name: String,
    pub(super) title: String,
    /// In the order of their creation: an item refers to earlier ones, as `@name`.
    pub(super) collections: Vec<CollectionItems>,
    /// Settings of the project, for those that still have their default.
    pub(super) settings: Map<String, Value>,
    /// List layouts and bookmarks for all users.
    pub(super) presets: Vec<Map<String, Value>>,
}

/// The items of one collection, by their names in this set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectionItems {
    pub(super) collection: String,
    pub(super) items: BTreeMap<String, Map<String, Value>>,
}

/// Positions of vehicles that drive one route.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Positions {
    pub(super) table: String,
    /// The columns of the unique index that makes a second run insert nothing.
    pub(super) key: Vec<String>,
    /// The content of each column.
    pub(super) columns: BTreeMap<String, Quantity>,
    pub(super) route: Vec<Waypoint>,
    pub(super) tracks: Vec<Track>,
}

/// The content of a column.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Quantity {
    /// The name of the tracker.
    Device,
    Time,
    /// Degrees.
    Latitude,
    /// Degrees.
    Longitude,
    /// Metres above sea level.
    Altitude,
    /// Degrees clockwise from north.
    Course,
    /// Kilometres per hour.
    Speed,
    Satellites,
    /// A JSON object with ignition, movement and the metres driven.
    Attributes,
    /// The same value in every row.
    Value(Value),
}

/// A place that the route passes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waypoint {
    #[serde(rename = "place")]
    _place: String,
    /// Degrees.
    pub(super) latitude: f64,
    /// Degrees.
    pub(super) longitude: f64,
    /// Metres above sea level.
    pub(super) altitude: f64,
    /// Speed on a straight road to the next place.
    pub(super) kmh: f64,
    /// Number of S-bends to the next place.
    pub(super) bends: u32,
    /// Length of the stop here.
    pub(super) stop_s: f64,
}

/// A tracker that reports along the route.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Track {
    #[serde(rename = "vehicle")]
    _vehicle: String,
    pub(super) device: String,
    /// Time of the first position.
    pub(super) start: Timestamp,
    /// Factor for all speeds.
    pub(super) pace: f64,
    /// Seconds between reports of a moving vehicle.
    pub(super) moving_every_s: f64,
    /// Seconds between reports of a vehicle that stands.
    pub(super) standing_every_s: f64,
}
