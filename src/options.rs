//! [`Options`]: all that can be set on a socket, with defaults and ranges, and [`Heartbeat`], [`Keepalive`] and
//! [`ReconnectStop`].

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use crate::error::OptionError;
use crate::message::Message;
use crate::zmtp::Rhythm;

/// The options of a socket. They are set by the public builder and fixed once the socket is built.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The most messages queued for one peer, zero being no limit.
    pub(crate) send_hwm: usize,
    /// The most messages queued from one peer, zero being no limit.
    pub(crate) recv_hwm: usize,
    /// The most bytes queued for one peer, zero being no limit.
    pub(crate) send_hwm_bytes: usize,
    /// The most bytes queued from one peer, zero being no limit.
    pub(crate) recv_hwm_bytes: usize,
    /// The most bytes queued for all peers, zero being no limit.
    pub(crate) max_send_bytes: usize,
    /// The most bytes queued from all peers, zero being no limit.
    pub(crate) max_recv_bytes: usize,
    /// How long `send` waits for room; without end if `None`.
    pub(crate) send_timeout: Option<Duration>,
    /// How long `recv` waits for a message; without end if `None`.
    pub(crate) recv_timeout: Option<Duration>,
    /// How long a dropped socket goes on sending what is queued.
    pub(crate) linger: Duration,
    /// The pause before the first attempt to reconnect; it doubles with each further one.
    pub(crate) reconnect_interval: Duration,
    /// The longest pause between two attempts to reconnect.
    pub(crate) reconnect_max: Duration,
    /// How long one attempt to connect may take; as long as the system likes if `None`.
    pub(crate) connect_timeout: Option<Duration>,
    /// After what an endpoint is given up.
    pub(crate) reconnect_stop: ReconnectStop,
    /// How long a connection may take from its start to the end of the handshake.
    pub(crate) handshake_timeout: Duration,
    /// The most bytes in one command of a handshake.
    pub(crate) max_handshake_size: usize,
    /// The most connections of one listener whose handshake is not over.
    pub(crate) max_handshakes: usize,
    /// The most connections of one listener.
    pub(crate) max_connections: usize,
    /// The most connections of one listener from one address.
    pub(crate) max_connections_per_address: usize,
    /// The most bytes in one part of an incoming message; as many as the message may have if `None`.
    pub(crate) max_frame_size: Option<usize>,
    /// The most bytes in one incoming message, over all its parts.
    pub(crate) max_message_size: usize,
    /// The most parts of an incoming message.
    pub(crate) max_message_parts: usize,
    /// PUB, XPUB: the most topics of one peer.
    pub(crate) max_subscriptions: usize,
    /// PUB, XPUB: the most bytes that all topics of one peer take.
    pub(crate) max_topic_bytes: usize,
    /// The most events that a monitor keeps.
    pub(crate) monitor_hwm: usize,
    /// Whether only peers that have finished their handshake are given messages.
    pub(crate) immediate: bool,
    /// Whether a queue keeps its newest message only.
    pub(crate) conflate: bool,
    /// The most connections that the system keeps until they are accepted.
    pub(crate) backlog: u32,
    /// How we find out that a peer is gone.
    pub(crate) heartbeat: Heartbeat,
    /// How many answers to the PINGs of one peer wait for it to read them.
    pub(crate) max_pongs: usize,
    /// How the system finds out that an idle peer is gone.
    pub(crate) keepalive: Keepalive,
    /// How long the system tries to get through with what is written; as long as it likes if `None`.
    pub(crate) tcp_user_timeout: Option<Duration>,
    /// The bytes that the system buffers for sending; its own choice if `None`.
    pub(crate) send_buffer: Option<usize>,
    /// The bytes that the system buffers for receiving; its own choice if `None`.
    pub(crate) recv_buffer: Option<usize>,
    /// Whether host names stand for IPv6 addresses too, and all interfaces for those of both families.
    pub(crate) ipv6: bool,
    /// How a REQ, DEALER or ROUTER wants to be known to ROUTER peers; empty for whatever they choose.
    pub(crate) routing_id: Bytes,
    /// REQ: whether a new request may replace one that is not answered.
    pub(crate) relaxed: bool,
    /// REQ: whether requests carry a number that their answers must repeat.
    pub(crate) correlate: bool,
    /// ROUTER: whether a message for nobody is refused; else it is dropped.
    pub(crate) mandatory: bool,
    /// ROUTER: whether a newcomer takes over the routing id of a peer that is still there.
    pub(crate) handover: bool,
    /// PUB, XPUB: what becomes of a message for a subscriber whose queue is full.
    pub(crate) overflow: Overflow,
    /// PUB, XPUB, SUB: whether messages go to those that have not subscribed to them.
    pub(crate) invert: bool,
    /// SUB, XSUB: what is subscribed to from the start.
    pub(crate) topics: Vec<Bytes>,
    /// XPUB: which subscriptions the application is told of.
    pub(crate) verbosity: Verbosity,
    /// XPUB: whether the application alone decides what peers are subscribed to.
    pub(crate) manual: bool,
    /// XPUB: whether a message that does not begin with a subscription holds none.
    pub(crate) only_first_subscribe: bool,
    /// What each new connection begins with: the welcome of an XPUB, or the empty message by which others probe a ROUTER.
    pub(crate) welcome: Option<Message>,
    /// XSUB: whether every end of a subscription is passed on, also when others still hold it.
    pub(crate) verbose_unsubscribe: bool,
}

