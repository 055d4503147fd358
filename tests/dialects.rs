//! How subscriptions are told: by commands among peers of ZMTP 3.1, and by messages to and from those of 3.0.

mod common;

use common::raw::{self, COMMAND, Frame, Peer};
use common::{DeadPort, PATIENCE, within};
use ferromq::{
    Context, Endpoint, Kind, Message, Pub, Publishes, RecvError, Socket, Sub, Subscribes, XPub, XSub,
};

/// The minor versions with a form of their own.
const MINORS: [u8; 2] = [0, 1];

/// How a subscription is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Message,
    Command,
}

impl Form {
    /// What a peer of this minor version is told.
    fn of(minor: u8) -> Self {
        if minor == 0 { Self::Message } else { Self::Command }
    }

    fn frame(self, on: bool, topic: &[u8]) -> Frame {
        match self {
            Self::Message => Frame { flags: 0, body: [&[u8::from(on)], topic].concat() },
            Self::Command => {
                let name: &[u8] = if on { b"\x09SUBSCRIBE" } else { b"\x06CANCEL" };
                Frame { flags: COMMAND, body: [name, topic].concat() }
            }
        }
    }

    fn octets(self, on: bool, topic: &[u8]) -> Vec<u8> {
        let Frame { flags, body } = self.frame(on, topic);
        raw::frame(flags, &body)
    }
}

fn greet(mut peer: Peer, minor: u8, socket_type: &str) -> Peer {
    peer.write(&[raw::greeting(3, minor, "NULL"), raw::ready(socket_type)].concat());
    peer.read_handshake();
    peer
}

/// Has raw subscribers of both versions subscribe and unsubscribe in both forms. `heard` is what the publisher makes of
/// it: for each subscriber one call with what it said.
fn subscribe_in_all_ways<T: Publishes + ferromq::Sends>(publisher: &Socket<T>, heard: impl Fn(&[&[u8]])) {
    let at = publisher.bind("tcp://127.0.0.1:0").unwrap();
    for (minor, socket_type) in MINORS.into_iter().flat_map(|minor| ["SUB", "XSUB"].map(|kind| (minor, kind)))
    {
        for form in [Form::Message, Form::Command] {
            println!("{socket_type} of 3.{minor}, {form:?}");
            let mut peer = greet(Peer::connect(&at), minor, socket_type);
            peer.write(&form.octets(true, b"a"));
            publisher.wait_subscribed(1, PATIENCE).unwrap();
            publisher.send("b1").unwrap();
            publisher.send("a1").unwrap();
            assert_eq!(peer.single(), b"a1");

            peer.write(&[form.octets(false, b"a"), form.octets(true, b"c")].concat());
            peer.ping(b"taken in");
            peer.expect_pong(b"taken in");
            publisher.send("a2").unwrap();
            publisher.send(["c2", "", "more"]).unwrap();
            assert_eq!(peer.message().unwrap(), [&b"c2"[..], b"", b"more"]);

            drop(peer);
            heard(&[b"\x01a", b"\x00a", b"\x01c", b"\x00c"]);
            common::eventually("the peer is gone", || publisher.stats().peers == 0);
        }
    }
}

#[test]
fn a_pub_takes_both_forms_from_every_peer() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        subscribe_in_all_ways(&ctx.socket::<Pub>().build().unwrap(), |_| {});
    });
}

#[test]
fn an_xpub_takes_both_forms_from_every_peer_and_shows_one() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let xpub = ctx.socket::<XPub>().build().unwrap();
        subscribe_in_all_ways(&xpub, |all| {
            for said in all {
                assert_eq!(xpub.recv_timeout(PATIENCE).unwrap(), **said);
            }
            assert_eq!(xpub.try_recv(), Err(RecvError::Empty));
        });
    });
}

/// Connects a subscriber to two raw publishers and has two connect to it: of each version one. Each of them is told in
/// its own form, of what was there before it and of what comes later.
fn each_in_its_own_form<T: Subscribes + ferromq::Receives>(subscriber: &Socket<T>, theirs: &str) {
    subscriber.subscribe("early").unwrap();
    let at = subscriber.bind("tcp://127.0.0.1:0").unwrap();
    let mut peers: Vec<(Form, Peer)> = MINORS
        .into_iter()
        .flat_map(|minor| {
            let bound = dialled(subscriber);
            [bound, Peer::connect(&at)].map(|peer| (Form::of(minor), greet(peer, minor, theirs)))
        })
        .collect();
    for (form, peer) in &mut peers {
        assert_eq!(peer.frame(), form.frame(true, b"early"));
    }
    subscriber.wait_connected(peers.len(), PATIENCE).unwrap();
    subscriber.subscribe("").unwrap();
    subscriber.unsubscribe("early").unwrap();
    for (form, peer) in &mut peers {
        assert_eq!(peer.frame(), form.frame(true, b""), "{form:?}");
        assert_eq!(peer.frame(), form.frame(false, b"early"), "{form:?}");
        peer.send(&[b"news", b"", b"of all kinds"]);
        assert_eq!(subscriber.recv_timeout(PATIENCE).unwrap(), Message::from(["news", "", "of all kinds"]));
    }
}

/// A raw peer that the socket has connected to.
fn dialled<T: Kind>(socket: &Socket<T>) -> Peer {
    let port = DeadPort::new();
    let at: Endpoint = port.endpoint().parse().unwrap();
    let listener = port.listen();
    socket.connect(at).unwrap();
    Peer::accept(&listener)
}

#[test]
fn a_sub_speaks_to_each_publisher_in_its_own_form() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for theirs in ["PUB", "XPUB"] {
            each_in_its_own_form(&ctx.socket::<Sub>().build().unwrap(), theirs);
        }
    });
}

#[test]
fn an_xsub_speaks_to_each_publisher_in_its_own_form() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        for theirs in ["PUB", "XPUB"] {
            each_in_its_own_form(&ctx.socket::<XSub>().build().unwrap(), theirs);
        }
    });
}

/// An XSUB may send anything to its publishers. A PUB does not mind, however long it is.
#[test]
fn a_pub_throws_away_what_is_no_subscription() {
    within(PATIENCE, || {
        let ctx = Context::new().unwrap();
        let publisher = ctx.socket::<Pub>().build().unwrap();
        let mut peer = greet(Peer::connect(publisher.bind("tcp://127.0.0.1:0").unwrap()), 1, "XSUB");
        for len in [0, 1, 65_536, 65_537, 1 << 20] {
            peer.send(&[&vec![b'x'; len]]);
        }
        peer.write(&Form::Command.octets(true, b""));
        peer.ping(b"all");
        peer.expect_pong(b"all");
        publisher.send("still there").unwrap();
        assert_eq!(peer.single(), b"still there");
        let stats = publisher.stats();
        assert_eq!((stats.received - stats.discarded, stats.waiting), (0, 0));
    });
}
