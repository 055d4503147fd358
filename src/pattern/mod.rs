//! Routing as data structures. Peers are only ids here, and their queues are seen through one narrow trait.

mod balancer;
mod fair_queue;
mod publisher;
mod rotation;
mod subscriptions;
mod trie;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod twin;

pub(crate) use balancer::Balancer;
pub(crate) use fair_queue::FairQueue;
pub(crate) use publisher::{Published, Publisher};
pub(crate) use rotation::Rotation;
pub(crate) use subscriptions::{Added, Interests, Removed, Subscriptions};

use crate::error::{Received, Refusal};
use crate::message::Message;
use crate::slots::Id;

/// The queues of a socket's peers.
pub(crate) trait Pipes {
    /// Queues a message for a peer that has room. False if that was the last for which there is room until its queue
    /// has half drained.
    fn push(&mut self, peer: Id, message: &Message) -> bool;

    /// Takes the oldest message from a peer; false if there is none.
    fn pop(&mut self, peer: Id, into: &mut Received) -> bool;

    /// Whether there is nothing left to take from a peer.
    fn is_dry(&self, peer: Id) -> bool;

    /// Whether the queue of a peer has not been filled, or has half drained since.
    fn has_room(&self, peer: Id) -> bool;

    /// Whether the queue of a peer is at its mark at this moment, in messages or in octets.
    fn is_full(&self, peer: Id) -> bool;

    /// Why there is no room for a message with this peer, or with any.
    fn refusal(&self, peer: Option<Id>) -> Refusal;

    /// Whether, with so many octets beside what is in the queues, the socket has not as many as it may have.
    fn takes(&self, octets: usize) -> bool;

    /// Gives up the oldest message for a peer that is not being written yet. False if there is none.
    fn shed(&mut self, peer: Id) -> bool;

    /// Ends the connection of a peer. From here on nothing goes out on it, and what comes is discarded. False if it has
    /// none.
    fn sever(&mut self, peer: Id) -> bool;
}