/// What a PUB or XPUB socket does with a message for a subscriber whose queue is full. Other subscribers get theirs in
/// any case but [`Block`](Self::Block). What is dropped is counted in [`Dropped::overflowed`](crate::Dropped).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// The new message is dropped for that subscriber. It is what libzmq does.
    #[default]
    DropNewest,
    /// The oldest message that waits for that subscriber is dropped in favour of the new one.
    DropOldest,
    /// `send` waits until every subscriber of the message has room: one that does not read holds up all the others.
    Block,
    /// The subscriber is disconnected. It is told in this way that it has missed something, and may come back.
    Disconnect,
}

/// Which subscriptions the application is told of by an XPUB socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verbosity {
    /// The first of a topic, and the end of the last.
    #[default]
    Changes,
    /// Every one, and the end of the last.
    Subscriptions,
    /// Every one, and every end.
    All,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            send_hwm: 1000,
            recv_hwm: 1000,
            send_hwm_bytes: 256 << 20,
            recv_hwm_bytes: 64 << 20,
            max_send_bytes: 1 << 30,
            max_recv_bytes: 1 << 30,
            send_timeout: None,
            recv_timeout: None,
            linger: Duration::from_secs(30),
            reconnect_interval: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(5),
            connect_timeout: Some(Duration::from_secs(10)),
            reconnect_stop: ReconnectStop::new(),
            handshake_timeout: Duration::from_secs(30),
            max_handshake_size: 8 << 10,
            max_handshakes: 4096,
            max_connections: 32_768,
            max_connections_per_address: 16_384,
            max_frame_size: None,
            max_message_size: 64 << 20,
            max_message_parts: 64 << 10,
            max_subscriptions: 1_000_000,
            max_topic_bytes: 64 << 20,
            monitor_hwm: 1000,
            immediate: false,
            conflate: false,
            backlog: 1024,
            heartbeat: Heartbeat::new(),
            max_pongs: 64,
            keepalive: Keepalive::new(),
            tcp_user_timeout: None,
            send_buffer: None,
            recv_buffer: None,
            ipv6: false,
            routing_id: Bytes::new(),
            relaxed: false,
            correlate: false,
            mandatory: true,
            handover: false,
            overflow: Overflow::default(),
            invert: false,
            topics: Vec::new(),
            verbosity: Verbosity::default(),
            manual: false,
            only_first_subscribe: false,
            welcome: None,
            verbose_unsubscribe: false,
        }
    }
}

