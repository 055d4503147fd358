//! [`Event`]: what happens to the connections of a socket, as its monitors are told.

use std::io;
use std::ops::Sub;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::error::Rejection;
use crate::limit::Limit;
use crate::zmtp::{SocketType, Violation};

/// What happened to a connection of a socket; told by a [`Monitor`](crate::Monitor).
///
/// The events of one connection come in the order in which they happened:
///
/// ```text
/// connect:  Connected ──▶ Ready ──▶ Disconnected ──▶ Retrying ──▶ Connected, or ConnectFailed ──▶ Retrying
///               └───────▶ HandshakeFailed ──▶ Retrying, or Abandoned
/// bind:     Listening,  Accepted ──▶ Ready ──▶ Disconnected
///                           └──────▶ HandshakeFailed
///                       AcceptPaused ──▶ AcceptResumed
/// ```
///
/// On `inproc` a connection takes no time to make: both sides hear of `Ready` and `Disconnected`, and of types that cannot
/// be peers; the one that is bound of `Listening` and of peers that it turns away; and there is nothing else to tell.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The socket was bound, and accepts connections from now on.
    Listening {
        /// What [`bind`](crate::Socket::bind) returned.
        endpoint: Endpoint,
    },
    /// A connection was accepted. Who it is will be known after the handshake.
    Accepted {
        /// Where the socket is bound: what [`bind`](crate::Socket::bind) returned.
        endpoint: Endpoint,
        /// Where the connection comes from; for `ipc`, which does not tell, the same as `endpoint`.
        address: Endpoint,
    },
    /// The system is out of file descriptors, or of memory: no connection is accepted at a bound endpoint for now. Those
    /// that are there go on, and others wait in the [`backlog`](crate::Builder::backlog). Accepting is tried again ten
    /// times a second, and this is not told again before [`AcceptResumed`](Self::AcceptResumed).
    AcceptPaused {
        /// Where the socket is bound: what [`bind`](crate::Socket::bind) returned.
        endpoint: Endpoint,
        /// What the system says.
        error: Arc<io::Error>,
    },
    /// Connections are accepted again, and nobody waits any more.
    AcceptResumed {
        /// Where the socket is bound: what [`bind`](crate::Socket::bind) returned.
        endpoint: Endpoint,
    },
    /// A connection was made. Who is there will be known after the handshake.
    Connected {
        /// What [`connect`](crate::Socket::connect) was given.
        endpoint: Endpoint,
        /// The address that was reached.
        address: Endpoint,
    },
    /// No connection was made to an endpoint: its name is not found, or nobody listens at any of its addresses.
    ConnectFailed {
        /// What [`connect`](crate::Socket::connect) was given.
        endpoint: Endpoint,
        /// What the system says, of the last address that was tried.
        error: Arc<io::Error>,
    },
    /// A connection ended before it was of any use: its peer is none of ours, or was turned away.
    HandshakeFailed {
        /// Who it was: its address, and what was dialled.
        peer: Remote,
        /// What went wrong.
        why: End,
    },
    /// The handshake is over: the peer may be sent to and received from.
    Ready {
        /// Who it is.
        peer: Remote,
    },
    /// The connection of a peer that had been [`Ready`](Self::Ready) is over.
    Disconnected {
        /// Who it was.
        peer: Remote,
        /// How it ended.
        why: End,
    },
    /// An endpoint that `connect` was given will be dialled again.
    Retrying {
        /// What [`connect`](crate::Socket::connect) was given.
        endpoint: Endpoint,
        /// The pause before that: see [`reconnect_interval`](crate::Builder::reconnect_interval).
        after: Duration,
    },
    /// The peer at an endpoint that `connect` was given has refused us for good, or was given up as
    /// [`reconnect_stop`](crate::Builder::reconnect_stop) asks for. It is not dialled again until the socket is connected
    /// to it anew.
    Abandoned {
        /// What [`connect`](crate::Socket::connect) was given.
        endpoint: Endpoint,
    },
    /// A limit of the socket was reached. What that means for the peer, the [`Limit`] says; if it ends the connection, that
    /// is told in an event of its own.
    LimitReached {
        /// Which one.
        limit: Limit,
        /// Who reached it, as far as that is known.
        peer: Remote,
    },
    /// Messages that the socket had accepted were given up. At most one such event comes in a tenth of a second.
    Dropped {
        /// How many, by reason, since the last event of this kind.
        messages: Dropped,
    },
    /// The monitor was not read for so long that its oldest events were given up for newer ones. They would have stood
    /// here.
    Missed {
        /// How many they were.
        events: u64,
    },
}

