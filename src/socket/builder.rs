//! [`Builder`]: the options of a socket that is yet to be made.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::core::Core;
use super::{Conflates, Identifies, Kind, Receives, Sends, Socket};
use crate::context::{Context, Member};
use crate::error::BuildError;
use crate::message::Message;
use crate::options::{Heartbeat, Keepalive, Options, ReconnectStop};

/// The options of a [`Socket`], made by [`Context::socket`]. They are set here, once, and hold for all connections of
/// the socket.
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::{Context, Push};
///
/// let context = Context::new()?;
/// let push = context.socket::<Push>().send_hwm(10_000).linger(Duration::from_secs(5)).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Builder<T: Kind> {
    context: Context,
    options: Options,
    kind: PhantomData<fn() -> T>,
}

impl<T: Kind> Builder<T> {
    pub(super) fn new(context: Context) -> Self {
        Self { context, options: Options::default(), kind: PhantomData }
    }

    /// Makes the socket.
    ///
    /// # Errors
    ///
    /// When an option is out of its range, or the context is closed.
    pub fn build(self) -> Result<Socket<T>, BuildError> {
        self.options.check()?;
        if self.context.is_forked() {
            return Err(BuildError::Forked);
        }
        let pattern = super::pattern(T::TYPE, &self.options);
        let core = Core::new((self.context.engine(), self.context.hub()), self.options, T::TYPE, pattern);
        let member: Arc<dyn Member> = core.clone();
        if !self.context.enroll(Arc::downgrade(&member)) {
            return Err(BuildError::Closed);
        }
        Ok(Socket { core, context: self.context, kind: PhantomData })
    }

    /// How long the socket, once dropped, goes on sending what is queued: 30 s by default, zero to give it up at once.
    /// The last handle of the context may have to wait for that long; a time too long for the clock has no end.
    pub fn linger(self, linger: Duration) -> Self {
        self.with(|options| options.linger = linger)
    }

    /// The pause before the first attempt to connect again: 100 ms by default, from 1 ms. It doubles from attempt to
    /// attempt and is lengthened by a random part of up to its own length, so that peers which have lost the same
    /// server do not all come back at once. A connection that lasts for as long as this brings it back to the start.
    pub fn reconnect_interval(self, interval: Duration) -> Self {
        self.with(|options| options.reconnect_interval = interval)
    }

    /// The longest pause between two attempts to connect: 5 s by default, not below
    /// [`reconnect_interval`](Self::reconnect_interval). A peer that breaks the protocol is left alone for about that
    /// long from the first time on.
    pub fn reconnect_max(self, max: Duration) -> Self {
        self.with(|options| options.reconnect_max = max)
    }

    /// How long one attempt to connect may take before the next address, or the next attempt: 10 s by default, from
    /// 1 ms; `None` leaves it to the system, which may take minutes.
    pub fn connect_timeout(self, timeout: Option<Duration>) -> Self {
        self.with(|options| options.connect_timeout = timeout)
    }

    /// How long a new connection may take until its handshake is complete: 30 s by default, from 1 ms. A shorter time
    /// frees what strangers hold sooner; too short a time turns slow peers away.
    pub fn handshake_timeout(self, timeout: Duration) -> Self {
        self.with(|options| options.handshake_timeout = timeout)
    }

    /// When an endpoint that was connected to is given up: see [`ReconnectStop`], never by default. On `inproc`, where
    /// nothing is dialled, it has no meaning.
    pub fn reconnect_stop(self, stop: ReconnectStop) -> Self {
        self.with(|options| options.reconnect_stop = stop)
    }

    /// The most bytes that a peer may send in one command of its handshake: 8192 by default, from 512 to 16384. A peer
    /// that announces more is disconnected. The READY of ZMTP takes some 50 bytes, and up to 255 more for a routing id;
    /// applications may add properties of their own.
    ///
    /// So many bytes, and twice as many where they come in small pieces, can be held for each of
    /// [`max_handshakes`](Self::max_handshakes) strangers.
    pub fn max_handshake_size(self, bytes: usize) -> Self {
        self.with(|options| options.max_handshake_size = bytes)
    }