impl Options {
    /// Checks each option against its range. A timeout of zero is fine for `send` and `recv`: it does not wait.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        OptionError::at_least("reconnect_interval", self.reconnect_interval, TICK)?;
        OptionError::at_least("reconnect_max", self.reconnect_max, self.reconnect_interval)?;
        if let Some(timeout) = self.connect_timeout {
            OptionError::at_least("connect_timeout", timeout, TICK)?;
        }
        OptionError::at_least("handshake_timeout", self.handshake_timeout, TICK)?;
        OptionError::within("max_handshake_size", self.max_handshake_size, HANDSHAKE_SIZES)?;
        OptionError::at_least("max_handshakes", self.max_handshakes, 1)?;
        OptionError::at_least("max_connections", self.max_connections, 1)?;
        OptionError::at_least("max_connections_per_address", self.max_connections_per_address, 1)?;
        for (option, most) in [
            ("max_frame_size", self.max_frame_size.unwrap_or(usize::MAX)),
            ("max_message_size", self.max_message_size),
            ("max_message_parts", self.max_message_parts),
            ("max_subscriptions", self.max_subscriptions),
            ("max_topic_bytes", self.max_topic_bytes),
            ("monitor_hwm", self.monitor_hwm),
        ] {
            OptionError::at_least(option, most, 1)?;
        }
        OptionError::within("backlog", self.backlog as usize, 1..=MAX_INT)?;
        for (option, buffer) in [("send_buffer", self.send_buffer), ("recv_buffer", self.recv_buffer)] {
            if let Some(bytes) = buffer {
                OptionError::within(option, bytes, 1..=MAX_INT)?;
            }
        }
        if !self.routing_id.is_empty() {
            check_routing_id(&self.routing_id)?;
        }
        for topic in &self.topics {
            OptionError::length("subscribe", topic.len(), 0..=TOPIC_MAX)?;
        }
        OptionError::at_least("max_pongs", self.max_pongs, 1)?;
        if let Some(timeout) = self.tcp_user_timeout {
            OptionError::within("tcp_user_timeout", timeout, TICK..=MAX_USER_TIMEOUT)?;
        }
        self.heartbeat.check()?;
        self.keepalive.check()
    }

    /// The most that is queued for one peer.
    pub(crate) fn send_mark(&self) -> Mark {
        Mark { messages: limit(self.send_hwm), octets: limit(self.send_hwm_bytes) }
    }

    /// The most that is queued from one peer.
    pub(crate) fn recv_mark(&self) -> Mark {
        Mark { messages: limit(self.recv_hwm), octets: limit(self.recv_hwm_bytes) }
    }
}

/// The most that a queue holds: so many messages or so many octets, whichever it has first. One message fits always.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) messages: usize,
    pub(crate) octets: usize,
}

impl Mark {
    /// There is no limit.
    pub(crate) const NONE: Self = Self { messages: usize::MAX, octets: usize::MAX };

    /// So many messages, however large they are.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) const fn of(messages: usize) -> Self {
        Self { messages, octets: usize::MAX }
    }
}

/// Checks a routing id (37/ZMTP, The Identity Property).
pub(crate) fn check_routing_id(id: &[u8]) -> Result<(), OptionError> {
    OptionError::length("routing_id", id.len(), 1..=ROUTING_ID_MAX)?;
    // Those that begin with zero are made by ROUTERs.
    OptionError::within("routing_id[0]", usize::from(id[0]), 1..=255)
}

/// The most that an option allows of which zero is no limit.
pub(crate) fn limit(option: usize) -> usize {
    if option == 0 { usize::MAX } else { option }
}

