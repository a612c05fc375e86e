//! Fault points: the faults, the messages at which they are injected, and the exit codes that are permitted after them.

use contract::{ExitCode, Phase};
use pg_fault_proxy::{Direction, Trace};
use serde::Serialize;

/// A fault at a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SweepFault {
    /// The connection of the message is reset; other and new connections work.
    Cut,
    /// The connection is closed after half of the message.
    CutInside,
    /// The boot's container is killed with SIGKILL.
    BootKilled,
    /// The boot's Node process is killed with SIGKILL.
    NodeKilled,
    /// The server is killed with SIGKILL, and started again for the next boot.
    ServerKilled,
    /// The server no longer answers; connections stay open.
    Frozen,
}

impl SweepFault {
    /// All faults, in the order in which a sample uses them.
    pub(crate) const ALL: [SweepFault; 6] = [
        SweepFault::Cut,
        SweepFault::BootKilled,
        SweepFault::NodeKilled,
        SweepFault::CutInside,
        SweepFault::Frozen,
        SweepFault::ServerKilled,
    ];

    pub(crate) fn words(self) -> &'static str {
        match self {
            SweepFault::Cut => "connection cut",
            SweepFault::CutInside => "cut in the middle",
            SweepFault::BootKilled => "boot killed",
            SweepFault::NodeKilled => "Node killed",
            SweepFault::ServerKilled => "server killed",
            SweepFault::Frozen => "server frozen",
        }
    }

    /// Returns true if a boot with this fault may fail with this exit code in this phase.
    pub(crate) fn allows(self, phase: Phase, exit: ExitCode) -> bool {
        match exit {
            // The boot retries a connection that is cut during its startup; that fails only without a server.
            ExitCode::DatabaseUnreachable => {
                // The lock phase opens a second connection, to detect a pooler.
                phase <= Phase::Lock && matches!(self, SweepFault::ServerKilled | SweepFault::Frozen)
            }
            ExitCode::DatabaseLost => phase > Phase::Database,
            // Directus reports the loss of its own connections. The last comparison of the schema belongs to
            // post-schema.
            ExitCode::BootstrapFailed => phase == Phase::Bootstrap,
            ExitCode::SchemaFailed => matches!(phase, Phase::Schema | Phase::PostSchema),
            _ => false,
        }
    }
}

/// One fault at one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SweepPoint {
    pub(crate) kind: SweepFault,
    /// Direction of the counted messages.
    pub(crate) direction: Direction,
    /// Number of the message, from 1.
    pub(crate) n: usize,
}

impl std::fmt::Display for SweepPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at message {} {}", self.kind.words(), self.n, self.direction)
    }
}

/// Selection among the messages of an undisturbed boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SweepDensity {
    /// A number of messages, spread evenly over the boot; the faults alternate.
    Sample(usize),
    /// A cut at every message, and every other fault at each twentieth.
    Full,
}

/// Distance in messages between two equal faults of a full sweep, except for cuts.
const OTHERS: usize = 20;

/// Chooses the fault points for the messages of an undisturbed boot.
pub(crate) fn fault_points(trace: &Trace, density: SweepDensity, kinds: &[SweepFault]) -> Vec<SweepPoint> {
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
    let mut points = Vec::new();
    match density {
        SweepDensity::Sample(count) => {
            let count = count.min(numbered.len());
            for (index, &kind) in (0..count).zip(kinds.iter().cycle()) {
                // The middle of the part, so that neither the first nor the last message is preferred.
                let (direction, n) = numbered[(2 * index + 1) * numbered.len() / (2 * count)];
                points.push(SweepPoint { kind, direction, n });
            }
        }
        SweepDensity::Full => {
            for &kind in kinds {
                let step = if kind == SweepFault::Cut { 1 } else { OTHERS };
                points.extend(numbered.iter().step_by(step).map(|&(direction, n)| SweepPoint { kind, direction, n }));
            }
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use pg_fault_proxy::Message;

    use super::*;

    fn trace(length: usize) -> Trace {
        let directions = [Direction::ToServer, Direction::ToClient, Direction::ToClient].into_iter().cycle();
        let messages = directions.map(|direction| Message { direction, connection: 1, kind: 'Q', length: 5 });
        Trace { messages: messages.take(length).collect() }
    }

    /// Returns the numbers of the messages at which connections are cut.
    fn cuts(points: &[SweepPoint], direction: Direction) -> Vec<usize> {
        let cuts = points.iter().filter(|point| point.kind == SweepFault::Cut && point.direction == direction);
        cuts.map(|point| point.n).collect()
    }

    #[test]
    fn a_sample_is_spread_over_all_messages_with_alternating_faults() {
        let points = fault_points(&trace(90), SweepDensity::Sample(6), &SweepFault::ALL);
        assert_eq!(points.iter().map(|point| point.kind).collect::<Vec<_>>(), SweepFault::ALL);
        // Message 8 of 90 is the 5th to the client, message 82 the 55th.
        assert_eq!((points[0].direction, points[0].n), (Direction::ToClient, 5));
        assert_eq!((points[5].direction, points[5].n), (Direction::ToClient, 55));
    }

    #[test]
    fn a_full_sweep_cuts_at_every_message_of_both_directions() {
        let points = fault_points(&trace(60), SweepDensity::Full, &SweepFault::ALL);
        assert!(cuts(&points, Direction::ToServer).into_iter().eq(1..=20));
        assert!(cuts(&points, Direction::ToClient).into_iter().eq(1..=40));
        assert_eq!(points.iter().filter(|point| point.kind == SweepFault::Frozen).count(), 3);
    }

    #[test]
    fn a_sample_larger_than_the_boot_takes_every_message() {
        assert_eq!(fault_points(&trace(4), SweepDensity::Sample(9), &[SweepFault::Cut]).len(), 4);
    }

    #[test]
    fn internal_errors_and_codes_of_other_phases_are_not_allowed() {
        for kind in SweepFault::ALL {
            assert!(!kind.allows(Phase::Schema, ExitCode::Internal));
            assert!(!kind.allows(Phase::Schema, ExitCode::SchemaDiverged));
            assert!(!kind.allows(Phase::Schema, ExitCode::BootstrapFailed));
            assert!(!kind.allows(Phase::DbInit, ExitCode::MigrationFailed));
            assert!(kind.allows(Phase::DbInit, ExitCode::DatabaseLost));
        }
        assert!(!SweepFault::Cut.allows(Phase::Database, ExitCode::DatabaseUnreachable));
    }
}
