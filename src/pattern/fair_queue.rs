//! [`FairQueue`]: receives from all peers in turn.

use super::Pipes;
use super::rotation::Rotation;
use crate::message::Message;
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

    /// The next message, if any peer has one.
    #[inline]
    pub(crate) fn recv(&mut self, pipes: &mut impl Pipes) -> Option<Message> {
        self.recv_from(pipes).map(|(_, message)| message)
    }

    /// The next message, if any peer has one, and the peer it is from.
    #[inline(always)] // it is what most of `recv` consists of
    pub(crate) fn recv_from(&mut self, pipes: &mut impl Pipes) -> Option<(Id, Message)> {
        loop {
            let peer = self.rotation.current()?;
            let message = pipes.pop(peer);
            if pipes.is_dry(peer) {
                self.rotation.retire();
            } else {
                self.rotation.advance();
            }
            // There is none if the messages of the peer were dropped since it joined.
            if let Some(message) = message {
                return Some((peer, message));
            }
        }
    }

    /// Whether no peer has a message.
    pub(crate) fn is_empty(&self) -> bool {
        self.rotation.is_empty()
    }
}
