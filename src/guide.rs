//! Which socket for which job, how much is queued, and what is lost when.
//!
//! # Which socket for which job
//!
//! | you want to | use | example |
//! |---|---|---|
//! | spread jobs over workers, and collect results | [`Push`] to [`Pull`] | `pipeline` |
//! | tell everybody who is interested | [`Pub`] to [`Sub`] | `weather` |
//! | ask, and wait for the answer | [`Req`] to [`Rep`] | `rpc` |
//! | ask many things at once, or serve without taking turns | [`Dealer`] to [`Rep`] or [`Router`] | `workers` |
//! | choose who gets what: the least busy worker, the owner of a session | [`Router`] to [`Dealer`] or [`Req`] | `workers` |
//! | join two threads or processes, and nobody else | [`Pair`] to [`Pair`] | `pair` |
//! | stand between publishers and subscribers | [`XSub`] and [`XPub`] | `telemetry` |
//!
//! Which types can be peers is the same as everywhere in ZeroMQ. Others are refused in the handshake, on both sides, and
//! each [`Monitor`] tells of it:
//!
//! | | peers |
//! |---|---|
//! | PUSH | PULL |
//! | PULL | PUSH |
//! | PUB, XPUB | SUB, XSUB |
//! | SUB, XSUB | PUB, XPUB |
//! | REQ | REP, ROUTER |
//! | REP | REQ, DEALER |
//! | DEALER | REP, DEALER, ROUTER |
//! | ROUTER | REQ, DEALER, ROUTER |
//! | PAIR | PAIR |
//!
//! Who binds and who connects does not depend on the type. As a rule the side that stays binds, and the side that comes
//! and goes connects: it keeps trying, and has its subscriptions and its queue back by itself.
//!
//! ## Requests
//!
//! [`Req`] and [`Rep`] take turns: one question, one answer. That is the easiest to get right, and one slow answer holds
//! up all the others of a REP. [`Dealer`] and [`Router`] do not take turns. A message then carries an envelope, the parts
//! before the first empty one, by which answers find their way back: a REQ puts an empty part before its question, a ROUTER
//! puts the routing id of the peer before what it receives, and a REP keeps all that and puts it before its answer. A
//! DEALER that talks to a REP sends the empty part itself.
//!
//! A REQ whose peer dies hears of it at once ([`RecvError::PeerLost`]); [`Socket::request`] adds a timeout and leaves the
//! socket ready for the next try. Whether the question was worked on before the peer died nobody knows: make questions
//! harmless to repeat, or number them.
//!
//! # High-water marks
//!
//! Each peer has a queue of its own in each direction. The marks [`send_hwm`](Builder::send_hwm) and
//! [`recv_hwm`](Builder::recv_hwm) are the most messages in one of them, 1000 by default, counted exactly; zero means no
//! limit.
//!
//! Beside them each queue has a limit in bytes, for large messages: [`send_hwm_bytes`](Builder::send_hwm_bytes) and
//! [`recv_hwm_bytes`](Builder::recv_hwm_bytes). It is full when it has as many messages, or as many bytes, as it may have;
//! one message that finds it empty is always taken. And all queues of a socket together have a limit in each direction:
//! [`max_send_bytes`](Builder::max_send_bytes) and [`max_recv_bytes`](Builder::max_recv_bytes). Nothing is lost at these
//! limits that would not be at the marks: what is said below of a full queue holds for whatever it is full of.
//!
//! Between two processes the operating system buffers, besides, some hundred kilobytes per connection. On `inproc` there
//! is nothing between the two queues: the marks of both ends add up.
//!
//! When a receiver does not keep up, its queue fills, then the buffers of the system, then the queue of the sender. What
//! then happens is a matter of the sender's type:
//!
//! | | a peer is full | all are full, or there is none |
//! |---|---|---|
//! | PUSH, DEALER | others get its share | `send` waits |
//! | PAIR | | `send` waits |
//! | REQ | another is asked | `send` waits |
//! | REP | the answer is dropped and counted | |
//! | PUB, XPUB | that peer misses it, which is counted; or as [`Overflow`] says | a message for nobody is dropped and counted |
//! | XSUB | the same for what is not a subscription | the same |
//! | ROUTER | `send` waits for the peer that is named | [`Refusal::Unroutable`], if nobody has the name |
//! | ROUTER with [`mandatory(false)`](Builder::mandatory) | the message is dropped and counted | the same |
//!
//! A full queue takes messages again when half of it is written, so that a waiting sender is woken for many messages and
//! not for each one. A refusal says what there was too much of: [`Refusal::Full`] of messages, [`Refusal::FullOfBytes`] of
//! bytes; [`Refusal::is_full`] is for those who do not care.
//!
//! # What is lost when
//!
//! While a connection lasts, nothing but what the table above says is dropped. A connection that is lost takes with it
//! what the operating system had of it; no library can know whether that has arrived, and [`Stats::unconfirmed`] counts
//! it. What had not been given to the system wholly is still here:
//!
//! | | what a lost peer had not been sent |
//! |---|---|
//! | PUSH, DEALER | goes to another peer, or waits for one |
//! | PAIR | waits for the next peer |
//! | REQ | a question goes to another peer; one that was sent wholly fails with [`RecvError::PeerLost`] |
//! | REP | the answer is dropped and counted |
//! | PUB, XPUB, XSUB | is dropped and counted; a subscriber that comes back gets what is published from then on |
//! | ROUTER | is dropped and counted, but for a peer that was [connected to by name](Socket::connect_as) |
//!
//! What had come from a lost peer can still be received. A message of several parts arrives whole or not at all.
//!
//! [`Socket::close`] waits for what is unsent, hands back what could not be sent in time, and says for each endpoint what
//! became of its messages. A socket that is dropped goes on sending in the background for its
//! [`linger`](Builder::linger) time, 30 s by default, and the last handle of a [`Context`] waits for that. What was
//! received and not taken is dropped with the socket.
//!
//! Subscriptions and publications cross: what is published before a subscription has arrived is not for that subscriber.
//! [`Socket::wait_subscribed`] waits until it has.
//!
//! All of it is counted in [`Stats`], by reason.
//!
//! # Dead peers
//!
//! A process that ends or is killed takes its connections with it, and its peers know at once. A machine that loses its
//! power, or a network that loses its cables, tells nobody. What is noticed then, and by whom, unless set otherwise:
//!
//! | a connection | is given up by | after |
//! |---|---|---|
//! | on which nothing is unread, idle or only received on | [`Heartbeat`] | 45 s: `interval` and `timeout` |
//! | on which we send, to a socket of this library | [`Heartbeat`], from its second interval on | 45 s: the longer `interval` of the two, and our `timeout` |
//! | on which we send, to others | the system, which gets no acknowledgement | on Linux some 15 min, or [`tcp_user_timeout`](Builder::tcp_user_timeout) |
//! | with a peer of ZMTP 3.0, or without heartbeats, idle | [`Keepalive`] | 2 min |
//! | with a peer of ZMTP 3.0, or without heartbeats, on which we send | the system, as above | on Linux some 15 min |
//!
//! A slow worker is not a dead one. It may work for an hour on one message while its queue is full and it reads nothing: a
//! socket of this library goes on sending PINGs meanwhile, and one of libzmq is silent, and neither is given up for it. So a
//! machine that has died with messages before it looks, to us, like one that is at work, if it was not one of ours: then it
//! is up to the system, which knows whether what it sends is acknowledged. The
//! [`tcp_user_timeout`](Builder::tcp_user_timeout) shortens that; but it has no regard for slow workers.
//!
//! libzmq with heartbeats of its own gives *us* up when it hears nothing for its `ZMQ_HEARTBEAT_TIMEOUT`. While we are at our
//! mark it hears our PINGs only, so that our `interval` has to be shorter than that; and while it is at its own mark it
//! hears nothing at all, and gives up whoever it is.
//!
//! Whoever dialled a peer that is given up dials again; what becomes of messages is told above.
//!
//! # Limits
//!
//! What strangers can take of a socket is limited, unless set otherwise, as follows. Each time a limit is hit monitors are told
//! with [`Event::LimitReached`](crate::Event::LimitReached), and [`Stats::limits`] counts it, by [`Limit`](crate::Limit).
//!
//! | limit | option | default | beyond |
//! |---|---|---|---|
//! | connections of a bound endpoint | [`max_connections`](Builder::max_connections) | 32768 | a new one is closed as soon as it is accepted |
//! | of these, from one address, or one /64 of IPv6 | [`max_connections_per_address`](Builder::max_connections_per_address) | 16384 | the same |
//! | of these, with a handshake that is not over | [`max_handshakes`](Builder::max_handshakes) | 4096 | the oldest of more than a second gives way, or a new one waits in the [`backlog`](Builder::backlog) |
//! | descriptors, and memory of the system | `ulimit -n` | | the same, whatever the number of handshakes; monitors are told with [`AcceptPaused`](crate::Event::AcceptPaused) and [`AcceptResumed`](crate::Event::AcceptResumed) |
//! | size of a handshake command | [`max_handshake_size`](Builder::max_handshake_size) | 8 KiB | the connection ends, as soon as the size is known |
//! | time of a handshake | [`handshake_timeout`](Builder::handshake_timeout) | 30 s | the connection ends |
//! | answers to PINGs that the peer does not read | [`max_pongs`](Builder::max_pongs) | 64 | its PINGs are not answered |
//! | size of one part of a message | [`max_frame_size`](Builder::max_frame_size) | that of the message | the connection ends, as soon as the size is known |
//! | size of a message, all its parts together | [`max_message_size`](Builder::max_message_size) | 64 MiB | the same |
//! | parts of a message | [`max_message_parts`](Builder::max_message_parts) | 65,536 | the connection ends |
//! | topics of one peer of a PUB or XPUB | [`max_subscriptions`](Builder::max_subscriptions) | 1,000,000 | the connection ends |
//! | bytes of these topics, and 64 for each | [`max_topic_bytes`](Builder::max_topic_bytes) | 64 MiB | the connection ends |
//! | bytes received from one peer and not taken | [`recv_hwm_bytes`](Builder::recv_hwm_bytes) | 64 MiB | it is not read from until half of them are taken |
//! | bytes received from all peers and not taken | [`max_recv_bytes`](Builder::max_recv_bytes) | 1 GiB | whoever brings more is not read from until half of them are taken |
//! | bytes queued for one peer | [`send_hwm_bytes`](Builder::send_hwm_bytes) | 256 MiB | its queue is full |
//! | bytes of subscriptions that have changed and that a publisher does not read | the same, or its share of [`max_send_bytes`](Builder::max_send_bytes) | | the connection ends |
//! | bytes queued for all peers | [`max_send_bytes`](Builder::max_send_bytes) | 1 GiB | the queue of a peer that has its share is full |
//! | events that a monitor has not taken | [`monitor_hwm`](Builder::monitor_hwm) | 1000 | the oldest give way; [`Event::Missed`](crate::Event::Missed) counts them |
//!
//! A limit on a queue counts as hit once when it begins to bind, and anew when half of the queue has drained in between.
//! The marks for messages are no such limits: reaching them is everyday work.
//!
//! ## How much memory that is
//!
//! What has come is counted as the memory it takes: 72 bytes for each message, in which one of up to
//! [`Message::INLINE`](Message::INLINE) bytes has room; for others the bytes of their parts, and 32 for each of several; and 1
//! KiB for each peer that is gone while messages of it wait. What is under way, a message that is not whole yet, is not
//! counted; it takes at most twice what has come of it, and 64 bytes more for each part until it is whole. So one connected
//! stranger can have a socket hold
//!
//! ```text
//! recv_hwm_bytes + max_message_size + 64 × max_message_parts + 128 KiB
//! ```
//!
//! at the most, and all of them together, whichever of the two is less for them,
//!
//! ```text
//! max_recv_bytes + connections × (max_message_size + 64 × max_message_parts + 128 KiB)
//! ```
//!
//! The 128 KiB are for what was read and not decoded, and for the connection itself. (Without a mark for messages the places
//! of many small ones may double what they are counted for.) A PUB or XPUB holds
//! [`max_topic_bytes`](Builder::max_topic_bytes) for each subscriber besides, and an XPUB up to 16 MiB of subscriptions that
//! it has not been asked for, which do not count for one peer, but count for all of them together. A socket that does not
//! receive, such as a PUSH, takes messages of 64 KiB at the most, and throws them away.
//!
//! Where strangers come, lower [`max_message_size`](Builder::max_message_size) to what honest peers send: it is what a
//! connection can cost before anything is queued.
//!
//! Outbound it is the application that fills the queues. They hold what is written, framing included, and large bodies are
//! not copied: a message of some kilobytes or more that goes to a thousand subscribers lies in memory once, and counts a
//! thousand times. What is written of a batch under way does not count any more; the small messages of it lie in memory
//! until all of it is written.
//!
//! # If you know libzmq
//!
//! What goes over the wire is the same. What is not, for the one who programs:
//!
//! | | here | libzmq |
//! |---|---|---|
//! | a message of many parts | one [`Message`] | a call for each part, with `ZMQ_SNDMORE` |
//! | threads | any number may use a socket at a time | one at a time |
//! | options | set before the socket is built, and fixed | set at any time; most act on later connections |
//! | [`linger`](Builder::linger) | 30 s; with messages left, a dropped socket keeps its address and accepts peers | without end |
//! | [`send_hwm`](Builder::send_hwm), [`recv_hwm`](Builder::recv_hwm) | 1000, exactly | 1000, roughly |
//! | [`max_message_size`](Builder::max_message_size) | 64 MiB | no limit |
//! | [bytes in queues](#high-water-marks) | limited, of each peer and of the socket | no limit |
//! | pause before a [reconnect](Builder::reconnect_interval) | 100 ms, doubles up to 5 s, with a random part | 100 ms, with a random part |
//! | [`reconnect_stop`](Builder::reconnect_stop) `disconnected` | after any loss of a peer | `ZMQ_RECONNECT_STOP_AFTER_DISCONNECT` is about `zmq_disconnect`, after which we stop in any case |
//! | [`heartbeat`](Builder::heartbeat) | on: 15 s, and 30 s to answer; who does not read is spared | off; who does not read is given up |
//! | [`tcp_user_timeout`](Builder::tcp_user_timeout) | as the system has it | the same: `ZMQ_TCP_MAXRT` |
//! | TCP [`keepalive`](Builder::keepalive) | on | as the system has it, as a rule off |
//! | a ROUTER sends to nobody | [`Refusal::Unroutable`]; `mandatory(false)` drops | drops, but for `ZMQ_ROUTER_MANDATORY` |
//! | the server of a REQ dies | [`RecvError::PeerLost`], at once | `recv` waits for ever |
//! | `EAGAIN` | [`Refusal::Full`] or [`Refusal::FullOfBytes`] at once, [`Refusal::TimedOut`] after a time; there may be no peer at all | for all of it |
//! | a slow subscriber | as [`Overflow`] says | misses messages, or holds up all with `ZMQ_XPUB_NODROP` |
//! | `zmq_poll`, `ZMQ_FD` | [`Poller`]; [`Socket::readiness`], which is level-triggered | edge-triggered |
//! | `zmq_socket_monitor` | [`Monitor`] | a PAIR socket, with frames to be read |
//! | `zmq_proxy_steerable` | [`Proxy`], and its [`Control`] | a socket for the commands |
//!
//! There is no PLAIN or CURVE, no `udp` or `pgm`, and none of the
//! draft types such as CLIENT and SERVER.

#[cfg(doc)]
use crate::context::Context;
#[cfg(doc)]
use crate::error::{RecvError, Refusal};
#[cfg(doc)]
use crate::message::Message;
#[cfg(doc)]
use crate::options::{Heartbeat, Keepalive, Overflow};
#[cfg(doc)]
use crate::poller::Poller;
#[cfg(doc)]
use crate::proxy::{Control, Proxy};
#[cfg(doc)]
use crate::socket::{
    Builder, Dealer, Monitor, Pair, Pub, Pull, Push, Rep, Req, Router, Socket, Stats, Sub, XPub, XSub,
};
