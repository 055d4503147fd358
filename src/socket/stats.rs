//! [`Stats`]: where every message of a socket is.

/// What has become of the messages of a socket so far, and how many peers it has.
///
/// The sending side adds up exactly, whenever it is asked for:
///
/// ```text
/// accepted + copied = written + returned + dropped.total() + queued
/// ```
///
/// and so does the receiving side:
///
/// ```text
/// received = delivered + discarded + waiting
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Messages that `send` took from the caller.
    pub accepted: u64,
    /// Copies beyond the first, of messages that go to several peers: a PUB counts one less than a message has
    /// subscribers. Zero for types that send to one peer at a time.
    pub copied: u64,
    /// Messages wholly given to a connection.
    pub written: u64,
    /// A part of `written`: messages given to connections that have ended since. Their peers may have got them or not.
    pub unconfirmed: u64,
    /// Messages that `close` handed back to the caller.
    pub returned: u64,
    /// Messages that were given up.
    pub dropped: Dropped,
    /// Messages that wait to be written.
    pub queued: u64,
    /// How often a message was taken back from a lost connection, to be sent on another.
    pub requeued: u64,
    /// Messages that came from peers.
    pub received: u64,
    /// Messages that `recv` gave to the caller.
    pub delivered: u64,
    /// Messages that came and that nobody will receive: a newer one took their place, they are not what the socket
    /// asked for, or it was closed.
    pub discarded: u64,
    /// Messages that wait to be received.
    pub waiting: u64,
    /// Bytes written for the messages in `written`, framing included.
    pub bytes_written: u64,
    /// Bytes that came for the messages in `received`, framing included.
    pub bytes_received: u64,
    /// Peers connected at present.
    pub peers: usize,
    /// How often a peer that `connect` made was connected again.
    pub reconnects: u64,
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
    /// For a peer whose queue was full, where the option [`overflow`](super::Builder::overflow) has it dropped, or a
    /// REP had to.
    pub overflowed: u64,
    /// For a routing id that nobody has, at a ROUTER that is not [`mandatory`](super::Builder::mandatory).
    pub unroutable: u64,
    /// For a peer that was lost, of types that cannot send it to another one.
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
