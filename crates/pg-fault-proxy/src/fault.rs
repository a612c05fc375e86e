//! What goes wrong, and when.

use std::fmt;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// What the client says.
    ToServer,
    /// What PostgreSQL says.
    ToClient,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

    /// Its name.
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

/// Where in the message the fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Position {
    /// Nothing of it has been passed on.
    Before,
    /// The first half of its bytes has been passed on.
    Middle,
    /// All of it has been passed on.
    After,
}

impl Position {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Position::Before => "before",
            Position::Middle => "middle",
            Position::After => "after",
        }
    }

    /// How many of a message's bytes are passed on before the fault.
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

/// What is done to the conversation.
pub enum Action {
    /// This connection is closed on both sides, in good order (FIN). Others, and new ones, are let through.
    Close,
    /// This connection is broken on both sides (RST), and the others live on: a router that has forgotten it.
    Reset,
    /// All connections are broken, and every later one as soon as it is made: a server that is gone.
    Down,
    /// Nothing is passed on any more, on any connection, old or new, and nothing is closed either: a server that is
    /// stopped, or a network that swallows everything.
    Freeze,
    /// Somebody else does something, while all messages wait; then everything goes on. Runs on the proxy's thread.
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

/// What goes wrong at which message.
#[derive(Debug)]
pub struct Fault {
    /// The direction whose messages are counted.
    pub direction: Direction,
    /// Which of them, from 1.
    pub n: usize,
    /// Where in it.
    pub position: Position,
    /// What.
    pub action: Action,
}
