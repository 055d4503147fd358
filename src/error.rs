//! What can go wrong, one small enum for each operation.
//!
//! Every error says whose turn it is: the caller's, to call differently or not at all; the network's, to recover; or
//! the machine's, to provide what was asked of it.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::endpoint::{Endpoint, EndpointError};
use crate::message::Message;
use crate::zmtp::SocketType;

/// A message that was not sent, and why.
///
/// The message comes back whole, so that the caller can keep it, send it later or send it elsewhere.
///
/// ```
/// use ferromq::{Message, SendError};
///
/// fn keep_if_full(result: Result<(), SendError>, kept: &mut Vec<Message>) -> Result<(), SendError> {
///     match result {
///         Err(error) if error.reason().is_full() => kept.push(error.into_message()),
///         result => result?,
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    message: Message,
    reason: Refusal,
}

impl SendError {
    pub(crate) fn new(message: Message, reason: Refusal) -> Self {
        Self { message, reason }
    }

    /// Why the message was not sent.
    pub fn reason(&self) -> Refusal {
        self.reason
    }

    /// The message that was not sent.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Takes the message that was not sent out of the error.
    pub fn into_message(self) -> Message {
        self.message
    }
}

/// Why a message was not sent: the reason of a [`SendError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Every queue the message could go to is at its high-water mark, or there is no peer and so no queue; and the call
    /// was not to wait.
    #[error(
        "no peer is there that has room: see whether one is connected, send again later, wait with send, or raise send_hwm"
    )]
    Full,
    /// Every queue the message could go to has as many bytes as it may have, alone or together with the others; and the
    /// call was not to wait.
    #[error(
        "no peer is there that has room for more bytes: send again later, wait with send, or raise send_hwm_bytes or \
         max_send_bytes"
    )]
    FullOfBytes,
    /// There was no room, in messages or in bytes, for as long as the call was to wait.
    #[error("no peer was there that had room before the timeout: see whether they are connected and keep up")]
    TimedOut,
    /// It is not the turn of the socket to send: a REQ waits for the answer to what it asked, a REP has no request to
    /// answer.
    #[error("it is not this socket's turn to send: receive first")]
    OutOfTurn,
    /// No peer has the routing id that the message begins with.
    #[error(
        "no peer has the routing id that is the first part: see whether it is connected, or let mandatory(false) drop the \
         message"
    )]
    Unroutable,
    /// The socket was closed before or during the call.
    #[error("the socket is closed: send on another one")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
}

impl Refusal {
    /// Whether there is no room at present, whatever it is that there is too much of, so that a later try may succeed.
    pub fn is_full(self) -> bool {
        matches!(self, Self::Full | Self::FullOfBytes)
    }
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[repr(u64)] // as wide as a move is: see `Short` in `message`
pub enum RecvError {
    /// No message is waiting, and the call was not to wait either.
    #[error("no message is waiting: try again later, or wait with recv")]
    Empty,
    /// No message came for as long as the call was to wait.
    #[error("no message came before the timeout: allow more time, or see whether the peers are connected")]
    TimedOut,
    /// It is not the turn of the socket to receive: a REQ has asked nothing, a REP has a request to answer.
    #[error("it is not this socket's turn to receive: send first")]
    OutOfTurn,
    /// The peer that a REQ had asked is lost, and the answer with it. The request can be sent again.
    #[error("the peer that was asked is lost: send the request again, which it may have seen already")]
    PeerLost,
    /// The socket was closed before or during the call.
    #[error("the socket is closed: receive on another one")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
}

/// What a call that receives returns. It is handed from the caller down to the queue, so that a message moves once, from there
/// to where the caller wants it: moves are much of what a `recv` costs.
pub(crate) type Received = Result<Message, RecvError>;

/// Why a wait has ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmet {
    /// Its time is over.
    TimedOut,
    /// It would never end: who should bring it about is in the process that this one was forked from.
    Forked,
}

impl From<Unmet> for Refusal {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::TimedOut => Self::TimedOut,
            Unmet::Forked => Self::Forked,
        }
    }
}

impl From<Unmet> for RecvError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::TimedOut => Self::TimedOut,
            Unmet::Forked => Self::Forked,
        }
    }
}

