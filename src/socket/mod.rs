//! [`Socket`]: the typed face of a socket. Each type of socket has a file of its own.

mod attachments;
mod builder;
mod closing;
mod core;
mod dealer;
mod end;
mod feed;
mod gauge;
mod host;
mod interest;
mod ledger;
mod monitor;
mod pace;
mod pair;
mod pattern;
mod pipes;
mod pub_;
mod publishing;
mod pull;
mod push;
mod readiness;
mod rep;
mod req;
mod router;
mod state;
mod stats;
mod sub;
mod subscribing;
mod wait;
mod watching;
mod xpub;
mod xsub;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use self::builder::Builder;
use self::closing::Draining;
use self::core::Core;
pub use self::dealer::Dealer;
pub(crate) use self::end::{Closing, End};
pub use self::interest::Interest;
pub(crate) use self::interest::Ready;
pub use self::monitor::Monitor;
pub use self::pair::Pair;
use self::pattern::Pattern;
pub use self::pub_::Pub;
pub use self::publishing::Publishes;
pub use self::pull::Pull;
pub use self::push::Push;
pub use self::readiness::Readiness;
pub use self::rep::Rep;
pub use self::req::Req;
pub use self::router::Router;
pub use self::stats::{PeerStats, Stats};
pub use self::sub::Sub;
pub use self::subscribing::Subscribes;
use self::wait::{Attended, Gathering, Sending};
pub(crate) use self::wait::{Receiving, Room};
pub(crate) use self::watching::Watched;
pub use self::xpub::{XPub, XPubEvent};
pub use self::xsub::XSub;
use crate::clock;
use crate::context::{Context, Member};
use crate::endpoint::{Endpoint, EndpointError};
use crate::error::{BindError, Closed, ConnectError, DetachError, Received, RecvError, SendError, WaitError};
use crate::message::Message;
use crate::options::Options;
use crate::zmtp::SocketType;

/// A type of socket, such as [`Push`] or [`Pull`].
pub trait Kind: sealed::Kind {}

/// A type of socket that can send.
pub trait Sends: Kind {}

/// A type of socket that can receive.
pub trait Receives: Kind {}

/// A type of socket whose queues can keep their newest message only: see [`Builder::conflate`].
pub trait Conflates: Kind {}

/// A type of socket that tells [`Router`] peers how it wants to be known: see [`Builder::routing_id`].
pub trait Identifies: Kind {}

mod sealed {
    /// What keeps [`Kind`](super::Kind) from being implemented elsewhere.
    #[expect(unnameable_types, reason = "that is how it keeps others out")]
    pub trait Kind {
        /// What the socket calls itself towards its peers.
        const TYPE: crate::zmtp::SocketType;
    }
}

/// How each type of socket routes: one row for each.
fn pattern(socket_type: SocketType, options: &Options) -> Box<dyn Pattern> {
    match socket_type {
        SocketType::Pair => pair::pattern(options),
        SocketType::Pub => pub_::pattern(options),
        SocketType::Sub => sub::pattern(options),
        SocketType::Req => req::pattern(options),
        SocketType::Rep => rep::pattern(options),
        SocketType::Dealer => dealer::pattern(options),
        SocketType::Router => router::pattern(options),
        SocketType::Pull => pull::pattern(options),
        SocketType::Push => push::pattern(options),
        SocketType::XPub => xpub::pattern(options),
        SocketType::XSub => xsub::pattern(options),
    }
}

