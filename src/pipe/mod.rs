//! The bounded queues between a socket and one of its peers, and who waits on them.
//!
//! Outbound, the queue *is* the batch that will be written: messages are encoded when they are accepted, so there is
//! no second queue in which one could hide and the high-water mark is exact.
//!
//! ```text
//! send -> Outbox ( open Batch )  --take-->  Flight ( Batch being written )  -> stream
//! recv <- Inbox  ( messages )    <---------------------------- decoder     <- stream
//! ```

mod batch;
mod flight;
mod inbox;
mod outbox;
mod waiters;

pub(crate) use flight::{Flight, SLICES, Written};
pub(crate) use inbox::Inbox;
pub(crate) use outbox::{Outbox, Pushed, Shut};
pub(crate) use waiters::{Ticket, Waiters, Wakes};

#[cfg(test)]
mod twin;
