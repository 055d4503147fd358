//! [`Publisher`]: sends each message to all who have subscribed to it.

use super::Pipes;
use super::subscriptions::Subscriptions;
use crate::error::Refusal;
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
    /// How many messages were given up for them, this or older ones.
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

    /// Queues the message for all it is for. Refused if one of them has no room and is to be waited for; then nobody has
    /// got it.
    pub(crate) fn publish(
        &mut self,
        pipes: &mut impl Pipes,
        message: &Message,
    ) -> Result<Published, Refusal> {
        let mut targets = std::mem::take(&mut self.targets);
        self.subscriptions.matching(message.first(), &mut targets);
        if self.invert {
            let mut subscribed = std::mem::take(&mut targets);
            subscribed.sort_unstable();
            targets.extend(self.peers.iter().filter(|peer| subscribed.binary_search(peer).is_err()));
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
    ) -> Result<Published, Refusal> {
        if self.overflow == Overflow::Block {
            if let Some(peer) = targets.iter().find(|peer| !pipes.has_room(**peer)) {
                return Err(pipes.refusal(Some(*peer)));
            }
        }
        let mut overflowed = 0;
        for &peer in targets {
            if !pipes.is_full(peer) {
                pipes.push(peer, message);
                continue;
            }
            match self.overflow {
                Overflow::DropOldest => overflowed += supplant(pipes, peer, message),
                Overflow::Disconnect => {
                    // Its subscriptions end with the connection, and are told then.
                    pipes.sever(peer);
                    overflowed += 1;
                }
                _ => overflowed += 1,
            }
        }
        Ok(Published { copies: targets.len(), overflowed })
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

/// Queues a message for a peer in place of its oldest ones, as many as it takes to make room. Tells how many were given up.
fn supplant(pipes: &mut impl Pipes, peer: Id, message: &Message) -> usize {
    let mut shed = 0;
    while pipes.is_full(peer) && pipes.shed(peer) {
        shed += 1;
    }
    // What the wire has taken cannot be called back: if that is all, it is the new one that goes.
    if shed == 0 {
        return 1;
    }
    pipes.push(peer, message);
    shed
}
