//! What a socket knows of a peer, and the two narrow traits through which a socket and a connection talk.
//!
//! Locks are taken in one order, everywhere: **duty** (the reactor's turn), then **outgoing** (the writing half of a
//! wire), then **core** (a socket's state). Methods of [`Host`] take the core lock themselves and may be called with
//! the other two held. Methods of [`Carrier`] take the outgoing lock and then the core lock, and may be called by whoever
//! has the duty or no lock at all. The locks of the engine's lists (who drives, what was asked for, who is watched, what
//! lingers) are taken last and held for no call.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::endpoint::Endpoint;
pub(crate) use crate::error::Rejection;
use crate::limit::Limit;
use crate::message::{Message, Space};
use crate::monitor::{End, Event, Remote};
use crate::pipe::{Flight, Inbox, Outbox, Wakes};
use crate::slots::Id;
use crate::zmtp::PeerInfo;

/// A socket, as its connections see it.
pub(crate) trait Host: Send + Sync {
    /// A handshake is complete: the peer may be sent to and received from. `dialled` names the peer that `connect`
    /// made; an accepted one is new. A peer that is refused is to be dropped.
    fn attach(
        &self,
        dialled: Option<Id>,
        info: &PeerInfo,
        carrier: Arc<dyn Carrier>,
    ) -> Result<(Id, Wakes), Rejection>;

    /// The wire reports what it has written of `flight` and, when that is all, takes the next batch, and the words to be
    /// said before it.
    fn exchange(&self, peer: Id, flight: &mut Flight, words: &mut Vec<Word>) -> Wakes;

    /// As [`Host::exchange`], for a carrier in this process: gives it as many whole messages as there is room for, and tells
    /// how many octets they are. If there is none, the next one is brought at once, for the peer may be waiting.
    fn hand_over(
        &self,
        peer: Id,
        room: Space,
        messages: &mut Vec<Message>,
        words: &mut Vec<Word>,
    ) -> (usize, Wakes);

    /// Messages have arrived, in so many octets. Leaves the vector empty and tells how much more may come; with nothing,
    /// reading stops until [`Carrier::resume`].
    fn deliver(&self, peer: Id, messages: &mut Vec<Message>, octets: usize) -> (Space, Wakes);

    /// How much the peer may deliver now; nothing pauses it as [`Host::deliver`] does.
    fn room(&self, peer: Id) -> Space;

    /// Nothing more can be written on the connection. What it had not wholly written goes back to the socket.
    fn lose(&self, peer: Id, flight: &mut Flight) -> Wakes;

    /// Nothing more will be read from the connection either; it is over, and this is why.
    fn part(&self, peer: Id, why: &End) -> Wakes;

    /// The peer that `connect` made will not have us, and is not tried again: what waits for it goes to others.
    fn abandon(&self, peer: Id) -> Wakes;

    /// Nobody will come any more to the names within its context that the socket is bound to.
    fn desert(&self) {}

    /// Something has happened that monitors of the socket are told, if there are any.
    fn report(&self, event: &dyn Fn() -> Event) -> Wakes;

    /// A limit is reached: that is counted, and told to monitors, if there are any.
    fn limit_reached(&self, limit: Limit, peer: &dyn Fn() -> Remote) -> Wakes;

    /// Writes the batches that nobody else may write.
    fn flush(&self);

    /// As [`Host::flush`]; where there is nothing to write, it has unused memory given back. False if the socket need not
    /// be looked at until it asks for it again.
    fn look(&self) -> bool;

    /// Whether a closed socket has nothing left to send, or nobody to send it to; if not, the waker is called when that
    /// is so.
    fn poll_drained(&self, waker: &Waker) -> bool;

    /// A closed socket lingers no longer: it drops what it still has, and ends its connections.
    fn settle(&self);
}

/// A connection, as its socket sees it.
pub(crate) trait Carrier: Send + Sync {
    /// Writes what the peer's outbox holds, as far as the stream takes it, on the calling thread.
    fn pump(&self);

    /// Gives unused memory back, now that nothing has been sent for a while.
    fn trim(&self);

    /// The peer's inbox has room again.
    fn resume(&self);

    /// The socket is done with this connection. Returns at once; the connection ends soon.
    fn hang_up(&self);

    /// Where the other side is.
    fn address(&self) -> Endpoint;

    /// Where this side is, as the other one knows it. None where there are no such names.
    fn local(&self) -> Option<Endpoint> {
        None
    }

    /// Where the socket is bound that was connected to; none if it is the one that has connected.
    fn listener(&self) -> Option<Endpoint> {
        None
    }

    /// Whether the peer is in this process, so that it takes whole messages.
    fn is_inproc(&self) -> bool {
        false
    }
}