/// A socket of the type `T`, made by [`Context::socket`].
///
/// It binds and connects to any number of [endpoints](Endpoint), in any order, before and after its peers are there;
/// it heals its connections by itself. It may be used by many threads and tasks at once, by reference or in an
/// [`Arc`]. A message is one value, whatever the number of its parts, and reaches one peer whole.
///
/// # Closing
///
/// Dropping a socket does not block. What it has accepted is sent in the background for as long as
/// [`linger`](Builder::linger) allows, and the last handle of its [`Context`] waits for that; a socket that is itself the
/// last handle therefore does. [`close`](Self::close) waits here and now, and hands back what could not be sent.
///
/// While a dropped socket has something left to send, it keeps the addresses it is bound to, and accepts peers there that
/// could take it. Otherwise they are free a moment later; after [`close`](Self::close) or [`unbind`](Self::unbind) they
/// are free at once.
pub struct Socket<T: Kind> {
    core: Arc<Core>,
    /// Keeps the I/O threads running. Declared behind `core`, so that a last handle waits for what `core` leaves.
    context: Context,
    kind: PhantomData<fn() -> T>,
}

impl Context {
    /// A socket of the type `T` with options, for [`Builder::build`] to make.
    pub fn socket<T: Kind>(&self) -> Builder<T> {
        Builder::new(self.clone())
    }
}

impl<T: Kind> Socket<T> {
    /// Accepts connections at an endpoint. Returns the endpoint with what was left open filled in: the port that was
    /// chosen for port `0` or `*`, the path for the path `*`.
    ///
    /// A host name is looked up now, which may take as long as the name service likes. A path of `ipc` where a
    /// listener was killed takes a tenth of a second.
    ///
    /// # Errors
    ///
    /// When the endpoint makes no sense, its name is not found, the system does not let us listen there, or the socket is
    /// closed. An open socket is as usable as before.
    pub fn bind<E>(&self, endpoint: E) -> Result<Endpoint, BindError>
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        self.core.bind(&parse(endpoint)?)
    }

    /// Connects to an endpoint, now and again whenever the connection is lost, until [`disconnect`](Self::disconnect).
    ///
    /// Returns at once. Unless the socket is [`immediate`](Builder::immediate) it may be sent to before there is a
    /// connection. Connecting twice to one endpoint makes two connections, but for DEALER, REQ, PUB and SUB, where the
    /// second call changes nothing.
    ///
    /// # Errors
    ///
    /// When the endpoint makes no sense, the socket is closed, or its type has no place for another peer, as a
    /// [`Pair`] that has one. A peer that cannot be reached is not an error: it is tried again.
    pub fn connect<E>(&self, endpoint: E) -> Result<(), ConnectError>
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        self.core.connect(&parse(endpoint)?, None)
    }

    /// Stops accepting at an endpoint, as [`bind`](Self::bind) returned it, and drops the connections that were
    /// accepted there. The address is free when this returns.
    ///
    /// What those peers were not wholly sent is treated as that of a [lost peer](crate::guide#what-is-lost-when). Blocks until the event loop has come round, which as a rule
    /// takes some microseconds.
    ///
    /// # Errors
    ///
    /// When the socket is not bound to this endpoint.
    pub fn unbind<E>(&self, endpoint: E) -> Result<(), DetachError>
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        self.core.unbind(&parse(endpoint)?)
    }

    /// Ends one connection to an endpoint, spelt as for [`connect`](Self::connect), and does not make it again.
    ///
    /// What the peer was not wholly sent is treated as that of a [lost peer](crate::guide#what-is-lost-when). What came
    /// from it can still be received. Blocks until the event loop has come round, which as a rule takes some microseconds.
    ///
    /// # Errors
    ///
    /// When the socket is not connected to this endpoint.
    pub fn disconnect<E>(&self, endpoint: E) -> Result<(), DetachError>
    where
        E: TryInto<Endpoint>,
        EndpointError: From<E::Error>,
    {
        self.core.disconnect(&parse(endpoint)?)
    }

    /// Blocks until at least this many peers are connected, for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// When the time is over, or the socket is closed.
    pub fn wait_connected(&self, peers: usize, timeout: Duration) -> Result<(), WaitError> {
        Gathering::connected(&self.core, peers).block(timeout)
    }

    /// Waits until at least this many peers are connected. Runs under any executor.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub fn wait_connected_async(
        &self,
        peers: usize,
    ) -> impl Future<Output = Result<(), WaitError>> + Send + Unpin {
        Attended::new(&self.core, Gathering::connected(&self.core, peers))
    }

    /// Closes the socket: calls that wait end with an error that says so, and what was accepted is sent, for which it
    /// has `timeout`. Blocks until that is done.
    ///
    /// Returns the messages that could not be sent in time, and for each endpoint how many went out, came back or were
    /// thrown away meanwhile. What was received and not taken is dropped. Closing twice does nothing.
    pub fn close(&self, timeout: Duration) -> Closed {
        if self.core.engine.is_forked() || !self.core.begin_close() {
            return Closed::default();
        }
        self.core.finish_close(deadline(Some(timeout)))
    }

    /// Closes the socket, and waits until what was accepted is sent, or nobody is left to send it to. Runs under any
    /// executor.
    ///
    /// Returns the messages that nobody is left for, and an account as [`close`](Self::close) does. The socket is closed
    /// from the call on. The future has no timeout of its own: dropping it leaves the rest to be sent in the background, as
    /// for a socket that is dropped. Closing twice does nothing.
    pub fn close_async(&self) -> impl Future<Output = Closed> + Send + Unpin {
        Attended::new(&self.core, Draining::new(&self.core))
    }

    /// The type of the socket, as a value.
    pub fn socket_type(&self) -> SocketType {
        T::TYPE
    }

    /// Where the messages of this socket are: counted under one lock, so that the numbers fit together.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The same for each of its peers, in no particular order: for those that are connected, for those that `connect`
    /// made, also while they are away, and for those that are gone and have left messages to be received. The numbers
    /// of a peer that is gone for good are in [`stats`](Self::stats) only.
    pub fn peer_stats(&self) -> Vec<PeerStats> {
        self.core.peer_stats()
    }
}

