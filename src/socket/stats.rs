//! [`Stats`]: where every message of a socket is, and [`PeerStats`]: the same for each peer.

use crate::limit::LimitHits;
use crate::monitor::{Dropped, Remote};
use crate::peer::{Peer, Tally};

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
    /// Bytes of memory that these take, as [`send_hwm_bytes`](crate::Builder::send_hwm_bytes) counts them.
    pub queued_bytes: u64,
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
    /// Bytes of memory that these take, as [`max_recv_bytes`](crate::Builder::max_recv_bytes) counts them.
    pub waiting_bytes: u64,
    /// Bytes written for the messages in `written`, framing included.
    pub bytes_written: u64,
    /// Bytes that came for the messages in `received`, framing included, and for what was said between them: heartbeats
    /// and subscriptions.
    pub bytes_received: u64,
    /// Peers connected at present.
    pub peers: usize,
    /// How often a peer that `connect` made was connected again.
    pub reconnects: u64,
    /// How often each limit on what peers can take was hit.
    pub limits: LimitHits,
}

/// What has become of the messages to and from one peer so far, over all its connections; see
/// [`Socket::peer_stats`](crate::Socket::peer_stats).
///
/// Both directions add up exactly, whenever they are asked for:
///
/// ```text
/// given    = written + taken_back + queued
/// received = delivered + discarded + waiting
/// ```
///
/// A message may be given to several peers one after the other, or to one of them twice, since what a lost peer has not
/// got is given anew: these numbers need not sum up to what the socket has [accepted](Stats::accepted). And what
/// waits for whichever peer has room first is given to nobody yet: it is [queued](Stats::queued) at the socket alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerStats {
    /// Who it is.
    pub peer: Remote,
    /// Whether it is connected at present.
    pub connected: bool,
    /// How often it was connected.
    pub connections: u64,
    /// Messages that were put into its queue.
    pub given: u64,
    /// Messages wholly given to its connections.
    pub written: u64,
    /// A part of `written`: messages given to connections that have ended since. It may have got them or not.
    pub unconfirmed: u64,
    /// Messages that were taken out of its queue again: when it was lost, to be given to whoever can have them or else
    /// dropped; when they were replaced by newer ones; or when they were handed back by `close`.
    pub taken_back: u64,
    /// Messages that wait to be written to it.
    pub queued: u64,
    /// Bytes of memory that these take.
    pub queued_bytes: u64,
    /// Messages that came from it.
    pub received: u64,
    /// Messages from it that `recv` gave to the caller.
    pub delivered: u64,
    /// Messages from it that nobody will receive: see [`Stats::discarded`].
    pub discarded: u64,
    /// Messages from it that wait to be received.
    pub waiting: u64,
    /// Bytes of memory that these take.
    pub waiting_bytes: u64,
    /// Bytes written for the messages in `written`, framing included.
    pub bytes_written: u64,
    /// Bytes that came for the messages in `received`, framing included, and for what was said between them: heartbeats
    /// and subscriptions.
    pub bytes_received: u64,
}

impl PeerStats {
    pub(super) fn of(peer: &Peer) -> Self {
        let Tally { given, written, unconfirmed, taken_back, received, delivered, .. } = peer.tally;
        let waiting = peer.inbox.len() as u64;
        Self {
            peer: peer.remote.clone(),
            connected: peer.carrier.is_some(),
            connections: peer.tally.connections,
            given,
            written,
            unconfirmed,
            taken_back,
            queued: peer.outbox.queued() as u64,
            queued_bytes: peer.outbox.octets() as u64,
            received,
            delivered,
            // What has come and is nowhere else.
            discarded: received - delivered - waiting,
            waiting,
            waiting_bytes: peer.inbox.octets() as u64,
            bytes_written: peer.tally.octets_written,
            bytes_received: peer.tally.octets_received,
        }
    }
}