    /// The most connections of one bound endpoint whose handshake is not over: 4096 by default, from 1. Each costs a
    /// descriptor, some hundred bytes and what it has sent of its handshake.
    ///
    /// An honest handshake takes no longer than a round trip or two. Beyond the limit, then, the oldest that has not
    /// finished within a second gives way to the next connection ([`Rejection::Displaced`]); where all are younger than
    /// that, further connections wait in the [`backlog`](Self::backlog) meanwhile. So strangers who say nothing keep
    /// nobody out. The same happens, below the limit, when descriptors run out.
    ///
    /// [`Rejection::Displaced`]: crate::Rejection::Displaced
    pub fn max_handshakes(self, connections: usize) -> Self {
        self.with(|options| options.max_handshakes = connections)
    }

    /// The most connections that one bound endpoint has at a time: 32768 by default, from 1. Further ones are closed as
    /// soon as they are accepted, without a word, unless one of those that are there has not finished its handshake within
    /// a second: it gives way. On `inproc`, where there are no strangers, it does not apply.
    ///
    /// Each connection takes a descriptor, of which a process has a limited number, often 1024: see `ulimit -n`. Where that
    /// is reached first, accepting [pauses](crate::Event::AcceptPaused).
    pub fn max_connections(self, connections: usize) -> Self {
        self.with(|options| options.max_connections = connections)
    }

    /// The most of [`max_connections`](Self::max_connections) that come from one address: 16384 by default, from 1.
    /// Further ones are closed as soon as they are accepted. IPv6 addresses count by their first 64 bits, for who has one
    /// of them has them all; `ipc` has no addresses.
    ///
    /// Many peers may share one address, behind a gateway or on one machine, so it is no use as a limit on one peer.
    pub fn max_connections_per_address(self, connections: usize) -> Self {
        self.with(|options| options.max_connections_per_address = connections)
    }

    /// The most connections that the system keeps for a bound endpoint until they are accepted: 1024 by default, from 1.
    /// Who finds no place there tries again after a second or more, so it should hold those who come back all at once when
    /// a server is restarted. The system may have a limit of its own.
    pub fn backlog(self, backlog: u32) -> Self {
        self.with(|options| options.backlog = backlog)
    }

    /// How the socket finds out that a peer is gone which can say no farewell: see [`Heartbeat`], on by default.
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.with(|options| options.heartbeat = heartbeat)
    }

    /// How many answers to the PINGs of one peer wait for it to read those that are being written: 64 by default, from 1.
    /// PINGs beyond that are not answered, which is counted as [`Limit::Pongs`](crate::Limit::Pongs), once for each time it
    /// begins. An answer has at most 23 bytes.
    pub fn max_pongs(self, pongs: usize) -> Self {
        self.with(|options| options.max_pongs = pongs)
    }

    /// How the system finds out that an idle peer is gone: see [`Keepalive`], on by default.
    pub fn keepalive(self, keepalive: Keepalive) -> Self {
        self.with(|options| options.keepalive = keepalive)
    }

    /// How long the system tries to get through with what is written before it ends the connection: as long as it likes by
    /// default (`None`), which on Linux is some 15 minutes; from 1 ms to 2,147,483,647 ms. It is known on Linux only, and
    /// means nothing elsewhere, and nothing to `ipc`.
    ///
    /// A peer that is there but reads nothing for that long is taken for dead as well: a slow worker that is busy with one
    /// message for an hour, while others wait for it on the way, loses its connection. So set it only where every peer reads
    /// often enough. When it is set it also decides how long the probes of [`keepalive`](Self::keepalive) may remain
    /// unanswered, however many they are.
    pub fn tcp_user_timeout(self, timeout: Option<Duration>) -> Self {
        self.with(|options| options.tcp_user_timeout = timeout)
    }

    /// The bytes that the system buffers for sending, per connection: its own choice by default, which is as a rule the
    /// best. What lies there is counted as written.
    pub fn send_buffer(self, bytes: usize) -> Self {
        self.with(|options| options.send_buffer = Some(bytes))
    }

    /// The bytes that the system buffers for receiving, per connection: its own choice by default, which is as a rule
    /// the best.
    pub fn recv_buffer(self, bytes: usize) -> Self {
        self.with(|options| options.recv_buffer = Some(bytes))
    }

    /// Whether IPv6 is used besides IPv4, off by default: for `*` as the host of an endpoint, which then stands for all
    /// interfaces of both, and for host names. Addresses written as numbers are used in any case.
    pub fn ipv6(self, ipv6: bool) -> Self {
        self.with(|options| options.ipv6 = ipv6)
    }

    pub(super) fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }
}