/// How a socket finds out that a peer is gone which can say no farewell: its machine has lost its power, or the network
/// its cables.
///
/// Every `interval` a PING asks the peer for a sign of life, and tells it that we are alive. Whatever comes is a sign of
/// life, an answer, a message, a part of a large one. If there is none for the `timeout` after a PING, the connection ends,
/// with [`Violation::HeartbeatTimeout`](crate::Violation::HeartbeatTimeout), and a socket that dialled it reconnects. So a
/// dead peer is noticed within `interval` and `timeout`, which is 45 s unless set otherwise.
///
/// A slow worker is not a dead one. A socket that is at its [`recv_hwm`](crate::Builder::recv_hwm) and does not read cannot
/// hear, and gives nobody up meanwhile; but it goes on sending PINGs, so that others hear from it. Some peers, libzmq for
/// one, read nothing while they are full, and are silent, too. So a peer that may have unread messages before it is only
/// given up if it has told how often it sends PINGs, as those of this library do. Others are left to TCP then: see
/// [`tcp_user_timeout`](crate::Builder::tcp_user_timeout), and [dead peers](crate::guide#dead-peers) in the guide.
///
/// It is on unless set otherwise, towards all peers that speak ZMTP 3.1; older ones know no PINGs. It costs, for each
/// connection and interval, a packet of 24 bytes and its answer. On `inproc` there is none. PINGs of others are answered in
/// any case.
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::Heartbeat;
///
/// let impatient = Heartbeat::new().interval(Duration::from_secs(1)).timeout(Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub(crate) enabled: bool,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) ttl: Option<Duration>,
}

impl Heartbeat {
    /// Heartbeats with the default times, for the setters to change.
    pub fn new() -> Self {
        let (interval, timeout) = (Duration::from_secs(15), Duration::from_secs(30));
        Self { enabled: true, interval, timeout, ttl: None }
    }

    /// No heartbeats: what becomes of an idle connection is left to [`Keepalive`]. It is for peers that say they speak ZMTP
    /// 3.1 and answer no PINGs.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::new() }
    }

    /// The time from one PING to the next: 15 s by default, from 1 ms to a day, counted in whole milliseconds and rounded
    /// down.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// How long a peer may be silent after a PING: 30 s by default, from 1 ms to a day, counted in whole milliseconds and
    /// rounded down. A time that is too short takes a busy machine for a dead one.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How long the peer may hear nothing from us after a PING before it is to give *us* up, none by default, which leaves
    /// it to the peer: from the interval, but at least 100 ms, to 6553.5 s, counted in tenths of a second and rounded down.
    ///
    /// Peers that have no heartbeats of their own notice our end by it. But some, libzmq for one, give us up also when it is
    /// they who do not read: while they are full.
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl: Some(ttl), ..self }
    }

    fn check(&self) -> Result<(), OptionError> {
        if !self.enabled {
            return Ok(());
        }
        OptionError::within("heartbeat.interval", self.interval, BEAT_TIMES)?;
        OptionError::within("heartbeat.timeout", self.timeout, BEAT_TIMES)?;
        match self.ttl {
            Some(ttl) => OptionError::within("heartbeat.ttl", ttl, self.interval.max(MIN_TTL)..=MAX_TTL),
            None => Ok(()),
        }
    }

    /// The same for the protocol, unless it is off.
    pub(crate) fn rhythm(&self) -> Option<Rhythm> {
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let ttl = self.ttl.map_or(0, |ttl| ttl.as_millis() / 100);
        let ttl = u16::try_from(ttl).unwrap_or(u16::MAX);
        let (interval, timeout) = (millis(self.interval), millis(self.timeout));
        self.enabled.then_some(Rhythm { interval, timeout, ttl })
    }
}

/// The same as [`Heartbeat::new`].
impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

