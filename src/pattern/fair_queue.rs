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
        loop {
            let (message, more) = match pipes.pop(self.rotation.current()?) {
                Some((message, more)) => (Some(message), more),
                // Its messages were dropped together.
                None => (None, false),
            };
            if more {
                self.rotation.advance();
            } else {
                self.rotation.retire();
            }
            if message.is_some() {
                return message;
            }
        }
    }

    /// Whether no peer has a message.
    pub(crate) fn is_empty(&self) -> bool {
        self.rotation.is_empty()
    }
}
