//! What the sockets of each legal pair say to each other: everything the pair allows, in every direction.

use std::thread;
use std::time::Duration;

use ferromq::SocketType::{Router, XPub, XSub};

use super::{End, Parts, Shape};
use crate::common::eventually;

/// Two connected sockets in the order of their row, and what is to go between them.
pub struct Talk<'a> {
    pub first: &'a dyn End,
    pub second: &'a dyn End,
    /// How the second knows the first, if it is a ROUTER; empty for an id that it makes.
    pub first_as: &'a str,
    pub second_as: &'a str,
    pub shape: Shape,
}

/// PUSH to PULL.
pub fn one_way(talk: &Talk<'_>) {
    pass(talk.first, talk.second, &talk.shape.parts());
}

/// PAIR and PAIR, DEALER and DEALER.
pub fn both_ways(talk: &Talk<'_>) {
    let parts = talk.shape.parts();
    pass(talk.first, talk.second, &parts);
    pass(talk.second, talk.first, &parts);
    pass(talk.second, talk.first, &parts);
}

/// REQ and REP, which see nothing of the envelope.
pub fn asked(talk: &Talk<'_>) {
    for round in [b"1", b"2"] {
        let parts = behind(&[round], &talk.shape.parts());
        pass(talk.first, talk.second, &parts);
        pass(talk.second, talk.first, &parts);
    }
    pass(talk.first, talk.second, &talk.shape.parts());
    pass(talk.second, talk.first, &talk.shape.parts());
}

/// REQ and ROUTER, which sees the routing id and the empty part.
pub fn asked_through_a_router(talk: &Talk<'_>) {
    let (req, router, parts) = (talk.first, talk.second, talk.shape.parts());
    for _round in 0..2 {
        req.send(&parts);
        let id = route(router, talk.first_as, &behind(&[b""], &parts));
        router.send(&behind(&[&id, b""], &parts));
        expect(req, &parts);
    }
}

/// DEALER and REP, which leaves the envelope alone, however long it is.
pub fn asked_by_a_dealer(talk: &Talk<'_>) {
    let (dealer, rep, parts) = (talk.first, talk.second, talk.shape.parts());
    let envelopes: [&[&[u8]]; 2] = [&[b""], &[b"hop", b"another hop", b""]];
    for envelope in envelopes {
        dealer.send(&behind(envelope, &parts));
        expect(rep, &parts);
        rep.send(&parts);
        expect(dealer, &behind(envelope, &parts));
    }
}

/// DEALER and ROUTER. If the ROUTER knows the name, it speaks first.
pub fn dealt_and_routed(talk: &Talk<'_>) {
    let (dealer, router, parts) = (talk.first, talk.second, talk.shape.parts());
    if !talk.first_as.is_empty() {
        send_when_known(router, talk.first_as, &parts);
        expect(dealer, &parts);
    }
    dealer.send(&parts);
    let id = route(router, talk.first_as, &parts);
    router.send(&behind(&[&id], &parts));
    expect(dealer, &parts);
}

/// ROUTER and ROUTER, each of which knows the name of the other.
pub fn routed_both_ways(talk: &Talk<'_>) {
    let Talk { first, second, first_as, second_as, shape } = *talk;
    let parts = shape.parts();
    send_when_known(first, second_as, &parts);
    route(second, first_as, &parts);
    send_when_known(second, first_as, &parts);
    route(first, second_as, &parts);
}

/// PUB or XPUB, and SUB or XSUB: subscriptions and their ends, what they let through and what not, and upstream messages.
pub fn published(talk: &Talk<'_>) {
    let (publisher, subscriber, parts) = (talk.first, talk.second, talk.shape.parts());
    let on = |topic: &str| {
        let mut parts = parts.clone();
        parts[0].splice(0..0, topic.bytes());
        parts
    };

    subscribe(publisher, subscriber, "a");
    publisher.send(&on("b"));
    pass(publisher, subscriber, &on("a"));

    subscribe(publisher, subscriber, "b");
    unsubscribe(publisher, subscriber, "a");
    subscribe(publisher, subscriber, "c"); // in order: the publisher knows of the end of "a" now
    publisher.send(&on("a"));
    pass(publisher, subscriber, &on("b"));
    pass(publisher, subscriber, &on("c"));

    subscribe(publisher, subscriber, "");
    pass(publisher, subscriber, &parts);

    if subscriber.kind() == XSub {
        subscriber.send(&parts);
        subscriber.send(&on("x"));
        if publisher.kind() == XPub {
            expect(publisher, &parts);
            expect(publisher, &on("x"));
        }
        pass(publisher, subscriber, &on("a")); // a PUB has not minded
    }
}

