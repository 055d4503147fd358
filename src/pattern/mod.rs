//! Routing as data structures. Peers are only ids here, and their queues are seen through one narrow trait.

mod balancer;
mod fair_queue;
mod rotation;

pub(crate) use balancer::Balancer;
pub(crate) use fair_queue::FairQueue;

use crate::message::Message;
use crate::slots::Id;

/// The queues of a socket's peers.
pub(crate) trait Pipes {
    /// Queues a message for a peer that has room. False if that was the last for which there is room.
    fn push(&mut self, peer: Id, message: &Message) -> bool;

    /// Takes the oldest message from a peer.
    fn pop(&mut self, peer: Id) -> Option<Message>;

    /// Whether there is nothing left to take from a peer.
    fn is_dry(&self, peer: Id) -> bool;
}
