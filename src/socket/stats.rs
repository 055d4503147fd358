//! [`Stats`]: where every message of a socket is.

/// What has become of the messages of a socket so far, and how many peers it has.
///
/// The sending side adds up exactly, whenever it is asked for:
///
/// ```text
/// accepted = written + returned + dropped.total() + queued
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
    /// Messages that came and that nobody will receive: a newer one took their place, or the socket was closed.
    pub discarded: u64,
    /// Messages that wait to be received.
    pub waiting: u64,
    /// Peers connected at present.
    pub peers: usize,
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
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.lingered + self.conflated
    }
}
