//! ZMTP 3.1 (RFC 37), as pure code: octets and `now` go in; messages, events, octets and deadlines come out.
//!
//! ```text
//!                      ┌ greeting ─ what the first 64 octets say
//! octets ─▶ connection ┼ handshake ─ mechanism ─ command ─ metadata ─ socket_type
//!                      └ decoder ─ frame                                            ─▶ messages
//! ```
//!
//! - [`connection`]: one peer's end of the protocol, from the first octet on; all that the rest of the crate drives.
//! - [`greeting`], [`handshake`], [`mechanism`]: the way to traffic, one stage after the other.
//! - [`frame`], [`command`], [`metadata`], [`socket_type`]: one thing of the wire each, how it is read and written.
//! - [`decoder`]: messages out of frames; the hot path.
//! - [`heartbeat`]: whether the peer is still there.
//! - [`timers`]: every deadline, one row each. [`violation`]: every reason to refuse a peer, one row each.
//!
//! Nothing here reads a clock, touches a socket or trusts a length a peer declared: memory grows with the octets that
//! came, and a limit is checked as soon as the size field can be read.

pub(crate) mod command;
mod connection;
mod decoder;
pub(crate) mod frame;
mod greeting;
mod handshake;
mod heartbeat;
mod mechanism;
pub(crate) mod metadata;
mod socket_type;
mod timers;
mod violation;

pub(crate) use command::put_subscription;
pub(crate) use connection::{Connection, Event};
pub(crate) use decoder::LOOKAHEAD;
pub(crate) use handshake::{Config, Limits, PeerInfo};
pub(crate) use heartbeat::{Rhythm, Spoken};
pub use socket_type::SocketType;
pub(crate) use violation::Retry;
pub use violation::Violation;