impl From<Unmet> for WaitError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::TimedOut => Self::TimedOut,
            Unmet::Forked => Self::Forked,
        }
    }
}

impl From<Unmet> for MonitorError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::TimedOut => Self::TimedOut,
            Unmet::Forked => Self::Forked,
        }
    }
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request was not sent; the error gives it back.
    #[error("the request was not sent: {0}")]
    Unsent(#[from] SendError),
    /// The request was accepted and there is no answer. A peer may have seen it or not; if it was still queued, for a peer
    /// that could not be reached, it is counted as [abandoned](crate::Dropped::abandoned), and nobody has.
    #[error("the request was not answered: {0}")]
    Unanswered(#[from] RecvError),
}

/// Why a proxy ended without being told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// One of the two sockets was closed, or its context.
    #[error("a socket of the proxy is closed: join others")]
    Closed,
    /// One of the two sockets could not receive, for a reason that no waiting helps.
    #[error("the proxy cannot receive: {0}")]
    Receive(#[source] RecvError),
    /// One of the two sockets could not send, for a reason that no waiting helps.
    #[error("the proxy cannot send: {0}")]
    Send(#[source] Refusal),
}

/// Why a subscription was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The topic is longer than a publisher has to take.
    #[error("a topic has at most {limit} bytes: subscribe to the beginning of it")]
    TooLong {
        /// The most bytes of a topic.
        limit: usize,
    },
    /// The socket is closed.
    #[error("the socket is closed: subscribe with another one")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
}

/// Why a wait for peers ended without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Too few peers were connected, or had subscribed, for as long as the call was to wait. Those that are there stay.
    #[error(
        "too few peers connected, or subscribed, before the timeout: check that they run and can be reached"
    )]
    TimedOut,
    /// The socket was closed before or during the call.
    #[error("the socket is closed: wait on another one")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
}

/// Why a monitor has no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// No event is waiting, and the call was not to wait either.
    #[error("no event is waiting: try again later, or wait with recv")]
    Empty,
    /// No event came for as long as the call was to wait.
    #[error("no event came before the timeout: nothing has happened to the connections")]
    TimedOut,
    /// The socket and all its connections are closed, and every event has been told.
    #[error("the socket is closed, and all its events are told")]
    Closed,
    /// The process is a fork of the one that the socket of the monitor belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
}

/// Why a socket does not want a peer; told by [`Event::HandshakeFailed`](crate::Event::HandshakeFailed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The socket was closed meanwhile.
    #[error("the socket is closed")]
    Closed,
    /// A PAIR socket has its one peer already.
    #[error("the socket has its one peer already")]
    Occupied,
    /// Another peer of a ROUTER socket has the same routing id.
    #[error("another peer has the same routing id")]
    RoutingIdTaken,
    /// Its handshake was not over after a second, and another connection needed its place or its descriptor: see
    /// [`max_handshakes`](crate::Builder::max_handshakes).
    #[error("its handshake was not over, and others needed its place")]
    Displaced,
}

/// Why a [`Poller`](crate::Poller) does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PollerError {
    /// Another socket or descriptor has this key.
    #[error("the key {0} is taken: choose another one, or remove what has it")]
    KeyTaken(usize),
    /// The socket or descriptor is in the poller already, with this key.
    #[error("it is in the poller already, with the key {0}: modify what it is watched for")]
    Twice(usize),
    /// Nothing has this key.
    #[error("nothing has the key {0}: add a socket or descriptor with it first")]
    UnknownKey(usize),
    /// A wait would have no end, since there is nothing to wait for.
    #[error("there is nothing to wait for: add a socket first, or wait with a timeout")]
    Empty,
    /// A future cannot wait for file descriptors.
    #[error("a future waits for sockets only: remove the file descriptors and have the executor watch them")]
    Blocking,
    /// The process is a fork of the one that the poller, or a socket in it, belongs to.
    #[error(
        "what is waited for belongs to the process that this one was forked from: make a new poller and a new context"
    )]
    Forked,
    /// The machine's: the system cannot watch a file descriptor, or has none left for that.
    #[error("cannot watch a file descriptor: {0}")]
    System(#[from] io::Error),
}

