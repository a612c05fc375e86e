//! A TCP proxy between a client and PostgreSQL that injects a fault at exactly one message.
//!
//! It understands PostgreSQL's framing and no more: the type and the length of each message, in both directions. It
//! counts the messages of each direction over all connections since it started, records them in a [`Trace`], and
//! injects the [`Fault`] at the message with the fault's number. The trace of an undisturbed run is therefore the list
//! of possible fault points.
//!
//! After a switch to TLS a connection is passed on unchanged, since its messages can no longer be recognised.

mod fault;
mod frame;
mod proxy;
mod trace;

pub use fault::{Action, Direction, Fault, Position};
pub use proxy::{Hit, Proxy};
pub use trace::{Message, Trace};
