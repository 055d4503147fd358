//! Messages between processes, with no broker in the middle.
//!
//! The sockets of ZeroMQ in safe Rust, on an event loop of their own. They speak ZMTP 3.1, so every program that uses
//! ZeroMQ in any language is already a peer.
//!
//! ```
//! use ferromq::{Context, Pull, Push};
//!
//! let context = Context::new()?;
//!
//! let push = context.socket::<Push>().send_hwm(10_000).build()?; // options first
//! let at = push.bind("tcp://127.0.0.1:0")?; // the endpoint, with the port that was chosen
//!
//! let pull = context.socket::<Pull>().build()?; // as a rule in another process
//! pull.connect(at)?;
//!
//! push.send("hello")?; // blocks while there is no room
//! assert_eq!(pull.recv()?, "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! - A [`Context`] owns the I/O threads. One is enough for a program.
//! - A [`Socket`] binds and connects to any number of [`Endpoint`]s and heals its connections by itself. What it does
//!   is its type, of which there are eleven: the [guide] says which is for what.
//! - A [`Message`] has one or more parts and travels as one value.
//! - A [`Proxy`] joins two sockets, so that peers need to know only the place in the middle.
//!
//! # Four ways to wait
//!
//! | | blocks | at once or not at all | blocks for a while | any executor |
//! |---|---|---|---|---|
//! | to send | [`send`](Socket::send) | [`try_send`](Socket::try_send) | [`send_timeout`](Socket::send_timeout) | [`send_async`](Socket::send_async) |
//! | to receive | [`recv`](Socket::recv) | [`try_recv`](Socket::try_recv) | [`recv_timeout`](Socket::recv_timeout) | [`recv_async`](Socket::recv_async) |
//!
//! All of them may be used on one socket at the same time, from any number of threads and tasks. Dropping a future
//! loses nothing. A [`Waker`](std::task::Waker) must not wait, as anywhere: a call that would have to, made by a waker
//! that the library calls, ends at once as if its time were over.
//!
//! A [`Poller`] waits for any of many sockets, and for other file descriptors. The reverse is
//! [`Socket::readiness`]: a file descriptor with which the event loop of somebody else waits for a socket.
//!
//! # How much is queued, and what is lost
//!
//! Each peer has a queue of its own in each direction, with a high-water mark that counts whole messages, exactly, and a
//! limit in bytes. While a connection lasts nothing is lost unless a socket is there to drop it, as [`Pub`] is; and whatever
//! is dropped is counted. What a lost peer had not wholly been given goes to another, or waits for its return, where the type
//! allows it. The [guide] has the details.
//!
//! # Who is there
//!
//! A [`Monitor`] tells of each connection who it is and what becomes of it, as typed [`Event`]s: accepted, ready, lost and
//! why, tried again and when. [`Socket::peer_stats`] counts the messages of each peer, [`Socket::stats`] those of all.
//!
//! # What strangers can do
//!
//! A message has a [greatest size](Builder::max_message_size), a handshake a [longest time](Builder::handshake_timeout),
//! connections have a greatest number, in all and from one address, and silent ones give way to those who speak. Queues are
//! limited in messages and in bytes, of each peer and of all together; memory follows the bytes that came, never a declared
//! length. The guide has [all limits](guide#limits) in a table, and says how much memory that is. What else strangers can
//! and cannot do is said under [security].
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(unnameable_types)]

mod clock;
mod context;
mod endpoint;
mod engine;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
mod inproc;
mod limit;
mod lock;
mod message;
mod monitor;
mod options;
mod owner;
mod pattern;
mod peer;
mod pipe;
mod poller;
mod proxy;
mod random;
pub mod security;
mod session;
mod shield;
#[cfg(any(test, feature = "fuzzing"))]
mod sim;
mod slots;
mod socket;
mod transport;
mod zmtp;

pub use bytes::Bytes;
pub use context::{Context, ContextBuilder};
pub use endpoint::{Endpoint, EndpointError};
pub use error::{
    BindError, BuildError, Closed, ClosedEndpoint, ConnectError, ContextError, DetachError, MonitorError,
    OptionError, PollerError, ProxyError, RecvError, Refusal, Rejection, RequestError, SendError,
    SubscribeError, WaitError,
};
pub use limit::{Limit, LimitHits};
pub use message::{Message, Parts};
pub use monitor::{Dropped, End, Event, Remote};
pub use options::{Heartbeat, Keepalive, Overflow, ReconnectStop, Verbosity};
pub use poller::{PollEvent, Poller};
pub use proxy::{Control, Flow, Held, Proxy, ProxyStats};
pub use socket::{
    Builder, Conflates, Dealer, Identifies, Interest, Iter, Kind, Monitor, Pair, PeerStats, Pub, Publishes,
    Pull, Push, Readiness, Receives, Rep, Req, Router, Sends, Socket, Stats, Sub, Subscribes, XPub,
    XPubEvent, XSub,
};
pub use zmtp::{SocketType, Violation};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("ferromq packs the names of its connections into 64 bits");

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