/// What a `close` leaves: what could not be sent, and an account of where everything went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it holds the messages that could not be sent"]
#[non_exhaustive]
pub struct Closed {
    /// The messages that were accepted and not wholly sent in time, handed back. First come those of the first of the
    /// `endpoints`, as many as it has [`returned`](ClosedEndpoint::returned), then those of the next. Those of one peer
    /// are in order.
    pub unsent: Vec<Message>,
    /// What became of the messages of each endpoint that the socket was bound or connected to, and of those that were
    /// with none of them. Their sums are what the close has changed in the [`Stats`](crate::Stats) of the socket.
    pub endpoints: Vec<ClosedEndpoint>,
}

/// What a `close` has done with the messages of one endpoint; a part of [`Closed`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClosedEndpoint {
    /// The type of the socket that was closed.
    pub socket: SocketType,
    /// What [`bind`](crate::Socket::bind) returned or [`connect`](crate::Socket::connect) was given. None for messages
    /// that waited for whichever peer would have room first.
    pub endpoint: Option<Endpoint>,
    /// Whether the socket was bound there, so that the figures are those of all its peers that came in there. If not, it
    /// was connected there.
    pub bound: bool,
    /// Messages wholly given to connections during the close.
    pub flushed: u64,
    /// Messages handed back in [`unsent`](Closed::unsent).
    pub returned: u64,
    /// Messages that could not be sent and are of no use to anybody else, such as what a PUB had for a slow subscriber.
    pub dropped: u64,
    /// Messages that came from there and will not be received: those that had not been when the close began, and those
    /// that came during it.
    pub discarded: u64,
}

/// Why a socket is not bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The caller's: nothing can be bound to such an endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The caller's: the socket is closed.
    #[error("the socket is closed: bind another one")]
    Closed,
    /// The caller's: the process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
    /// The network's, mostly: the name service has no address for the host.
    #[error("cannot bind to {endpoint}, for its host is not found: {source}")]
    Resolve {
        /// What was to be bound to.
        endpoint: Endpoint,
        /// What the name service answered.
        source: io::Error,
    },
    /// The machine's: the system refused to listen there. Most often the port or the path is taken
    /// ([`AddrInUse`](io::ErrorKind::AddrInUse)), the address belongs to another machine
    /// ([`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable)), or the port needs more rights
    /// ([`PermissionDenied`](io::ErrorKind::PermissionDenied)).
    #[error("cannot listen on {endpoint}: {source}")]
    Listen {
        /// What was to be bound to.
        endpoint: Endpoint,
        /// What the system answered.
        source: io::Error,
    },
}

/// Why a socket does not connect.
///
/// A peer that is away, a name that is not found and a connection that is refused are no errors of `connect`: the
/// socket goes on trying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing can be connected to such an endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The socket is closed.
    #[error("the socket is closed: connect another one")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from: make a new context")]
    Forked,
    /// A PAIR socket has its one peer already.
    #[error("the socket has its one peer already: disconnect that one, or use another socket")]
    Occupied,
    /// The routing id for the peer is none.
    #[error(transparent)]
    RoutingId(#[from] OptionError),
    /// The routing id for the peer is taken by another one.
    #[error("another peer has this routing id already")]
    RoutingIdTaken,
}

/// Why `unbind` or `disconnect` changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetachError {
    /// What was given is not an endpoint.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The socket is not bound or not connected to this endpoint.
    #[error(
        "the socket is not attached to {0}: give unbind what bind returned, and disconnect what connect was given"
    )]
    Unknown(Endpoint),
    /// The socket is closed, and with it all it was bound or connected to.
    #[error("the socket is closed, and detached from everything")]
    Closed,
    /// The process is a fork of the one that the socket belongs to.
    #[error("the socket belongs to the process that this one was forked from, which stays attached")]
    Forked,
}

/// Why a socket was not built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An option is out of its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The context is closed.
    #[error("the context is closed: build the socket on another one")]
    Closed,
    /// The process is a fork of the one that the context belongs to.
    #[error("the context belongs to the process that this one was forked from: make a new context")]
    Forked,
}

/// Why a context was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The caller's: an option is out of its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The machine's: it has no thread, or no file descriptor, left for an I/O thread.
    #[error("cannot start an I/O thread: {0}")]
    Start(#[source] io::Error),
}

