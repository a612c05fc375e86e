//! The geometry of a route, and the speed that a vehicle can drive on it.

use std::f64::consts::PI;

use super::data::Waypoint;

/// Metres of a degree of latitude.
const DEGREE: f64 = 111_320.0;
/// Metres between two points of the road.
const STEP: f64 = 10.0;
/// Width of a bend as a part of its length.
const BEND: f64 = 0.11;
/// Acceleration, braking, and the sideways acceleration that gravel allows, in m/s².
const ACCELERATE: f64 = 1.6;
const BRAKE: f64 = 2.8;
const SIDEWAYS: f64 = 3.4;

/// A point of the road.
#[derive(Clone, Copy, Debug)]
pub(super) struct RoadPoint {
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) altitude: f64,
    /// Degrees clockwise from north, to the next point.
    pub(super) course: f64,
    /// Metres from the start.
    pub(super) distance: f64,
    /// Metres per second.
    pub(super) speed: f64,
    /// Seconds that a vehicle stands here.
    pub(super) stop: f64,
}

/// Returns the points of the road through all waypoints, which a vehicle drives with `pace` times their speed.
pub(super) fn road(route: &[Waypoint], pace: f64) -> Vec<RoadPoint> {
    let mut points = line(route, pace);
    for index in 1..points.len() {
        let (before, here) = (points[index - 1], points[index]);
        points[index].distance = before.distance + metres(&before, &here);
        points[index - 1].course = course(&before, &here);
    }
    if let [.., before, last] = points.as_mut_slice() {
        last.course = before.course;
    }
    limit_in_bends(&mut points);
    limit_by_engine_and_brakes(&mut points);
    points
}

/// Places the points on a curve through the waypoints, with bends between them.
fn line(route: &[Waypoint], pace: f64) -> Vec<RoadPoint> {
    let Some((origin, last)) = route.first().zip(route.last()) else { return Vec::new() };
    let scale = (origin.latitude.to_radians().cos() * DEGREE, DEGREE);
    let plane: Vec<[f64; 3]> =
        route.iter().map(|w| [w.longitude * scale.0, w.latitude * scale.1, w.altitude]).collect();
    let at = |index: isize| plane[usize::try_from(index).unwrap_or(0).min(plane.len() - 1)];
    let point = |[x, y, altitude]: [f64; 3], speed: f64, stop: f64| RoadPoint {
        latitude: y / scale.1,
        longitude: x / scale.0,
        altitude,
        course: 0.0,
        distance: 0.0,
        speed,
        stop,
    };
    let mut points = Vec::new();
    for (index, place) in route.iter().enumerate().take(route.len() - 1) {
        let leg = [-1, 0, 1, 2].map(|offset| at(index as isize + offset));
        let length = (leg[2][0] - leg[1][0]).hypot(leg[2][1] - leg[1][1]);
        let steps = (length / STEP).ceil().max(1.0) as u32;
        for step in 0..steps {
            let part = f64::from(step) / f64::from(steps);
            let mut position = curve(leg, part);
            let (ahead, bends) = (curve(leg, part + 0.001), f64::from(place.bends));
            let (dx, dy) = (ahead[0] - position[0], ahead[1] - position[1]);
            let norm = dx.hypot(dy).max(f64::EPSILON);
            // Two waves, so that no bend is like the other; none at the places themselves.
            let wave = (2.0 * PI * bends * part).sin() + 0.6 * (2.0 * PI * 0.37 * bends * part).sin();
            let aside = wave * BEND * length / bends.max(1.0) * (4.0 * part * (1.0 - part)).sqrt();
            position[0] -= dy / norm * aside;
            position[1] += dx / norm * aside;
            points.push(point(position, place.kmh / 3.6 * pace, if step == 0 { place.stop_s } else { 0.0 }));
        }
    }
    points.push(point(at(route.len() as isize - 1), 0.0, last.stop_s));
    points
}

/// A Catmull-Rom curve from the second to the third of four points.
fn curve([a, b, c, d]: [[f64; 3]; 4], t: f64) -> [f64; 3] {
    std::array::from_fn(|axis| {
        let (a, b, c, d) = (a[axis], b[axis], c[axis], d[axis]);
        let (one, two, three) = (c - a, 2.0 * a - 5.0 * b + 4.0 * c - d, 3.0 * b - a - 3.0 * c + d);
        b + 0.5 * t * (one + t * (two + t * three))
    })
}

/// Slows down where the radius of a bend demands it, and stops at the places with a stop.
fn limit_in_bends(points: &mut [RoadPoint]) {
    for index in 1..points.len() {
        let turn = (points[index].course - points[index - 1].course + 540.0).rem_euclid(360.0) - 180.0;
        let radius = (points[index].distance - points[index - 1].distance) / turn.to_radians().abs().max(1e-6);
        points[index].speed = points[index].speed.min((SIDEWAYS * radius).sqrt());
    }
    for point in points.iter_mut().filter(|point| point.stop > 0.0) {
        point.speed = 0.0;
    }
    if let [first, .., last] = points {
        (first.speed, last.speed) = (0.0, 0.0);
    }
}

/// Limits the change of the speed between two points.
fn limit_by_engine_and_brakes(points: &mut [RoadPoint]) {
    for index in 1..points.len() {
        let (before, here) = (points[index - 1], points[index]);
        let most = (before.speed.powi(2) + 2.0 * ACCELERATE * (here.distance - before.distance)).sqrt();
        points[index].speed = here.speed.min(most);
    }
    for index in (1..points.len()).rev() {
        let (before, here) = (points[index - 1], points[index]);
        let most = (here.speed.powi(2) + 2.0 * BRAKE * (here.distance - before.distance)).sqrt();
        points[index - 1].speed = before.speed.min(most);
    }
}

/// The distance of two near points.
pub(super) fn metres(from: &RoadPoint, to: &RoadPoint) -> f64 {
    let (east, north) = offset(from, to);
    east.hypot(north)
}

fn course(from: &RoadPoint, to: &RoadPoint) -> f64 {
    let (east, north) = offset(from, to);
    east.atan2(north).to_degrees().rem_euclid(360.0)
}

fn offset(from: &RoadPoint, to: &RoadPoint) -> (f64, f64) {
    let east = (to.longitude - from.longitude) * from.latitude.to_radians().cos() * DEGREE;
    (east, (to.latitude - from.latitude) * DEGREE)
}
