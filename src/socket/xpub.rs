//! XPUB: publishes, and tells the application of subscriptions.

use bytes::Bytes;

use super::pattern::{Pattern, Sent, Wish};
use super::pipes::Pipes;
use super::publishing::{Publishes, count, subscription};
use super::{Builder, Kind, Receives, Sends, Socket, sealed};
use crate::error::{Received, Refusal, SubscribeError};
use crate::message::Message;
use crate::options::{Options, Verbosity};
use crate::pattern::{Added, FairQueue, Pipes as _, Publisher, Removed, Subscriptions};
use crate::slots::Id;
use crate::zmtp::SocketType;

/// A [`Pub`](super::Pub) that receives what its subscribers want: messages of one part, which are the byte 1 and a topic
/// for a subscription, and the byte 0 and a topic for the end of one. [`XPubEvent`] reads them. Besides these it receives
/// whatever else [`XSub`](super::XSub) peers send.
///
/// By default it tells of the first subscription to a topic and of the end of the last, which is what a publisher has to
/// know that stands behind: see [`verbosity`](Builder::verbosity). A subscriber that is lost ends its subscriptions.
///
/// A subscription is in force as soon as it has come, whether or not anybody receives it here; until somebody does it
/// waits, and does not count for [`recv_hwm`](Builder::recv_hwm). It counts for
/// [`max_recv_bytes`](Builder::max_recv_bytes): an XPUB that never receives stops hearing of subscriptions in the end, where a
/// [`Pub`](super::Pub) would not.
#[derive(Debug)]
pub enum XPub {}

impl sealed::Kind for XPub {
    const TYPE: SocketType = SocketType::XPub;
}

impl Kind for XPub {}
impl Sends for XPub {}
impl Receives for XPub {}
impl Publishes for XPub {}

impl Builder<XPub> {
    /// Which subscriptions the application is told of: see [`Verbosity`].
    pub fn verbosity(self, verbosity: Verbosity) -> Self {
        self.with(|options| options.verbosity = verbosity)
    }

    /// Whether peers are subscribed to what the application says, and not to what they ask for, off by default. It hears
    /// what they ask for, and answers with [`Socket::subscribe_last`] and [`Socket::unsubscribe_last`].
    pub fn manual(self, manual: bool) -> Self {
        self.with(|options| options.manual = manual)
    }

    /// Whether a message of several parts can only hold subscriptions if its first part is one, off by default, as in
    /// libzmq: then every part that begins with the byte 0 or 1 is taken for one.
    pub fn only_first_subscribe(self, only_first: bool) -> Self {
        self.with(|options| options.only_first_subscribe = only_first)
    }

    /// A message that each new connection begins with, whatever its peer has subscribed to; a SUB receives it only if it
    /// has subscribed to it. None by default.
    pub fn welcome(self, message: impl Into<Message>) -> Self {
        self.with(|options| options.welcome = Some(message.into()))
    }
}

impl Socket<XPub> {
    /// Subscribes the peer from which the last message was received to a topic. Only with [`manual`](Builder::manual);
    /// else nothing happens, and neither does it when that peer is gone.
    ///
    /// # Errors
    ///
    /// When the topic is longer than 16,000 bytes, or the socket is closed.
    pub fn subscribe_last(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        self.change_subscription(topic.as_ref(), Wish::Subscribe)
    }

    /// Ends a subscription of the peer from which the last message was received, as
    /// [`subscribe_last`](Self::subscribe_last) began it.
    ///
    /// # Errors
    ///
    /// When the topic is longer than 16,000 bytes, or the socket is closed.
    pub fn unsubscribe_last(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        self.change_subscription(topic.as_ref(), Wish::Unsubscribe)
    }
}

/// What an [`XPub`] has received, read out of its message.
///
/// ```
/// use ferromq::{Message, XPubEvent};
///
/// assert_eq!(XPubEvent::from(Message::from("\u{1}news")), XPubEvent::Subscribe("news".into()));
/// assert_eq!(XPubEvent::from(Message::from("\u{0}news")), XPubEvent::Unsubscribe("news".into()));
/// assert_eq!(XPubEvent::from(Message::from("hello")), XPubEvent::Message("hello".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum XPubEvent {
    /// A peer subscribes to a topic.
    Subscribe(Bytes),
    /// A subscription to a topic has ended.
    Unsubscribe(Bytes),
    /// A peer has sent this.
    Message(Message),
}