/// An option whose value is out of its range.
///
/// It prints the name of the option, its value and the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the option {option} cannot be {value}: it is {range}")]
pub struct OptionError {
    option: &'static str,
    value: Value,
    range: Range,
}

impl OptionError {
    /// The name of the option, which is that of its setter.
    pub fn option(&self) -> &'static str {
        self.option
    }

    /// Checks that the value of an option is not below `min`.
    pub(crate) fn at_least<T>(option: &'static str, value: T, min: T) -> Result<(), Self>
    where
        T: Copy + PartialOrd + Into<Value>,
    {
        let range = Range { min: min.into(), max: None };
        if value >= min { Ok(()) } else { Err(Self { option, value: value.into(), range }) }
    }

    /// Checks that the value of an option lies within `range`.
    pub(crate) fn within<T>(option: &'static str, value: T, range: RangeInclusive<T>) -> Result<(), Self>
    where
        T: Copy + PartialOrd + Into<Value>,
    {
        let (&min, &max) = (range.start(), range.end());
        let contained = range.contains(&value);
        let range = Range { min: min.into(), max: Some(max.into()) };
        if contained { Ok(()) } else { Err(Self { option, value: value.into(), range }) }
    }

    /// Checks that as many bytes as an option has lie within `range`.
    pub(crate) fn length(option: &'static str, len: usize, range: RangeInclusive<usize>) -> Result<(), Self> {
        Self::within(option, len, range).map_err(|error| Self { value: Value::Bytes(len), ..error })
    }
}

/// The value of an option, in its unit. A length says so; a number of anything else stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Count(usize),
    Bytes(usize),
    Time(Duration),
}

impl From<usize> for Value {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

impl From<Duration> for Value {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Self::Time(time) => write!(f, "{time:?}"),
        }
    }
}

/// The values that an option can have, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    min: Value,
    max: Option<Value>,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) => write!(f, "from {} to {max}", self.min),
            None => write!(f, "at least {}", self.min),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_message_comes_back() {
        let error = SendError::new(Message::from("hello"), Refusal::Full);
        assert_eq!(error.reason(), Refusal::Full);
        assert_eq!(error.message(), "hello");
        assert_eq!(error.to_string(), Refusal::Full.to_string());
        assert_eq!(error.into_message(), "hello");
    }

    #[test]
    fn a_refusal_adds_no_more_than_a_word_to_the_message() {
        assert_eq!(size_of::<Refusal>(), 1);
        assert!(size_of::<Result<(), SendError>>() <= size_of::<Message>() + 8);
    }

    #[test]
    fn errors_cross_threads() {
        fn check<E: std::error::Error + Send + Sync + 'static>() {}
        check::<SendError>();
        check::<RecvError>();
        check::<ProxyError>();
        check::<WaitError>();
        check::<BindError>();
        check::<ConnectError>();
        check::<DetachError>();
        check::<BuildError>();
        check::<ContextError>();
    }

    #[test]
    fn the_reason_of_the_system_is_shown() {
        let endpoint = Endpoint::try_from("tcp://*:80").unwrap();
        let error = BindError::Listen { endpoint, source: io::Error::other("taken") };
        assert_eq!(error.to_string(), "cannot listen on tcp://*:80: taken");
        assert_eq!(
            BindError::from(EndpointError::MissingPort).to_string(),
            EndpointError::MissingPort.to_string()
        );
    }

    #[test]
    fn an_option_is_refused_outside_its_range_only() {
        assert!(OptionError::at_least("size", 1, 1).is_ok());
        assert!(OptionError::within("size", 1, 1..=3).is_ok());
        assert!(OptionError::within("size", 3, 1..=3).is_ok());

        let error = OptionError::within("size", 4, 1..=3).unwrap_err();
        assert_eq!(error.option(), "size");
        assert_eq!(error.to_string(), "the option size cannot be 4: it is from 1 to 3");

        let error = OptionError::length("id", 0, 1..=3).unwrap_err();
        assert_eq!(error.to_string(), "the option id cannot be 0 bytes: it is from 1 to 3");

        let [value, min] = [Duration::ZERO, Duration::from_millis(1)];
        let error = OptionError::at_least("interval", value, min).unwrap_err();
        assert_eq!(error.to_string(), "the option interval cannot be 0ns: it is at least 1ms");
    }
}
