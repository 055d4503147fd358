//! [`Publisher`]: sends each message to all who have subscribed to it.

use super::Pipes;
use super::subscriptions::Subscriptions;
use crate::message::Message;
use crate::options::{Options, Overflow};
use crate::slots::Id;

/// Sends copies of messages, each peer's queue on its own: one that is full never holds back another, unless it is to
/// block.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) subscriptions: Subscriptions,
    /// All that can be sent to. Only kept if messages go to those who have not subscribed.
    peers: Vec<Id>,
    overflow: Overflow,
    invert: bool,
    /// Whom the present message goes to; kept for its memory.
    targets: Vec<Id>,
}

/// What has become of a published message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// How many peers it was for.
    pub(crate) copies: usize,
    /// For how many of them a message was given up, this or an older one.
    pub(crate) overflowed: usize,
}

impl Publisher {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            subscriptions: Subscriptions::new(options),
            peers: Vec::new(),
            overflow: options.overflow,
            invert: options.invert,
            targets: Vec::new(),
        }
    }

    /// Queues the message for all it is for. `None` if one of them has no room and is to be waited for; then nobody has
    /// got it.
    pub(crate) fn publish(&mut self, pipes: &mut impl Pipes, message: &Message) -> Option<Published> {
        let mut targets = std::mem::take(&mut self.targets);
        self.subscriptions.matching(message.first(), &mut targets);
        if self.invert {
            let subscribed = std::mem::take(&mut targets);
            targets.extend(self.peers.iter().filter(|peer| !subscribed.contains(peer)));
        }
        let published = self.send_to(pipes, &targets, message);
        self.targets = targets;
        published
    }

    /// Queues the message for these peers, as [`Publisher::publish`] does.
    pub(crate) fn send_to(
        &mut self,
        pipes: &mut impl Pipes,
        targets: &[Id],
        message: &Message,
    ) -> Option<Published> {
        if self.overflow == Overflow::Block && !targets.iter().all(|peer| pipes.has_room(*peer)) {
            return None;
        }
        let mut overflowed = 0;
        for &peer in targets {
            if !pipes.is_full(peer) {
                pipes.push(peer, message);
                continue;
            }
            overflowed += 1;
            match self.overflow {
                // What the wire has taken cannot be called back; then it is the new one that goes.
                Overflow::DropOldest if pipes.shed(peer) => _ = pipes.push(peer, message),
                // Its subscriptions end with the connection, and are told then.
                Overflow::Disconnect => _ = pipes.sever(peer),
                _ => {}
            }
        }
        Some(Published { copies: targets.len(), overflowed })
    }

    /// The peer can be sent to.
    pub(crate) fn join(&mut self, peer: Id) {
        if self.invert && !self.peers.contains(&peer) {
            self.peers.push(peer);
        }
    }

    /// The peer cannot be sent to any more, and its subscriptions end.
    pub(crate) fn leave(&mut self, peer: Id) {
        self.peers.retain(|other| *other != peer);
        self.subscriptions.forget(peer);
    }
}
