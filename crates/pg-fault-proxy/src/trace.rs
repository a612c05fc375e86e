//! The record of the messages that passed, in order.

use crate::fault::Direction;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// From the client or from the server.
    pub direction: Direction,
    /// The number of the connection, from 1, in the order in which the proxy accepted them.
    pub connection: usize,
    /// The type: PostgreSQL's letter, or [`Message::STARTUP`], [`Message::REQUEST`] or [`Message::ENCRYPTION`].
    pub kind: char,
    /// The length in bytes, including the header.
    pub length: usize,
}

impl Message {
    /// The first message of a connection.
    pub const STARTUP: char = '>';
    /// A request for encryption, or to cancel a statement, instead of the first message.
    pub const REQUEST: char = '?';
    /// The reply to a request for encryption, one letter.
    pub const ENCRYPTION: char = '!';
}

/// All messages since the proxy started, in the order in which it read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Of both directions and all connections.
    pub messages: Vec<Message>,
}

impl Trace {
    /// Returns the number of messages in this direction.
    #[must_use]
    pub fn count(&self, direction: Direction) -> usize {
        self.messages.iter().filter(|message| message.direction == direction).count()
    }

    /// Returns the number of connections, up to the last one with a message.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.messages.iter().map(|message| message.connection).max().unwrap_or(0)
    }

    /// Returns the n-th message in this direction, from 1.
    #[must_use]
    pub fn nth(&self, direction: Direction, n: usize) -> Option<&Message> {
        self.messages.iter().filter(|message| message.direction == direction).nth(n.checked_sub(1)?)
    }
}
