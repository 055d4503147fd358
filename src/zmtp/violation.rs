//! [`Violation`]: why a peer is refused.

use super::SocketType;

/// What a peer did that ends its connection; told by [`Event::HandshakeFailed`](crate::Event::HandshakeFailed) and
/// [`Event::Disconnected`](crate::Event::Disconnected).
///
/// Nothing of the message it was sending is delivered; messages that were whole before are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The first octets are not the signature of ZMTP 2.0 or later.
    #[error("the peer does not speak ZMTP")]
    NotZmtp,
    /// The peer speaks a version of ZMTP before 3.0.
    #[error("the peer speaks ZMTP of major version {major}, older than 3.0")]
    OldVersion {
        /// The major version in the peer's greeting.
        major: u8,
    },
    /// The peer's greeting names another security mechanism than ours.
    #[error("the peer uses another security mechanism")]
    MechanismMismatch,
    /// A message frame came before the handshake was over.
    #[error("a message came before the handshake was over")]
    UnexpectedMessage,
    /// A command came that has no place at this point: out of turn in the handshake, or a READY after it.
    #[error("a command came that has no place at this point")]
    UnexpectedCommand,
    /// A command of the handshake is larger than we accept.
    #[error("a handshake command is larger than {limit} octets")]
    HandshakeTooLarge {
        /// The most octets accepted.
        limit: usize,
    },
    /// The metadata of the handshake does not follow the grammar.
    #[error("the metadata in the handshake is malformed")]
    MalformedMetadata,
    /// The handshake does not tell the peer's socket type.
    #[error("the peer did not tell its socket type")]
    MissingSocketType,
    /// The handshake tells the peer's socket type, or its identity, more than once.
    #[error("the peer told its socket type or its identity twice")]
    DuplicateProperty,
    /// The peer's socket type is none we know.
    #[error("the peer's socket type is unknown")]
    UnknownSocketType,
    /// The two socket types cannot talk to each other.
    #[error("a {ours} socket cannot talk to a {theirs} socket")]
    IncompatibleSocketType {
        /// The type of the socket here.
        ours: SocketType,
        /// The type of the socket at the peer.
        theirs: SocketType,
    },
    /// The peer's identity is longer than 255 octets or begins with a zero octet.
    #[error("the peer's identity is longer than 255 octets or begins with a zero octet")]
    BadIdentity,
    /// A frame has reserved bits set.
    #[error("a frame has reserved bits set")]
    ReservedBits,
    /// A command frame claims to be part of a message.
    #[error("a command has the MORE bit set")]
    CommandWithMore,
    /// The size of a frame has its topmost bit set.
    #[error("the size of a frame is beyond 2^63 - 1")]
    BadFrameSize,
    /// A command is not made of a name and data.
    #[error("a command is malformed")]
    MalformedCommand,
    /// A command is larger than we accept.
    #[error("a command is larger than {limit} octets")]
    CommandTooLarge {
        /// The most octets accepted.
        limit: usize,
    },
    /// One part of a message is larger than we accept.
    #[error("a part of a message is larger than {limit} octets")]
    FrameTooLarge {
        /// The most octets accepted.
        limit: usize,
    },
    /// The parts of a message together are larger than we accept.
    #[error("a message is larger than {limit} octets")]
    MessageTooLarge {
        /// The most octets accepted.
        limit: usize,
    },
    /// A message has more parts than we accept.
    #[error("a message has more than {limit} parts")]
    TooManyParts {
        /// The most parts accepted.
        limit: usize,
    },
    /// The peer refused us with an ERROR command.
    #[error("the peer refused the connection: {reason:?}")]
    PeerError {
        /// What the peer says is wrong: at most 255 printable ASCII characters, and none of the others it sent.
        reason: Box<str>,
    },
    /// The handshake was not over in time.
    #[error("the handshake was not over in time")]
    HandshakeTimeout,
    /// The peer fell silent for longer than it had promised.
    #[error("the peer fell silent for longer than it had promised")]
    Silent,
    /// The peer gave no sign of life for the time of the heartbeat.
    #[error("the peer gave no sign of life for the time of the heartbeat")]
    HeartbeatTimeout,
}

/// How soon it makes sense to dial a peer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// As after any lost connection.
    Soon,
    /// With long pauses: the peer would have to be replaced by another first.
    Slowly,
    /// Not at all: the peer has said no.
    Never,
}

impl Violation {
    /// How soon it makes sense to dial this peer again.
    ///
    /// libzmq gives an endpoint up for good after any protocol error. A peer is often replaced by a sound one under
    /// the same address, though, so only an ERROR is final: asking again with the same credentials is pointless.
    pub(crate) const fn retry(&self) -> Retry {
        match self {
            Self::HandshakeTimeout | Self::Silent | Self::HeartbeatTimeout => Retry::Soon,
            Self::PeerError { .. } => Retry::Never,
            _ => Retry::Slowly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small_in_results() {
        assert!(size_of::<Violation>() <= 24);
    }

    #[test]
    fn only_an_error_of_the_peer_is_final() {
        assert_eq!(Violation::PeerError { reason: "400".into() }.retry(), Retry::Never);
        assert_eq!(Violation::HandshakeTimeout.retry(), Retry::Soon);
        assert_eq!(Violation::Silent.retry(), Retry::Soon);
        assert_eq!(Violation::HeartbeatTimeout.retry(), Retry::Soon);
        assert_eq!(Violation::NotZmtp.retry(), Retry::Slowly);
        assert_eq!(Violation::TooManyParts { limit: 1 }.retry(), Retry::Slowly);
    }

    #[test]
    fn says_what_was_wrong() {
        let clash = Violation::IncompatibleSocketType { ours: SocketType::Push, theirs: SocketType::XPub };
        assert_eq!(clash.to_string(), "a PUSH socket cannot talk to a XPUB socket");
        assert_eq!(
            Violation::PeerError { reason: "400".into() }.to_string(),
            r#"the peer refused the connection: "400""#
        );
    }
}