impl<T: Sends> Socket<T> {
    /// Sends a message, and blocks while there is no room for it: until a peer is there whose queue has room, or the
    /// [`send_timeout`](Builder::send_timeout) has passed.
    ///
    /// That it is accepted does not mean that it has arrived.
    ///
    /// # Errors
    ///
    /// When the time is over, or the socket is closed; and with the reasons of the type of the socket, such as
    /// [`OutOfTurn`](crate::Refusal::OutOfTurn) and [`Unroutable`](crate::Refusal::Unroutable). The error gives the message
    /// back.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_within(message.into(), self.core.options.send_timeout)
    }

    /// Sends a message if there is room for it.
    ///
    /// # Errors
    ///
    /// When there is no room, or for a reason of [`send`](Self::send). The error gives the message back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        self.core.try_send(&message).map_err(|reason| {
            // Room is made by the reactor, so somebody must run it by the next try.
            self.core.engine.attend();
            SendError::new(message, reason)
        })
    }

    /// Sends a message, and blocks while there is no room for it, for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// When the time is over, or for a reason of [`send`](Self::send). The error gives the message back.
    pub fn send_timeout(&self, message: impl Into<Message>, timeout: Duration) -> Result<(), SendError> {
        self.send_within(message.into(), Some(timeout))
    }

    /// Sends a message, and waits while there is no room for it, however long that takes. Runs under any executor.
    ///
    /// Dropping the future before it is done drops its message, which has not been sent then.
    ///
    /// # Errors
    ///
    /// For the reasons of [`send`](Self::send), but for a timeout. The error gives the message back.
    pub fn send_async(
        &self,
        message: impl Into<Message>,
    ) -> impl Future<Output = Result<(), SendError>> + Send + Unpin {
        Attended::new(&self.core, Sending::new(&self.core, message.into()))
    }

    #[inline]
    fn send_within(&self, message: Message, timeout: Option<Duration>) -> Result<(), SendError> {
        match self.core.try_send(&message) {
            Ok(()) => Ok(()),
            Err(reason) if reason.is_full() => self.wait_to_send(message, timeout),
            Err(reason) => Err(SendError::new(message, reason)),
        }
    }

    #[cold]
    fn wait_to_send(&self, message: Message, timeout: Option<Duration>) -> Result<(), SendError> {
        self.core.block_on(Sending::new(&self.core, message), deadline(timeout))
    }
}

