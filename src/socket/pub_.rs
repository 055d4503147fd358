//! PUB: publishes to SUB peers.

use super::pattern::{Pattern, Sent};
use super::pipes::Pipes;
use super::publishing::{Publishes, count, subscription};
use super::{Builder, Conflates, Kind, Sends, sealed};
use crate::error::Refusal;
use crate::message::Message;
use crate::options::Options;
use crate::pattern::{Added, Publisher};
use crate::slots::Id;
use crate::zmtp::SocketType;

/// Publishes: each message goes to all [`Sub`](super::Sub) and [`XSub`](super::XSub) peers that have subscribed to what
/// its first part begins with, and to each of them once.
///
/// `send` does not wait for anybody: a message that nobody has subscribed to is dropped, and a subscriber whose queue is
/// full misses it, while the others have it. Both are counted. [`overflow`](super::Builder::overflow) has it wait
/// instead, or drop older messages, or disconnect the slow subscriber.
///
/// A subscriber that connects gets what is published once its subscription has come;
/// [`wait_subscribed`](super::Socket::wait_subscribed) waits for that.
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::{Context, Message, Pub, Sub};
///
/// let context = Context::new()?;
/// let publisher = context.socket::<Pub>().build()?;
/// let subscriber = context.socket::<Sub>().subscribe("weather.").build()?;
/// subscriber.connect(publisher.bind("tcp://127.0.0.1:0")?)?;
///
/// publisher.wait_subscribed(1, Duration::from_secs(5))?;
/// publisher.send(["news.local", "nothing new"])?;
/// publisher.send(["weather.berlin", "rain"])?;
/// assert_eq!(subscriber.recv()?, Message::from(["weather.berlin", "rain"]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Pub {}

impl sealed::Kind for Pub {
    const TYPE: SocketType = SocketType::Pub;
}

impl Kind for Pub {}
impl Sends for Pub {}
impl Conflates for Pub {}
impl Publishes for Pub {}

pub(super) fn pattern(options: &Options) -> Box<dyn Pattern> {
    Box::new(Publishing(Publisher::new(options)))
}

impl Builder<Pub> {
    /// The most bytes in one incoming message, over all its parts: 64 MiB by default, from 1. A peer that announces more
    /// is disconnected. Besides subscriptions only an [`XSub`](super::XSub) sends anything to a PUB, which throws it
    /// away; with a low limit here, it comes not even that far.
    pub fn max_message_size(self, bytes: usize) -> Self {
        self.with(|options| options.max_message_size = bytes)
    }

    /// The most bytes in one part of an incoming message, from 1; by default only
    /// [`max_message_size`](Self::max_message_size) limits it. A peer that announces more is disconnected.
    pub fn max_frame_size(self, bytes: usize) -> Self {
        self.with(|options| options.max_frame_size = Some(bytes))
    }

    /// The most parts of an incoming message: 65,536 by default, from 1. A peer that sends more is disconnected.
    pub fn max_message_parts(self, parts: usize) -> Self {
        self.with(|options| options.max_message_parts = parts)
    }
}

struct Publishing(Publisher);

impl Pattern for Publishing {
    fn send(&mut self, pipes: &mut Pipes, message: &Message) -> Result<Sent, Refusal> {
        let published = self.0.publish(pipes, message);
        count(pipes, published, |dropped| &mut dropped.unsubscribed)
    }

    fn can_send(&self, _: &Pipes) -> bool {
        true
    }

    /// Subscriptions are taken; everything else is none of our business.
    fn arrive(&mut self, pipes: &mut Pipes, peer: Id, messages: &mut Vec<Message>) -> usize {
        // What one that cannot be sent to any more has asked for would outlive its connection.
        let connected = pipes.is_connected(peer);
        let mut discarded = 0;
        for message in messages.drain(..) {
            let mut other = false;
            for part in message.parts() {
                match subscription(part) {
                    Some((true, topic)) => {
                        if connected {
                            if let Added::Beyond(limit) = self.0.subscriptions.add(peer, topic) {
                                pipes.expel(peer, limit);
                            }
                        }
                    }
                    Some((false, topic)) => _ = self.0.subscriptions.remove(peer, topic),
                    None => other = true,
                }
            }
            discarded += usize::from(other);
        }
        discarded
    }

    fn writable(&mut self, _: &mut Pipes, peer: Id) {
        self.0.join(peer);
    }

    fn lost(&mut self, _: &mut Pipes, peer: Id, _: Vec<Message>, _: bool) -> usize {
        self.0.leave(peer);
        0
    }

    fn leave(&mut self, peer: Id) {
        self.0.leave(peer);
    }

    fn subscribers(&self) -> usize {
        self.0.subscriptions.peers()
    }
}
