//! What PUB and XPUB have in common.

use std::time::Duration;

use super::pattern::Sent;
use super::pipes::Pipes;
use super::wait::{Attended, Gathering};
use super::{Builder, Kind, Socket};
use crate::error::{Refusal, WaitError};
use crate::monitor::Dropped;
use crate::options::Overflow;
use crate::pattern::Published;

/// A type of socket that publishes: [`Pub`](super::Pub) or [`XPub`](super::XPub).
pub trait Publishes: Kind {}

impl<T: Publishes> Builder<T> {
    /// What becomes of a message for a subscriber whose queue is full: see [`Overflow`], which drops it by default.
    pub fn overflow(self, overflow: Overflow) -> Self {
        self.with(|options| options.overflow = overflow)
    }

    /// Whether a message goes to the peers that have *not* subscribed to it, off by default. The subscribers must be
    /// built with the same.
    pub fn invert_matching(self, invert: bool) -> Self {
        self.with(|options| options.invert = invert)
    }

    /// The most topics that one peer may be subscribed to at a time: 1,000,000 by default, from 1. A peer that asks for
    /// more is disconnected. A proxy asks in the name of all that stand behind it.
    pub fn max_subscriptions(self, topics: usize) -> Self {
        self.with(|options| options.max_subscriptions = topics)
    }

    /// The most bytes that the topics of one peer may take: 64 MiB by default, from 1. Each counts with its length and
    /// 64 bytes more, about what remembering it costs. A peer that asks for more is disconnected.
    pub fn max_topic_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.max_topic_bytes = bytes)
    }
}

impl<T: Publishes> Socket<T> {
    /// Blocks until at least this many peers have subscribed to something, for `timeout` at the longest. What is
    /// published before a subscription has come is not for its peer.
    ///
    /// # Errors
    ///
    /// When the time is over, or the socket is closed.
    pub fn wait_subscribed(&self, peers: usize, timeout: Duration) -> Result<(), WaitError> {
        Gathering::subscribed(&self.core, peers).block(timeout)
    }

    /// Waits until at least this many peers have subscribed to something. Runs under any executor.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn wait_subscribed_async(
        &self,
        peers: usize,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + Unpin {
        Attended::new(&self.core, Gathering::subscribed(&self.core, peers))
    }
}

/// Counts what has become of a published message; if it was refused, it has to wait. `for_nobody` is the reason why it is
/// dropped when there was nobody to send it to.
pub(super) fn count(
    pipes: &mut Pipes,
    published: Result<Published, Refusal>,
    for_nobody: fn(&mut Dropped) -> &mut u64,
) -> Result<Sent, Refusal> {
    let Published { copies, overflowed } = published?;
    pipes.stats.copied += copies.saturating_sub(1) as u64;
    *for_nobody(&mut pipes.stats.dropped) += u64::from(copies == 0);
    pipes.stats.dropped.overflowed += overflowed as u64;
    Ok(Sent::Message)
}

/// A subscription as it comes from a peer, or the end of one: an octet that says which, and the topic.
pub(super) fn subscription(part: &[u8]) -> Option<(bool, &[u8])> {
    match part {
        [0, topic @ ..] => Some((false, topic)),
        [1, topic @ ..] => Some((true, topic)),
        _ => None,
    }
}