impl<T: Receives> Socket<T> {
    /// Receives a message, and blocks until there is one or the [`recv_timeout`](Builder::recv_timeout) has passed.
    ///
    /// # Errors
    ///
    /// When the time is over, or the socket is closed; and with the reasons of the type of the socket:
    /// [`OutOfTurn`](RecvError::OutOfTurn) and [`PeerLost`](RecvError::PeerLost).
    #[inline]
    pub fn recv(&self) -> Result<Message, RecvError> {
        self.recv_within(self.core.options.recv_timeout)
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    ///
    /// When there is none, or for a reason of [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        let mut result = Err(RecvError::Empty);
        self.core.try_recv(&mut result);
        if let Err(RecvError::Empty) = result {
            // Messages are read by the reactor, so somebody must run it by the next try.
            self.core.engine.attend();
        }
        result
    }

    /// Receives a message, and blocks until there is one, for `timeout` at the longest.
    ///
    /// # Errors
    ///
    /// When the time is over, or for a reason of [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvError> {
        self.recv_within(Some(timeout))
    }

    /// Receives a message, and waits until there is one, however long that takes. Runs under any executor.
    ///
    /// Dropping the future before it is done loses nothing.
    ///
    /// # Errors
    ///
    /// For the reasons of [`recv`](Self::recv), but for a timeout.
    pub fn recv_async(&self) -> impl Future<Output = Result<Message, RecvError>> + Send + Unpin {
        Attended::new(&self.core, Receiving::new(&self.core))
    }

    /// Receives one message after the other, blocking, until [`recv`](Self::recv) would fail for any reason but a timeout: the
    /// socket is closed, it is not its turn, or the peer that a REQ has asked is lost.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { socket: self }
    }

    #[inline]
    fn recv_within(&self, timeout: Option<Duration>) -> Result<Message, RecvError> {
        let mut result = Err(RecvError::Empty);
        self.core.try_recv(&mut result);
        if let Err(RecvError::Empty) = result {
            self.wait_to_recv(timeout, &mut result);
        }
        result
    }

    #[cold]
    fn wait_to_recv(&self, timeout: Option<Duration>, result: &mut Received) {
        *result = self.core.block_on(Receiving::new(&self.core), deadline(timeout));
    }
}

impl<T: Kind> Drop for Socket<T> {
    fn drop(&mut self) {
        if self.core.engine.is_forked() {
            // The parent's: see the documentation of `Context`. A last handle would end it.
            return std::mem::forget((self.core.clone(), self.context.clone()));
        }
        if self.core.begin_close() {
            self.core.linger();
        }
    }
}

impl<T: Kind> fmt::Debug for Socket<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("type", &T::TYPE).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// Receives one message after the other; made by [`Socket::iter`].
///
/// A [`recv_timeout`](Builder::recv_timeout) does not end it: it waits on. What does end it, a call of
/// [`recv`](Socket::recv) tells.
#[derive(Debug)]
pub struct Iter<'a, T: Receives> {
    socket: &'a Socket<T>,
}

impl<T: Receives> Iterator for Iter<'_, T> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.socket.recv_within(None).ok()
    }
}

impl<'a, T: Receives> IntoIterator for &'a Socket<T> {
    type Item = Message;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

fn parse<E>(endpoint: E) -> Result<Endpoint, EndpointError>
where
    E: TryInto<Endpoint>,
    EndpointError: From<E::Error>,
{
    Ok(endpoint.try_into()?)
}

/// When a wait that begins now is over. A time too long for the clock is as good as for ever.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| clock::now().checked_add(timeout))
}
