//! The reports of a tracker in a vehicle that drives a road.

use std::f64::consts::PI;

use jiff::{SignedDuration, Timestamp};

use super::data::{Track, Waypoint};
use super::road::{RoadPoint, road};

/// One report.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackReport {
    pub(super) time: Timestamp,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) altitude: f64,
    pub(super) course: f64,
    pub(super) kmh: f64,
    pub(super) satellites: i16,
    pub(super) ignition: bool,
    /// Metres from the start.
    pub(super) odometer: f64,
}

/// Stops that are longer have the engine off, in seconds.
const ENGINE_RUNS: f64 = 600.0;

/// Returns the reports of a track in the order of time.
pub(super) fn reports(route: &[Waypoint], track: &Track) -> Vec<TrackReport> {
    let road = road(route, track.pace);
    let mut reports = Vec::new();
    let (mut now, mut next) = (0.0, 0.0);
    for (index, point) in road.iter().enumerate() {
        if point.stop > 0.0 {
            let end = now + point.stop;
            next = now;
            while next < end {
                push(&mut reports, report(point, point, 0.0, track.start, next, point.stop < ENGINE_RUNS));
                next += track.standing_every_s;
            }
            (now, next) = (end, end);
        }
        let Some(following) = road.get(index + 1) else { break };
        // Half a metre per second at least: both ends of a step can be a stop.
        let mean = f64::midpoint(point.speed, following.speed).max(0.5);
        let arrival = now + (following.distance - point.distance) / mean;
        while next < arrival {
            push(&mut reports, report(point, following, (next - now) / (arrival - now), track.start, next, true));
            next += track.moving_every_s;
        }
        now = arrival;
    }
    reports
}

/// Adds a report. A vehicle that stops reports at once, but not twice in a second.
fn push(reports: &mut Vec<TrackReport>, report: TrackReport) {
    if reports.last().is_none_or(|last| last.time < report.time) {
        reports.push(report);
    }
}

/// The report at a part of the way between two points, `after` seconds from the start.
fn report(from: &RoadPoint, to: &RoadPoint, part: f64, start: Timestamp, after: f64, ignition: bool) -> TrackReport {
    let between = |from: f64, to: f64| from + (to - from) * part;
    let odometer = between(from.distance, to.distance);
    TrackReport {
        // Whole seconds, as trackers report.
        time: start + SignedDuration::from_secs(after as i64),
        latitude: between(from.latitude, to.latitude),
        longitude: between(from.longitude, to.longitude),
        altitude: between(from.altitude, to.altitude),
        course: from.course,
        kmh: between(from.speed, to.speed) * 3.6,
        // Fewer in valleys and forests, which the driven distance stands for.
        satellites: (13.0 + 3.0 * (odometer / 2_300.0 * PI).sin() + (odometer / 370.0 * PI).sin()).round() as i16,
        ignition,
        odometer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::DemoData;
    use super::super::road::{metres, road};
    use super::{TrackReport, reports};

    fn drives() -> Vec<Vec<TrackReport>> {
        let positions = DemoData::own().unwrap().positions;
        positions.tracks.iter().map(|track| reports(&positions.route, track)).collect()
    }

    #[test]
    fn every_track_is_a_day_in_order_of_time() {
        for drive in drives() {
            assert!(drive.is_sorted_by(|one, other| one.time < other.time), "two reports have the same time");
            let (first, last) = (drive.first().unwrap().time, drive.last().unwrap().time);
            let hours = last.duration_since(first).as_secs_f64() / 3600.0;
            assert!((8.0..=20.0).contains(&hours), "a track takes {hours} hours");
            assert!(drive.len() > 500, "{} reports", drive.len());
        }
    }

    #[test]
    fn a_vehicle_moves_as_fast_as_it_reports() {
        for drive in drives() {
            for pair in drive.windows(2) {
                let seconds = pair[1].time.duration_since(pair[0].time).as_secs_f64();
                let mean = (pair[1].odometer - pair[0].odometer) / seconds * 3.6;
                let fastest = pair[0].kmh.max(pair[1].kmh) + 3.6 * 2.0 * seconds;
                assert!(mean >= 0.0 && mean <= fastest, "{mean} km/h after {:?}", pair[0]);
            }
        }
    }

    #[test]
    fn the_values_are_those_of_a_rally_on_mountain_roads() {
        for drive in drives() {
            let fastest = drive.iter().map(|report| report.kmh).fold(0.0, f64::max);
            let highest = drive.iter().map(|report| report.altitude).fold(0.0, f64::max);
            assert!((45.0..=110.0).contains(&fastest), "{fastest} km/h");
            assert!((900.0..=1400.0).contains(&highest), "{highest} m");
            assert!(drive.iter().all(|report| (0.0..360.0).contains(&report.course)));
            assert!(drive.iter().all(|report| (8..=18).contains(&report.satellites)));
            assert!(drive.iter().any(|report| !report.ignition), "the engine is never off");
        }
    }

    #[test]
    fn the_road_has_no_gap() {
        let positions = DemoData::own().unwrap().positions;
        let road = road(&positions.route, 1.0);
        let longest = road.windows(2).map(|pair| metres(&pair[0], &pair[1])).fold(0.0, f64::max);
        assert!(longest < 40.0, "a step of {longest} m");
        let length = road.last().unwrap().distance / 1000.0;
        assert!((150.0..=450.0).contains(&length), "the road is {length} km long");
    }
}
