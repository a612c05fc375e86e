//! Which faults there are, at which messages they come, and which ends of a boot are right then.

use contract::{ExitCode, Phase};
use pg_fault_proxy::{Direction, Trace};
use serde::Serialize;

/// What happens at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The connection that the message is on is broken; others, and new ones, are not.
    Cut,
    /// The same, with half of the message passed.
    CutInside,
    /// The boot's container is killed with SIGKILL.
    BootKilled,
    /// The Node process in it is.
    NodeKilled,
    /// The server is, and started again for the next boot.
    ServerKilled,
    /// Nothing is heard of the server any more.
    Frozen,
}

impl Kind {
    /// All, in the order in which a sample takes them.
    pub(crate) const ALL: [Kind; 6] =
        [Kind::Cut, Kind::BootKilled, Kind::NodeKilled, Kind::CutInside, Kind::Frozen, Kind::ServerKilled];

    /// In words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Cut => "connection cut",
            Kind::CutInside => "cut in the middle",
            Kind::BootKilled => "boot killed",
            Kind::NodeKilled => "Node killed",
            Kind::ServerKilled => "server killed",
            Kind::Frozen => "server frozen",
        }
    }

    /// Whether a boot may fail so. It may also succeed, if everything is there then.
    pub(crate) fn allows(self, phase: Phase, exit: ExitCode) -> bool {
        match exit {
            // A connection that is cut while it is made is made again, as long as there is somebody to make it with.
            ExitCode::DatabaseUnreachable => {
                // The lock's phase makes a second one, to see whether a pooler stands between.
                phase <= Phase::Lock && matches!(self, Kind::ServerKilled | Kind::Frozen)
            }
            ExitCode::DatabaseLost => phase > Phase::Database,
            // Directus has connections of its own, and says so when it loses one. The last look at the schema belongs to
            // post-schema.
            ExitCode::BootstrapFailed => phase == Phase::Bootstrap,
            ExitCode::SchemaFailed => matches!(phase, Phase::Schema | Phase::PostSchema),
            _ => false,
        }
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// What.
    pub(crate) kind: Kind,
    /// Which direction's messages are counted.
    pub(crate) direction: Direction,
    /// At which of them, from 1.
    pub(crate) n: usize,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at message {} {}", self.kind.words(), self.n, self.direction)
    }
}

/// How many of an undisturbed boot's messages are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Density {
    /// So many, spread evenly over all, the kinds in turn.
    Sample(usize),
    /// All: cut at every one, and at every twentieth each of the others.
    Full,
}

/// Every how many messages a full sweep takes what is not a cut.
const OTHERS: usize = 20;

/// The points of a boot that has said so much.
pub(crate) fn points(trace: &Trace, density: Density, kinds: &[Kind]) -> Vec<Point> {
    let mut seen = [0; 2];
    let numbered: Vec<(Direction, usize)> = trace
        .messages
        .iter()
        .map(|message| {
            let seen = &mut seen[message.direction as usize];
            *seen += 1;
            (message.direction, *seen)
        })
        .collect();
    let point = |kind, (direction, n)| Point { kind, direction, n };
    match density {
        Density::Sample(count) => {
            let count = count.min(numbered.len());
            // In the middle of each of as many equal parts, so that neither the first nor the last message is preferred.
            let spread = (0..count).map(|index| numbered[(2 * index + 1) * numbered.len() / (2 * count)]);
            spread.zip(kinds.iter().cycle()).map(|(message, kind)| point(*kind, message)).collect()
        }
        Density::Full => {
            let every = |kind: Kind| if kind == Kind::Cut { 1 } else { OTHERS };
            let of = |kind: &Kind| -> Vec<Point> {
                numbered.iter().step_by(every(*kind)).map(|message| point(*kind, *message)).collect()
            };
            kinds.iter().flat_map(of).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use pg_fault_proxy::Message;

    use super::*;

    fn trace(length: usize) -> Trace {
        let direction = |index: usize| if index.is_multiple_of(3) { Direction::ToServer } else { Direction::ToClient };
        let message = |index| Message { direction: direction(index), connection: 1, kind: 'Q', length: 5 };
        Trace { messages: (0..length).map(message).collect() }
    }

    #[test]
    fn a_sample_is_spread_over_all_messages_and_takes_the_kinds_in_turn() {
        let points = points(&trace(90), Density::Sample(6), &Kind::ALL);
        assert_eq!(points.iter().map(|point| point.kind).collect::<Vec<_>>(), Kind::ALL);
        // Of every third part one: message 8 of 90 is the 5th to the client, 82 the 55th.
        assert_eq!((points[0].direction, points[0].n), (Direction::ToClient, 5));
        assert_eq!((points[5].direction, points[5].n), (Direction::ToClient, 55));
    }

    #[test]
    fn a_full_sweep_cuts_at_every_message_of_both_directions() {
        let points = points(&trace(60), Density::Full, &Kind::ALL);
        let cuts = |direction| points.iter().filter(move |p| p.kind == Kind::Cut && p.direction == direction);
        assert_eq!((cuts(Direction::ToServer).count(), cuts(Direction::ToClient).count()), (20, 40));
        assert!(cuts(Direction::ToServer).map(|point| point.n).eq(1..=20));
        assert_eq!(points.iter().filter(|point| point.kind == Kind::Frozen).count(), 3);
    }

    #[test]
    fn a_sample_of_more_than_there_is_takes_all() {
        assert_eq!(points(&trace(4), Density::Sample(9), &[Kind::Cut]).len(), 4);
    }

    #[test]
    fn a_boot_never_fails_with_a_fault_of_its_own_nor_in_a_phase_that_a_code_does_not_belong_to() {
        for kind in Kind::ALL {
            assert!(!kind.allows(Phase::Schema, ExitCode::Internal));
            assert!(!kind.allows(Phase::Schema, ExitCode::SchemaDiverged));
            assert!(!kind.allows(Phase::Schema, ExitCode::BootstrapFailed));
            assert!(!kind.allows(Phase::DbInit, ExitCode::MigrationFailed));
            assert!(kind.allows(Phase::DbInit, ExitCode::DatabaseLost));
        }
        assert!(!Kind::Cut.allows(Phase::Database, ExitCode::DatabaseUnreachable));
    }
}
