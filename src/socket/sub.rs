//! SUB: receives what it has subscribed to.

use super::pattern::{Pattern, Wish};
use super::pipes::Pipes;
use super::subscribing::{Subscriber, Subscribes};
use super::{Builder, Conflates, Kind, Receives, sealed};
use crate::message::Message;
use crate::options::Options;
use crate::pattern::FairQueue;
use crate::peer::Rejection;
use crate::slots::Id;
use crate::zmtp::{PeerInfo, SocketType};

/// Receives what its [`Pub`](super::Pub) and [`XPub`](super::XPub) peers publish, and it has
/// [subscribed](super::Socket::subscribe) to. Without a subscription that is nothing.
///
/// Peers that have messages take turns. When the queue of a peer is full it is not read from any more; what it
/// publishes meanwhile it keeps or drops, as it was built to do.
#[derive(Debug)]
pub enum Sub {}

impl sealed::Kind for Sub {
    const TYPE: SocketType = SocketType::Sub;
}

impl Kind for Sub {}
impl Receives for Sub {}
impl Conflates for Sub {}
impl Subscribes for Sub {}

impl Builder<Sub> {
    /// Whether messages are received that are *not* subscribed to, off by default. The publishers must be built with the
    /// same.
    pub fn invert_matching(self, invert: bool) -> Self {
        self.with(|options| options.invert = invert)
    }
}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Subscribing {
        subscriber: Subscriber::new(&options.topics, false),
        incoming: FairQueue::default(),
        invert: options.invert,
    })
}

struct Subscribing {
    subscriber: Subscriber,
    incoming: FairQueue,
    invert: bool,
}

impl Pattern for Subscribing {
    fn incoming(&self) -> Option<&FairQueue> {
        Some(&self.incoming)
    }

    fn incoming_mut(&mut self) -> Option<&mut FairQueue> {
        Some(&mut self.incoming)
    }

    fn attach(&mut self, pipes: &mut Pipes, peer: Id, _: &PeerInfo) -> Result<(), Rejection> {
        self.subscriber.greet(pipes, peer);
        Ok(())
    }

    /// Filters once more what the publisher should have filtered: it may not have heard of an unsubscription yet, and
    /// nothing makes it do so.
    fn arrive(&mut self, _: &mut Pipes, _: Id, messages: &mut Vec<Message>) -> usize {
        let came = messages.len();
        messages.retain(|message| self.subscriber.wants(message.first()) != self.invert);
        came - messages.len()
    }

    fn obey(&mut self, pipes: &mut Pipes, wish: Wish) {
        self.subscriber.obey(pipes, wish);
    }
}
