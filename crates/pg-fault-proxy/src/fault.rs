//! A fault, and the message at which it occurs.

use std::fmt;

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the client to PostgreSQL.
    ToServer,
    /// From PostgreSQL to the client.
    ToClient,
}

impl Direction {
    /// Both directions, for loops over them.
    pub const ALL: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Direction::ToServer => "to-server",
            Direction::ToClient => "to-client",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The part of the message that is passed on before the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// No byte.
    Before,
    /// The first half of its bytes, rounded down.
    Middle,
    /// The whole message.
    After,
}

impl Position {
    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Position::Before => "before",
            Position::Middle => "middle",
            Position::After => "after",
        }
    }

    /// Returns the number of bytes to pass on before the fault, of a message of this length.
    pub(crate) fn passes(self, length: usize) -> usize {
        match self {
            Position::Before => 0,
            Position::Middle => length / 2,
            Position::After => length,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The effect of a fault.
pub enum Action {
    /// Closes this connection on both sides in good order (FIN). Other connections, also new ones, keep working.
    Close,
    /// Resets this connection on both sides (RST), like a router that has lost its state. Others keep working.
    Reset,
    /// Resets all connections and refuses new ones, like a server that is gone.
    Down,
    /// Passes nothing on any more, on any connection, old or new, and closes none: like a stopped server, or a network
    /// that drops every packet.
    Freeze,
    /// Calls the function on the proxy's thread while all messages wait, then continues.
    Call(Box<dyn FnOnce() + Send>),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Close => "Close",
            Action::Reset => "Reset",
            Action::Down => "Down",
            Action::Freeze => "Freeze",
            Action::Call(_) => "Call",
        })
    }
}

/// One fault, at one message.
#[derive(Debug)]
pub struct Fault {
    /// The direction whose messages are counted.
    pub direction: Direction,
    /// The number of the message among those of its direction, from 1, over all connections.
    pub n: usize,
    /// The part of that message that still passes.
    pub position: Position,
    /// The effect on this connection, or on all of them.
    pub action: Action,
}