impl<T: Conflates> Builder<T> {
    /// Whether each queue keeps its newest message only, off by default: for values of which only the latest counts.
    /// High-water marks mean nothing then, and what is replaced is counted.
    pub fn conflate(self, conflate: bool) -> Self {
        self.with(|options| options.conflate = conflate)
    }
}

impl<T: Identifies> Builder<T> {
    /// How [`Router`](super::Router) peers are to know the socket: up to 255 bytes, of which the first is not zero. Empty
    /// by default, which leaves it to them. It should be unique among the peers of a router, which turns away a second
    /// one of the same id.
    pub fn routing_id(self, id: impl AsRef<[u8]>) -> Self {
        self.with(|options| options.routing_id = Bytes::copy_from_slice(id.as_ref()))
    }

    /// Whether each new connection begins with an empty message, off by default, so that a [`Router`](super::Router)
    /// gets to know the socket before that has anything to say. Other peers receive it as a message, too.
    pub fn probe_router(self, probe: bool) -> Self {
        self.with(|options| options.welcome = probe.then(Message::new))
    }
}

impl<T: Sends> Builder<T> {
    /// The high-water mark for sending: the most messages queued for one peer, 1000 by default, zero for no limit. It
    /// counts whole messages, exactly, those being written included; what the system has taken is not counted.
    /// [`send_hwm_bytes`](Self::send_hwm_bytes) holds beside it.
    ///
    /// A higher mark rides out longer pauses of a peer and costs the memory of what is queued.
    pub fn send_hwm(self, messages: usize) -> Self {
        self.with(|options| options.send_hwm = messages)
    }

    /// The most bytes queued for one peer, beside the mark for messages: 256 MiB by default, zero for no limit. The queue
    /// is full when it has so many messages or so many bytes, and takes messages again when it has half of them. A message
    /// that finds it empty is taken whatever its size.
    ///
    /// They are counted as they are written, framing included, until their message is written wholly; on `inproc` as for
    /// [`recv_hwm_bytes`](Self::recv_hwm_bytes). What is done at the mark is done here: `send` waits, or the message is
    /// dropped, as the type of the socket has it. A refusal says [`FullOfBytes`](crate::Refusal::FullOfBytes). With
    /// [`conflate`](Self::conflate) there is nothing to limit.
    ///
    /// Subscriptions that change, and that a publisher does not read, count by themselves, with their topics and 80 bytes for
    /// each. Beyond this limit, or the publisher's share of [`max_send_bytes`](Self::max_send_bytes), it is disconnected.
    pub fn send_hwm_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.send_hwm_bytes = bytes)
    }

    /// The most bytes queued for all peers together: 1 GiB by default, zero for no limit.
    ///
    /// From there on, and until half of it is written, a queue is full that has its share of it, this number divided by
    /// that of the peers: whoever keeps up still gets messages while others stand still. For that the queues together may
    /// come to have twice as much, if they were filled very unequally.
    pub fn max_send_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.max_send_bytes = bytes)
    }

    /// How long [`send`](Socket::send) waits for room: without end by default (`None`), zero for not at all. The futures
    /// of [`send_async`](Socket::send_async) wait without end.
    pub fn send_timeout(self, timeout: Option<Duration>) -> Self {
        self.with(|options| options.send_timeout = timeout)
    }

    /// Whether only peers with a complete handshake are given messages, off by default.
    ///
    /// Without it a peer has its queue from [`connect`](Socket::connect) on, and takes its share of messages before it
    /// can be reached; what it was given while another could have worked on it waits until it comes. That is until it was
    /// there for the first time: a peer that was, and is lost, is given nothing while another one is there.
    ///
    /// A [`Req`](super::Req) that is connected to several servers should have it on, or its first requests may go to one
    /// that never answers.
    pub fn immediate(self, immediate: bool) -> Self {
        self.with(|options| options.immediate = immediate)
    }
}

