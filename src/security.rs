//! What a stranger can and cannot do to a socket, and what is not protected at all.
//!
//! A stranger is whoever can reach a bound endpoint, or stands where a socket connects to. What follows is true for both,
//! over `tcp` and `ipc`; on `inproc` there are no strangers, only the other parts of the same program.
//!
//! # What is not protected
//!
//! The only security mechanism so far is NULL: **who can connect can take part, and who can listen on the wire can read.**
//!
//! - Nothing is encrypted or authenticated. Who stands in between can read, change, add and drop messages, and end
//!   connections; with an ERROR he can have a dialling socket give an endpoint up
//!   ([`Event::Abandoned`](crate::Event::Abandoned)).
//! - Who says that it is a worker gets work: a PULL or a REP that connects to a bound PUSH, DEALER or REQ has its share of
//!   the messages. Who subscribes to everything gets everything. Who connects to a [`Pair`] first has it.
//! - A peer can claim any routing id that is free, on a [`Router`], and with [`handover`](Builder::handover) also one that
//!   is taken. It cannot claim one that begins with a zero byte: these the router makes up, one for each connection.
//! - Each connection is told, before it has to say anything about itself, that ZMTP is spoken here; and behind a greeting the
//!   type of the socket and its [`routing_id`](Builder::routing_id), except by a bound PAIR or ROUTER, which waits for the
//!   other to go first.
//! - A file of `ipc` has the permissions that the `umask` of the process leaves it; the one that is chosen for `ipc://*`
//!   is in a new directory of mode `0700`. Abstract names (`ipc://@name`) have no permissions: every user of the machine,
//!   or of its network namespace, can connect. And every user who can look up the directory of a path, also one that only
//!   others can enter, can have binding to it take 5 s longer.
//! - Sizes, times and directions of messages are visible on the wire, and would be if they were encrypted.
//!
//! So let strangers reach a socket only if they may read what it sends and send what it reads. A socket that only this
//! machine is to reach is bound to a loopback address, `tcp://127.0.0.1:5555` or `tcp://[::1]:5555` and not `tcp://*:5555`;
//! one that only some of its users are to reach, to an `ipc` path in a directory that only they can enter. Between
//! machines use a network or a tunnel that does what NULL does not.
//!
//! # What is read before a peer is let in
//!
//! 64 bytes of greeting, judged field by field as they come, and one command of at most 8 KiB, READY with its properties.
//! That is all the code a stranger reaches without a sound handshake: no message is taken, nothing is looked up, and the
//! type of its socket has to fit. From its first byte to its last the handshake has
//! [`handshake_timeout`](Builder::handshake_timeout), however the bytes dribble.
//!
//! What comes behind it is frames. Each is judged by its header, as soon as that is there and before its body is taken.
//! Frames and properties are read in loops, never by recursion, and what is malformed, out of place or too large ends the
//! connection: nothing of the message it was in is delivered, messages that were whole before are, other peers notice
//! nothing. A [`Monitor`] tells who it was, and why, as a [`Violation`]. An endpoint that was dialled is tried again only
//! after a long pause; after an ERROR it is not tried again.
//!
//! # What it can take
//!
//! Every length, count and time that a stranger decides on has a limit. The [guide](crate::guide#limits) has them in one
//! table, each with its option, its default and what happens beyond it.
//!
//! Memory follows the bytes that have come, never a size that was declared. In bytes, one connection costs at most, beside
//! the buffers of the operating system:
//!
//! | | |
//! |---|---|
//! | until the handshake is over | 20 KiB |
//! | the message that is coming | 64 KiB + 2 × the bytes of it that have come, at most [`max_message_size`](Builder::max_message_size), + 64 × its parts |
//! | bytes that are read and not yet taken in | 64 KiB |
//! | answers to its PINGs that it does not read | about 64 × [`max_pongs`](Builder::max_pongs) |
//! | messages that wait to be received | [`recv_hwm_bytes`](Builder::recv_hwm_bytes), with what is coming |
//! | messages that wait to be sent to it | [`send_hwm_bytes`](Builder::send_hwm_bytes), and one message beyond |
//! | changes of our subscriptions that it does not read, at a SUB or XSUB | [`send_hwm_bytes`](Builder::send_hwm_bytes), or its share of [`max_send_bytes`](Builder::max_send_bytes) |
//! | once it is gone, while messages of it wait | 1 KiB, which counts for [`max_recv_bytes`](Builder::max_recv_bytes) |
//! | its subscriptions, at a PUB or XPUB | about twice [`max_topic_bytes`](Builder::max_topic_bytes) |
//!
//! With the defaults a stranger can have some 130 MiB of what it sends held, and all of them together
//! [`max_recv_bytes`](Builder::max_recv_bytes) in the queues. A socket that strangers can reach should be told the largest
//! message that makes sense. A socket whose peers have nothing to say, such as a PUSH, takes no message of theirs above
//! 64 KiB, and delivers none.
//!
//! When descriptors run out, accepting pauses and goes on when there are some. A peer that is silent costs its place and no
//! processor time; one that does not read what it is sent fills its own queue and no other's, and only a publisher that was told to
//! [block](crate::Overflow::Block) waits for it.
//!
//! # Where we differ from libzmq
//!
//! What others send to a socket is taken as libzmq takes it, but for this. It is checked against libzmq 4.3.4.
//!
//! | said to a PULL, unless it says otherwise | here | libzmq |
//! |---|---|---|
//! | a message of ZMTP 1.0 | ends the connection | delivers it, as ZMTP 1.0 |
//! | HTTP | ends the connection | takes it for ZMTP 1.0 and waits for more |
//! | a line of text | ends the connection | takes it for ZMTP 1.0 and waits for more |
//! | TLS | ends the connection | delivers some of it, as ZMTP 1.0 |
//! | version 2.0 | ends the connection | takes it for version 3 |
//! | version 0.0 | ends the connection | speaks that version |
//! | a PUSH of ZMTP 2.0 | ends the connection | speaks that version |
//! | version 3.0, and subscriptions in both dialects, to XPUB | takes it | tells also of the end of what nobody had |
//! | READY in a message frame | ends the connection | does not look at the flags, and accepts it |
//! | READY with MORE | ends the connection | does not look at the flags, and accepts it |
//! | READY with reserved bit 7 | ends the connection | does not look at the flags, and accepts it |
//! | READY with reserved bit 3 | ends the connection | does not look at the flags, and accepts it |
//! | READY with reserved bits 4 to 7 | ends the connection | does not look at the flags, and accepts it |
//! | a property without a name | ends the connection | accepts it |
//! | socket-type in lower case | takes it | does not see it, and does without |
//! | no property at all | ends the connection | does without |
//! | the same socket type twice | ends the connection | accepts it |
//! | IDENTITY in upper case, to ROUTER | takes it | does not see it, and makes up an identity |
//! | identity in strange case, to ROUTER | takes it | does not see it, and makes up an identity |
//! | an identity of 256 octets, to ROUTER | ends the connection | accepts it |
//! | an identity like those that are made up, to ROUTER | ends the connection | accepts it, if nobody has it |
//! | two identities, to ROUTER | ends the connection | takes the last one |
//! | a bad identity for who does not care | ends the connection | accepts it |
//! | READY of a gibibyte | ends the connection | takes memory for it, and waits |
//! | 100,000 tiny properties | ends the connection | accepts it |
//! | READY twice | ends the connection | ignores the second one |
//! | a size of 2^63 - 1, and no limit | waits for more | cannot get the memory, and closes |
//! | parts that are too large together | ends the connection | accepts it: the limit is for each part |
//! | flags 08 | ends the connection | does not look at these bits |
//! | flags 10 | ends the connection | does not look at these bits |
//! | flags F8 | ends the connection | does not look at these bits |
//! | a command with MORE | ends the connection | accepts it |
//! | a million parts without end | ends the connection | gathers them for ever |
//! | a message of 100,000 parts | ends the connection | delivers it |
//! | an empty command | ends the connection | ignores it |
//! | a command without a name | ends the connection | ignores it |
//! | a name past the end | ends the connection | ignores it |
//! | an unknown command of a mebibyte | ends the connection | ignores it |
//! | a PING without its time | ends the connection | reads beyond its end |
//! | a PING with half its time | ends the connection | reads beyond its end |
//! | a context of a mebibyte | ends the connection | answers with the first 16 octets |
//! | the longest time of a PING | waits for as long as it says | multiplies in 16 bits, and wraps |
//! | a PONG of a mebibyte | ends the connection | ignores it |
//! | READY in traffic | ends the connection | ignores it |
//! | READY in traffic, with another identity, to ROUTER | ends the connection | ignores it |
//! | SUBSCRIBE | ignores it | delivers it as a message |
//! | SUBSCRIBE, to DEALER | ignores it | delivers it as a message |
//! | CANCEL | ignores it | delivers it as a message |
//! | CANCEL, to DEALER | ignores it | delivers it as a message |
//! | SUBSCRIBE of a mebibyte, to XPUB | ends the connection | accepts it |
//! | SUBSCRIBE of 64 MiB, to XPUB | ends the connection | takes memory for it, and waits |
//! | CANCEL of nothing, and twice, to XPUB | takes it | tells also of the end of what nobody had |
//!
//! # How it is tried
//!
//! The crate has no `unsafe` code, and forbids it; what it depends on has. `tests/hostile` says hundreds of odd, broken and
//! hostile things, whole and byte by byte, to bound and to dialling sockets, in memory and over TCP, while a good peer is
//! served; and some of them in great numbers. `tests/libzmq` says the same to a real libzmq. `fuzz` has targets for the
//! handshake, the decoder and whole sessions, among others, which check promises and do not only wait for a crash.
//!
//! `SECURITY.md` in the repository says how to report what you have found.

#[cfg(doc)]
use crate::socket::{Builder, Monitor, Pair, Router};
#[cfg(doc)]
use crate::zmtp::Violation;