impl From<Message> for XPubEvent {
    fn from(message: Message) -> Self {
        match subscription(message.first()).filter(|_| message.len() == 1) {
            Some((on, _)) => {
                let topic = message.into_bytes().slice(1..);
                if on { Self::Subscribe(topic) } else { Self::Unsubscribe(topic) }
            }
            None => Self::Message(message),
        }
    }
}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Publishing {
        publisher: Publisher::new(options),
        requested: Subscriptions::new(options),
        incoming: FairQueue::default(),
        last: None,
        // The application decides for each of them, and has to know of each.
        verbosity: if options.manual { Verbosity::All } else { options.verbosity },
        manual: options.manual,
        only_first: options.only_first_subscribe,
    })
}

struct Publishing {
    publisher: Publisher,
    /// What peers have asked for, when that is not what they are given.
    requested: Subscriptions,
    incoming: FairQueue,
    /// The peer of the message that was received last.
    last: Option<Id>,
    verbosity: Verbosity,
    manual: bool,
    only_first: bool,
}

impl Publishing {
    /// What peers have asked for.
    fn asked(&mut self) -> &mut Subscriptions {
        if self.manual { &mut self.requested } else { &mut self.publisher.subscriptions }
    }

    /// A peer asks for a topic. Tells whether the application is to know.
    fn subscribe(&mut self, pipes: &mut Pipes, peer: Id, topic: &[u8]) -> bool {
        if !pipes.is_connected(peer) {
            return false; // it cannot be sent to any more, and its subscriptions have ended
        }
        match self.asked().add(peer, topic) {
            Added::First => true,
            Added::Another | Added::Again => self.verbosity != Verbosity::Changes,
            Added::Beyond(limit) => {
                pipes.expel(peer, limit);
                false
            }
        }
    }

    /// A peer does not want a topic any more. Tells whether the application is to know.
    fn unsubscribe(&mut self, peer: Id, topic: &[u8]) -> bool {
        match self.asked().remove(peer, topic) {
            Removed::Last => true,
            Removed::OneOf => self.verbosity == Verbosity::All,
            Removed::Unknown => false,
        }
    }

    /// Takes the subscriptions out of a message. What is left, if anything, is for the application.
    fn take(&mut self, pipes: &mut Pipes, peer: Id, message: Message, into: &mut Vec<Message>) {
        if self.only_first && subscription(message.first()).is_none() {
            return into.push(message);
        }
        if message.parts().all(|part| subscription(part).is_none()) {
            return into.push(message);
        }
        let mut rest = Vec::new();
        for part in message.into_parts() {
            let tell = match subscription(&part) {
                Some((true, topic)) => self.subscribe(pipes, peer, topic),
                Some((false, topic)) => self.unsubscribe(peer, topic),
                None => {
                    rest.push(part);
                    continue;
                }
            };
            if tell {
                pipes.notify(peer, into, Message::from(part));
                self.incoming.join(peer);
            }
        }
        if !rest.is_empty() {
            into.push(Message::from(rest));
        }
    }
}

impl Pattern for Publishing {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let published = self.publisher.publish(pipes, message);
        count(pipes, published, |dropped| &mut dropped.unsubscribed)
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

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Received) {
        self.last = self.incoming.recv(pipes, into).or(self.last);
    }

    fn arrive(&mut self, pipes: &mut Pipes, peer: Id, messages: &mut Vec<Message>) -> usize {
        let came = std::mem::take(messages);
        came.into_iter().for_each(|message| self.take(pipes, peer, message, messages));
        0
    }

    fn writable(&mut self, _: &mut Pipes, peer: Id) {
        self.publisher.join(peer);
    }

    fn lost(&mut self, pipes: &mut Pipes, peer: Id, _: Vec<Message>, _: bool) -> usize {
        let all = self.verbosity == Verbosity::All;
        for (topic, last) in self.asked().take(peer) {
            if last || all {
                pipes.notify(peer, &mut Vec::new(), Message::subscription(false, &topic));
            }
        }
        self.publisher.leave(peer);
        if !pipes.is_dry(peer) {
            self.incoming.join(peer);
        }
        0
    }

    fn subscribers(&self) -> usize {
        self.publisher.subscriptions.peers()
    }

    fn obey(&mut self, pipes: &mut Pipes, wish: Wish) {
        let Some(peer) = self.last.filter(|peer| self.manual && pipes.is_connected(*peer)) else { return };
        match wish {
            Wish::Subscribe(topic) => _ = self.publisher.subscriptions.add(peer, &topic),
            Wish::Unsubscribe(topic) => _ = self.publisher.subscriptions.remove(peer, &topic),
            Wish::Abandon(_) => {}
        }
    }
}
