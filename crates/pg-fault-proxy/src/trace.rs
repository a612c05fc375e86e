//! The messages that were seen, in their order.

use crate::fault::Direction;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which way it went.
    pub direction: Direction,
    /// The number of its connection, from 1.
    pub connection: usize,
    /// Its type: PostgreSQL's letter, or [`Message::STARTUP`], [`Message::REQUEST`] or [`Message::ENCRYPTION`].
    pub kind: char,
    /// Its length in bytes, with its header.
    pub length: usize,
}

impl Message {
    /// The first message of a connection.
    pub const STARTUP: char = '>';
    /// A request for encryption, or to cancel a statement, in the place of the first message.
    pub const REQUEST: char = '?';
    /// The one letter that answers a request for encryption.
    pub const ENCRYPTION: char = '!';
}

/// All messages since the proxy started, in the order in which it saw them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// They.
    pub messages: Vec<Message>,
}

impl Trace {
    /// How many went that way.
    #[must_use]
    pub fn count(&self, direction: Direction) -> usize {
        self.messages.iter().filter(|message| message.direction == direction).count()
    }

    /// How many connections said anything.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.messages.iter().map(|message| message.connection).max().unwrap_or(0)
    }

    /// The n-th that went that way, from 1.
    #[must_use]
    pub fn nth(&self, direction: Direction, n: usize) -> Option<&Message> {
        self.messages.iter().filter(|message| message.direction == direction).nth(n.checked_sub(1)?)
    }
}