impl<T: Receives> Builder<T> {
    /// The high-water mark for receiving: the most messages queued from one peer, 1000 by default, zero for no limit.
    /// It counts whole messages, exactly. At the mark the peer is not read from until half of them are taken.
    /// [`recv_hwm_bytes`](Self::recv_hwm_bytes) holds beside it.
    pub fn recv_hwm(self, messages: usize) -> Self {
        self.with(|options| options.recv_hwm = messages)
    }

    /// The most bytes queued from one peer, beside the mark for messages: 64 MiB by default, zero for no limit. When there
    /// are so many the peer is not read from until half of them are taken; nothing is lost, for the system holds it back. A
    /// message that finds the queue empty is received whatever its size.
    ///
    /// Counted is the memory that messages take: 72 bytes for each, in which one of up to [`Message::INLINE`] bytes has room;
    /// for others those of their parts, and 32 for each of several. What is under way and not whole yet is not counted: the
    /// queue may have one message more than this allows, and what one read brings, 64 KiB as they come over the wire. With
    /// [`conflate`](Self::conflate) there is nothing to limit.
    pub fn recv_hwm_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.recv_hwm_bytes = bytes)
    }

    /// The most bytes queued from all peers together, counted in the same way: 1 GiB by default, zero for no limit. When
    /// there are so many, whoever brings more is not read from until half of them are taken; those are read on first who
    /// have brought nothing for the longest time.
    ///
    /// A peer that is gone counts with 1 KiB for as long as messages of it wait. What an [`XPub`](super::XPub) tells of
    /// subscriptions counts here, too.
    pub fn max_recv_bytes(self, bytes: usize) -> Self {
        self.with(|options| options.max_recv_bytes = bytes)
    }

    /// How long [`recv`](Socket::recv) waits for a message: without end by default (`None`), zero for not at all. The
    /// futures of [`recv_async`](Socket::recv_async) and [`iter`](Socket::iter) wait without end.
    pub fn recv_timeout(self, timeout: Option<Duration>) -> Self {
        self.with(|options| options.recv_timeout = timeout)
    }

    /// The most bytes in one incoming message, over all its parts: 64 MiB by default, from 1. A peer that announces
    /// more is disconnected. Memory is taken as the bytes arrive, never for what is only announced. On `inproc` nothing
    /// arrives in bytes, and no limit on messages applies.
    pub fn max_message_size(self, bytes: usize) -> Self {
        self.with(|options| options.max_message_size = bytes)
    }

    /// The most bytes in one part of an incoming message, from 1; by default only
    /// [`max_message_size`](Self::max_message_size) limits it. A peer that announces more is disconnected.
    pub fn max_frame_size(self, bytes: usize) -> Self {
        self.with(|options| options.max_frame_size = Some(bytes))
    }

    /// The most parts of an incoming message: 65,536 by default, from 1. A peer that sends more is disconnected.
    ///
    /// Each part takes 32 bytes of memory, about, beside its own: a message of empty parts takes sixteen times what came
    /// over the wire, and this is what keeps it at 2 MiB.
    pub fn max_message_parts(self, parts: usize) -> Self {
        self.with(|options| options.max_message_parts = parts)
    }
}

impl<T: Kind> std::fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("type", &T::TYPE)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