/// How the system finds out that an idle peer is gone: TCP keep-alive.
///
/// A peer whose machine lost its power or its network sends no farewell. When a connection has been idle for a while
/// the system sends a probe that asks nothing of the peer but a sign of life, and some more if none is given; then it
/// ends the connection, and a socket that dialled it reconnects.
///
/// It is on unless set otherwise: first probe after 60 s, four probes 15 s apart, so that a vanished peer is noticed
/// within two minutes. It costs one small packet each way per idle minute.
///
/// ```
/// use std::time::Duration;
///
/// use ferromq::Keepalive;
///
/// let impatient = Keepalive::new().idle(Duration::from_secs(10)).interval(Duration::from_secs(2)).retries(3);
/// ```
#[derive(Clone, Debug)]
pub struct Keepalive {
    pub(crate) enabled: bool,
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) retries: u32,
}

impl Keepalive {
    /// Keep-alive with the default times, for the setters to change.
    pub fn new() -> Self {
        Self { enabled: true, idle: Duration::from_secs(60), interval: Duration::from_secs(15), retries: 4 }
    }

    /// No keep-alive: a peer that vanishes while nothing is sent to it is not noticed, and no packets are sent for it.
    pub fn off() -> Self {
        Self { enabled: false, ..Self::new() }
    }

    /// How long a connection is idle before the first probe: 60 s by default, from 1 s to 32767 s, counted in whole
    /// seconds and rounded down.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// The time from one unanswered probe to the next, or to the end of the connection after the last: 15 s by
    /// default, from 1 s to 32767 s, counted in whole seconds and rounded down.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// How many probes in a row remain unanswered before the connection ends: 4 by default, from 1 to 127.
    pub fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    fn check(&self) -> Result<(), OptionError> {
        if !self.enabled {
            return Ok(());
        }
        OptionError::within("keepalive.idle", self.idle, PROBE_TIMES)?;
        OptionError::within("keepalive.interval", self.interval, PROBE_TIMES)?;
        OptionError::within("keepalive.retries", self.retries as usize, 1..=MAX_PROBES)
    }
}

/// The same as [`Keepalive::new`].
impl Default for Keepalive {
    fn default() -> Self {
        Self::new()
    }
}

/// When an endpoint that was connected to is given up, as libzmq's `ZMQ_RECONNECT_STOP`.
///
/// A socket dials its endpoints for as long as it lives: whoever is not there may come, and whoever is lost may come back.
/// Where that makes no sense, each of these three has the socket give up instead. It then tells
/// [`Event::Abandoned`](crate::Event::Abandoned), and what waits for that peer goes to others, as far as the type of the
/// socket allows it, or is dropped and counted. The endpoint is dialled again once the socket is
/// [connected](crate::Socket::connect) to it anew. None is on by default.
///
/// ```
/// use ferromq::{Context, Push, ReconnectStop};
///
/// let context = Context::new()?;
/// // A worker that is gone has done its work: there is no other behind the same port.
/// let stop = ReconnectStop::new().refused(true).disconnected(true);
/// let push = context.socket::<Push>().reconnect_stop(stop).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReconnectStop {
    pub(crate) refused: bool,
    pub(crate) handshake_failed: bool,
    pub(crate) disconnected: bool,
}

impl ReconnectStop {
    /// No stop at all.
    pub const fn new() -> Self {
        Self { refused: false, handshake_failed: false, disconnected: false }
    }

    /// Whether to stop when nobody listens at any address of the endpoint, off by default: the machine there refuses the
    /// connection, or there is no file of an `ipc` path. A machine that does not answer refuses nothing.
    pub const fn refused(self, stop: bool) -> Self {
        Self { refused: stop, ..self }
    }

    /// Whether to stop when a connection ends before its handshake is over, off by default: the peer speaks no ZMTP, is
    /// of a wrong type, breaks the protocol, is too slow, or hangs up.
    ///
    /// After an ERROR, with which a peer says that it will not have us, the socket stops in any case.
    pub const fn handshake_failed(self, stop: bool) -> Self {
        Self { handshake_failed: stop, ..self }
    }

