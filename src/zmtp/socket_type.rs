//! [`SocketType`]: the patterns of RFC 28 to 31, as they call themselves on the wire, and who may talk to whom.

use std::fmt;

/// The type of a socket, which decides how it routes messages and whom it can talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketType {
    /// One peer, both ways.
    Pair,
    /// Publishes to every subscriber.
    Pub,
    /// Subscribes to publishers.
    Sub,
    /// Asks, and waits for the answer.
    Req,
    /// Answers what it was asked.
    Rep,
    /// Like REQ without the lockstep.
    Dealer,
    /// Like REP without the lockstep: addresses peers by their identity.
    Router,
    /// Takes messages of a pipeline in.
    Pull,
    /// Hands messages of a pipeline out.
    Push,
    /// Like PUB, and shows the subscriptions.
    XPub,
    /// Like SUB, and takes subscriptions as messages.
    XSub,
}

impl SocketType {
    /// Every type, once.
    pub(crate) const ALL: [Self; 11] = [
        Self::Pair,
        Self::Pub,
        Self::Sub,
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Pull,
        Self::Push,
        Self::XPub,
        Self::XSub,
    ];

    /// The name on the wire, such as `PUSH`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pair => "PAIR",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Pull => "PULL",
            Self::Push => "PUSH",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
        }
    }

    /// The type of this exact name, which is upper case and without padding.
    pub(crate) fn from_wire(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().as_bytes() == name)
    }

    /// Whether a socket of this type may talk to a `peer` of that one.
    pub(crate) fn accepts(self, peer: Self) -> bool {
        self.peers().contains(&peer)
    }

    /// Whether the handshake tells the identity. libzmq does so for exactly these, also when it is empty.
    pub(crate) const fn tells_identity(self) -> bool {
        matches!(self, Self::Req | Self::Dealer | Self::Router)
    }

    /// The table of legal peers (37/ZMTP, The Socket Type Property).
    const fn peers(self) -> &'static [Self] {
        match self {
            Self::Pair => &[Self::Pair],
            Self::Pub => &[Self::Sub, Self::XSub],
            Self::Sub => &[Self::Pub, Self::XPub],
            Self::Req => &[Self::Rep, Self::Router],
            Self::Rep => &[Self::Req, Self::Dealer],
            Self::Dealer => &[Self::Rep, Self::Dealer, Self::Router],
            Self::Router => &[Self::Req, Self::Dealer, Self::Router],
            Self::Pull => &[Self::Push],
            Self::Push => &[Self::Pull],
            Self::XPub => &[Self::Sub, Self::XSub],
            Self::XSub => &[Self::Pub, Self::XPub],
        }
    }
}

/// Shows the name on the wire.
impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for socket_type in SocketType::ALL {
            assert_eq!(SocketType::from_wire(socket_type.as_str().as_bytes()), Some(socket_type));
        }
        assert_eq!(format!("{:>5}", SocketType::Push), " PUSH");
    }

    #[test]
    fn near_misses_are_unknown() {
        for name in [&b""[..], b"BANANA", b"dealer", b"DEALER\0", b"DEALE", b"STREAM", b"\xC3\x28"] {
            assert_eq!(SocketType::from_wire(name), None);
        }
    }

    #[test]
    fn whoever_accepts_is_accepted() {
        for (ours, theirs) in
            SocketType::ALL.into_iter().flat_map(|ours| SocketType::ALL.map(|theirs| (ours, theirs)))
        {
            assert_eq!(ours.accepts(theirs), theirs.accepts(ours), "{ours} and {theirs}");
        }
    }

    #[test]
    fn legal_pairs_are_those_of_the_specification() {
        let legal = SocketType::ALL
            .into_iter()
            .flat_map(|ours| SocketType::ALL.map(|theirs| ours.accepts(theirs)))
            .filter(|&ok| ok)
            .count();
        // PAIR 1, {PUB, XPUB} x {SUB, XSUB} both ways 8, REQ-REP 2, REQ-ROUTER 2, REP-DEALER 2, DEALER-ROUTER 2,
        // DEALER-DEALER 1, ROUTER-ROUTER 1, PUSH-PULL 2.
        assert_eq!(legal, 21);
        assert!(!SocketType::Pub.accepts(SocketType::Pull));
        assert!(!SocketType::Rep.accepts(SocketType::Router));
    }
}