/// What a socket has to tell a peer beside its messages. It goes out before messages that have not begun to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Asks a publisher for a topic.
    Subscribe(Bytes),
    /// Takes that back.
    Cancel(Bytes),
    /// A message of the socket itself, which no user has sent.
    Greet(Message),
}

/// What is to be said to a peer that has not been said yet.
#[derive(Default)]
pub(crate) struct Words {
    queue: Vec<Word>,
    /// Octets of memory that those take which have come up since the connection was made.
    octets: usize,
}

impl Words {
    /// Adds one of those that a connection begins with.
    pub(crate) fn begin_with(&mut self, word: Word) {
        self.queue.push(word);
    }

    /// Adds one that has come up. False if such would take more octets than this: then it is not added. One alone may always
    /// be said.
    pub(crate) fn push(&mut self, word: Word, most: usize) -> bool {
        let octets = self.octets + word.weight();
        let fits = self.octets == 0 || octets <= most;
        if fits {
            self.octets = octets;
            self.queue.push(word);
        }
        fits
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Gives them all away.
    pub(crate) fn move_to(&mut self, others: &mut Vec<Word>) {
        self.octets = 0;
        others.append(&mut self.queue);
    }
}

impl Word {
    /// Octets of memory that it takes.
    fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Subscribe(topic) | Self::Cancel(topic) => topic.len(),
                Self::Greet(message) => message.outside(),
            }
    }
}

/// How a connection is ended from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Drop it.
    Abrupt,
    /// Say that nothing more comes, and keep it until the peer has read that or a short while has passed. A connection
    /// that is dropped while something of the peer's lies unread makes the kernel throw away what is still on its way
    /// out.
    Graceful,
}

/// One peer of a socket: its two queues, and the connection it has at present.
pub(crate) struct Peer {
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    /// The present connection, from the end of its handshake on.
    pub(crate) carrier: Option<Arc<dyn Carrier>>,
    /// The connection that messages may still come from. It outlasts `carrier` when writing fails before reading does.
    pub(crate) source: Option<Arc<dyn Carrier>>,
    /// Made by `connect`: it stays when its connection is lost.
    pub(crate) dialled: bool,
    /// Where it came in; none if it was made by `connect`.
    pub(crate) listener: Option<Endpoint>,
    /// What is to be said on the present connection before anything else.
    pub(crate) words: Words,
    /// The present connection is being ended from our side: nothing more goes out on it, and what comes is discarded.
    pub(crate) severed: bool,
    /// Messages wholly written on the present connection.
    pub(crate) written: u64,
    /// Whether the open batch waits in the socket's list of batches to flush.
    pub(crate) dirty: bool,
    /// It is sent nothing more.
    pub(crate) forsaken: bool,
    /// Its connection is over and will not come back; it stays for what is left in its inbox.
    pub(crate) over: bool,
    /// It is not read from until less is waiting of all peers together.
    pub(crate) held_up: bool,
    /// How many messages had come to the socket when it last brought some.
    pub(crate) served: u64,
    /// Something came from it since it was last sent a message, so that the next is an answer, or a question in turn.
    pub(crate) heard: bool,
    pub(crate) tally: Tally,
    /// Who it is, or was when it was last connected.
    pub(crate) remote: Remote,
}

/// What has gone to a peer and come from it, in messages and octets.
///
/// ```text
/// given = written + taken_back + queued
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Messages that were put into its queue.
    pub(crate) given: u64,
    pub(crate) written: u64,
    pub(crate) unconfirmed: u64,
    /// Messages that were taken out of its queue again, to be sent elsewhere or not at all.
    pub(crate) taken_back: u64,
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) octets_written: u64,
    pub(crate) octets_received: u64,
    /// Connections it has had.
    pub(crate) connections: u64,
}

impl Peer {
    pub(crate) fn new(outbox: Outbox, inbox: Inbox, dialled: bool) -> Self {
        Self {
            outbox,
            inbox,
            carrier: None,
            source: None,
            dialled,
            listener: None,
            words: Words::default(),
            severed: false,
            written: 0,
            dirty: false,
            forsaken: false,
            over: false,
            held_up: false,
            served: 0,
            heard: false,
            tally: Tally::default(),
            remote: Remote::default(),
        }
    }

    /// Whether it can be told anything: it has a connection, which is not being ended.
    pub(crate) fn listens(&self) -> bool {
        self.carrier.is_some() && !self.severed
    }

    /// Whether something waits that no wire is at work on.
    pub(crate) fn wants_pump(&self) -> bool {
        !self.outbox.is_in_flight() && (self.outbox.has_open() || !self.words.is_empty())
    }
}