/// Who is at the other end of a connection, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remote {
    /// What [`connect`](crate::Socket::connect) was given, if we dialled; none for a peer that came to us.
    pub endpoint: Option<Endpoint>,
    /// Where the peer is, or was when it was last connected; none if it never was. For `ipc` it is the path or name that
    /// joins the two.
    pub address: Option<Endpoint>,
    /// The type of its socket, once the handshake is complete; what tells of a connection and not of a peer, as
    /// [`HandshakeFailed`](Event::HandshakeFailed) does, has none.
    pub socket_type: Option<SocketType>,
    /// How it wants to be known, empty for no matter how. At a [`Router`](crate::Router) it is the id it *is* known by.
    pub routing_id: Bytes,
}

/// Why a connection is over.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// The peer ended it.
    #[error("the peer closed the connection")]
    Closed,
    /// The system ended it; most often the peer died, or cannot be reached any more.
    #[error("the connection broke: {0}")]
    Broken(#[source] Arc<io::Error>),
    /// The peer broke the protocol, or said that we did.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The socket did not want the peer.
    #[error("the peer was refused: {0}")]
    Refused(#[from] Rejection),
    /// The socket ended it: it was closed, unbound or disconnected; or it has to, as when a REQ gives up what it has asked,
    /// or a publisher is built to [disconnect](crate::Overflow::Disconnect) who is too slow.
    #[error("the socket hung up")]
    HungUp,
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(Arc::new(error))
    }
}

/// Messages a socket had accepted and then given up, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Still unsent when the socket ended: when the linger time of a dropped one was over, which nobody can ask it any
    /// more, and so is written to the log, too.
    pub lingered: u64,
    /// Replaced by a newer message, as the option `conflate` asks for; or the latest value of a peer that is lost and
    /// not expected back.
    pub conflated: u64,
    /// For a peer whose queue was full, where the option [`overflow`](crate::Builder::overflow) has it dropped, or a
    /// REP had to.
    pub overflowed: u64,
    /// For a routing id that nobody has, at a ROUTER that is not [`mandatory`](crate::Builder::mandatory); or the routing id
    /// of a peer with nothing behind it, at any ROUTER.
    pub unroutable: u64,
    /// For a peer that was lost, of types that cannot send it to another one; or sent by an XSUB that has no peer.
    pub disconnected: u64,
    /// Published with nobody subscribed to it.
    pub unsubscribed: u64,
    /// Requests that were given up before they were sent.
    pub abandoned: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { lingered, conflated, overflowed, unroutable, disconnected, unsubscribed, abandoned } =
            *self;
        lingered + conflated + overflowed + unroutable + disconnected + unsubscribed + abandoned
    }
}

/// What was dropped since an earlier count of the same socket.
impl Sub for Dropped {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            lingered: self.lingered - earlier.lingered,
            conflated: self.conflated - earlier.conflated,
            overflowed: self.overflowed - earlier.overflowed,
            unroutable: self.unroutable - earlier.unroutable,
            disconnected: self.disconnected - earlier.disconnected,
            unsubscribed: self.unsubscribed - earlier.unsubscribed,
            abandoned: self.abandoned - earlier.abandoned,
        }
    }
}