    /// Whether to stop when a peer that was [ready](crate::Event::Ready) is lost, however that came about, off by default.
    /// A connection that the socket itself has ended, as a REQ does when it gives up what it has asked, is made anew.
    pub const fn disconnected(self, stop: bool) -> Self {
        Self { disconnected: stop, ..self }
    }
}

/// What [`Options::max_handshake_size`] may be: not less than a full READY takes, with the longest routing id and some
/// properties of others, nor more than the decoder holds.
const HANDSHAKE_SIZES: RangeInclusive<usize> = 512..=16 << 10;
/// The longest routing id.
const ROUTING_ID_MAX: usize = 255;
/// The longest topic of a subscription. It has to fit into the longest command that we take.
pub(crate) const TOPIC_MAX: usize = 16_000;
/// The shortest time that the event loop can measure out; less would have it spin.
const TICK: Duration = Duration::from_millis(1);
/// The largest number that can be handed to the system, as a C `int`.
const MAX_INT: usize = i32::MAX as usize;
/// The times that a heartbeat may have.
const BEAT_TIMES: RangeInclusive<Duration> = TICK..=Duration::from_secs(24 * 60 * 60);
/// The shortest and the longest time to live that can be told (37/ZMTP, Connection Heartbeats).
const MIN_TTL: Duration = Duration::from_millis(100);
const MAX_TTL: Duration = Duration::from_millis(6_553_500);
/// What Linux takes as a user timeout: milliseconds in a C `int`.
const MAX_USER_TIMEOUT: Duration = Duration::from_millis(MAX_INT as u64);
/// What Linux takes as the times between probes.
const PROBE_TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(32_767);
/// The most probes that Linux sends.
const MAX_PROBES: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(Options::default().check(), Ok(()));
        let (keepalive, heartbeat) = (Keepalive::off(), Heartbeat::off());
        let off = Options { keepalive, heartbeat, ..Options::default() };
        assert_eq!(off.check(), Ok(()));
    }

    #[test]
    fn no_limit_is_one_that_is_never_reached() {
        assert_eq!(limit(0), usize::MAX);
        assert_eq!(limit(1), 1);
        assert_eq!(limit(usize::MAX), usize::MAX);
    }

    #[test]
    fn each_option_is_refused_by_name() {
        type Spoil = fn(&mut Options);
        let table: &[(&str, Spoil)] = &[
            ("reconnect_interval", |o| o.reconnect_interval = Duration::ZERO),
            ("reconnect_max", |o| o.reconnect_max = o.reconnect_interval - TICK),
            ("connect_timeout", |o| o.connect_timeout = Some(Duration::ZERO)),
            ("handshake_timeout", |o| o.handshake_timeout = Duration::ZERO),
            ("max_handshake_size", |o| o.max_handshake_size = 511),
            ("max_handshake_size", |o| o.max_handshake_size = 16_385),
            ("max_handshakes", |o| o.max_handshakes = 0),
            ("max_connections", |o| o.max_connections = 0),
            ("max_connections_per_address", |o| o.max_connections_per_address = 0),
            ("max_frame_size", |o| o.max_frame_size = Some(0)),
            ("max_message_size", |o| o.max_message_size = 0),
            ("max_message_parts", |o| o.max_message_parts = 0),
            ("max_subscriptions", |o| o.max_subscriptions = 0),
            ("max_topic_bytes", |o| o.max_topic_bytes = 0),
            ("monitor_hwm", |o| o.monitor_hwm = 0),
            ("backlog", |o| o.backlog = 0),
            ("backlog", |o| o.backlog = 1 << 31),
            ("send_buffer", |o| o.send_buffer = Some(0)),
            ("recv_buffer", |o| o.recv_buffer = Some(MAX_INT + 1)),
            ("routing_id", |o| o.routing_id = vec![1; 256].into()),
            ("routing_id[0]", |o| o.routing_id = vec![0, 1].into()),
            ("subscribe", |o| o.topics = vec![Bytes::new(), vec![0; TOPIC_MAX + 1].into()]),
            ("keepalive.idle", |o| o.keepalive.idle = Duration::from_millis(999)),
            ("keepalive.interval", |o| o.keepalive.interval = Duration::from_secs(32_768)),
            ("keepalive.retries", |o| o.keepalive.retries = 0),
            ("keepalive.retries", |o| o.keepalive.retries = 128),
            ("tcp_user_timeout", |o| o.tcp_user_timeout = Some(Duration::ZERO)),
            ("tcp_user_timeout", |o| o.tcp_user_timeout = Some(MAX_USER_TIMEOUT + TICK)),
            ("max_pongs", |o| o.max_pongs = 0),
            ("heartbeat.interval", |o| o.heartbeat.interval = Duration::ZERO),
            ("heartbeat.interval", |o| o.heartbeat.interval = *BEAT_TIMES.end() + TICK),
            ("heartbeat.timeout", |o| o.heartbeat.timeout = Duration::ZERO),
            ("heartbeat.ttl", |o| o.heartbeat.ttl = Some(o.heartbeat.interval - TICK)),
            ("heartbeat.ttl", |o| o.heartbeat = Heartbeat::new().interval(TICK).ttl(MIN_TTL - TICK)),
            ("heartbeat.ttl", |o| o.heartbeat.ttl = Some(MAX_TTL + TICK)),
        ];
        for &(option, spoil) in table {
            let mut options = Options::default();
            spoil(&mut options);
            assert_eq!(options.check().unwrap_err().option(), option);
        }
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        let options = Options {
            send_hwm: 0,
            recv_hwm: 0,
            send_hwm_bytes: 0,
            recv_hwm_bytes: 0,
            max_send_bytes: 0,
            max_recv_bytes: 0,
            send_timeout: Some(Duration::ZERO),
            recv_timeout: Some(Duration::ZERO),
            linger: Duration::ZERO,
            reconnect_interval: TICK,
            reconnect_max: TICK,
            connect_timeout: None,
            handshake_timeout: TICK,
            max_handshake_size: 16_384,
            max_handshakes: 1,
            max_connections: usize::MAX,
            max_connections_per_address: usize::MAX,
            max_frame_size: Some(1),
            max_message_size: 1,
            max_message_parts: 1,
            max_subscriptions: 1,
            max_topic_bytes: 1,
            monitor_hwm: 1,
            backlog: 1,
            keepalive: Keepalive::new().idle(*PROBE_TIMES.start()).interval(*PROBE_TIMES.end()).retries(127),
            tcp_user_timeout: Some(MAX_USER_TIMEOUT),
            max_pongs: 1,
            heartbeat: Heartbeat::new().interval(TICK).timeout(*BEAT_TIMES.end()).ttl(MAX_TTL),
            send_buffer: Some(1),
            recv_buffer: Some(MAX_INT),
            ..Options::default()
        };
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn the_times_of_what_is_off_do_not_matter() {
        let (keepalive, heartbeat) = (Keepalive::off().retries(0), Heartbeat::off().interval(Duration::ZERO));
        let options = Options { keepalive, heartbeat, ..Options::default() };
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn a_heartbeat_is_told_to_the_protocol_in_whole_units() {
        let [interval, timeout, ttl] = [1999, 3_000_999, 209_999].map(Duration::from_micros);
        let told = |heartbeat: Heartbeat| {
            let rhythm = heartbeat.rhythm();
            rhythm.map(|Rhythm { interval, timeout, ttl }| (interval, timeout, ttl))
        };
        let odd = Heartbeat::new().interval(interval).timeout(timeout);
        assert_eq!(told(odd.clone()), Some((1, 3000, 0)));
        assert_eq!(told(odd.ttl(ttl)), Some((1, 3000, 2)));
        assert_eq!(told(Heartbeat::new().ttl(MAX_TTL)), Some((15_000, 30_000, u16::MAX)));
        assert_eq!(told(Heartbeat::off()), None);
    }
}
