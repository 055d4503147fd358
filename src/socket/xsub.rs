//! XSUB: subscribes by messages, for proxies.

use bytes::Bytes;

use super::pattern::{Pattern, Sent, Wish};
use super::pipes::Pipes;
use super::publishing::{count, subscription};
use super::subscribing::{Subscriber, Subscribes};
use super::{Builder, Kind, Receives, Sends, sealed};
use crate::error::Refusal;
use crate::message::Message;
use crate::options::Options;
use crate::pattern::{FairQueue, Publisher};
use crate::peer::Rejection;
use crate::slots::Id;
use crate::zmtp::{PeerInfo, SocketType};

/// A [`Sub`](super::Sub) that subscribes by sending: a message of one part that begins with the byte 1 subscribes to the
/// topic behind it, and one that begins with 0 ends that. These are the messages that an [`XPub`](super::XPub) receives,
/// so that a proxy between the two only has to pass them on. [`subscribe`](super::Socket::subscribe) does the same.
///
/// Any other message goes to all publishers, of which an XPUB receives it. `send` waits for nobody: a publisher whose
/// queue is full misses it. What is received is not filtered again.
#[derive(Debug)]
pub enum XSub {}

impl sealed::Kind for XSub {
    const TYPE: SocketType = SocketType::XSub;
}

impl Kind for XSub {}
impl Sends for XSub {}
impl Receives for XSub {}
impl Subscribes for XSub {}

impl Builder<XSub> {
    /// Whether publishers are told of every end of a subscription, also while others to the same topic are left, off by
    /// default.
    pub fn verbose_unsubscribe(self, verbose: bool) -> Self {
        self.with(|options| options.verbose_unsubscribe = verbose)
    }
}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Subscribing {
        subscriber: Subscriber::new(&options.topics, options.verbose_unsubscribe),
        incoming: FairQueue::default(),
        outgoing: Publisher::new(options),
    })
}

struct Subscribing {
    subscriber: Subscriber,
    incoming: FairQueue,
    outgoing: Publisher,
}

impl Pattern for Subscribing {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        match subscription(message.first()).filter(|_| message.len() == 1) {
            Some((true, topic)) => self.subscriber.subscribe(pipes, &Bytes::copy_from_slice(topic)),
            Some((false, topic)) => self.subscriber.unsubscribe(pipes, &Bytes::copy_from_slice(topic)),
            None => {
                let publishers = pipes.connected();
                let published = self.outgoing.send_to(pipes, &publishers, message);
                return count(pipes, published, |dropped| &mut dropped.disconnected);
            }
        }
        Ok(Sent::Subscription)
    }

    fn can_send(&self, _: &Pipes) -> bool {
        true
    }

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

    fn obey(&mut self, pipes: &mut Pipes, wish: Wish) {
        self.subscriber.obey(pipes, wish);
    }
}
