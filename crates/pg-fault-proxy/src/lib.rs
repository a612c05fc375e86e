//! A TCP proxy between a client and PostgreSQL that harms their conversation at exactly one message.
//!
//! It understands PostgreSQL's framing, no more: where each message begins and ends, in both directions, and what its
//! type is. It counts the messages of each direction over all connections since it started, notes them in a [`Trace`],
//! and does what a [`Fault`] says at the one that the fault names. An undisturbed run's trace tells how many points
//! there are at which a fault can come.
//!
//! A connection that becomes TLS is passed on as it is from then on: what is encrypted has no messages to be seen.

mod fault;
mod frame;
mod proxy;
mod trace;

pub use fault::{Action, Direction, Fault, Position};
pub use proxy::{Hit, Proxy};
pub use trace::{Message, Trace};
