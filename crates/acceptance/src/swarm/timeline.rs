//! A roll as data: the phases of each container by the engine's events and the containers' logs, and the load over time.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Event, LogLine};
use testbed::engine::ContainerEvent;
use testbed::time;

use super::load::{LoadFigures, LoadRecord};
use crate::model::{LoadPeriod, LoadSecond, ReplicaSpan, ReplicaTimeline, Roll, RollMoment};

/// The sources of a roll.
#[derive(Debug)]
pub(crate) struct RollSources<'a> {
    /// The start of the load, since 1970.
    pub(crate) began: Duration,
    /// The end of the roll, since 1970.
    pub(crate) ended: Duration,
    /// The events of the replicas.
    pub(crate) events: &'a [ContainerEvent],
    /// The lines of the containers' logs with their times, by container.
    pub(crate) logs: &'a [(String, Vec<String>)],
    /// The requests.
    pub(crate) records: &'a [LoadRecord],
    /// The moments, since 1970, by which the load is divided.
    pub(crate) moments: &'a [(Duration, &'static str)],
    /// The names of the periods: before the first moment, between them, after the last.
    pub(crate) periods: &'a [&'static str],
}

impl RollSources<'_> {
    /// The roll with this name.
    pub(crate) fn roll(&self, name: &str) -> Roll {
        Roll {
            name: name.to_owned(),
            seconds: self.at(self.ended),
            moments: self
                .moments
                .iter()
                .map(|(at, name)| RollMoment { at: self.at(*at), name: (*name).to_owned() })
                .collect(),
            replicas: self.replicas(),
            load: self.seconds(),
            periods: self.periods(),
        }
    }

    /// Seconds from the start of the load.
    fn at(&self, time: Duration) -> f64 {
        let seconds = time.as_secs_f64() - self.began.as_secs_f64();
        (seconds * 1e3).round() / 1e3
    }

    fn replicas(&self) -> Vec<ReplicaTimeline> {
        let mut containers: Vec<&str> = Vec::new();
        let mut by_container: BTreeMap<&str, Vec<&ContainerEvent>> = BTreeMap::new();
        for event in self.events {
            if !containers.contains(&event.container.as_str()) {
                containers.push(&event.container);
            }
            by_container.entry(&event.container).or_default().push(event);
        }
        let timelines =
            containers.into_iter().filter_map(|container| self.replica(container, &by_container[container]));
        timelines.collect()
    }

    fn replica(&self, container: &str, events: &[&ContainerEvent]) -> Option<ReplicaTimeline> {
        let time_of = |action: &str| Some(events.iter().find(|event| event.action.starts_with(action))?.at);
        let started = time_of("start")?;
        let ended = time_of("die").unwrap_or(self.ended);
        let asked = time_of("kill").unwrap_or(ended).min(ended);
        let healthy = time_of("health_status: healthy").unwrap_or(asked);
        let mut spans = Vec::new();
        let mut end = started;
        let log = self.logs.iter().find(|(id, _)| id == container);
        for (at, phase, took) in log.into_iter().flat_map(|(_, lines)| lines).filter_map(|line| done_phase(line)) {
            spans.push(self.span(phase, at.saturating_sub(took).max(end), at));
            end = at;
        }
        for (phase, from, to) in [("server", end, healthy), ("serving", healthy, asked), ("stopping", asked, ended)] {
            if to > from {
                spans.push(self.span(phase, from, to));
            }
        }
        let attribute = |name: &str| events[0].attributes.get(name).map(String::as_str).unwrap_or_default();
        let image = attribute("image").rsplit(':').next().unwrap_or_default().to_uppercase();
        // `<service>.<slot>.<id of the task>`
        let slot = attribute("com.docker.swarm.task.name").split('.').nth(1).and_then(|slot| slot.parse().ok());
        Some(ReplicaTimeline { slot: slot.unwrap_or_default(), image, spans })
    }

    fn span(&self, phase: &str, from: Duration, to: Duration) -> ReplicaSpan {
        ReplicaSpan { phase: phase.to_owned(), from: self.at(from), to: self.at(to) }
    }

    fn seconds(&self) -> Vec<LoadSecond> {
        let mut seconds: BTreeMap<u64, Vec<&LoadRecord>> = BTreeMap::new();
        for record in self.records {
            seconds.entry(record.at.as_secs()).or_default().push(record);
        }
        let second = |(second, records): (u64, Vec<&LoadRecord>)| {
            let LoadFigures { requests, failed, p50_ms, p99_ms, .. } = LoadFigures::of(records);
            LoadSecond { second, requests, failed, p50_ms, p99_ms }
        };
        seconds.into_iter().map(second).collect()
    }

    fn periods(&self) -> Vec<LoadPeriod> {
        let bounds: Vec<f64> = std::iter::once(0.0)
            .chain(self.moments.iter().map(|(at, _)| self.at(*at)))
            .chain([self.at(self.ended)])
            .collect();
        let period = |(name, bounds): (&&str, &[f64])| {
            let (from, to) = (bounds[0], bounds[1]);
            let is_in = |record: &&LoadRecord| (from..to).contains(&record.at.as_secs_f64());
            let figures = LoadFigures::of(self.records.iter().filter(is_in));
            let LoadFigures { requests, writes, failed, p50_ms, p99_ms, longest_ms } = figures;
            LoadPeriod { name: (*name).to_owned(), from, to, requests, writes, failed, p50_ms, p99_ms, longest_ms }
        };
        self.periods.iter().zip(bounds.windows(2)).map(period).collect()
    }
}

