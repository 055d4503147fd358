//! [`Limit`]: what a peer, or all of them together, can take of a socket, and [`LimitHits`]: how often that was too little.

use std::fmt;

use crate::zmtp::Violation;

/// A limit of a socket on what its peers, strangers among them, can take of it.
///
/// When one is hit, monitors are told with [`Event::LimitReached`](crate::Event::LimitReached), and
/// [`Stats::limits`](crate::Stats::limits) counts it. The [guide](crate::guide#limits) has all of them in one table: what is
/// counted, how much is allowed unless set otherwise, and what happens beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Descriptors of the process, or of the system: no connection can be accepted for now.
    Descriptors,
    /// Connections that came in at one endpoint.
    Connections,
    /// Of these, those from one address.
    ConnectionsPerAddress,
    /// Of these, those whose handshake is not over. Who is told of has had a second, and gives way to another.
    Handshakes,
    /// The time of a handshake.
    HandshakeTime,
    /// The size of a command of a handshake.
    HandshakeSize,
    /// The size of one part of a message.
    FrameSize,
    /// The size of a message, over all its parts.
    MessageSize,
    /// The parts of a message.
    MessageParts,
    /// Topics that one peer is subscribed to.
    Subscriptions,
    /// The memory of all topics that one peer is subscribed to.
    TopicBytes,
    /// Bytes that wait to be received, from one peer.
    RecvBytes,
    /// Bytes that wait to be received, from all peers.
    TotalRecvBytes,
    /// Bytes that wait to be sent, to one peer.
    SendBytes,
    /// Bytes that wait to be sent, to all peers.
    TotalSendBytes,
    /// Answers to PINGs that one peer does not read.
    Pongs,
}

impl Limit {
    /// Every one, in the order in which they are declared.
    pub const ALL: [Self; 16] = [
        Self::Descriptors,
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::Handshakes,
        Self::HandshakeTime,
        Self::HandshakeSize,
        Self::FrameSize,
        Self::MessageSize,
        Self::MessageParts,
        Self::Subscriptions,
        Self::TopicBytes,
        Self::RecvBytes,
        Self::TotalRecvBytes,
        Self::SendBytes,
        Self::TotalSendBytes,
        Self::Pongs,
    ];

    /// The limit that a peer has overstepped by this, if it was one.
    pub(crate) const fn overstepped_by(violation: &Violation) -> Option<Self> {
        match violation {
            Violation::HandshakeTimeout => Some(Self::HandshakeTime),
            Violation::HandshakeTooLarge { .. } => Some(Self::HandshakeSize),
            Violation::FrameTooLarge { .. } => Some(Self::FrameSize),
            Violation::MessageTooLarge { .. } => Some(Self::MessageSize),
            Violation::TooManyParts { .. } => Some(Self::MessageParts),
            _ => None,
        }
    }
}

/// How often each [`Limit`] of a socket was hit so far. Debugging shows those that were.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitHits([u64; Limit::ALL.len()]);

impl LimitHits {
    /// How often this limit was hit.
    pub fn of(&self, limit: Limit) -> u64 {
        self.0[limit as usize]
    }

    /// How often any limit was hit.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn add(&mut self, limit: Limit) {
        self.0[limit as usize] += 1;
    }
}

impl fmt::Debug for LimitHits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hit = Limit::ALL.into_iter().map(|limit| (limit, self.of(limit))).filter(|(_, times)| *times > 0);
        f.debug_map().entries(hit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_counted_in_a_place_of_its_own() {
        let mut hits = LimitHits::default();
        for (times, limit) in (1..).zip(Limit::ALL) {
            (0..times).for_each(|_| hits.add(limit));
        }
        let counted = Limit::ALL.map(|limit| hits.of(limit));
        assert_eq!(counted.to_vec(), (1..=Limit::ALL.len() as u64).collect::<Vec<_>>());
        assert_eq!(hits.total(), counted.iter().sum::<u64>());
    }

    #[test]
    fn those_that_were_hit_are_shown_by_name() {
        let mut hits = LimitHits::default();
        assert_eq!(format!("{hits:?}"), "{}");
        hits.add(Limit::Pongs);
        assert_eq!(format!("{hits:?}"), "{Pongs: 1}");
    }
}
