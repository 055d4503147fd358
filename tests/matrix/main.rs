//! The matrix of ferromq with itself: every pair of socket types over every transport, both roles, all shapes of messages.
//! What is legal talks, what is not is refused. The package in `tests/libzmq` has the same with libzmq.

#[path = "../common/mod.rs"]
mod common;
mod pairs;

use std::time::Duration;

use common::raw::{self, COMMAND, Frame, Peer};
use common::{DeadPort, PATIENCE, within};
use ferromq::{Context, SocketType};
use pairs::ours::Ours;
use pairs::{Library, TYPES, Transport, legal, pairs};

/// All transports there are.
const TRANSPORTS: &[Transport] = &[
    Transport::Tcp,
    #[cfg(unix)]
    Transport::Ipc,
    Transport::Inproc,
];

/// Lets all legal pairs with such a left socket talk.
fn talk(lefts: &'static [SocketType]) {
    within(4 * PATIENCE, || {
        let ours = Ours(Context::new().unwrap());
        let all = pairs(lefts, TRANSPORTS);
        for pair in all.iter().filter(|pair| legal(pair.left, pair.right).is_some()) {
            pair.talk(&ours, &ours);
        }
    });
}

/// Has all illegal pairs with such a left socket refuse each other.
fn refuse(lefts: &'static [SocketType]) {
    within(4 * PATIENCE, || {
        let ours = Ours(Context::new().unwrap());
        let all = pairs(lefts, TRANSPORTS);
        for pair in all.iter().filter(|pair| legal(pair.left, pair.right).is_none()) {
            pair.refuse(&ours, &ours, &ours);
        }
    });
}

pairs::groups!(talk, refuse);

/// 21 pairs in an order, of 121.
#[test]
fn the_table_is_that_of_the_specification() {
    let legal_pairs = TYPES.iter().flat_map(|left| TYPES.map(|right| legal(*left, right).is_some()));
    assert_eq!(legal_pairs.filter(|legal| *legal).count(), 21);
}

/// Seen from the other end of the connection: whom a socket refuses it tells why, and hangs up.
#[test]
fn a_stranger_is_told_and_hung_up_on() {
    within(4 * PATIENCE, || {
        let ours = Ours(Context::new().unwrap());
        for (kind, stranger) in TYPES.iter().flat_map(|kind| TYPES.map(|stranger| (*kind, stranger))) {
            if legal(kind, stranger).is_some() {
                continue;
            }
            println!("{kind} and {stranger}");
            let bound = ours.socket(kind, "");
            expect_error(Peer::connect(bound.bind("tcp://127.0.0.1:*")), stranger);
            bound.expect_refusal();

            let port = DeadPort::new();
            let connecting = ours.socket(kind, "");
            connecting.connect(&port.endpoint());
            expect_error(Peer::accept(&port.listen()), stranger);
            connecting.expect_refusal();
        }
    });
}

fn expect_error(mut peer: Peer, kind: SocketType) {
    let never = raw::message(&[b"never"]);
    peer.write(&[raw::greeting(3, 1, "NULL"), raw::ready(kind.as_str()), never].concat());
    peer.read(64);
    // A PAIR that is bound says who it is only to a peer that it takes.
    let ready = |frame: &Frame| frame.body.starts_with(b"\x05READY");
    let frame = peer.try_frame().filter(|frame| !ready(frame)).or_else(|| peer.try_frame());
    let error = Frame { flags: COMMAND, body: b"\x05ERROR\x18Incompatible socket type".to_vec() };
    assert_eq!(frame.unwrap_or_else(|| error.clone()), error, "it may get lost in the reset");
    peer.expect_closed(Duration::from_secs(10));
}
