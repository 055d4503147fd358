//! What SUB and XSUB have in common.

use bytes::Bytes;

use super::pattern::Wish;
use super::pipes::Pipes;
use super::{Builder, Kind, Socket};
use crate::error::SubscribeError;
use crate::options::TOPIC_MAX;
use crate::pattern::Interests;
use crate::peer::Word;
use crate::slots::Id;

/// A type of socket that subscribes: [`Sub`](super::Sub) or [`XSub`](super::XSub).
pub trait Subscribes: Kind {}

impl<T: Subscribes> Builder<T> {
    /// Subscribes to a topic from the start, as [`Socket::subscribe`] does later. May be called many times; a topic has
    /// at most 16,000 bytes.
    pub fn subscribe(self, topic: impl AsRef<[u8]>) -> Self {
        self.with(|options| options.topics.push(Bytes::copy_from_slice(topic.as_ref())))
    }
}

impl<T: Subscribes> Socket<T> {
    /// Subscribes to a topic: to all messages whose first part begins with these bytes. The empty topic stands for all
    /// messages.
    ///
    /// All publishers are told, those connected now at once, and each later one, and each that comes back, before
    /// anything else. Does not block. Subscriptions are counted: what was subscribed to twice ends with the second
    /// [`unsubscribe`](Self::unsubscribe).
    ///
    /// # Errors
    ///
    /// When the topic is longer than 16,000 bytes, or the socket is closed.
    pub fn subscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        self.change_subscription(topic.as_ref(), Wish::Subscribe)
    }

    /// Takes one subscription to a topic back. A topic that is not subscribed to is none that could be taken back, and
    /// nothing happens.
    ///
    /// # Errors
    ///
    /// When the topic is longer than 16,000 bytes, or the socket is closed.
    pub fn unsubscribe(&self, topic: impl AsRef<[u8]>) -> Result<(), SubscribeError> {
        self.change_subscription(topic.as_ref(), Wish::Unsubscribe)
    }
}

impl<T: Kind> Socket<T> {
    pub(super) fn change_subscription(
        &self,
        topic: &[u8],
        wish: impl FnOnce(Bytes) -> Wish,
    ) -> Result<(), SubscribeError> {
        if topic.len() > TOPIC_MAX {
            return Err(SubscribeError::TooLong { limit: TOPIC_MAX });
        }
        if self.core.engine.is_forked() {
            return Err(SubscribeError::Forked);
        }
        // A copy, for what the user's owns must not end where the socket is in the middle of something.
        if self.core.obey(wish(Bytes::copy_from_slice(topic))) { Ok(()) } else { Err(SubscribeError::Closed) }
    }
}

/// What a socket has subscribed to, and its publishers are told.
#[derive(Default)]
pub(super) struct Subscriber {
    interests: Interests,
    /// Publishers are told also of the end of a subscription that others still hold.
    verbose: bool,
}

impl Subscriber {
    pub(super) fn new(topics: &[Bytes], verbose: bool) -> Self {
        let mut interests = Interests::default();
        topics.iter().for_each(|topic| interests.add(topic));
        Self { interests, verbose }
    }

    /// Whether a message that begins with these octets is subscribed to.
    pub(super) fn wants(&self, octets: &[u8]) -> bool {
        self.interests.wants(octets)
    }

    /// Tells a publisher that is new, or back, of everything.
    pub(super) fn greet(&self, pipes: &mut Pipes, peer: Id) {
        self.interests.topics().for_each(|topic| pipes.begin_with(peer, Word::Subscribe(topic.into())));
    }

    pub(super) fn obey(&mut self, pipes: &mut Pipes, wish: Wish) {
        match wish {
            Wish::Subscribe(topic) => self.subscribe(pipes, &topic),
            Wish::Unsubscribe(topic) => self.unsubscribe(pipes, &topic),
            Wish::Abandon(_) => {}
        }
    }

    /// Every subscription is passed on, also the second to the same topic: an XPUB may want to know.
    pub(super) fn subscribe(&mut self, pipes: &mut Pipes, topic: &Bytes) {
        self.interests.add(topic);
        pipes.connected().into_iter().for_each(|peer| pipes.say(peer, Word::Subscribe(topic.clone())));
    }

    pub(super) fn unsubscribe(&mut self, pipes: &mut Pipes, topic: &Bytes) {
        if self.interests.remove(topic) || self.verbose {
            pipes.connected().into_iter().for_each(|peer| pipes.say(peer, Word::Cancel(topic.clone())));
        }
    }
}