/// What is left of the subscriptions of [`published`] ends with the subscriber, and an XPUB is told.
pub fn subscriptions_end(xpub: &dyn End) {
    let mut ends: Vec<Parts> = (0..3).map(|_| xpub.recv()).collect();
    ends.sort();
    assert_eq!(ends, [[b"\0".to_vec()], [b"\0b".to_vec()], [b"\0c".to_vec()]]);
}

/// Subscribes, and returns when the publisher knows.
fn subscribe(publisher: &dyn End, subscriber: &dyn End, topic: &str) {
    let said = [&[1], topic.as_bytes()].concat();
    if subscriber.kind() == XSub {
        subscriber.send(std::slice::from_ref(&said));
    } else {
        subscriber.subscribe(topic.as_bytes());
    }
    hears(publisher, subscriber, said);
    // A PUB does not say what it knows; it is seen by what it does.
    let probe = [topic.as_bytes().to_vec(), NOISE.to_vec()];
    eventually("a subscription arrives", || {
        publisher.send(&probe);
        thread::sleep(Duration::from_millis(1));
        std::iter::from_fn(|| subscriber.try_recv()).any(|got| got == probe)
    });
}

fn unsubscribe(publisher: &dyn End, subscriber: &dyn End, topic: &str) {
    let said = [&[0], topic.as_bytes()].concat();
    if subscriber.kind() == XSub {
        subscriber.send(std::slice::from_ref(&said));
    } else {
        subscriber.unsubscribe(topic.as_bytes());
    }
    hears(publisher, subscriber, said);
}

/// An XPUB receives what was said.
fn hears(publisher: &dyn End, subscriber: &dyn End, said: Vec<u8>) {
    if publisher.kind() == XPub {
        let mut heard = None;
        eventually("an XPUB is told", || {
            // libzmq tells new publishers of its subscriptions when it is called, and not before.
            let noise = subscriber.try_recv();
            assert!(noise.is_none_or(|parts| parts.last().is_some_and(|last| last == NOISE)));
            heard = publisher.try_recv();
            heard.is_some()
        });
        assert_eq!(heard.unwrap(), [said]);
    }
}

fn pass(from: &dyn End, to: &dyn End, parts: &[Vec<u8>]) {
    from.send(parts);
    expect(to, parts);
}

/// A ROUTER sends as soon as it has heard of its peer.
fn send_when_known(router: &dyn End, name: &str, parts: &[Vec<u8>]) {
    let message = behind(&[name.as_bytes()], parts);
    eventually("the peer is known", || router.try_send(&message));
}

/// A ROUTER receives this message, from a peer that it knows by this name. Returns the id.
fn route(router: &dyn End, name: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    assert_eq!(router.kind(), Router);
    let mut got = next(router);
    let id = got.remove(0);
    if name.is_empty() {
        assert_eq!((id.len(), id[0]), (5, 0), "an id that a ROUTER makes");
    } else {
        assert_eq!(id, name.as_bytes());
    }
    assert_same(&got, parts);
    id
}

fn expect(end: &dyn End, parts: &[Vec<u8>]) {
    assert_same(&next(end), parts);
}

/// The next message that is more than noise.
fn next(end: &dyn End) -> Parts {
    loop {
        let parts = end.recv();
        if parts.last().is_none_or(|last| last != NOISE) {
            return parts;
        }
    }
}

fn behind(envelope: &[&[u8]], parts: &[Vec<u8>]) -> Parts {
    envelope.iter().map(|part| part.to_vec()).chain(parts.iter().cloned()).collect()
}

fn assert_same(got: &[Vec<u8>], expected: &[Vec<u8>]) {
    let brief = |parts: &[Vec<u8>]| -> Vec<_> {
        parts
            .iter()
            .map(|part| {
                (part.len(), String::from_utf8_lossy(&part[..part.len().min(20)]).escape_debug().to_string())
            })
            .collect()
    };
    assert!(got == expected, "got {:?}, expected {:?}", brief(got), brief(expected));
}

/// The last part of messages that mean nothing.
pub const NOISE: &[u8] = b"never mind";