/// The time, the phase and the duration of a line that ended a phase.
fn done_phase(line: &str) -> Option<(Duration, &'static str, Duration)> {
    let (at, line) = line.split_once(' ')?;
    let line = LogLine::parse(line)?;
    match line.event {
        Event::Done(took) => Some((time::since_1970(at)?, line.phase.name(), took)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use testbed::engine::ContainerEvent;

    use super::{LoadRecord, RollSources};

    fn event(at: u64, action: &str) -> ContainerEvent {
        let attributes = [("image", "trm-swarm/roll:a"), ("com.docker.swarm.task.name", "roll_directus.2.x1")];
        let attributes: HashMap<_, _> = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        ContainerEvent { at: Duration::from_secs(at), container: "c".to_owned(), action: action.to_owned(), attributes }
    }

    fn record(at: f64, failure: Option<&str>) -> LoadRecord {
        LoadRecord {
            at: Duration::from_secs_f64(at),
            latency: Duration::from_millis(5),
            is_write: true,
            key: String::new(),
            failure: failure.map(str::to_owned),
        }
    }

    #[test]
    fn the_phases_of_a_container_follow_each_other() {
        let log =
            ["1970-01-01T00:01:41.5Z [entrypoint] 1/8 config: ok (400 ms)", "1970-01-01T00:01:42Z Server started"];
        let sources = RollSources {
            began: Duration::from_secs(100),
            ended: Duration::from_secs(120),
            events: &[event(101, "start"), event(106, "health_status: healthy"), event(115, "kill"), event(117, "die")],
            logs: &[("c".to_owned(), log.map(str::to_owned).to_vec())],
            records: &[record(0.5, None), record(9.0, Some("HTTP 502")), record(12.0, None)],
            moments: &[(Duration::from_secs(108), "update"), (Duration::from_secs(111), "updated")],
            periods: &["before", "during", "after"],
        };
        let roll = sources.roll("A");
        let replica = &roll.replicas[0];
        assert_eq!((replica.slot, replica.image.as_str()), (2, "A"));
        let spans: Vec<_> = replica.spans.iter().map(|span| (span.phase.as_str(), span.from, span.to)).collect();
        let expected = [("config", 1.1, 1.5), ("server", 1.5, 6.0), ("serving", 6.0, 15.0), ("stopping", 15.0, 17.0)];
        assert_eq!(spans, expected);
        let periods: Vec<_> = roll.periods.iter().map(|period| (period.requests, period.failed)).collect();
        assert_eq!(periods, [(1, 0), (1, 1), (1, 0)]);
        assert_eq!(roll.load.len(), 3);
    }
}
