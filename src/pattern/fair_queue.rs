//! [`FairQueue`]: receives from all peers in turn.

use super::Pipes;
use super::rotation::Rotation;
use crate::error::Received;
use crate::slots::Id;

/// Takes one message from each peer that has any before it takes the second of one.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    rotation: Rotation,
}

impl FairQueue {
    /// The peer has messages.
    pub(crate) fn join(&mut self, peer: Id) {
        self.rotation.join(peer);
    }

    /// Takes the next message, if any peer has one, and tells which it is from.
    #[inline(always)] // it is what most of `recv` consists of
    pub(crate) fn recv(&mut self, pipes: &mut impl Pipes, into: &mut Received) -> Option<Id> {
        loop {
            let peer = self.rotation.current()?;
            let popped = pipes.pop(peer, into);
            if pipes.is_dry(peer) {
                self.rotation.retire();
            } else {
                self.rotation.advance();
            }
            // There is none if the messages of the peer were dropped since it joined.
            if popped {
                return Some(peer);
            }
        }
    }

    /// Whether no peer has a message.
    pub(crate) fn is_empty(&self) -> bool {
        self.rotation.is_empty()
    }
}
